//! Hold, new addresses and keys, answering and hanging up from a desktop.

use super::*;

#[test]
fn hold_and_retrieve_pass_to_the_other_phone_and_to_the_media_server() {
    for (leg, number, phone, side) in
        [(Leg::Caller, "1001", PHONE_A, Side::Caller), (Leg::Callee(0), "1002", PHONE_B, Side::Callee)]
    {
        let mut bench = Bench::established([false, true]);
        let (other, mine, theirs) = match side {
            Side::Caller => (Leg::Callee(0), "MA", "MB"),
            Side::Callee => (Leg::Caller, "MB", "MA"),
        };
        let other_name = if other == Leg::Caller { "A" } else { "B0" };
        let hold = phone.replace("sendrecv", "sendonly");
        let asked = bench.feed(Input::Offered { leg, body: Some(hold.into_bytes()) });
        assert_eq!(asked, [format!("reinvite {other_name}")]);
        assert!(text(&bench.last_offer(other)).contains("a=sendonly"));
        // The other phone asks at the same moment: 491, ours goes on.
        let glare = bench.feed(Input::Offered { leg: other, body: Some(phone.as_bytes().to_vec()) });
        assert_eq!(glare, [format!("reject {other_name} 491")]);
        let other_phone = if other == Leg::Caller { PHONE_A } else { PHONE_B };
        let agreed = bench.answer(other, other_phone.replace("sendrecv", "recvonly"));
        assert_eq!(agreed, [format!("ack {other_name}"), "reinvite MA".to_owned(), "reinvite MB".to_owned()]);
        bench.media_answers(side);
        let done = bench.media_answers(side.other());
        let leg_name = if leg == Leg::Caller { "A" } else { "B0" };
        assert_eq!(
            done,
            [format!("ack {theirs}"), format!("accept {leg_name}"), format!("held {number} at the phone")],
            "{mine}"
        );
        assert!(text(&bench.last_answer(leg)).contains("a=recvonly"));
        let back = bench.feed(Input::Offered { leg, body: Some(phone.as_bytes().to_vec()) });
        assert_eq!(back, [format!("reinvite {other_name}")]);
        bench.answer(other, other_phone);
        bench.media_answers(Side::Caller);
        let done = bench.media_answers(Side::Callee);
        assert_eq!(done[1..], [format!("accept {leg_name}"), format!("retrieved {number}")]);
    }
}

#[test]
fn a_refused_hold_changes_nothing() {
    let mut bench = Bench::established([false; 2]);
    let hold = PHONE_A.replace("sendrecv", "sendonly");
    bench.feed(Input::Offered { leg: Leg::Caller, body: Some(hold.into_bytes()) });
    assert_eq!(bench.feed(Input::Refused { leg: Leg::Callee(0), status: 491 }), ["reject A 491"]);
    assert!(!bench.events().contains(&"call-held".to_owned()));
    let same = bench.feed(Input::Offered { leg: Leg::Caller, body: Some(PHONE_A.as_bytes().to_vec()) });
    assert_eq!(same, ["accept A"], "what is in force was not changed, so this is a refresh");
}

#[test]
fn a_new_address_of_one_phone_concerns_only_its_media_leg() {
    let mut bench = Bench::established([false; 2]);
    let moved = PHONE_A
        .replace("4000", "4444")
        .replace("8 0 101", "0")
        .replace("a=rtpmap:101 telephone-event/8000\r\n", "");
    let asked = bench.feed(Input::Offered { leg: Leg::Caller, body: Some(moved.into_bytes()) });
    // B was offered everything that A had at first; the offer now is narrower, so it is asked once.
    assert_eq!(asked, ["reinvite B0"]);
    bench.answer(Leg::Callee(0), PHONE_B);
    bench.media_answers(Side::Caller);
    assert_eq!(bench.media_answers(Side::Callee), ["ack MB", "accept A"]);
    let moved = PHONE_A
        .replace("4000", "5555")
        .replace("8 0 101", "0")
        .replace("a=rtpmap:101 telephone-event/8000\r\n", "");
    let asked = bench.feed(Input::Offered { leg: Leg::Caller, body: Some(moved.into_bytes()) });
    assert_eq!(asked, ["reinvite MA"]);
    assert_eq!(bench.media_answers(Side::Caller), ["ack MA", "accept A"]);
}

#[test]
fn a_reinvite_without_an_offer_gets_the_present_one() {
    let mut bench = Bench::established([false; 2]);
    assert_eq!(bench.feed(Input::Offered { leg: Leg::Caller, body: None }), ["accept A"]);
    let hold = PHONE_A.replace("sendrecv", "inactive").into_bytes();
    let asked = bench.feed(Input::Acknowledged { leg: Leg::Caller, body: Some(hold) });
    assert_eq!(asked, ["reinvite B0"]);
    bench.answer(Leg::Callee(0), PHONE_B.replace("sendrecv", "inactive"));
    bench.media_answers(Side::Caller);
    assert_eq!(bench.media_answers(Side::Callee), ["ack MB", "held 1001 at the phone"]);
}

