//! The call against scripted legs: what each side sees, and that no order of messages, loss or hang-up leaves a leg behind.

use super::*;
use hindsight_wire::{
    Timestamp,
    agent::CallAction,
    component::{CallControl, RecordingAction},
};
use std::{collections::BTreeMap, sync::OnceLock, time::Duration};

const PHONE_A: &str = "v=0\r\no=a 1 1 IN IP4 192.0.2.10\r\ns=-\r\nc=IN IP4 192.0.2.10\r\nt=0 0\r\n\
    m=audio 4000 RTP/AVP 8 0 101\r\na=rtpmap:101 telephone-event/8000\r\na=sendrecv\r\n";
const PHONE_B: &str = "v=0\r\no=b 1 1 IN IP4 192.0.2.20\r\ns=-\r\nc=IN IP4 192.0.2.20\r\nt=0 0\r\n\
    m=audio 6000 RTP/AVP 0\r\na=sendrecv\r\n";

fn media(side: Side, offer: &[u8]) -> Vec<u8> {
    let offer = Description::parse(offer).unwrap();
    let audio = Audio {
        address: [203, 0, 113, 1].into(),
        port: 20000 + side as u16 * 2,
        direction: offer.audio.direction.answer(hindsight_sip::sdp::Direction::SendRecv),
        ..offer.audio
    };
    Writer::new(9).write(&audio, &Shape::default())
}

fn text(body: &[u8]) -> &str {
    std::str::from_utf8(body).unwrap()
}

struct Bench {
    call: Call,
    now: Now,
    seen: Vec<Action>,
}

impl Bench {
    fn new(contacts: u8, record: [bool; 2], offer: Option<&str>) -> Self {
        static START: OnceLock<Instant> = OnceLock::new();
        let now = Now { instant: *START.get_or_init(Instant::now), wall: Timestamp(1_800_000_000_000_000) };
        let who = |number: &str, record_voice| Participant {
            number: number.to_owned(),
            is_dn: true,
            record_voice,
            record_screen: record_voice,
        };
        let parties = [who("1001", record[0]), who("1002", record[1])];
        let offer = offer.map(|offer| Description::parse(offer.as_bytes()).unwrap());
        let limits = crate::config::Config::default().limits();
        let interaction = InteractionId("0193aaaa-0000-7000-8000-000000000001".parse().unwrap());
        let call = Call::offered(interaction, parties, contacts, offer, limits, 7, now);
        let mut bench = Self { call, now, seen: Vec::new() };
        bench.drain();
        bench
    }

    fn drain(&mut self) -> Vec<String> {
        let mut names = Vec::new();
        while let Some(action) = self.call.poll() {
            names.push(name(&action));
            self.seen.push(action);
        }
        names
    }

    fn feed(&mut self, input: Input) -> Vec<String> {
        self.call.handle(input, self.now);
        self.drain()
    }

    fn answer(&mut self, leg: Leg, body: impl AsRef<[u8]>) -> Vec<String> {
        self.feed(Input::Answered { leg, body: body.as_ref().to_vec() })
    }

    /// Answers as the media server would, to the last offer it got on this leg.
    fn media_answers(&mut self, side: Side) -> Vec<String> {
        let body = media(side, &self.last_offer(Leg::Media(side)));
        self.answer(Leg::Media(side), body)
    }

    fn last_offer(&self, wanted: Leg) -> Vec<u8> {
        let mut offers = self.seen.iter().filter_map(|action| match action {
            Action::Invite { leg, offer } | Action::Reinvite { leg, offer } if *leg == wanted => {
                Some(offer.clone())
            }
            _ => None,
        });
        offers.next_back().unwrap()
    }

    fn last_answer(&self, wanted: Leg) -> Vec<u8> {
        let mut answers = self.seen.iter().filter_map(|action| match action {
            Action::Accept { leg, body } if *leg == wanted => Some(body.clone()),
            _ => None,
        });
        answers.next_back().unwrap()
    }

