//! What the events of one interaction say to a report: pure, in whatever order and however often they came.

use hindsight_model::event::{CallParty, EndCause, Event, What};
use hindsight_store::reports::{Call, CallDn, Outcome, Session};
use hindsight_wire::{InteractionId, Timestamp};
use std::collections::{BTreeMap, BTreeSet};

/// The rows of an interaction.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rows {
    /// The call, once it is known that it is one.
    pub call: Option<Call>,
    /// Its sessions at resource managers.
    pub sessions: Vec<Session>,
}

/// Numbers that may be DNs of this site: whether they are is for the configuration to say.
pub fn numbers(events: &[Event]) -> BTreeSet<&str> {
    let mut numbers = BTreeSet::new();
    for event in events {
        if let What::CallOffered { caller, dialled, .. } = &event.what {
            numbers.extend([caller.as_str(), dialled.as_str()]);
        }
    }
    numbers
}

/// The rows of an interaction with these events. `dns`: those of [`numbers`] that are DNs of this site.
pub fn project(interaction: InteractionId, events: &[Event], dns: &BTreeSet<String>) -> Rows {
    let mut sorted: Vec<&Event> = events.iter().collect();
    sorted.sort_by_key(|event| event.at);
    let sessions = sessions(interaction, &sorted);
    let mut call = call(interaction, &sorted, dns);
    if let Some(call) = &mut call {
        let tenant = sessions.iter().map(|session| &session.tenant).find(|tenant| !tenant.is_empty());
        call.tenant = tenant.cloned().unwrap_or_default();
    }
    Rows { call, sessions }
}

/// One for each session, however often its end was told.
fn sessions(interaction: InteractionId, events: &[&Event]) -> Vec<Session> {
    let mut sessions = BTreeMap::new();
    for event in events {
        let What::SessionEnded(record) = &event.what else { continue };
        let session = Session {
            interaction,
            call_id: record.call_id.clone(),
            started_at: record.started_at,
            answered_at: record.answered_at,
            ended_at: record.ended_at,
            status: record.status,
            media_server: record.media_server.clone().unwrap_or_default(),
            tenant: record.tenant.clone(),
        };
        sessions.entry((record.started_at, record.call_id.clone())).or_insert(session);
    }
    sessions.into_values().collect()
}

fn call(interaction: InteractionId, events: &[&Event], dns: &BTreeSet<String>) -> Option<Call> {
    let (started_at, caller, dialled) = events.iter().find_map(|event| match &event.what {
        What::CallOffered { caller, dialled, .. } => Some((event.at, caller.clone(), dialled.clone())),
        _ => None,
    })?;
    let first =
        |wanted: fn(&What) -> bool| events.iter().find(|event| wanted(&event.what)).map(|event| event.at);
    let answered_at = first(|what| matches!(what, What::CallEstablished { .. }));
    let end = events.iter().find_map(|event| match &event.what {
        What::CallEnded { cause, by } => Some((event.at, *cause, by.clone())),
        _ => None,
    });
    let outcome = outcome(answered_at, end.as_ref().map(|(_, cause, _)| *cause));
    let ended_at = end.as_ref().map(|(at, ..)| *at);
    let dns = of_dns(events, (&caller, &dialled), dns, outcome, ended_at);
    Some(Call {
        interaction,
        started_at,
        ringing_at: first(|what| matches!(what, What::CallRinging { .. })),
        answered_at,
        ended_at,
        caller,
        dialled,
        outcome,
        cause: end.as_ref().map(|(_, cause, _)| name(*cause)),
        ended_by: end.and_then(|(.., by)| by),
        tenant: String::new(),
        dns,
    })
}

fn outcome(answered_at: Option<Timestamp>, end: Option<EndCause>) -> Outcome {
    match (answered_at, end) {
        (Some(_), _) => Outcome::Answered,
        (None, None) => Outcome::Ringing,
        (None, Some(EndCause::Busy)) => Outcome::Busy,
        (None, Some(EndCause::NoAnswer)) => Outcome::NoAnswer,
        (None, Some(EndCause::Cancelled)) => Outcome::Cancelled,
        (None, Some(EndCause::Refused)) => Outcome::Refused,
        (None, Some(EndCause::NotFound)) => Outcome::NotFound,
        // Lost servers, no media server, a protocol error, and what later versions may end a call with.
        (None, Some(_)) => Outcome::Failed,
    }
}

/// The cause as the event log names it.
fn name(cause: EndCause) -> String {
    let json = serde_json::to_value(cause).unwrap_or_default();
    json.as_str().unwrap_or_default().to_owned()
}

/// Every DN that called, was called, rang or spoke, and how long it spoke.
fn of_dns(
    events: &[&Event],
    (caller, dialled): (&str, &str),
    known: &BTreeSet<String>,
    outcome: Outcome,
    ended_at: Option<Timestamp>,
) -> Vec<CallDn> {
    let mut talked: BTreeMap<&str, Option<u64>> = BTreeMap::new();
    for number in [caller, dialled].into_iter().filter(|number| known.contains(*number)) {
        talked.insert(number, None);
    }
    let mut speaking: Option<(Timestamp, &[CallParty])> = None;
    for event in events {
        match &event.what {
            What::CallRinging { dn, .. } => {
                talked.entry(dn).or_default();
            }
            What::CallEstablished { parties } => {
                talk(&mut talked, speaking.replace((event.at, parties)), Some(event.at));
            }
            _ => {}
        }
    }
    talk(&mut talked, speaking, ended_at);
    let row = |(dn, talked): (&str, Option<u64>)| CallDn {
        dn: dn.to_owned(),
        incoming: dn != caller,
        // Another one took it.
        outcome: match (talked, outcome) {
            (None, Outcome::Answered) => Outcome::NoAnswer,
            _ => outcome,
        },
        talk_ms: talked.unwrap_or(0),
    };
    talked.into_iter().map(row).collect()
}

