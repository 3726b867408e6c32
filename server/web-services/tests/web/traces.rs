//! The signalling of calls: told by SIP servers, kept as long as the site says, seen by administrators only.

use crate::{
    links::{Link, ended, established, offered},
    site::Site,
};
use hindsight_management::{SiteFile, apply, plan_file};
use hindsight_store::{audit, traces};
use hindsight_wire::{
    InteractionId, Timestamp,
    enrolment::DeviceKind,
    link::{Down, Up},
    trace::{CallTrace, PeerKind, TracePeer, TracedMessage},
};
use serde_json::json;

const BEGAN: i64 = 1_795_000_000_000_000;

fn message(number: u32, sent: bool, summary: &str) -> TracedMessage {
    TracedMessage {
        number,
        at_us: BEGAN + i64::from(number) * 1500,
        sent,
        peer: TracePeer { kind: PeerKind::Phone, name: "1001".into(), address: "192.0.2.7:5060".into() },
        local: "192.0.2.1:5060".into(),
        transport: "UDP".into(),
        summary: summary.into(),
        cseq: "1 INVITE".into(),
        repeats: (number == 2).then_some(1),
        cut: false,
        text: if number == 2 { String::new() } else { format!("{summary}\nVia: x") },
    }
}

fn trace(interaction: InteractionId) -> CallTrace {
    let messages =
        vec![message(1, true, "INVITE"), message(2, true, "INVITE"), message(4, false, "486 Busy Here")];
    CallTrace { interaction, since_us: BEGAN, seen: 4, probes: 6, overlooked: 0, messages }
}

async fn tell(sip: &mut Link, batch: u64, calls: Vec<CallTrace>) {
    sip.send(&Up::Trace { batch, calls }).await;
    let Down::TraceStored { batch: stored } = sip.next().await else { panic!("not stored") };
    assert_eq!(stored, batch);
}

async fn configure(site: &Site, text: &str) {
    let plan = plan_file(&site.database, SiteFile::parse(text).unwrap()).await.unwrap();
    apply(&site.database, &plan, "test", "test", Timestamp::now()).await.unwrap();
}

#[tokio::test]
async fn an_administrator_sees_the_signalling_of_a_call_and_nobody_else_does() {
    let mut site = Site::start().await;
    site.start_processor();
    let device = site.device(DeviceKind::SipServer).await;
    let mut sip = Link::hello(&site, &device, None).await;
    let Down::Welcome { traces: true, .. } = sip.first().await else { panic!("no traces are wanted") };
    let call = InteractionId::new();
    sip.events(1, &[offered(call), established(call), ended(call)]).await;
    tell(&mut sip, 1, vec![trace(call)]).await;
    // A batch whose answer was lost comes again.
    tell(&mut sip, 1, vec![trace(call)]).await;

    let adam = site.signed_in("adam").await;
    site.until(&adam, &call.to_string(), |call| call["state"] == "ended").await;
    let path = format!("/api/v2/interactions/{call}/trace");
    let (status, seen) = adam.get(&path).await;
    assert_eq!(
        (status, &seen["notKept"], &seen["probes"], &seen["overlooked"]),
        (200, &json!(1), &json!(6), &json!(0))
    );
    let messages = seen["messages"].as_array().unwrap();
    assert_eq!(messages.len(), 3, "{seen:#}");
    let mut second = message(2, true, "INVITE");
    second.text = message(1, true, "INVITE").text;
    assert_eq!(
        messages[1],
        json!({
            "number": 2, "at": Timestamp(second.at_us).to_string(), "offsetUs": 1500, "sent": true,
            "peer": {"kind": "phone", "name": "1001", "address": "192.0.2.7:5060"}, "local": "192.0.2.1:5060",
            "transport": "UDP", "summary": "INVITE", "cseq": "1 INVITE", "repeats": 1, "cut": false, "text": second.text,
        })
    );
    assert_eq!((&messages[2]["status"], &messages[2]["number"]), (&json!(486), &json!(3)));

    let file = adam.request("GET", &format!("{path}.txt")).send().await.unwrap();
    assert!(file.headers()["content-disposition"].to_str().unwrap().contains("attachment"));
    assert_eq!(file.headers()["content-type"], "text/plain; charset=utf-8");
    let file = file.text().await.unwrap();
    assert!(file.contains("sent to phone 192.0.2.7:5060 UDP (again: #1)\nINVITE\nVia: x\n"), "{file}");
    assert!(
        file.ends_with("not kept: 1; OPTIONS that only probe: 6; overlooked, of this or other calls: 0\n"),
        "{file}"
    );

    for login in ["ann", "bob", "sue"] {
        for path in [path.clone(), format!("{path}.txt")] {
            assert_eq!(site.signed_in(login).await.get(&path).await.0, 403, "{login}");
        }
    }
    assert_eq!(site.browser().get(&path).await.0, 401);
    assert_eq!(adam.get(&format!("/api/v2/interactions/{}/trace", InteractionId::new())).await.0, 404);
    let mut db = site.database.read().await.unwrap();
    let looks = audit::of_object(&mut db, &call.to_string()).await.unwrap();
    let looks = looks.into_iter().filter(|entry| entry.action == "interaction.trace");
    let looks: Vec<_> = looks.map(|entry| (entry.actor, entry.object)).collect();
    assert_eq!(looks, vec![("adam".to_owned(), call.to_string()); 2]);
    drop(db);
    site.stop().await;
}