    /// The media server's word on the last order.
    fn ordered(&mut self, outcome: Result<(), Failure>) -> Vec<String> {
        let mut serials = self.seen.iter().filter_map(|action| match action {
            Action::Order { order, .. } => Some(order.serial),
            _ => None,
        });
        let serial = serials.next_back().unwrap();
        self.feed(Input::Ordered { serial, outcome })
    }

    fn pass(&mut self, time: Duration) -> Vec<String> {
        self.now.instant += time;
        self.now.wall = self.now.wall.plus_ms(time.as_millis() as i64);
        self.call.on_time(self.now);
        self.drain()
    }

    fn events(&self) -> Vec<String> {
        let events = self.seen.iter().filter_map(|action| match action {
            Action::Emit(what) => Some(serde_json::to_value(what).unwrap()),
            _ => None,
        });
        events.map(|event| event["type"].as_str().unwrap().to_owned()).collect()
    }

    fn established(record: [bool; 2]) -> Self {
        let mut bench = Self::new(1, record, Some(PHONE_A));
        bench.media_answers(Side::Callee);
        bench.feed(Input::Ringing { leg: Leg::Callee(0), talk: false });
        bench.answer(Leg::Callee(0), PHONE_B);
        bench.media_answers(Side::Callee);
        bench.media_answers(Side::Caller);
        if record != [false, false] {
            bench.ordered(Ok(()));
        }
        bench.feed(Input::Acknowledged { leg: Leg::Caller, body: None });
        assert!(matches!(bench.call.phase, Phase::Established(_)));
        bench
    }

    fn control(&mut self, request: u64, action: RecordingAction) -> Vec<String> {
        let interaction = self.call.interaction();
        let control = RecordingControl { interaction, action, by: "ann".into(), reason: "card".into() };
        self.feed(Input::Control { request, control })
    }
}

impl Bench {
    /// The process ends and the next one takes up what was kept.
    fn restart(&mut self, kept: &crate::kept::KeptCall, seed: u64) {
        let kept = serde_json::from_str(&serde_json::to_string(kept).unwrap()).unwrap();
        let (id, limits) = (self.call.interaction(), crate::config::Config::default().limits());
        self.call = Call::restored(id, &kept, limits, self.now.wall, seed, self.now).unwrap();
    }

    fn desktop(&mut self, request: u64, dn: &str, action: CallAction) -> Vec<String> {
        let interaction = self.call.interaction();
        let control = CallControl { interaction, dn: dn.to_owned(), action, by: "ann".into() };
        self.feed(Input::CallControl { request, control })
    }

    /// A phone answers what it was last offered, as a phone does.
    fn phone_answers(&mut self, leg: Leg) -> Vec<String> {
        let offer = Description::parse(&self.last_offer(leg)).unwrap();
        let mine = if leg == Leg::Caller { PHONE_A } else { PHONE_B };
        let direction = offer.audio.direction.answer(hindsight_sip::sdp::Direction::SendRecv);
        let audio = Description::parse(mine.as_bytes()).unwrap().audio.with_direction(direction);
        let audio = audio.with_formats(Format::agreed(&offer.audio.formats, &audio.formats).unwrap());
        self.answer(leg, Writer::new(3).write(&audio, &Shape::default()))
    }

    fn direction_of_offer(&self, leg: Leg) -> hindsight_sip::sdp::Direction {
        Description::parse(&self.last_offer(leg)).unwrap().audio.direction
    }
}

