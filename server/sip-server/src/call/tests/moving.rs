//! A media server is lost and the call goes on through another one.

use super::*;

/// The media server is lost: told by the resource manager's word on a probe.
fn lost(bench: &mut Bench) -> Vec<String> {
    bench.feed(Input::Probed { leg: Leg::Media(Side::Callee), status: 408 })
}

#[test]
fn a_call_whose_media_server_is_lost_goes_on_through_another_one() {
    let mut bench = Bench::established([false, true]);
    let capture = bench.call.recorder.confirmed();
    assert_eq!(lost(&mut bench), ["end MA", "end MB", "recording-failed", "invite MB"]);
    assert!(text(&bench.last_offer(Leg::Media(Side::Callee))).contains("192.0.2.20"), "B's own address");
    assert!(lost(&mut bench).is_empty(), "said of the legs that were given up");
    assert_eq!(bench.media_answers(Side::Callee), ["ack MB", "invite MA"]);
    let asked = bench.media_answers(Side::Caller);
    assert_eq!(asked, ["ack MA", "order MB Start", "reinvite A", "reinvite B0"]);
    let order = last_order(&bench);
    assert_eq!((order.part, order.paused, order.by.as_str()), (2, false, recorder::FULL_TIME));
    assert_eq!(recorder::Confirmed::On(order.capture), capture, "the same run");
    assert!(text(&bench.last_offer(Leg::Caller)).contains("m=audio 20000 RTP/AVP 0\r\n"));
    assert_eq!(bench.direction_of_offer(Leg::Caller), hindsight_sip::sdp::Direction::SendRecv);
    // A phone that wants to hold meanwhile tries again later.
    let hold = PHONE_A.replace("sendrecv", "sendonly").into_bytes();
    let held = bench.feed(Input::Offered { leg: Leg::Caller, body: Some(hold.clone()) });
    assert_eq!(held, ["reject A 491"]);
    assert_eq!(bench.ordered(Ok(())), ["recording-started"]);
    assert_eq!(bench.phone_answers(Leg::Caller), ["ack A"]);
    assert_eq!(bench.phone_answers(Leg::Callee(0)), ["ack B0"]);
    assert_eq!(bench.feed(Input::Offered { leg: Leg::Caller, body: Some(hold) }), ["reinvite B0"]);
    let probes = bench.pass(Duration::from_secs(2));
    assert_eq!(probes, ["probe MA", "probe MB"]);
}

#[test]
fn a_paused_recording_goes_on_in_its_pause() {
    let mut bench = Bench::established([false, true]);
    bench.control(1, RecordingAction::Pause);
    bench.ordered(Ok(()));
    assert_eq!(lost(&mut bench), ["end MA", "end MB", "recording-failed", "invite MB"]);
    assert_eq!(
        bench.control(2, RecordingAction::Resume),
        ["result 2 another change of this recording is not confirmed yet"]
    );
    bench.media_answers(Side::Callee);
    bench.media_answers(Side::Caller);
    let start = last_order(&bench);
    assert_eq!(
        (start.action, start.part, start.paused, start.by.as_str(), start.reason.as_str()),
        (RecordingAction::Start, 2, true, "ann", "card")
    );
    assert_eq!(bench.ordered(Ok(())), ["recording-paused"], "never said to run");
    assert_eq!(bench.control(3, RecordingAction::Resume), ["order MB Resume"]);
    assert_eq!(bench.ordered(Ok(())), ["recording-resumed", "result 3 ok"]);
}

#[test]
fn an_order_that_the_lost_media_server_did_not_confirm_is_carried_out_by_the_next_one() {
    for (action, confirmed, paused) in [
        (RecordingAction::Pause, vec!["recording-paused", "result 1 ok"], true),
        (RecordingAction::Stop, vec![], false),
    ] {
        let mut bench = Bench::established([false, true]);
        bench.control(1, action);
        let at_loss = lost(&mut bench);
        bench.media_answers(Side::Callee);
        let then = bench.media_answers(Side::Caller);
        if action == RecordingAction::Stop {
            assert!(at_loss.contains(&"result 1 ok".to_owned()), "it has ended: {at_loss:?}");
            assert_eq!(then, ["ack MA", "reinvite A", "reinvite B0"]);
            continue;
        }
        assert_eq!(bench.ordered(Ok(())), confirmed);
        assert_eq!(matches!(bench.call.recorder.confirmed(), recorder::Confirmed::Paused(_)), paused);
    }
    // A start by a person that was under way is answered by the next one, too.
    let mut bench = Bench::established([false; 2]);
    bench.control(1, RecordingAction::Start);
    assert_eq!(lost(&mut bench), ["end MA", "end MB", "invite MB"]);
    bench.media_answers(Side::Callee);
    bench.media_answers(Side::Caller);
    assert_eq!(bench.ordered(Ok(())), ["recording-started", "result 1 ok"]);
}

