use super::*;
use bytes::Bytes;
use hindsight_sip::{Destination, Protocol};

const PHONE: &str = "192.0.2.7:5060";

struct Wire {
    collector: Collector,
    start: Instant,
    /// Seconds.
    now: u64,
    clock: u64,
}

impl Wire {
    fn new() -> Self {
        Self { collector: Collector::default(), start: Instant::now(), now: 0, clock: 0 }
    }

    fn see(&mut self, sent: bool, text: &str) {
        self.clock += 1;
        let observed = Observed {
            at: SystemTime::UNIX_EPOCH + Duration::from_micros(1_000_000 + self.clock),
            sent,
            protocol: Protocol::Udp,
            local: ([127, 0, 0, 1], 5060).into(),
            remote: Destination::udp(PHONE.parse().unwrap()).addr,
            bytes: Bytes::from(text.to_owned()),
        };
        self.collector.observe(&observed, self.start + Duration::from_secs(self.now));
    }

    /// What is told until there is nothing more to tell, and in how many batches.
    fn told(&mut self) -> (Vec<CallTrace>, u64) {
        let (mut all, mut batches) = (Vec::new(), 0);
        while let Some(batch) = self.collector.batch().cloned() {
            batches += 1;
            self.collector.stored(batch.number);
            all.extend(batch.calls);
        }
        (all, batches)
    }
}

fn request(method: &str, call: &str, cseq: u32, session: Option<InteractionId>) -> String {
    let session =
        session.map_or(String::new(), |id| format!("Session-ID: {};remote=0\r\n", id.to_session_id()));
    format!(
        "{method} sip:1001@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.7;branch=z9hG4bKa\r\nFrom: <sip:2001@a.test>;tag=f\r\n\
         To: <sip:1001@a.test>\r\nCall-ID: {call}\r\nCSeq: {cseq} {method}\r\nMax-Forwards: 70\r\n{session}Content-Length: 0\r\n\r\n"
    )
}

fn response(status: &str, method: &str, call: &str, cseq: u32, session: Option<InteractionId>) -> String {
    let request = request(method, call, cseq, session);
    format!("SIP/2.0 {status}\r\n{}", request.split_once("\r\n").unwrap().1)
}

fn summaries(traces: &[CallTrace]) -> Vec<&str> {
    traces.iter().flat_map(|trace| &trace.messages).map(|message| message.summary.as_str()).collect()
}

#[test]
fn what_came_before_the_call_was_known_is_of_it_too_and_other_things_are_not() {
    let (mut wire, id) = (Wire::new(), InteractionId::new());
    wire.see(false, &request("REGISTER", "r", 1, None));
    wire.see(false, &request("OPTIONS", "o", 1, None));
    wire.see(false, &request("INVITE", "other", 1, None));
    wire.see(false, &request("INVITE", "c", 1, None));
    wire.see(true, &response("401 Unauthorized", "INVITE", "c", 1, None));
    wire.see(false, &request("ACK", "c", 1, None));
    wire.see(false, &request("INVITE", "c", 2, None));
    // A phone's own word for its call counts for nothing.
    wire.see(false, &request("INVITE", "forged", 2, Some(id)));
    assert!(wire.collector.batch().is_none());
    wire.see(true, &response("180 Ringing", "INVITE", "c", 2, Some(id)));
    wire.see(true, &response("486 Busy Here", "INVITE", "c", 2, Some(id)));
    let (told, batches) = wire.told();
    assert_eq!(batches, 1);
    assert_eq!(
        summaries(&told),
        ["INVITE", "401 Unauthorized", "ACK", "INVITE", "180 Ringing", "486 Busy Here"]
    );
    let [trace] = told.as_slice() else { panic!("{told:?}") };
    assert_eq!((trace.interaction, trace.seen, trace.since_us), (id, 6, 1_000_004));
    let first = &trace.messages[0];
    assert_eq!((first.number, first.at_us, first.sent), (1, 1_000_004, false));
    assert_eq!(first.peer, TracePeer { kind: PeerKind::Phone, name: "2001".into(), address: PHONE.into() });
    assert_eq!(
        (first.transport.as_str(), first.cseq.as_str(), first.local.as_str()),
        ("UDP", "1 INVITE", "127.0.0.1:5060")
    );
    assert_eq!(trace.messages[1].peer.name, "2001");
}

#[test]
fn the_far_end_of_a_media_leg_is_the_media_server_and_of_our_own_invite_the_phone_called() {
    let (mut wire, id) = (Wire::new(), InteractionId::new());
    wire.see(true, &request("INVITE", "callee", 1, Some(id)));
    let media = request("INVITE", "media", 1, Some(id)).replace("sip:1001@a.test", "sip:msml=x@192.0.2.9");
    wire.see(true, &media);
    let (told, _) = wire.told();
    let peers: Vec<_> = told[0].messages.iter().map(|m| (m.peer.kind, m.peer.name.as_str())).collect();
    assert_eq!(peers, [(PeerKind::Phone, "1001"), (PeerKind::MediaServer, "")]);
}

#[test]
fn what_is_sent_again_is_marked_and_not_kept_twice() {
    let (mut wire, id) = (Wire::new(), InteractionId::new());
    let invite = request("INVITE", "c", 1, Some(id));
    wire.see(true, &invite);
    wire.see(true, &invite);
    wire.see(false, &invite);
    let (told, _) = wire.told();
    let repeats: Vec<_> = told[0].messages.iter().map(|m| (m.repeats, m.text.is_empty())).collect();
    assert_eq!(repeats, [(None, false), (Some(1), true), (None, false)]);
}

