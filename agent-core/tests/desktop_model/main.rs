//! The whole desktop but its threads and sockets: the real controller, sealing and spool, the real state machine of each
//! upload, a person, a server and a clock that are random. Promised, whatever happens:
//!
//! - nothing is captured without a reason, and nothing of what a screen shows while anything is paused is recorded,
//! - nothing is deleted before the server has all of it and has said so,
//! - nothing that a screen showed lies in the clear in any file.

// A test's fixtures may fail the test; clippy knows only the test functions themselves.
#![allow(clippy::unwrap_used)]

mod recorder;
mod server;

use hindsight_agent_core::controller::{Input, KeptPause, Moment};
use hindsight_wire::{
    InteractionId, Timestamp,
    agent::AgentAction,
    component::RecordingAction,
    policy::{CapturePolicy, OfflinePolicy},
};
use proptest::prelude::*;
use recorder::Recorder;
use server::Server;
use std::{collections::BTreeSet, time::Duration};

const CALLS: usize = 3;

#[derive(Clone, Debug)]
enum Step {
    SignIn,
    SignOut,
    LinkUp {
        offline: bool,
        between: bool,
    },
    LinkLost,
    Start(usize),
    Stop(usize),
    Press(usize),
    Release(usize),
    Answer(bool),
    Rule(bool),
    Locked(bool),
    Room(u8),
    /// The screens change this often.
    Show(u8),
    /// The capture, told to end, has ended; or it broke.
    Ended {
        broke: bool,
    },
    Wait(u32),
    /// Requests of the uploads, and how the network and the server treat each.
    Upload(Vec<u8>),
    Crash,
}

fn step() -> impl Strategy<Value = Step> {
    let call = || 0..CALLS;
    prop_oneof![
        3 => Just(Step::SignIn),
        1 => Just(Step::SignOut),
        4 => (any::<bool>(), any::<bool>()).prop_map(|(offline, between)| Step::LinkUp { offline, between }),
        2 => Just(Step::LinkLost),
        6 => call().prop_map(Step::Start),
        2 => call().prop_map(Step::Stop),
        4 => call().prop_map(Step::Press),
        4 => call().prop_map(Step::Release),
        5 => any::<bool>().prop_map(Step::Answer),
        2 => any::<bool>().prop_map(Step::Rule),
        2 => any::<bool>().prop_map(Step::Locked),
        2 => (0..4u8).prop_map(Step::Room),
        10 => (1..40u8).prop_map(Step::Show),
        4 => prop::bool::weighted(0.2).prop_map(|broke| Step::Ended { broke }),
        4 => (1..60_000u32).prop_map(Step::Wait),
        5 => prop::collection::vec(any::<u8>(), 1..20).prop_map(Step::Upload),
        1 => Just(Step::Crash),
    ]
}

/// What holds the pixels back, as the person at the screen knows it.
#[derive(Default)]
struct Person {
    signed_in: bool,
    link_up: bool,
    asked: BTreeSet<usize>,
    pressed: BTreeSet<usize>,
    rule: bool,
    locked: bool,
    without_interaction: bool,
    room_ends: bool,
}

impl Person {
    /// Nothing that is shown now may be recorded.
    fn forbids(&self) -> bool {
        !self.signed_in
            || self.rule
            || self.locked
            || self.room_ends
            || !self.pressed.is_empty()
            || (self.asked.is_empty() && !self.without_interaction)
    }
}

struct World {
    ids: Vec<InteractionId>,
    person: Person,
    recorder: Recorder,
    server: Server,
    up: Duration,
    next_ask: u64,
    requests: Vec<(u64, AgentAction)>,
    /// A window's request: which call it resumes, if it does.
    asks: Vec<(u64, Option<usize>)>,
    kept: Vec<KeptPause>,
}

impl World {
    fn new() -> Self {
        Self {
            ids: (0..CALLS).map(|_| InteractionId::new()).collect(),
            person: Person::default(),
            recorder: Recorder::new(),
            server: Server::default(),
            up: Duration::from_secs(10),
            next_ask: 0,
            requests: Vec::new(),
            asks: Vec::new(),
            kept: Vec::new(),
        }
    }

    fn take(&mut self, input: Input) {
        use hindsight_agent_core::controller::Action;
        let now = Moment { at: Timestamp(self.up.as_micros() as i64), up: self.up };
        for action in self.recorder.take(input, now) {
            match action {
                Action::Request { request, action } => self.requests.push((request, action)),
                Action::Answer { ask, result } => {
                    let at = self.asks.iter().position(|(asked, _)| *asked == ask).expect("it was asked");
                    if let (_, Some(call)) = self.asks.remove(at)
                        && result.is_ok()
                    {
                        self.person.pressed.remove(&call);
                    }
                }
                Action::KeepPauses(kept) => self.kept = kept,
                _ => {}
            }
        }
    }

    fn policy(offline: bool, between: bool) -> CapturePolicy {
        let offline = if offline { OfflinePolicy::Keep { max_minutes: 30 } } else { OfflinePolicy::None };
        CapturePolicy { offline, between_calls: between, ..CapturePolicy::default() }
    }