#[test]
fn where_no_media_server_is_left_the_call_ends_for_both_phones() {
    for status in [408, 481, 503] {
        let mut bench = Bench::established([false, true]);
        assert_eq!(bench.pass(Duration::from_secs(2)), ["probe MA", "probe MB"]);
        let lost = bench.feed(Input::Probed { leg: Leg::Media(Side::Callee), status });
        assert_eq!(lost, ["end MA", "end MB", "recording-failed", "invite MB"]);
        let none = bench.feed(Input::Refused { leg: Leg::Media(Side::Callee), status: 503 });
        assert_eq!(none, ["end A", "end B0", "ended MediaServerLost -"]);
    }
    // None that answers.
    let mut bench = Bench::established([false; 2]);
    lost(&mut bench);
    let mut seen = Vec::new();
    for _ in 0..8 {
        seen.extend(bench.pass(Duration::from_secs(1)));
    }
    assert_eq!(seen, ["end A", "end B0", "end MB", "ended MediaServerLost -"]);
}

#[test]
fn a_media_server_that_dies_while_a_call_moves_to_it_is_followed_by_the_next() {
    // Before the second leg, between the legs and the phones, and after one phone has moved.
    for answered in 0..3 {
        let mut bench = Bench::established([false, true]);
        lost(&mut bench);
        bench.media_answers(Side::Callee);
        if answered == 0 {
            let again = bench.feed(Input::Refused { leg: Leg::Media(Side::Caller), status: 408 });
            assert_eq!(again, ["end MB", "invite MB"]);
        } else {
            bench.media_answers(Side::Caller);
            bench.ordered(Ok(()));
            if answered == 2 {
                bench.phone_answers(Leg::Caller);
            }
            assert_eq!(lost(&mut bench), ["end MA", "end MB", "recording-failed", "invite MB"]);
            if answered == 1 {
                // Its answer to the address of the dead one says nothing any more.
                assert_eq!(bench.phone_answers(Leg::Caller), ["ack A"]);
            }
            assert_eq!(bench.phone_answers(Leg::Callee(0)), ["ack B0"]);
        }
        bench.media_answers(Side::Callee);
        let asked = bench.media_answers(Side::Caller);
        assert_eq!(asked, ["ack MA", "order MB Start", "reinvite A", "reinvite B0"], "{answered}");
        assert_eq!(bench.ordered(Ok(())), ["recording-started"]);
        bench.phone_answers(Leg::Caller);
        assert_eq!(bench.phone_answers(Leg::Callee(0)), ["ack B0"]);
        let Phase::Established(state) = &bench.call.phase else { panic!("ended") };
        assert!(!state.is_changing());
    }
    // It is not looked for for ever.
    let mut bench = Bench::established([false; 2]);
    lost(&mut bench);
    let mut attempts = 1;
    while !bench.call.is_over() {
        bench.feed(Input::Refused { leg: Leg::Media(Side::Callee), status: 408 });
        attempts += 1;
        assert!(attempts < 10);
    }
    assert_eq!(attempts, 5);
}