#[test]
fn a_desktop_holds_the_other_phone_and_takes_it_back() {
    use hindsight_sip::sdp::Direction;
    let mut bench = Bench::established([false, true]);
    assert_eq!(bench.desktop(1, "1002", CallAction::Hold), ["reinvite A"], "the other phone is asked first");
    assert_eq!(bench.direction_of_offer(Leg::Caller), Direction::SendOnly);
    assert_eq!(bench.desktop(2, "1001", CallAction::Hold), ["result 2 the call is being changed; try again"]);
    assert_eq!(bench.phone_answers(Leg::Caller), ["ack A", "reinvite B0"]);
    assert_eq!(bench.direction_of_offer(Leg::Callee(0)), Direction::RecvOnly);
    assert_eq!(bench.phone_answers(Leg::Callee(0)), ["ack B0", "reinvite MA", "reinvite MB"]);
    assert_eq!(bench.direction_of_offer(Leg::Media(Side::Caller)), Direction::Inactive);
    assert_eq!(bench.direction_of_offer(Leg::Media(Side::Callee)), Direction::SendOnly);
    assert_eq!(bench.media_answers(Side::Caller), ["ack MA"]);
    assert_eq!(bench.media_answers(Side::Callee), ["ack MB", "held 1002", "result 1 ok"]);
    assert_eq!(bench.desktop(3, "1002", CallAction::Hold), ["result 3 the call is on hold already"]);

    // A refresh of the phone that knows nothing of the hold does not end it.
    let body = Some(PHONE_B.as_bytes().to_vec());
    assert_eq!(bench.feed(Input::Offered { leg: Leg::Callee(0), body }), ["accept B0"]);
    let answered = Description::parse(&bench.last_answer(Leg::Callee(0))).unwrap();
    assert_eq!(answered.audio.direction, Direction::RecvOnly);

    assert_eq!(bench.desktop(4, "1002", CallAction::Retrieve), ["reinvite A"]);
    assert_eq!(bench.phone_answers(Leg::Caller), ["ack A", "reinvite B0"]);
    assert_eq!(bench.phone_answers(Leg::Callee(0)), ["ack B0", "reinvite MA", "reinvite MB"]);
    for leg in [Leg::Caller, Leg::Callee(0), Leg::Media(Side::Caller), Leg::Media(Side::Callee)] {
        assert_eq!(bench.direction_of_offer(leg), Direction::SendRecv);
    }
    bench.media_answers(Side::Caller);
    assert_eq!(bench.media_answers(Side::Callee), ["ack MB", "retrieved 1002", "result 4 ok"]);
}

/// A description with a key made of this letter.
fn protected(description: &str, letter: char) -> String {
    let key = std::iter::repeat_n(letter, 40).collect::<String>();
    let crypto = format!("a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{key}\r\n");
    description.replace("RTP/AVP", "RTP/SAVP") + &crypto
}

#[test]
fn a_key_that_a_phone_takes_while_a_desktop_holds_the_call_is_told_to_the_other() {
    let key_of_offer = |bench: &Bench, leg: Leg| {
        let offer = String::from_utf8(bench.last_offer(leg)).unwrap();
        let key = offer.split("inline:").nth(1).unwrap();
        key.chars().next().unwrap()
    };
    let (a, b) = (protected(PHONE_A, 'A'), protected(PHONE_B, 'B'));
    let mut bench = Bench::new(1, [false; 2], Some(&a));
    bench.media_answers(Side::Callee);
    bench.answer(Leg::Callee(0), &b);
    bench.media_answers(Side::Callee);
    bench.media_answers(Side::Caller);
    bench.feed(Input::Acknowledged { leg: Leg::Caller, body: None });
    assert!(matches!(bench.call.phase, Phase::Established(_)));

    // The other phone keeps its key, the own one takes another with its answer.
    bench.desktop(1, "1002", CallAction::Hold);
    let held = |description: &str| description.replace("sendrecv", "recvonly");
    assert_eq!(bench.answer(Leg::Caller, held(&a)), ["ack A", "reinvite B0"]);
    let taken = protected(&PHONE_B.replace("sendrecv", "sendonly"), 'C');
    assert_eq!(bench.answer(Leg::Callee(0), &taken), ["ack B0", "reinvite A"]);
    assert_eq!(key_of_offer(&bench, Leg::Caller), 'C');
    assert_eq!(bench.answer(Leg::Caller, held(&a)), ["ack A", "reinvite MA", "reinvite MB"]);
    assert_eq!(key_of_offer(&bench, Leg::Media(Side::Callee)), 'C');
    bench.media_answers(Side::Caller);
    assert_eq!(bench.media_answers(Side::Callee), ["ack MB", "held 1002", "result 1 ok"]);

    // Held, a phone changes its key by a re-INVITE of its own.
    let another = protected(&PHONE_A.replace("sendrecv", "recvonly"), 'D').into_bytes();
    let told = bench.feed(Input::Offered { leg: Leg::Caller, body: Some(another) });
    assert_eq!(told, ["reinvite B0"]);
    assert_eq!(key_of_offer(&bench, Leg::Callee(0)), 'D');
    assert_eq!(bench.answer(Leg::Callee(0), &taken), ["ack B0", "reinvite MA", "reinvite MB"]);
    assert_eq!(key_of_offer(&bench, Leg::Media(Side::Caller)), 'D');
    assert_eq!(bench.direction_of_offer(Leg::Media(Side::Caller)), hindsight_sip::sdp::Direction::Inactive);
    bench.media_answers(Side::Caller);
    assert_eq!(bench.media_answers(Side::Callee), ["ack MB", "accept A"]);
}