fn name(action: &Action) -> String {
    let leg = |leg: &Leg| match leg {
        Leg::Caller => "A".to_owned(),
        Leg::Callee(fork) => format!("B{fork}"),
        Leg::Media(Side::Caller) => "MA".to_owned(),
        Leg::Media(Side::Callee) => "MB".to_owned(),
    };
    match action {
        Action::Invite { leg: l, .. } => format!("invite {}", leg(l)),
        Action::Reinvite { leg: l, .. } => format!("reinvite {}", leg(l)),
        Action::Acknowledge { leg: l } => format!("ack {}", leg(l)),
        Action::Ring => "ring".to_owned(),
        Action::Accept { leg: l, .. } => format!("accept {}", leg(l)),
        Action::Reject { leg: l, status } => format!("reject {} {status}", leg(l)),
        Action::Order { leg: l, order } => format!("order {} {:?}", leg(l), order.action),
        Action::Probe { leg: l } => format!("probe {}", leg(l)),
        Action::End { leg: l } => format!("end {}", leg(l)),
        Action::EmitAt(at, what) => format!("at {at}: {}", name(&Action::Emit(what.clone()))),
        Action::Emit(what) => match what {
            What::CallEnded { cause, by } => format!("ended {cause:?} {}", by.as_deref().unwrap_or("-")),
            What::CallHeld { by, at_phone: false } => format!("held {by}"),
            What::CallHeld { by, at_phone: true } => format!("held {by} at the phone"),
            What::CallRetrieved { by } => format!("retrieved {by}"),
            other => serde_json::to_value(other).unwrap()["type"].as_str().unwrap().to_owned(),
        },
        Action::Talk { leg: l } => format!("talk {}", leg(l)),
        Action::Farewell { request } => format!("farewell {request}"),
        Action::Result { request, error } => format!("result {request} {}", error.as_deref().unwrap_or("ok")),
    }
}

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
        (486, 486, "ended Refused 1002"),
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
fn recording_changes_only_when_the_media_server_confirms() {
    let mut bench = Bench::established([false, true]);
    assert_eq!(bench.control(1, RecordingAction::Start), ["result 1 the call is being recorded already"]);
    assert_eq!(bench.control(2, RecordingAction::Pause), ["order MB Pause"]);
    assert_eq!(
        bench.control(3, RecordingAction::Resume),
        ["result 3 another change of this recording is not confirmed yet"]
    );
    assert_eq!(bench.ordered(Ok(())), ["recording-paused", "result 2 ok"]);
    assert_eq!(bench.control(4, RecordingAction::Pause), ["result 4 the recording is paused already"]);
    assert_eq!(bench.control(5, RecordingAction::Resume), ["order MB Resume"]);
    assert_eq!(bench.ordered(Err(Failure::Refused("full".into()))), ["result 5 full"]);
    assert!(matches!(bench.call.recorder.confirmed(), recorder::Confirmed::Paused(_)));
    assert_eq!(bench.control(6, RecordingAction::Stop), ["order MB Stop"]);
    assert_eq!(bench.ordered(Ok(())), ["recording-stopped", "result 6 ok"]);
    assert_eq!(bench.control(7, RecordingAction::Pause), ["result 7 the call is not being recorded"]);
    assert_eq!(bench.control(8, RecordingAction::Start), ["order MB Start"]);
    assert_eq!(
        bench.feed(Input::Gone { leg: Leg::Caller, bye: true }),
        ["end B0", "end MA", "end MB", "result 8 the call ended", "ended HungUp 1001"]
    );
}

#[test]
fn a_recording_that_broke_can_be_stopped_and_started_again() {
    let gone = || Err(Failure::NoRecording("no such recording".to_owned()));
    let mut bench = Bench::established([false, true]);
    assert_eq!(bench.control(1, RecordingAction::Stop), ["order MB Stop"]);
    assert_eq!(bench.ordered(gone()), ["recording-stopped", "result 1 ok"]);
    assert_eq!(bench.control(2, RecordingAction::Start), ["order MB Start"]);
    assert_eq!(bench.ordered(Ok(())), ["recording-started", "result 2 ok"]);
    // Broken again; who pauses learns of it, and what runs no more can be started at once.
    assert_eq!(bench.control(3, RecordingAction::Pause), ["order MB Pause"]);
    assert_eq!(bench.ordered(gone()), ["recording-failed", "result 3 no such recording"]);
    assert_eq!(bench.control(4, RecordingAction::Start), ["order MB Start"]);
    assert_eq!(bench.ordered(Ok(())), ["recording-started", "result 4 ok"]);
    // Any other failure leaves what was confirmed.
    assert_eq!(bench.control(5, RecordingAction::Stop), ["order MB Stop"]);
    assert_eq!(bench.ordered(Err(Failure::Refused("timed out".into()))), ["result 5 timed out"]);
    assert_eq!(bench.control(6, RecordingAction::Stop), ["order MB Stop"]);
}