#[test]
fn a_phone_that_cannot_answer_now_is_asked_again_and_one_that_refuses_ends_the_call() {
    let mut bench = Bench::established([false; 2]);
    lost(&mut bench);
    bench.media_answers(Side::Callee);
    bench.media_answers(Side::Caller);
    bench.phone_answers(Leg::Caller);
    assert!(bench.feed(Input::Refused { leg: Leg::Callee(0), status: 491 }).is_empty());
    let mut seen = Vec::new();
    for _ in 0..40 {
        seen.extend(bench.pass(Duration::from_millis(100)));
        bench.feed(Input::Probed { leg: Leg::Media(Side::Callee), status: 200 });
    }
    seen.retain(|name| !name.starts_with("probe"));
    assert_eq!(seen, ["reinvite B0"], "once, within the time of RFC 3261 14.1");
    assert_eq!(bench.phone_answers(Leg::Callee(0)), ["ack B0"]);
    assert!(!bench.call.is_over());
    let mut bench = Bench::established([false; 2]);
    lost(&mut bench);
    bench.media_answers(Side::Callee);
    bench.media_answers(Side::Caller);
    let refused = bench.feed(Input::Refused { leg: Leg::Caller, status: 488 });
    assert_eq!(refused, ["end A", "end B0", "end MA", "end MB", "ended MediaServerLost -"]);
}

#[test]
fn a_hang_up_during_the_move_ends_every_leg() {
    for steps in 0..4 {
        let mut bench = Bench::established([false, true]);
        lost(&mut bench);
        let mut open = vec!["end MB"];
        if steps > 0 {
            bench.media_answers(Side::Callee);
            open.insert(0, "end MA");
        }
        if steps > 1 {
            bench.media_answers(Side::Caller);
        }
        if steps > 2 {
            bench.phone_answers(Leg::Callee(0));
        }
        let over = bench.feed(Input::Gone { leg: Leg::Caller, bye: true });
        let expected: Vec<&str> = ["end B0"].into_iter().chain(open).chain(["ended HungUp 1001"]).collect();
        assert_eq!(over, expected, "{steps}");
    }
}

#[test]
fn a_hold_survives_the_move_and_one_under_way_is_tried_again() {
    use hindsight_sip::sdp::Direction;
    // By a desktop: the other phone hears nothing of this party, before as after.
    let mut bench = Bench::established([false, true]);
    bench.desktop(1, "1002", CallAction::Hold);
    bench.phone_answers(Leg::Caller);
    bench.phone_answers(Leg::Callee(0));
    bench.media_answers(Side::Caller);
    bench.media_answers(Side::Callee);
    lost(&mut bench);
    assert_eq!(bench.direction_of_offer(Leg::Media(Side::Callee)), Direction::SendOnly);
    bench.media_answers(Side::Callee);
    assert_eq!(bench.direction_of_offer(Leg::Media(Side::Caller)), Direction::Inactive);
    bench.media_answers(Side::Caller);
    assert_eq!(bench.direction_of_offer(Leg::Caller), Direction::SendOnly);
    assert_eq!(bench.direction_of_offer(Leg::Callee(0)), Direction::RecvOnly);
    let busy = bench.desktop(2, "1002", CallAction::Retrieve);
    assert_eq!(busy, ["result 2 the call is being changed; try again"]);
    bench.phone_answers(Leg::Caller);
    bench.phone_answers(Leg::Callee(0));
    assert_eq!(bench.desktop(3, "1002", CallAction::Retrieve), ["reinvite A"]);

    // By a phone, under way: it is told to try again, and the other phone is taken back.
    let mut bench = Bench::established([false; 2]);
    let hold = PHONE_A.replace("sendrecv", "sendonly").into_bytes();
    bench.feed(Input::Offered { leg: Leg::Caller, body: Some(hold) });
    assert_eq!(bench.direction_of_offer(Leg::Callee(0)), Direction::SendOnly);
    assert_eq!(lost(&mut bench), ["reject A 491", "end MA", "end MB", "invite MB"]);
    bench.media_answers(Side::Callee);
    assert_eq!(bench.answer(Leg::Callee(0), PHONE_B.replace("sendrecv", "recvonly")), ["ack B0"]);
    bench.media_answers(Side::Caller);
    assert_eq!(bench.direction_of_offer(Leg::Callee(0)), Direction::SendRecv);
    bench.phone_answers(Leg::Caller);
    bench.phone_answers(Leg::Callee(0));
    assert!(!bench.events().contains(&"call-held".to_owned()));

    // By a desktop, under way.
    let mut bench = Bench::established([false; 2]);
    bench.desktop(1, "1002", CallAction::Hold);
    let seen = lost(&mut bench);
    assert_eq!(seen[0], "result 1 the media server was lost; try again");
}
