//! Set-up: who is asked, what a refusal means, who gives up.

use super::*;

#[test]
fn a_call_is_set_up_through_the_media_server_and_recorded_before_anyone_speaks() {
    let mut bench = Bench::new(1, [false, true], Some(PHONE_A));
    assert_eq!(bench.seen.iter().map(name).collect::<Vec<_>>(), ["call-offered", "invite MB"]);
    let placeholder = bench.last_offer(Leg::Media(Side::Callee));
    assert!(
        text(&placeholder).contains("c=IN IP4 0.0.0.0\r\n")
            && text(&placeholder).contains("m=audio 9 RTP/AVP 8 0 101")
    );
    assert!(text(&placeholder).contains("a=inactive"));
    assert_eq!(bench.media_answers(Side::Callee), ["ack MB", "invite B0"]);
    let to_b = bench.last_offer(Leg::Callee(0));
    assert!(text(&to_b).contains("m=audio 20002 RTP/AVP 8 0 101") && text(&to_b).contains("a=sendrecv"));
    assert!(!text(&to_b).contains("192.0.2.10"), "RTP goes by the media server only");
    assert_eq!(bench.feed(Input::Ringing { leg: Leg::Callee(0), talk: false }), ["ring", "call-ringing"]);
    assert!(bench.feed(Input::Ringing { leg: Leg::Callee(0), talk: false }).is_empty());
    assert_eq!(bench.answer(Leg::Callee(0), PHONE_B), ["reinvite MB", "invite MA"]);
    assert!(text(&bench.last_offer(Leg::Media(Side::Callee))).contains("192.0.2.20"));
    let for_a = bench.last_offer(Leg::Media(Side::Caller));
    assert!(
        text(&for_a).contains("m=audio 4000 RTP/AVP 0\r\n"),
        "only what the callee chose: {}",
        text(&for_a)
    );
    assert_eq!(bench.media_answers(Side::Caller), ["ack MA"]);
    assert_eq!(bench.media_answers(Side::Callee), ["ack MB", "order MB Start"]);
    let connected = bench.ordered(Ok(()));
    assert_eq!(connected, ["accept A", "ack B0", "call-established", "recording-started"]);
    let to_a = bench.last_answer(Leg::Caller);
    assert!(text(&to_a).contains("m=audio 20000 RTP/AVP 0\r\n") && text(&to_a).contains("203.0.113.1"));
    let ended = bench.feed(Input::Gone { leg: Leg::Callee(0), bye: true });
    assert_eq!(ended, ["end A", "end MA", "end MB", "ended HungUp 1002"]);
    assert!(bench.call.is_over() && bench.call.deadline().is_none());
}

#[test]
fn a_recorder_that_says_nothing_does_not_keep_the_parties_apart() {
    let mut bench = Bench::new(1, [true, false], Some(PHONE_A));
    bench.media_answers(Side::Callee);
    bench.answer(Leg::Callee(0), PHONE_B);
    bench.media_answers(Side::Callee);
    assert_eq!(
        bench.media_answers(Side::Caller),
        ["ack MA", "order MA Start"],
        "the recorded caller is the agent"
    );
    assert_eq!(bench.pass(Duration::from_millis(300)), ["accept A", "ack B0", "call-established"]);
    assert_eq!(bench.pass(Duration::from_millis(4699)), ["probe MA", "probe MB"]);
    assert_eq!(bench.pass(Duration::from_millis(1)), ["recording-failed"]);
    assert!(!bench.call.is_over());
    assert_eq!(bench.ordered(Ok(())), ["recording-started"], "a late confirmation still says what is");
}

#[test]
fn of_several_contacts_the_first_to_answer_wins() {
    let mut bench = Bench::new(3, [false; 2], Some(PHONE_A));
    assert_eq!(bench.media_answers(Side::Callee), ["ack MB", "invite B0", "invite B1", "invite B2"]);
    assert!(bench.feed(Input::Refused { leg: Leg::Callee(0), status: 486 }).is_empty());
    let won = bench.answer(Leg::Callee(2), PHONE_B);
    assert_eq!(won, ["end B1", "reinvite MB", "invite MA"]);
    // Crossed with our CANCEL.
    assert_eq!(bench.answer(Leg::Callee(1), PHONE_B), ["ack B1", "end B1"]);
}