#[test]
fn silence_of_the_resource_manager_alone_is_borne_for_five_minutes() {
    let mut bench = Bench::established([false; 2]);
    let answers = |bench: &mut Bench| {
        for side in Side::BOTH {
            bench.feed(Input::Probed { leg: Leg::Media(side), status: 200 });
        }
    };
    let silence = |bench: &mut Bench, seconds: u64| {
        let mut seen = Vec::new();
        for _ in 0..seconds {
            let actions = bench.pass(Duration::from_secs(1));
            // Refused by its host, or not answered in the time of a transaction.
            for side in Side::BOTH.into_iter().filter(|_| actions.contains(&"probe MB".to_owned())) {
                bench.feed(Input::ProbeUnanswered { leg: Leg::Media(side) });
            }
            seen.extend(actions);
        }
        seen.retain(|name| !name.ends_with(" A") && !name.ends_with(" B0"));
        seen
    };
    let asked = silence(&mut bench, 299);
    assert!(!bench.call.is_over());
    assert_eq!(asked.len(), 2 * 149, "asked again every two seconds: {asked:?}");
    answers(&mut bench);
    silence(&mut bench, 299);
    assert!(!bench.call.is_over(), "an answer in between begins the time anew");
    let last = silence(&mut bench, 2);
    assert_eq!(last.last().unwrap(), "ended MediaServerLost -");
}

#[test]
fn both_media_legs_are_asked_through_a_long_hold() {
    let mut bench = Bench::established([false; 2]);
    let hold = PHONE_A.replace("sendrecv", "inactive");
    bench.feed(Input::Offered { leg: Leg::Caller, body: Some(hold.into_bytes()) });
    bench.answer(Leg::Callee(0), PHONE_B.replace("sendrecv", "inactive"));
    bench.media_answers(Side::Caller);
    assert!(bench.media_answers(Side::Callee).contains(&"held 1001 at the phone".to_owned()));
    let mut asked = [0, 0];
    for _ in 0..3600 {
        for name in bench.pass(Duration::from_secs(1)) {
            let Some(side) = ["probe MA", "probe MB"].iter().position(|probe| *probe == name) else {
                continue;
            };
            asked[side] += 1;
            bench.feed(Input::Probed { leg: Leg::Media(Side::BOTH[side]), status: 200 });
        }
    }
    assert!(!bench.call.is_over());
    assert_eq!(asked, [1800, 1800]);
}

#[test]
fn a_phone_that_vanished_ends_the_call() {
    let mut bench = Bench::established([false; 2]);
    let mut probes = Vec::new();
    for _ in 0..15 {
        probes.extend(bench.pass(Duration::from_secs(2)));
        bench.feed(Input::Probed { leg: Leg::Media(Side::Callee), status: 200 });
    }
    assert!(probes.ends_with(&["probe MA", "probe MB", "probe A", "probe B0"].map(str::to_owned)));
    assert!(bench.feed(Input::Probed { leg: Leg::Caller, status: 405 }).is_empty());
    let gone = bench.feed(Input::Probed { leg: Leg::Callee(0), status: 408 });
    assert_eq!(gone, ["end A", "end B0", "end MA", "end MB", "ended Failed -"]);
}

/// Random legs: late, lost, refused, hung up at any moment. Whatever happens, a call ends, every leg that was opened is
/// ended exactly once or was ended by its far end, and every request of the web services gets one answer.
#[test]
fn no_order_of_messages_leaves_a_leg_behind() {
    random_calls(0..4000, 0.0);
}