#[test]
fn probes_are_counted_only_and_tell_nothing_by_themselves() {
    let (mut wire, id) = (Wire::new(), InteractionId::new());
    wire.see(true, &request("INVITE", "c", 1, Some(id)));
    wire.told();
    for cseq in 2..100 {
        wire.see(true, &request("OPTIONS", "c", cseq, Some(id)));
        wire.see(false, &response("200 OK", "OPTIONS", "c", cseq, None));
    }
    assert!(wire.collector.batch().is_none());
    wire.see(true, &request("BYE", "c", 100, Some(id)));
    let (told, _) = wire.told();
    assert_eq!((told[0].probes, told[0].seen, summaries(&told)), (196, 2, vec!["BYE"]));
}

#[test]
fn of_too_many_messages_the_first_are_kept_and_the_end_and_the_rest_is_counted() {
    let (mut wire, id) = (Wire::new(), InteractionId::new());
    for cseq in 1..=700 {
        wire.see(true, &request("INFO", "c", cseq, Some(id)));
    }
    wire.see(true, &request("BYE", "c", 701, Some(id)));
    wire.see(false, &response("200 OK", "BYE", "c", 701, None));
    let (told, batches) = wire.told();
    let kept = summaries(&told);
    assert_eq!((kept.len(), &kept[kept.len() - 2..]), (482, &["BYE", "200 OK"][..]));
    assert_eq!(told.last().unwrap().seen, 702);
    assert!(batches > 1, "one batch is bounded");
}

#[test]
fn a_batch_is_the_same_until_it_is_stored() {
    let (mut wire, id) = (Wire::new(), InteractionId::new());
    wire.see(true, &request("INVITE", "c", 1, Some(id)));
    let first = wire.collector.batch().cloned().unwrap();
    wire.see(true, &request("BYE", "c", 2, Some(id)));
    assert_eq!(wire.collector.batch(), Some(&first));
    wire.collector.stored(first.number + 7);
    assert_eq!(wire.collector.batch(), Some(&first));
    wire.collector.stored(first.number);
    let second = wire.collector.batch().cloned().unwrap();
    assert_eq!((second.number, summaries(&second.calls)), (first.number + 1, vec!["BYE"]));
}

#[test]
fn a_call_of_which_nothing_is_heard_is_forgotten_and_one_that_is_probed_is_not() {
    let (mut wire, id) = (Wire::new(), InteractionId::new());
    wire.see(true, &request("INVITE", "c", 1, Some(id)));
    wire.told();
    wire.now = FORGET.as_secs() - 1;
    wire.see(false, &response("200 OK", "OPTIONS", "c", 2, None));
    wire.now += FORGET.as_secs() - 1;
    wire.see(false, &request("BYE", "c", 3, None));
    assert_eq!(summaries(&wire.told().0), ["BYE"]);
    wire.now += FORGET.as_secs() + 1;
    wire.see(false, &request("BYE", "c", 3, None));
    assert!(wire.told().0.is_empty() && wire.collector.dialogs.is_empty() && wire.collector.calls.is_empty());
}

#[test]
fn what_was_overlooked_is_told_of_calls_that_were_heard_of_lately() {
    let (mut wire, old, new) = (Wire::new(), InteractionId::new(), InteractionId::new());
    wire.see(true, &request("INVITE", "a", 1, Some(old)));
    wire.now = 60;
    wire.see(true, &request("INVITE", "b", 1, Some(new)));
    wire.told();
    wire.collector.overlooked(3, wire.start + Duration::from_secs(61));
    wire.collector.overlooked(3, wire.start + Duration::from_secs(62));
    let (told, _) = wire.told();
    assert_eq!(
        told.iter().map(|trace| (trace.interaction, trace.overlooked)).collect::<Vec<_>>(),
        [(new, 3)]
    );
}

#[test]
fn a_flood_of_calls_that_nobody_knows_is_bounded_and_passes() {
    let mut wire = Wire::new();
    for second in 0..2 {
        wire.now = second;
        for call in 0..2 * u64::from(MOST_UNKNOWN) {
            wire.see(false, &request("INVITE", &format!("c{second}-{call}"), 1, None));
        }
    }
    assert_eq!(
        (wire.collector.held.len(), wire.collector.passed_over),
        (MOST_HELD, 2 * u64::from(MOST_UNKNOWN))
    );
    wire.now = HELD.as_secs() + 2;
    wire.see(false, "not SIP");
    assert!(wire.collector.held.is_empty() && wire.collector.batch().is_none());
}

#[test]
fn without_anybody_to_take_it_what_waits_is_bounded_and_the_rest_counted() {
    let mut wire = Wire::new();
    let long = format!("Subject: {}\r\nContent-Length", "x".repeat(8000));
    let mut sent = 0;
    for call in 0..3000 {
        let text = request("INVITE", &format!("c{call}"), 1, Some(InteractionId::new()));
        wire.see(true, &text.replace("Content-Length", &long));
        sent += 1;
    }
    assert!(wire.collector.waiting <= MOST_WAITING + LONGEST_CALL_ID + 9000, "{}", wire.collector.waiting);
    let (told, _) = wire.told();
    let kept: usize = told.iter().map(|trace| trace.messages.len()).sum();
    assert!(kept < sent && told.iter().map(|trace| trace.seen as usize).sum::<usize>() == sent, "{kept}");
    assert_eq!(wire.collector.waiting, 0);
}
