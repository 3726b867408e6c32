//! Reports: counted from the log whatever the order, in the hours of the site's time zone, for those who may.

use crate::site::Site;
use hindsight_model::event::{CallParty, EndCause, Event, SessionRecord, What};
use hindsight_reporting_server::Reporter;
use hindsight_store::{audit, events, reports};
use hindsight_wire::{DeviceId, InteractionId, Timestamp, link::JournalEntry, manifest::Party};
use serde_json::{Value, json};

const ZONE: &str = "Europe/Berlin";
/// The day on which clocks go back there: 25 hours, two of them from 2 to 3.
const DAY: &str = "2026-10-25";

fn at(utc: &str) -> Timestamp {
    format!("2026-10-{utc}Z").parse().unwrap()
}

/// A call, and what becomes of it: answered after 5 s, or ended by `cause`.
fn call(began: Timestamp, dialled: &str, cause: EndCause, talk_seconds: i64) -> Vec<Event> {
    let interaction = InteractionId::new();
    let event = |after_ms: i64, what| Event { interaction, at: began.plus_ms(after_ms), what };
    let (caller, dialled) = ("+4670123".to_owned(), dialled.to_owned());
    let party = |number: &str, role, is_dn| CallParty { number: number.to_owned(), role, is_dn };
    let parties = vec![party(&caller, Party::Customer, false), party(&dialled, Party::Agent, true)];
    let answered = cause == EndCause::HungUp;
    let end = if answered { 5000 + talk_seconds * 1000 } else { 5000 };
    let session = What::SessionEnded(SessionRecord {
        call_id: interaction.to_string(),
        media_server: Some("127.0.0.1:5080".into()),
        tenant: "north".into(),
        started_at: began,
        answered_at: answered.then(|| began.plus_ms(5000)),
        ended_at: began.plus_ms(end),
        status: if answered { 200 } else { 487 },
    });
    let mut all = vec![event(
        0,
        What::CallOffered { caller, dialled, record_voice: Vec::new(), record_screen: Vec::new() },
    )];
    if answered {
        all.push(event(5000, What::CallEstablished { parties }));
    }
    all.push(event(end, What::CallEnded { cause, by: None }));
    all.push(event(end, session));
    all
}

async fn journal(site: &Site, device: DeviceId, events: &[Event], first: u64) {
    let entry = |(n, event): (usize, &Event)| JournalEntry {
        sequence: first + n as u64,
        event: serde_json::to_value(event).unwrap(),
    };
    let entries: Vec<JournalEntry> = events.iter().enumerate().map(entry).collect();
    let mut write = site.database.write().await.unwrap();
    events::append_journal(&mut write, device, &entries, Timestamp::now()).await.unwrap();
    write.commit().await.unwrap();
}

async fn count(site: &Site) {
    let reporter = Reporter::new(site.database.clone());
    while reporter.step().await.unwrap() {}
}

async fn berlin() -> Site {
    Site::start_with(|config| config.time_zone = ZONE.to_owned()).await
}

fn row<'a>(summary: &'a Value, start: &str) -> &'a Value {
    let rows = summary["rows"].as_array().unwrap();
    rows.iter().find(|row| row["start"] == start).unwrap_or_else(|| panic!("no {start} in {summary:#}"))
}