    fn press(&mut self, call: usize, action: RecordingAction) {
        let ask = self.next_ask;
        self.next_ask += 1;
        self.asks.push((ask, (action == RecordingAction::Resume).then_some(call)));
        if action == RecordingAction::Pause && self.person.asked.contains(&call) {
            self.person.pressed.insert(call);
        }
        let action =
            AgentAction::Recording { interaction: self.ids[call], action, reason: "card".to_owned() };
        self.take(Input::Asked { ask, by: "ann".to_owned(), action });
    }

    fn answer(&mut self, yes: bool) {
        if self.requests.is_empty() || !self.person.link_up {
            return;
        }
        let (request, AgentAction::Recording { interaction, action, .. }) = self.requests.remove(0) else {
            return;
        };
        match action {
            RecordingAction::Pause if yes => {
                self.take(Input::Pause { interaction, by: "ann".to_owned(), reason: "card".to_owned() });
            }
            RecordingAction::Resume if yes => {
                let call = self.ids.iter().position(|id| *id == interaction).expect("ours");
                self.person.pressed.remove(&call);
                self.take(Input::Resume(interaction));
            }
            _ => {}
        }
        self.take(Input::Answered { request, error: (!yes).then(|| "no".to_owned()) });
    }

    fn crash(&mut self) {
        let person = std::mem::take(&mut self.person);
        (self.requests, self.asks) = (Vec::new(), Vec::new());
        let policy = Self::policy(person.without_interaction, false);
        self.recorder.crash(policy, self.kept.clone());
        self.server.forget_connections();
        self.person = Person {
            pressed: person.pressed,
            without_interaction: person.without_interaction,
            ..Person::default()
        };
        self.step(Step::Locked(person.locked));
        self.step(Step::Rule(person.rule));
        self.step(Step::Room(if person.room_ends { 3 } else { 0 }));
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::SignIn => {
                self.person.signed_in = true;
                self.take(Input::SignedIn);
            }
            Step::SignOut => {
                self.asks.clear();
                self.person.signed_in = false;
                self.person.link_up = false;
                self.person.asked.clear();
                self.person.pressed.clear();
                self.take(Input::SignedOut);
                self.take(Input::LinkLost);
            }
            Step::LinkUp { offline, between } => {
                self.person.link_up = true;
                self.person.without_interaction |= offline || between;
                let policy = Some(Self::policy(offline, between));
                let recipients = vec![self.recorder.recipient.clone()];
                self.take(Input::LinkUp { policy, recipients, requests: true });
            }
            Step::LinkLost => {
                self.person.link_up = false;
                self.requests.clear();
                self.take(Input::LinkLost);
            }
            Step::Start(call) => {
                self.person.asked.insert(call);
                let (interaction, policy) = (self.ids[call], CapturePolicy::default());
                let recipients = vec![self.recorder.recipient.clone()];
                self.take(Input::Start { interaction, recipients, policy });
            }
            Step::Stop(call) => {
                self.person.asked.remove(&call);
                self.person.pressed.remove(&call);
                self.take(Input::Stop(self.ids[call]));
            }
            Step::Press(call) => self.press(call, RecordingAction::Pause),
            Step::Release(call) => self.press(call, RecordingAction::Resume),
            Step::Answer(yes) => self.answer(yes),
            Step::Rule(holds) => {
                self.person.rule = holds;
                self.take(Input::Rule(holds.then(|| "rule".to_owned())));
            }
            Step::Locked(locked) => {
                self.person.locked = locked;
                self.take(Input::Locked(locked));
            }
            Step::Room(room) => {
                self.person.room_ends = room >= 3;
                self.take(Input::Room { takes_new: room < 2, ends_running: room >= 3 });
            }
            Step::Show(pictures) => {
                for _ in 0..pictures {
                    self.recorder.show(self.person.forbids());
                }
                if let Some(input) = self.recorder.part_started() {
                    self.take(input);
                }
            }
            Step::Ended { broke } => {
                if let Some(input) = self.recorder.end(broke) {
                    self.take(input);
                }
            }
            Step::Wait(ms) => {
                self.up += Duration::from_millis(u64::from(ms));
                self.take(Input::Tick);
            }
            Step::Upload(fates) => self.server.exchange(&self.recorder, self.up, &fates),
            Step::Crash => self.crash(),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, max_shrink_iters: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn a_desktop_keeps_its_promises(steps in prop::collection::vec(step(), 1..80)) {
        let mut world = World::new();
        for step in steps {
            world.step(step);
        }
        world.step(Step::Ended { broke: true });
        world.recorder.nothing_in_the_clear()?;
        world.recorder.only_what_was_allowed()?;
        world.server.deleted_only_what_it_has(&world.recorder)?;
    }
}

/// What the random runs rest on: a plain day records, seals, uploads and deletes, so the promises are about something.
#[test]
fn a_plain_day_records_and_delivers() {
    let mut world = World::new();
    for step in [
        Step::SignIn,
        Step::LinkUp { offline: false, between: false },
        Step::Start(0),
        Step::Wait(50),
        Step::Show(30),
        Step::Press(0),
        Step::Show(30),
        Step::Answer(true),
        Step::Release(0),
        Step::Answer(true),
        Step::Show(30),
        Step::Stop(0),
        Step::Ended { broke: false },
    ] {
        world.step(step);
    }
    world.recorder.nothing_in_the_clear().unwrap();
    assert_eq!(world.recorder.only_what_was_allowed().unwrap(), 60);
    world.step(Step::Upload(vec![0; 200]));
    assert_eq!(world.server.deleted_only_what_it_has(&world.recorder).unwrap(), 1);
}