/// The same with a SIP server that is lost again and again: what was under way is lost with it, nothing else.
#[test]
fn no_order_of_messages_and_restarts_leaves_a_leg_behind() {
    let restarts = random_calls(10_000..14_000, 0.05);
    assert!(restarts > 1000, "{restarts} restarts");
}

fn random_calls(seeds: std::ops::Range<u64>, lost: f64) -> u64 {
    let mut restarts = 0;
    for seed in seeds {
        let mut rng = StdRng::seed_from_u64(seed);
        let contacts = rng.random_range(1..4);
        let record = [rng.random(), rng.random()];
        let mut bench = Bench::new(contacts, record, rng.random_bool(0.8).then_some(PHONE_A));
        let mut open: BTreeMap<Leg, bool> = BTreeMap::from([(Leg::Caller, false)]);
        let mut pending: Vec<Input> = Vec::new();
        let mut requests = 0;
        let mut results = 0;
        let mut from = 0;
        let mut ended = 0;
        for step in 0.. {
            for action in &bench.seen[from..] {
                react(action, &mut rng, &mut pending, &mut open);
                results += u64::from(matches!(action, Action::Result { .. } | Action::Farewell { .. }));
                let (Action::Emit(what) | Action::EmitAt(_, what)) = action else { continue };
                ended += u32::from(matches!(what, What::CallEnded { .. }));
            }
            from = bench.seen.len();
            if bench.call.is_over() && pending.is_empty() {
                break;
            }
            assert!(step < 5000, "seed {seed}: never over");
            if lost > 0.0
                && rng.random_bool(lost)
                && let Some(kept) = bench.call.kept(bench.now)
            {
                restarts += 1;
                bench.restart(&kept, rng.random());
                pending.clear();
                requests = results;
            }
            if pending.is_empty() || rng.random_bool(0.1) {
                match bench.call.deadline() {
                    Some(at) => {
                        let time = at.saturating_duration_since(bench.now.instant);
                        bench.pass(time);
                    }
                    None if pending.is_empty() => {
                        bench.feed(Input::Unacknowledged { leg: Leg::Caller });
                    }
                    None => {}
                }
            } else {
                let input = pending.swap_remove(rng.random_range(0..pending.len()));
                bench.feed(input);
            }
            if rng.random_bool(0.05) {
                requests += 1;
                let action = [
                    RecordingAction::Start,
                    RecordingAction::Pause,
                    RecordingAction::Resume,
                    RecordingAction::Stop,
                ];
                bench.control(requests, action[rng.random_range(0..4)]);
            }
            if rng.random_bool(0.08) {
                requests += 1;
                let actions = [CallAction::Hold, CallAction::Retrieve, CallAction::Answer];
                let action = if step > 40 && rng.random_bool(0.1) {
                    CallAction::HangUp
                } else {
                    actions[rng.random_range(0..3)]
                };
                bench.desktop(requests, ["1001", "1002", "1003"][rng.random_range(0..3)], action);
            }
            no_word_passes_a_hold(&bench, seed);
            if step > 60 && rng.random_bool(0.05) {
                bench.feed(Input::Gone { leg: Leg::Caller, bye: true });
                open.insert(Leg::Caller, true);
            }
        }
        assert_eq!(ended, 1, "seed {seed}");
        assert_eq!(requests, results, "seed {seed}");
        let left: Vec<_> = open.iter().filter(|(_, closed)| !**closed).collect();
        assert!(left.is_empty(), "seed {seed}: {left:?}");
    }
    restarts
}