/// Those who spoke from then on did so until `to` (`None`: they still do).
fn talk<'a>(
    talked: &mut BTreeMap<&'a str, Option<u64>>,
    speaking: Option<(Timestamp, &'a [CallParty])>,
    to: Option<Timestamp>,
) {
    let Some((from, parties)) = speaking else { return };
    let ms = to.map_or(0, |to| u64::try_from(to.ms_since(from)).unwrap_or(0));
    for party in parties.iter().filter(|party| party.is_dn) {
        *talked.entry(&party.number).or_default().get_or_insert(0) += ms;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hindsight_model::event::SessionRecord;
    use hindsight_wire::manifest::Party;

    fn event(interaction: InteractionId, seconds: i64, what: What) -> Event {
        Event { interaction, at: Timestamp(seconds * 1_000_000), what }
    }

    fn offered() -> What {
        let (caller, dialled) = ("2001".to_owned(), "1001".to_owned());
        What::CallOffered { caller, dialled, record_voice: Vec::new(), record_screen: Vec::new() }
    }

    fn established(numbers: [&str; 2]) -> What {
        let party = |number: &&str| CallParty {
            number: (*number).to_owned(),
            role: if *number == "2001" { Party::Customer } else { Party::Agent },
            is_dn: true,
        };
        What::CallEstablished { parties: numbers.iter().map(party).collect() }
    }

    fn session(call_id: &str, tenant: &str, status: u16) -> What {
        What::SessionEnded(SessionRecord {
            call_id: call_id.to_owned(),
            media_server: Some("127.0.0.1:5080".to_owned()),
            tenant: tenant.to_owned(),
            started_at: Timestamp(1),
            answered_at: (status == 200).then_some(Timestamp(2)),
            ended_at: Timestamp(9),
            status,
        })
    }

    fn dns() -> BTreeSet<String> {
        ["1001", "2001"].map(str::to_owned).into()
    }

    #[test]
    fn whatever_the_order_and_however_often_the_rows_are_the_same() {
        let id = InteractionId::new();
        let mut events = vec![
            event(id, 1, offered()),
            event(id, 2, What::CallRinging { dn: "1001".into(), answerable: false }),
            event(id, 5, established(["2001", "1001"])),
            event(id, 15, established(["2001", "1002"])),
            event(id, 35, What::CallEnded { cause: EndCause::HungUp, by: Some("2001".into()) }),
            event(id, 36, session("a", "north", 200)),
            event(id, 37, session("b", "north", 200)),
        ];
        let expected = project(id, &events, &dns());
        let call = expected.call.as_ref().unwrap();
        assert_eq!((call.outcome, call.tenant.as_str()), (Outcome::Answered, "north"));
        assert_eq!((call.cause.as_deref(), call.ended_by.as_deref()), (Some("hung-up"), Some("2001")));
        let talked: Vec<(&str, bool, u64)> =
            call.dns.iter().map(|dn| (dn.dn.as_str(), dn.incoming, dn.talk_ms)).collect();
        assert_eq!(talked, [("1001", true, 10_000), ("1002", true, 20_000), ("2001", false, 30_000)]);
        assert_eq!(expected.sessions.len(), 2);
        events.extend(events.clone());
        for turn in 0..events.len() {
            events.rotate_left(turn);
            assert_eq!(project(id, &events, &dns()), expected);
        }
    }

    #[test]
    fn every_end_has_its_outcome() {
        let id = InteractionId::new();
        for (cause, outcome) in [
            (EndCause::Busy, Outcome::Busy),
            (EndCause::Refused, Outcome::Refused),
            (EndCause::NoAnswer, Outcome::NoAnswer),
            (EndCause::Cancelled, Outcome::Cancelled),
            (EndCause::NotFound, Outcome::NotFound),
            (EndCause::NoMediaServer, Outcome::Failed),
            (EndCause::SipServerLost, Outcome::Failed),
        ] {
            let events = [event(id, 1, offered()), event(id, 2, What::CallEnded { cause, by: None })];
            let call = project(id, &events, &dns()).call.unwrap();
            assert_eq!(call.outcome, outcome);
            assert!(call.dns.iter().all(|dn| dn.outcome == outcome && dn.talk_ms == 0));
        }
        let going_on = [event(id, 1, offered())];
        assert_eq!(project(id, &going_on, &dns()).call.unwrap().outcome, Outcome::Ringing);
    }

    #[test]
    fn a_phone_that_rang_while_another_one_answered_has_not_answered() {
        let id = InteractionId::new();
        let rings = |dn: &str| What::CallRinging { dn: dn.into(), answerable: false };
        let events = [
            event(id, 1, offered()),
            event(id, 2, rings("1001")),
            event(id, 2, rings("1002")),
            event(id, 3, established(["2001", "1002"])),
        ];
        let call = project(id, &events, &dns()).call.unwrap();
        let outcomes: Vec<Outcome> = call.dns.iter().map(|dn| dn.outcome).collect();
        assert_eq!(outcomes, [Outcome::NoAnswer, Outcome::Answered, Outcome::Answered]);
    }

    #[test]
    fn a_session_without_its_call_is_a_row_and_no_call() {
        let id = InteractionId::new();
        let rows = project(id, &[event(id, 1, session("a", "", 503))], &dns());
        assert!(rows.call.is_none());
        assert_eq!(rows.sessions[0].status, 503);
    }
}