#[tokio::test]
async fn late_and_repeated_records_change_the_hour_that_they_belong_to_and_no_other() {
    let site = berlin().await;
    let (sip, other) = (DeviceId::new(), DeviceId::new());
    let answered = call(at("25T00:30:00"), "1001", EndCause::HungUp, 60);
    let busy = call(at("25T01:30:00"), "1001", EndCause::Busy, 0);
    journal(&site, sip, &answered, 1).await;
    count(&site).await;
    let sue = site.signed_in("sue").await;
    let path = format!("/api/v2/reports/summary?from={DAY}&to=2026-10-26");
    let (status, summary) = sue.get(&path).await;
    assert_eq!((status, &summary["timeZone"], &summary["pendingEvents"]), (200, &json!(ZONE), &json!(0)));
    assert_eq!(summary["rows"].as_array().unwrap().len(), 25);
    let before = row(&summary, "2026-10-25T02:00:00+02:00").clone();
    assert_eq!(
        (&before["arrived"], &before["answered"], &before["talkMs"]),
        (&json!(1), &json!(1), &json!(60_000))
    );
    assert_eq!((&before["averageWaitMs"], &before["longestTalkMs"]), (&json!(5000), &json!(60_000)));

    // Late, from another component, and its end before its beginning; and everything told once more.
    let late: Vec<Event> = busy.iter().rev().cloned().collect();
    journal(&site, other, &late, 1).await;
    let (_, summary) = sue.get(&path).await;
    assert_eq!(summary["pendingEvents"], 3);
    journal(&site, DeviceId::new(), &answered, 1).await;
    journal(&site, DeviceId::new(), &late, 1).await;
    count(&site).await;
    let (_, summary) = sue.get(&path).await;
    assert_eq!(row(&summary, "2026-10-25T02:00:00+02:00"), &before);
    let hour = row(&summary, "2026-10-25T02:00:00+01:00");
    assert_eq!((&hour["arrived"], &hour["busy"], &hour["answered"]), (&json!(1), &json!(1), &json!(0)));
    assert_eq!((&summary["total"]["arrived"], &summary["pendingEvents"]), (&json!(2), &json!(0)));

    let (_, days) = sue.get(&format!("{path}&per=day&by=dn")).await;
    assert_eq!(days["rows"].as_array().unwrap().len(), 1);
    let dn = row(&days, "2026-10-25T00:00:00+02:00");
    assert_eq!((&dn["key"], &dn["arrived"], &dn["incoming"]), (&json!("1001"), &json!(2), &json!(2)));
    for (by, key, cancelled) in [("tenant", "north", 0), ("media-server", "127.0.0.1:5080", 1)] {
        let (_, summary) = sue.get(&format!("{path}&per=day&by={by}")).await;
        let row = &summary["rows"][0];
        assert_eq!(
            (&row["key"], &row["arrived"], &row["cancelled"]),
            (&json!(key), &json!(2), &json!(cancelled))
        );
    }
    site.stop().await;
}

#[tokio::test]
async fn all_rows_are_forgotten_and_derived_again_alike() {
    let site = berlin().await;
    let sip = DeviceId::new();
    let mut events = Vec::new();
    for n in 0..40 {
        let cause = [EndCause::HungUp, EndCause::Cancelled, EndCause::NoAnswer, EndCause::NotFound][n % 4];
        events.extend(call(at("25T08:00:00").plus_ms(n as i64 * 1000), "1001", cause, 3));
    }
    journal(&site, sip, &events, 1).await;
    count(&site).await;
    let sue = site.signed_in("sue").await;
    let path = format!("/api/v2/reports/calls?from={DAY}&limit=1000");
    let (_, first) = sue.get(&path).await;
    assert_eq!(first["items"].as_array().unwrap().len(), 40);
    let mut write = site.database.write().await.unwrap();
    reports::forget(&mut write).await.unwrap();
    events::advance(&mut write, "reporting-server/1", 0).await.unwrap();
    write.commit().await.unwrap();
    let (_, none) = sue.get(&path).await;
    assert_eq!((&none["items"], &none["pendingEvents"]), (&json!([]), &json!(130)));
    count(&site).await;
    assert_eq!(sue.get(&path).await.1, first);
    site.stop().await;
}