fn react(action: &Action, rng: &mut StdRng, pending: &mut Vec<Input>, open: &mut BTreeMap<Leg, bool>) {
    match action {
        Action::Invite { leg, offer } => {
            open.insert(*leg, false);
            if matches!(leg, Leg::Callee(_)) && rng.random_bool(0.7) {
                pending.push(Input::Ringing { leg: *leg, talk: rng.random() });
            }
            if rng.random_bool(0.85) {
                pending.push(Input::Answered { leg: *leg, body: answer_of(*leg, offer, rng) });
            } else {
                open.insert(*leg, true);
                let status = [404, 408, 480, 486, 488, 503, 603][rng.random_range(0..7)];
                pending.push(Input::Refused { leg: *leg, status });
            }
        }
        Action::Reinvite { leg, offer } => {
            if rng.random_bool(0.9) {
                pending.push(Input::Answered { leg: *leg, body: answer_of(*leg, offer, rng) });
            } else {
                let status = [481, 488, 491][rng.random_range(0..3)];
                // With a 481 the far end has ended the dialog itself.
                open.insert(*leg, open[leg] || status == 481);
                pending.push(Input::Refused { leg: *leg, status });
            }
        }
        Action::Accept { leg, .. } => {
            let body = rng.random_bool(0.5).then(|| PHONE_A.as_bytes().to_vec());
            pending.push(Input::Acknowledged { leg: *leg, body });
            if rng.random_bool(0.5) {
                let hold =
                    if rng.random() { PHONE_A.replace("sendrecv", "sendonly") } else { PHONE_A.to_owned() };
                pending.push(Input::Offered {
                    leg: *leg,
                    body: rng.random_bool(0.9).then(|| hold.into_bytes()),
                });
            }
        }
        Action::Order { order, .. } if rng.random_bool(0.8) => {
            let failure = if rng.random() { Failure::Refused } else { Failure::NoRecording };
            let outcome = if rng.random_bool(0.8) { Ok(()) } else { Err(failure("no".to_owned())) };
            pending.push(Input::Ordered { serial: order.serial, outcome });
        }
        Action::Probe { leg } if rng.random_bool(0.1) => pending.push(Input::ProbeUnanswered { leg: *leg }),
        Action::Probe { leg } if rng.random_bool(0.9) => {
            let status = if rng.random_bool(0.95) { 200 } else { 481 };
            open.insert(*leg, open[leg] || status == 481);
            pending.push(Input::Probed { leg: *leg, status });
        }
        Action::Talk { leg } => {
            let status = if rng.random_bool(0.7) { 200 } else { 489 };
            pending.push(Input::Talked { leg: *leg, status });
        }
        Action::End { leg } => {
            open.insert(*leg, true);
        }
        Action::Reject { leg, status } if *leg == Leg::Caller && *status != 491 => {
            open.insert(*leg, true);
        }
        Action::Acknowledge { .. }
        | Action::Ring
        | Action::Reject { .. }
        | Action::Order { .. }
        | Action::Probe { .. }
        | Action::Emit(_)
        | Action::EmitAt(..)
        | Action::Farewell { .. }
        | Action::Result { .. } => {}
    }
}

/// While a desktop holds a call, the media server was told to pass nothing on to the other phone.
fn no_word_passes_a_hold(bench: &Bench, seed: u64) {
    let Phase::Established(state) = &bench.call.phase else { return };
    for side in Side::BOTH {
        if bench.call.phones[side as usize].held_by_desktop && !state.is_changing() {
            let told = bench.direction_of_offer(Leg::Media(side.other()));
            assert_eq!(told, hindsight_sip::sdp::Direction::Inactive, "seed {seed}");
        }
    }
}