#[test]
fn a_phone_that_refuses_a_hold_stays_as_it_was_and_may_be_asked_again() {
    let mut bench = Bench::established([false, true]);
    bench.desktop(1, "1002", CallAction::Hold);
    let refused = bench.feed(Input::Refused { leg: Leg::Caller, status: 488 });
    assert_eq!(refused, ["result 1 the other phone refused: 488"]);
    assert_eq!(bench.desktop(2, "1002", CallAction::Retrieve), ["result 2 the call is not on hold"]);
    assert_eq!(bench.desktop(3, "1002", CallAction::Hold), ["reinvite A"]);
    bench.phone_answers(Leg::Caller);
    // Its own phone's refusal keeps nobody: the media server keeps the parties apart.
    let refused = bench.feed(Input::Refused { leg: Leg::Callee(0), status: 488 });
    assert_eq!(refused, ["reinvite MA", "reinvite MB"]);
    bench.media_answers(Side::Caller);
    assert_eq!(bench.media_answers(Side::Callee), ["ack MB", "held 1002", "result 3 ok"]);
}

#[test]
fn a_desktop_answers_only_a_phone_that_takes_it_and_hears_when_it_did() {
    let mut bench = Bench::new(2, [false; 2], Some(PHONE_A));
    bench.media_answers(Side::Callee);
    bench.feed(Input::Ringing { leg: Leg::Callee(0), talk: false });
    let by_hand = bench.desktop(1, "1002", CallAction::Answer);
    assert_eq!(by_hand, ["result 1 this phone can only be answered by hand"]);
    assert_eq!(bench.feed(Input::Ringing { leg: Leg::Callee(1), talk: true }), ["call-ringing"]);
    assert_eq!(bench.desktop(2, "1001", CallAction::Answer), ["result 2 the phone does not ring"]);
    assert_eq!(bench.desktop(3, "1002", CallAction::Answer), ["talk B1"]);
    assert!(bench.feed(Input::Talked { leg: Leg::Callee(1), status: 200 }).is_empty());
    bench.answer(Leg::Callee(1), PHONE_B);
    bench.media_answers(Side::Callee);
    let connected = bench.media_answers(Side::Caller);
    assert_eq!(connected, ["ack MA", "accept A", "ack B1", "call-established", "result 3 ok"]);
}

#[test]
fn a_desktop_hangs_up_at_every_stage() {
    let mut ringing = Bench::new(1, [false; 2], Some(PHONE_A));
    ringing.media_answers(Side::Callee);
    ringing.feed(Input::Ringing { leg: Leg::Callee(0), talk: false });
    let stranger = ringing.desktop(1, "1003", CallAction::HangUp);
    assert_eq!(stranger, ["result 1 this DN takes no part in the call"]);
    let declined = ringing.desktop(2, "1002", CallAction::HangUp);
    assert_eq!(declined, ["reject A 603", "end B0", "end MB", "ended Refused 1002", "farewell 2"]);
    assert_eq!(ringing.desktop(3, "1002", CallAction::HangUp), ["result 3 the call has ended"]);
    let mut calling = Bench::new(1, [false; 2], Some(PHONE_A));
    let gave_up = calling.desktop(1, "1001", CallAction::HangUp);
    assert_eq!(gave_up, ["reject A 487", "end MB", "ended Cancelled 1001", "farewell 1"]);
    let mut talking = Bench::established([false; 2]);
    talking.desktop(1, "1001", CallAction::Hold);
    let over = talking.desktop(2, "1001", CallAction::HangUp);
    let expected = [
        "result 1 the call has ended",
        "end A",
        "end B0",
        "end MA",
        "end MB",
        "ended HungUp 1001",
        "farewell 2",
    ];
    assert_eq!(over, expected);
}