#[tokio::test]
async fn a_call_without_a_trace_has_an_empty_one() {
    let mut site = Site::start().await;
    site.start_processor();
    let device = site.device(DeviceKind::SipServer).await;
    let mut sip = Link::component(&site, &device).await;
    let call = InteractionId::new();
    sip.events(1, &[offered(call)]).await;
    let adam = site.signed_in("adam").await;
    site.until(&adam, &call.to_string(), |_| true).await;
    let (status, seen) = adam.get(&format!("/api/v2/interactions/{call}/trace")).await;
    assert_eq!((status, seen), (200, json!({"messages": [], "notKept": 0, "probes": 0, "overlooked": 0})));
    site.stop().await;
}

#[tokio::test]
async fn where_the_site_keeps_none_nothing_is_stored_and_a_sip_server_is_told_at_once() {
    let site = Site::start().await;
    let device = site.device(DeviceKind::SipServer).await;
    let mut sip = Link::component(&site, &device).await;
    configure(&site, "[trace]\nkeep_days = 0\n").await;
    loop {
        if let Down::Welcome { traces, .. } = sip.first().await {
            assert!(!traces);
            break;
        }
    }
    let call = InteractionId::new();
    tell(&mut sip, 1, vec![trace(call)]).await;
    let mut db = site.database.read().await.unwrap();
    assert_eq!(traces::of_interaction(&mut db, call).await.unwrap(), None);
    drop(db);
    site.stop().await;
}

#[tokio::test]
async fn a_batch_that_no_sip_server_makes_is_dropped_and_the_link_goes_on() {
    let site = Site::start().await;
    let (device, media) =
        (site.device(DeviceKind::SipServer).await, site.device(DeviceKind::MediaServer).await);
    let mut sip = Link::component(&site, &device).await;
    let (call, good) = (InteractionId::new(), InteractionId::new());
    let mut long = trace(call);
    long.messages[0].text = "x".repeat(9000);
    let mut many = trace(call);
    many.messages = (1..=501).map(|number| message(number, true, "INFO")).collect();
    for (batch, wrong) in [(1, long), (2, many)] {
        tell(&mut sip, batch, vec![wrong]).await;
    }
    tell(&mut sip, 3, vec![trace(good)]).await;
    let mut db = site.database.read().await.unwrap();
    assert_eq!(traces::of_interaction(&mut db, call).await.unwrap(), None);
    assert!(traces::of_interaction(&mut db, good).await.unwrap().is_some());
    drop(db);
    let mut media = Link::hello(&site, &media, None).await;
    let Down::Welcome { traces: false, .. } = media.first().await else { panic!("traces of a media server") };
    media.send(&Up::Trace { batch: 1, calls: Vec::new() }).await;
    assert!(matches!(media.next().await, Down::Refused { retry: false, .. }));
    site.stop().await;
}