#[test]
fn refusals_reach_the_caller_as_what_they_mean() {
    for (status, expected, ended) in [
        (486, 486, "ended Busy 1002"),
        (603, 603, "ended Refused 1002"),
        (480, 480, "ended NoAnswer -"),
        (404, 404, "ended NotFound -"),
        (302, 480, "ended Failed -"),
        (503, 500, "ended Failed -"),
    ] {
        let mut bench = Bench::new(1, [false; 2], Some(PHONE_A));
        bench.media_answers(Side::Callee);
        let refused = bench.feed(Input::Refused { leg: Leg::Callee(0), status });
        assert_eq!(refused, [format!("reject A {expected}"), "end MB".to_owned(), ended.to_owned()]);
    }
    let mut bench = Bench::new(2, [false; 2], Some(PHONE_A));
    bench.media_answers(Side::Callee);
    bench.feed(Input::Refused { leg: Leg::Callee(0), status: 486 });
    let refused = bench.feed(Input::Refused { leg: Leg::Callee(1), status: 408 });
    assert_eq!(refused[0], "reject A 486", "busy says more than absent");
}

#[test]
fn nobody_answers_in_time() {
    let mut bench = Bench::new(1, [false; 2], Some(PHONE_A));
    bench.media_answers(Side::Callee);
    let mut seen = Vec::new();
    for _ in 0..31 {
        seen.extend(bench.pass(Duration::from_secs(2)));
        bench.feed(Input::Probed { leg: Leg::Media(Side::Callee), status: 200 });
    }
    seen.retain(|name| !name.starts_with("probe"));
    assert_eq!(seen, ["reject A 480", "end B0", "end MB", "ended NoAnswer -"]);
}

#[test]
fn the_caller_gives_up_and_a_late_answer_is_ended() {
    let mut bench = Bench::new(1, [false; 2], Some(PHONE_A));
    bench.media_answers(Side::Callee);
    let cancelled = bench.feed(Input::Cancelled);
    assert_eq!(cancelled, ["reject A 487", "end B0", "end MB", "ended Cancelled 1001"]);
    assert_eq!(bench.answer(Leg::Callee(0), PHONE_B), ["ack B0", "end B0"]);
}

#[test]
fn without_a_media_server_there_is_no_call() {
    let mut bench = Bench::new(1, [true; 2], Some(PHONE_A));
    let refused = bench.feed(Input::Refused { leg: Leg::Media(Side::Callee), status: 503 });
    assert_eq!(refused, ["reject A 503", "ended NoMediaServer -"]);
    let mut bench = Bench::new(1, [true; 2], Some(PHONE_A));
    assert_eq!(bench.pass(Duration::from_secs(8)), ["reject A 503", "end MB", "ended NoMediaServer -"]);
}

#[test]
fn an_invite_without_an_offer_gets_one() {
    let mut bench = Bench::new(1, [false, true], None);
    bench.media_answers(Side::Callee);
    bench.answer(Leg::Callee(0), PHONE_B);
    bench.media_answers(Side::Callee);
    assert_eq!(bench.media_answers(Side::Caller), ["ack MA", "accept A", "ack B0"]);
    assert!(text(&bench.last_answer(Leg::Caller)).contains("m=audio 20000 RTP/AVP 0\r\n"));
    let body = Some(PHONE_A.as_bytes().to_vec());
    assert_eq!(bench.feed(Input::Acknowledged { leg: Leg::Caller, body }), ["reinvite MA"]);
    assert_eq!(bench.media_answers(Side::Caller), ["ack MA", "order MB Start"]);
    assert_eq!(bench.ordered(Ok(())), ["call-established", "recording-started"]);
}
