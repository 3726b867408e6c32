//! Transfers: who is asked, who is told what, who is recorded, and that whatever fails leaves the call as it was.

use super::*;

pub(super) const PHONE_C: &str = "v=0\r\no=c 1 1 IN IP4 192.0.2.30\r\ns=-\r\nc=IN IP4 192.0.2.30\r\nt=0 0\r\n\
    m=audio 7000 RTP/AVP 0 8\r\na=sendrecv\r\n";
const C: Leg = Leg::Callee(1);

pub(super) fn somebody(number: &str, record_voice: bool) -> Participant {
    Participant { number: number.to_owned(), is_dn: true, record_voice, record_screen: false }
}

impl Bench {
    /// The phone at this leg asks for 1003, at one contact.
    fn refer(&mut self, leg: Leg, recorded: bool) -> Vec<String> {
        let to = Target::Called { who: somebody("1003", recorded), forks: 1..2 };
        self.feed(Input::Transfer { asked: Asked::Refer { leg, notify: true }, to })
    }

    fn whose(&self) -> (String, String, bool) {
        let Whose { agent, customer, swapped } = last_order(self).whose.unwrap();
        (agent, customer, swapped)
    }

    /// 1003's phone and the media server answer, and the party that stays is asked.
    fn joined(&mut self, stays: Leg) {
        self.media_answers(Side::Caller);
        self.media_answers(Side::Callee);
        self.phone_answers(stays);
        self.media_answers(Side::Caller);
        self.media_answers(Side::Callee);
        assert!(self.call.change().is_none(), "joined");
    }
}

#[test]
fn the_agent_hands_the_customer_over_and_another_recording_begins() {
    let mut bench = Bench::established([false, true]);
    let first = last_order(&bench).capture;
    assert_eq!(bench.refer(Leg::Callee(0), true), ["notify B0 100", "invite B1"]);
    let offer = text(&bench.last_offer(C)).to_owned();
    assert!(
        offer.contains("m=audio 20002 RTP/AVP 0") && offer.contains(" 8"),
        "the leaver's address: {offer}"
    );
    assert_eq!(bench.feed(Input::Ringing { leg: C, talk: false }), ["notify B0 180", "call-ringing"]);
    assert_eq!(bench.answer(C, PHONE_C), ["ack B1", "order MB Stop"], "the recording ends first");
    assert_eq!(
        bench.ordered(Ok(())),
        [
            "recording-cut",
            "notify B0 200",
            "transferred 1002 to 1003",
            "call-established",
            "reinvite MA",
            "reinvite MB",
            "reinvite A",
            "order MB Start",
        ]
    );
    assert!(text(&bench.last_offer(Leg::Media(Side::Callee))).contains("192.0.2.30"));
    let order = last_order(&bench);
    assert_ne!(order.capture, first, "a recording of its own");
    assert!(!order.whole && order.part == 1 && order.by == recorder::FULL_TIME);
    assert_eq!(bench.whose(), ("1003".into(), "1001".into(), false));
    assert_eq!(bench.ordered(Ok(())), ["recording-started"]);
    bench.joined(Leg::Caller);
    // Who left hangs up by itself, or is ended.
    assert_eq!(bench.feed(Input::Gone { leg: Leg::Callee(0), bye: true }), [""; 0]);
    let ended = bench.feed(Input::Gone { leg: Leg::Caller, bye: true });
    assert_eq!(ended, ["end B1", "end MA", "end MB", "ended HungUp 1001"]);
}

#[test]
fn who_left_and_does_not_hang_up_is_ended() {
    let mut bench = Bench::established([false; 2]);
    bench.refer(Leg::Caller, false);
    bench.answer(C, PHONE_C);
    bench.joined(Leg::Callee(0));
    assert_eq!(bench.pass(Duration::from_millis(1999)), [""; 0]);
    let late: Vec<String> =
        bench.pass(Duration::from_millis(1)).into_iter().filter(|n| !n.starts_with("probe")).collect();
    assert_eq!(late, ["end A"]);
    assert!(!bench.call.is_over());
    assert_eq!(bench.call.parties()[0].number, "1003");
    let ended = bench.feed(Input::Gone { leg: C, bye: true });
    assert_eq!(ended, ["end B0", "end MA", "end MB", "ended HungUp 1003"]);
}

