//! The call against scripted legs: what each side sees, and that no order of messages, loss or hang-up leaves a leg behind.

use super::*;
use hindsight_wire::{
    Timestamp,
    agent::CallAction,
    component::{CallControl, RecordingAction, RecordingControl},
};
use std::{collections::BTreeMap, sync::OnceLock, time::Duration};

mod modify;
mod moving;
mod random;
mod recording;
mod setup;
mod transfer;
mod watch;

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
        let control = CallControl { interaction, dn: dn.to_owned(), action, to: None, by: "ann".into() };
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
            What::CallTransferred { by, to, .. } => format!("transferred {by} to {to}"),
            What::TransferFailed { by, to, status } => format!("not transferred {by} to {to} {status}"),
            What::RecordingStopped { voice_only: true, .. } => "recording-cut".to_owned(),
            What::CallRetrieved { by } => format!("retrieved {by}"),
            other => serde_json::to_value(other).unwrap()["type"].as_str().unwrap().to_owned(),
        },
        Action::Notify { leg: l, status } => format!("notify {} {status}", leg(l)),
        Action::Talk { leg: l } => format!("talk {}", leg(l)),
        Action::Farewell { request } => format!("farewell {request}"),
        Action::Result { request, error } => format!("result {request} {}", error.as_deref().unwrap_or("ok")),
    }
}

fn last_order(bench: &Bench) -> Order {
    let mut orders = bench.seen.iter().filter_map(|action| match action {
        Action::Order { order, .. } => Some(order.clone()),
        _ => None,
    });
    orders.next_back().unwrap()
}