#[tokio::test]
async fn pages_follow_one_another_without_a_gap_and_the_table_has_all_of_them() {
    let site = berlin().await;
    let mut events = Vec::new();
    for n in 0..25 {
        // Several at the same instant: the page must not end between them unnoticed.
        let began = at("25T10:00:00").plus_ms(n / 5 * 1000);
        events.extend(call(began, "1001", EndCause::HungUp, 2));
    }
    events.extend(call(at("25T11:00:00"), "=1+1", EndCause::NotFound, 0));
    journal(&site, DeviceId::new(), &events, 1).await;
    count(&site).await;
    let sue = site.signed_in("sue").await;
    for (list, rows) in [("calls", 26), ("sessions", 26)] {
        let path = format!("/api/v2/reports/{list}?from={DAY}&to=2026-10-26");
        let (mut seen, mut cursor) = (Vec::new(), String::new());
        loop {
            let (status, page) = sue.get(&format!("{path}&limit=4{cursor}")).await;
            assert_eq!(status, 200, "{page}");
            let items = page["items"].as_array().unwrap();
            assert!(items.len() <= 4);
            seen.extend(items.iter().map(|item| item["interaction"].as_str().unwrap().to_owned()));
            let Some(next) = page["next"].as_str() else { break };
            cursor = format!("&cursor={next}");
        }
        assert_eq!(seen.len(), rows);
        let table = sue.request("GET", &format!("{path}&format=csv")).send().await.unwrap();
        assert!(table.headers()["content-type"].to_str().unwrap().starts_with("text/csv"));
        assert!(table.headers()["content-disposition"].to_str().unwrap().contains("attachment"));
        let table = table.text().await.unwrap();
        let lines: Vec<&str> = table.split_terminator("\r\n").collect();
        assert_eq!(lines.len(), rows + 1);
        for (line, interaction) in lines.iter().skip(1).zip(&seen) {
            assert!(line.starts_with(interaction.as_str()), "{line}");
        }
        assert!(lines[0].contains(ZONE), "{}", lines[0]);
        assert!(lines[1].contains("2026-10-25T12:00:00+01:00"), "{}", lines[1]);
        assert!(list == "sessions" || lines[1].contains(",+4670123,'=1+1,not-found,"), "{}", lines[1]);
    }
    let (_, filtered) = sue.get(&format!("/api/v2/reports/calls?from={DAY}&dn=1001&outcome=answered")).await;
    assert_eq!(filtered["items"].as_array().unwrap().len(), 25);
    let (_, peaks) =
        sue.get(&format!("/api/v2/reports/peaks?from={DAY}&to=2026-10-26&of=conversations")).await;
    // Five at each of five seconds, each for two seconds, ends before beginnings.
    assert_eq!(
        (&peaks["most"]["count"], &peaks["most"]["at"]),
        (&json!(10), &json!("2026-10-25T11:00:06+01:00"))
    );
    site.stop().await;
}

#[tokio::test]
async fn reports_are_for_supervisors_and_administrators_and_every_look_is_written_down() {
    let site = berlin().await;
    let (ann, sue) = (site.signed_in("ann").await, site.signed_in("sue").await);
    let adam = site.signed_in("adam").await;
    for list in ["calls", "sessions", "summary", "peaks"] {
        let path = format!("/api/v2/reports/{list}");
        assert_eq!(site.browser().get(&path).await.0, 401);
        assert_eq!(ann.get(&path).await.0, 403);
        assert_eq!(sue.get(&path).await.0, 200);
        assert_eq!(adam.get(&format!("{path}?format=csv")).await.0, 200);
        for wrong in
            ["from=never", "from=2026-10-26&to=2026-10-25", "from=2020-01-01&to=2026-01-01", "what=this"]
        {
            let (status, body) = sue.get(&format!("{path}?{wrong}")).await;
            assert_eq!((status, &body["error"]["code"]), (400, &json!("bad_request")), "{path} {wrong}");
        }
    }
    for wrong in ["cursor=x", "cursor=1.2.3", "outcome=great"] {
        assert_eq!(sue.get(&format!("/api/v2/reports/calls?{wrong}")).await.0, 400, "{wrong}");
    }
    let log = audit::before(&mut site.database.read().await.unwrap(), None, 100).await.unwrap();
    let looks: Vec<(&str, &str)> = log
        .iter()
        .rev()
        .filter(|entry| entry.action == "report.read")
        .map(|entry| (entry.actor.as_str(), entry.object.as_str()))
        .collect();
    let expected: Vec<(&str, &str)> = ["calls", "sessions", "summary", "peaks"]
        .iter()
        .flat_map(|list| [("sue", *list), ("adam", *list)])
        .collect();
    assert_eq!(looks, expected);
    site.stop().await;
}