#[test]
fn what_fails_leaves_the_call_as_it_was_and_is_told() {
    for (status, told) in [(486, 486), (603, 603), (480, 480), (404, 404), (408, 408)] {
        let mut bench = Bench::established([false, true]);
        bench.refer(Leg::Callee(0), true);
        let refused = bench.feed(Input::Refused { leg: C, status });
        assert_eq!(refused, [format!("notify B0 {told}"), format!("not transferred 1002 to 1003 {told}")]);
        assert_eq!(bench.call.parties()[1].number, "1002");
        // Hold still works, and so does another transfer.
        assert_eq!(bench.desktop(1, "1002", CallAction::Hold), ["reinvite A"]);
    }
    // Nobody is there at all.
    let mut bench = Bench::established([false; 2]);
    let to = Target::Nobody { number: "4711".into(), status: 404 };
    let asked = Asked::Refer { leg: Leg::Caller, notify: true };
    assert_eq!(
        bench.feed(Input::Transfer { asked, to }),
        ["notify A 100", "notify A 404", "not transferred 1001 to 4711 404"]
    );
    // Rings for ever.
    let mut bench = Bench::established([false; 2]);
    bench.refer(Leg::Caller, false);
    let mut seen = Vec::new();
    for _ in 0..61 {
        seen.extend(bench.pass(Duration::from_secs(1)));
        for side in Side::BOTH {
            bench.feed(Input::Probed { leg: Leg::Media(side), status: 200 });
        }
    }
    seen.retain(|name| !name.starts_with("probe"));
    assert_eq!(seen, ["notify A 480", "end B1", "not transferred 1001 to 1003 480"]);
    // It answers all the same.
    assert_eq!(bench.answer(C, PHONE_C), ["ack B1", "end B1"]);
}

#[test]
fn a_refer_that_wants_to_hear_nothing_hears_nothing() {
    let mut bench = Bench::established([false; 2]);
    let to = Target::Called { who: somebody("1003", false), forks: 1..2 };
    let asked = Asked::Refer { leg: Leg::Caller, notify: false };
    assert_eq!(bench.feed(Input::Transfer { asked, to }), ["invite B1"]);
    let names = bench.answer(C, PHONE_C);
    assert_eq!(names[..2], ["ack B1", "end A"], "nothing tells it that it may hang up");
}

#[test]
fn who_stays_is_recorded_on_in_another_part_and_who_left_is_not_heard_in_it() {
    // Both are recorded; the called one was the agent and stays.
    let mut bench = Bench::established([true, true]);
    let first = last_order(&bench).capture;
    bench.refer(Leg::Caller, false);
    assert_eq!(bench.answer(C, PHONE_C), ["ack B1", "order MA Stop"]);
    let names = bench.ordered(Ok(()));
    assert!(!names.contains(&"recording-cut".to_owned()), "{names:?}");
    let order = last_order(&bench);
    assert_eq!((order.action, order.capture, order.part), (RecordingAction::Start, first, 2));
    assert!(!order.whole);
    assert_eq!(bench.whose(), ("1002".into(), "1003".into(), false));
    assert_eq!(bench.ordered(Ok(())), ["recording-started"]);
}

#[test]
fn a_recording_of_who_left_ends_and_nobody_is_recorded_whom_policy_does_not_record() {
    let mut bench = Bench::established([false, true]);
    bench.refer(Leg::Callee(0), false);
    bench.answer(C, PHONE_C);
    let names = bench.ordered(Ok(()));
    assert_eq!(names[0], "recording-cut");
    assert!(names.iter().all(|name| !name.starts_with("order")), "{names:?}");
    // Its supervisor starts one by hand: of who speaks now.
    bench.joined(Leg::Caller);
    assert_eq!(bench.control(3, RecordingAction::Start), ["order MB Start"]);
    assert_eq!(bench.whose(), ("1003".into(), "1001".into(), false));
}

#[test]
fn the_recorded_one_becomes_the_agent_wherever_it_joins() {
    // The caller, a customer so far, hands over to an agent who is recorded.
    let mut bench = Bench::established([false; 2]);
    bench.refer(Leg::Caller, true);
    let names = bench.answer(C, PHONE_C);
    assert_eq!(names.last().unwrap(), "order MA Start");
    assert_eq!(bench.whose(), ("1003".into(), "1002".into(), true), "the legs keep their places");
    assert_eq!(bench.call.role(Side::Caller), Party::Agent);
    bench.ordered(Ok(()));
    bench.joined(Leg::Callee(0));
    // Another media server: its legs are opened as they are now.
    bench.feed(Input::Probed { leg: Leg::Media(Side::Callee), status: 408 });
    bench.media_answers(Side::Callee);
    bench.media_answers(Side::Caller);
    assert_eq!(bench.whose(), ("1003".into(), "1002".into(), false));
}