fn answer_of(leg: Leg, offer: &[u8], rng: &mut StdRng) -> Vec<u8> {
    match leg {
        Leg::Media(side) => media(side, offer),
        Leg::Caller | Leg::Callee(_) if rng.random_bool(0.05) => b"v=0".to_vec(),
        Leg::Caller | Leg::Callee(_) => {
            let direction = Description::parse(offer)
                .unwrap()
                .audio
                .direction
                .answer(hindsight_sip::sdp::Direction::SendRecv);
            let audio = Description::parse(PHONE_B.as_bytes()).unwrap().audio.with_direction(direction);
            Writer::new(3).write(&audio, &Shape::default())
        }
    }
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

/// The media server is lost: told by the resource manager's word on a probe.
fn lost(bench: &mut Bench) -> Vec<String> {
    bench.feed(Input::Probed { leg: Leg::Media(Side::Callee), status: 408 })
}

fn last_order(bench: &Bench) -> Order {
    let mut orders = bench.seen.iter().filter_map(|action| match action {
        Action::Order { order, .. } => Some(order.clone()),
        _ => None,
    });
    orders.next_back().unwrap()
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

#[test]
fn a_recording_that_broke_goes_on_as_its_next_part_until_it_cannot() {
    let mut bench = Bench::established([false, true]);
    let leg = Leg::Media(Side::Callee);
    let broke = |bench: &mut Bench| {
        bench.feed(Input::RecordingBroke { leg, reason: "input/output error".to_owned() })
    };
    assert_eq!(broke(&mut bench), ["recording-failed", "order MB Start"]);
    assert_eq!(last_order(&bench).part, 2);
    assert_eq!(bench.ordered(Ok(())), ["recording-started"]);
    bench.control(1, RecordingAction::Pause);
    bench.ordered(Ok(()));
    assert_eq!(broke(&mut bench), ["recording-failed", "order MB Start"]);
    assert_eq!((last_order(&bench).part, last_order(&bench).paused), (3, true));
    assert_eq!(bench.ordered(Err(Failure::Refused("no space".into()))), ["recording-failed"]);
    assert!(broke(&mut bench).is_empty(), "there is none any more");
    assert_eq!(bench.control(2, RecordingAction::Start), ["order MB Start"]);
    bench.ordered(Ok(()));
    let mut parts = 1;
    while broke(&mut bench).contains(&"order MB Start".to_owned()) {
        bench.ordered(Ok(()));
        parts += 1;
        assert!(parts < 100, "for ever");
    }
    assert_eq!(parts, 20);
}

#[test]
fn what_is_kept_of_a_protected_call_holds_no_key_and_a_phone_that_is_gone_ends_it() {
    const KEY: &str = "WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz";
    let protected = |phone: &str| {
        let phone = phone.replace("RTP/AVP", "RTP/SAVP");
        phone + &format!("a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}\r\n")
    };
    let mut bench = Bench::new(1, [false, true], Some(&protected(PHONE_A)));
    bench.media_answers(Side::Callee);
    bench.answer(Leg::Callee(0), protected(PHONE_B));
    bench.media_answers(Side::Callee);
    bench.media_answers(Side::Caller);
    bench.ordered(Ok(()));
    assert!(matches!(bench.call.phase, Phase::Established(_)));
    assert!(bench.seen.iter().any(|action| format!("{action:?}").contains("Accept")));
    let mut kept = bench.call.kept(bench.now).unwrap();
    let text = serde_json::to_string(&kept).unwrap();
    assert!(!text.contains("inline") && !text.contains(&KEY[..8]), "{text}");
    assert!(kept.phones.iter().all(|phone| phone.protected));
    kept.recording = None;
    let restored = |bench: &Bench| {
        let (id, limits) = (bench.call.interaction(), crate::config::Config::default().limits());
        Call::restored(id, &kept, limits, bench.now.wall.plus_ms(-900), 8, bench.now).unwrap()
    };
    for (status, expected) in
        [(481, vec!["end A", "end B0", "end MA", "end MB"]), (200, vec!["probe MA", "probe MB"])]
    {
        bench.call = restored(&bench);
        assert_eq!(bench.pass(Duration::ZERO), ["probe A", "probe B0"], "nothing can be told to them");
        assert!(bench.feed(Input::Probed { leg: Leg::Caller, status: 200 }).is_empty());
        let mut names = bench.feed(Input::Probed { leg: Leg::Callee(0), status });
        names.extend(bench.pass(Duration::ZERO));
        if status == 481 {
            let end = names.pop().unwrap();
            assert!(end.ends_with("ended SipServerLost -"), "{end}");
        }
        assert_eq!(names, expected);
    }
    // Without keys nobody can be told of another media server.
    let names = bench.feed(Input::Probed { leg: Leg::Media(Side::Caller), status: 481 });
    assert_eq!(names.last().unwrap(), "ended MediaServerLost -");
}