#[test]
fn a_paused_recording_that_goes_on_is_paused_on() {
    let mut bench = Bench::established([true, true]);
    bench.control(1, RecordingAction::Pause);
    bench.ordered(Ok(()));
    bench.refer(Leg::Caller, false);
    bench.answer(C, PHONE_C);
    bench.ordered(Ok(()));
    let order = last_order(&bench);
    assert_eq!((order.action, order.part, order.paused), (RecordingAction::Start, 2, true));
    assert_eq!(bench.ordered(Ok(())), ["recording-paused"]);
}

#[test]
fn who_hangs_up_before_the_other_answers_leaves_the_customer_waiting() {
    let mut bench = Bench::established([false, true]);
    bench.refer(Leg::Callee(0), true);
    assert_eq!(bench.feed(Input::Gone { leg: Leg::Callee(0), bye: true }), [""; 0]);
    // The customer holds meanwhile: nobody has to be asked.
    let hold = PHONE_A.replace("sendrecv", "sendonly").into_bytes();
    assert_eq!(bench.feed(Input::Offered { leg: Leg::Caller, body: Some(hold) }), ["reinvite MA"]);
    assert_eq!(bench.media_answers(Side::Caller), ["ack MA", "accept A", "held 1001 at the phone"]);
    assert_eq!(bench.answer(C, PHONE_C), ["ack B1", "order MB Stop"]);
    let names = bench.ordered(Ok(()));
    assert_eq!(names[1], "transferred 1002 to 1003");
    // Nobody takes the call: it is over.
    let mut bench = Bench::established([false, true]);
    bench.refer(Leg::Callee(0), true);
    bench.feed(Input::Gone { leg: Leg::Callee(0), bye: true });
    let names = bench.feed(Input::Refused { leg: C, status: 486 });
    assert_eq!(names, ["not transferred 1002 to 1003 486", "end A", "end MA", "end MB", "ended Busy -"]);
}

#[test]
fn who_stays_may_hang_up_at_any_moment() {
    // While the other rings, after its answer, after the cut, after it joined.
    for step in 0..4 {
        let mut bench = Bench::established([false, true]);
        bench.refer(Leg::Callee(0), true);
        if step > 0 {
            bench.answer(C, PHONE_C);
        }
        if step > 1 {
            bench.ordered(Ok(()));
        }
        if step > 2 {
            bench.ordered(Ok(()));
            bench.joined(Leg::Caller);
        }
        let names = bench.feed(Input::Gone { leg: Leg::Caller, bye: true });
        let ends: Vec<&str> =
            names.iter().map(String::as_str).filter(|name| name.starts_with("end ")).collect();
        assert_eq!(ends, ["end B0", "end B1", "end MA", "end MB"], "{step}: {names:?}");
        assert_eq!(names.last().unwrap(), "ended HungUp 1001");
        assert_eq!(names.contains(&"notify B0 487".to_owned()), step < 2, "{names:?}");
    }
}

#[test]
fn a_hold_by_the_phone_that_leaves_ends_with_it() {
    use hindsight_sip::sdp::Direction;
    let mut bench = Bench::established([false; 2]);
    let hold = PHONE_A.replace("sendrecv", "sendonly").into_bytes();
    bench.feed(Input::Offered { leg: Leg::Caller, body: Some(hold) });
    bench.phone_answers(Leg::Callee(0));
    bench.media_answers(Side::Caller);
    bench.media_answers(Side::Callee);
    bench.refer(Leg::Caller, false);
    assert_eq!(bench.direction_of_offer(C), Direction::SendRecv);
    bench.answer(C, PHONE_C);
    assert_eq!(bench.direction_of_offer(Leg::Callee(0)), Direction::SendRecv);
    bench.joined(Leg::Callee(0));
    assert_eq!(bench.direction_of_offer(Leg::Media(Side::Callee)), Direction::SendRecv);
    assert!(!bench.call.phones[Side::Caller as usize].holds);
}

#[test]
fn a_second_transfer_waits_for_the_first_and_a_change_is_waited_for() {
    let mut bench = Bench::established([false; 2]);
    bench.refer(Leg::Caller, false);
    assert_eq!(bench.call.may_transfer(Leg::Callee(0)), Err(491));
    // The other one puts the call on hold in the moment of the answer.
    let hold = PHONE_B.replace("sendrecv", "sendonly").into_bytes();
    assert_eq!(bench.feed(Input::Offered { leg: Leg::Callee(0), body: Some(hold) }), ["reinvite A"]);
    assert_eq!(bench.answer(C, PHONE_C), ["ack B1"], "one thing after the other");
    bench.phone_answers(Leg::Caller);
    bench.media_answers(Side::Callee);
    let names = bench.media_answers(Side::Caller);
    assert_eq!(names[1..4], ["accept B0", "held 1002 at the phone", "notify A 200"]);
    // A phone that answers with 491 is asked again.
    bench.media_answers(Side::Caller);
    bench.media_answers(Side::Callee);
    assert_eq!(bench.feed(Input::Refused { leg: Leg::Callee(0), status: 491 }), [""; 0]);
    let again = bench.pass(Duration::from_secs(5));
    assert!(again.contains(&"reinvite B0".to_owned()), "{again:?}");
}

#[test]
fn a_media_server_lost_in_a_transfer_is_replaced_and_then_the_parties_change() {
    let mut bench = Bench::established([false, true]);
    bench.refer(Leg::Callee(0), true);
    bench.feed(Input::Probed { leg: Leg::Media(Side::Callee), status: 408 });
    assert_eq!(bench.answer(C, PHONE_C), ["ack B1"]);
    bench.media_answers(Side::Callee);
    bench.media_answers(Side::Caller);
    bench.ordered(Ok(()));
    bench.phone_answers(Leg::Caller);
    assert_eq!(bench.phone_answers(Leg::Callee(0)), ["ack B0", "order MB Stop"]);
    let names = bench.ordered(Ok(()));
    assert_eq!(names[0], "recording-cut");
    bench.ordered(Ok(()));
    bench.joined(Leg::Caller);
}

#[test]
fn a_transferred_call_outlives_its_sip_server() {
    let mut bench = Bench::established([false, false]);
    bench.refer(Leg::Caller, true);
    assert!(bench.call.kept(bench.now).is_none(), "not in the middle of it");
    bench.answer(C, PHONE_C);
    bench.ordered(Ok(()));
    bench.joined(Leg::Callee(0));
    let kept = bench.call.kept(bench.now).unwrap();
    bench.restart(&kept, 9);
    assert_eq!(bench.pass(Duration::ZERO), ["reinvite B1", "reinvite B0", "end A"], "who left had its time");
    bench.phone_answers(C);
    bench.phone_answers(Leg::Callee(0));
    assert_eq!(bench.call.role(Side::Caller), Party::Agent);
    assert_eq!(bench.call.parties()[0].number, "1003");
    bench.control(1, RecordingAction::Stop);
    bench.ordered(Ok(()));
    bench.control(2, RecordingAction::Start);
    assert_eq!(bench.whose(), ("1003".into(), "1002".into(), true), "the media server keeps its legs");
    let ended = bench.feed(Input::Gone { leg: C, bye: true });
    assert!(ended.contains(&"end B0".to_owned()));
}

#[test]
fn an_attended_transfer_takes_a_phone_from_another_call() {
    let mut bench = Bench::established([false, true]);
    let mut other = Bench::established([false; 2]);
    other.call.phones[Side::Callee as usize].who = somebody("1003", true);
    let (leg, phone) = other.call.hand_over(Side::Callee).unwrap();
    assert_eq!(leg, Leg::Callee(0));
    assert_eq!(other.drain(), ["end A", "end MA", "end MB", "ended Transferred 1001"]);
    let to = Target::Consulted { phone, leg: C };
    let asked = Asked::Refer { leg: Leg::Callee(0), notify: true };
    assert_eq!(bench.feed(Input::Transfer { asked, to }), ["notify B0 100", "reinvite B1"]);
    assert!(text(&bench.last_offer(C)).contains("m=audio 20002"));
    // It is asking for something itself.
    assert_eq!(bench.feed(Input::Refused { leg: C, status: 491 }), [""; 0]);
    assert_eq!(bench.pass(Duration::from_secs(1)), ["reinvite B1"]);
    assert_eq!(bench.phone_answers(C), ["ack B1", "order MB Stop"]);
    let names = bench.ordered(Ok(()));
    assert_eq!(names[1..3], ["notify B0 200", "transferred 1002 to 1003"]);
    assert_eq!(bench.whose(), ("1003".into(), "1001".into(), false));
    // A phone that refuses is hung up: its own call is over.
    let mut bench = Bench::established([false, true]);
    let mut other = Bench::established([false; 2]);
    let (_, phone) = other.call.hand_over(Side::Callee).unwrap();
    let to = Target::Consulted { phone, leg: C };
    bench.feed(Input::Transfer { asked, to });
    let names = bench.feed(Input::Refused { leg: C, status: 488 });
    assert_eq!(names, ["notify B0 488", "end B1", "not transferred 1002 to 1002 488"]);
}
