//! The promises of the controller, against random inputs and a model that is too simple to be wrong.

use super::*;
use hindsight_wire::{
    Timestamp,
    agent::{AgentAction, InteractionView, Medium, Progress, RecordingState},
    component::RecordingAction,
    policy::OfflinePolicy,
};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

const CALLS: usize = 4;

/// Inputs in terms of four interactions.
#[derive(Clone, Debug)]
enum Step {
    SignIn,
    SignOut,
    LinkUp {
        offline: bool,
        between: bool,
        requests: bool,
    },
    LinkLost,
    Start(usize),
    Stop(usize),
    Pause(usize),
    Resume(usize),
    Press(usize),
    Release(usize),
    /// The server answers the oldest request, and does what it says.
    Answer {
        yes: bool,
    },
    /// The server tells of the interactions that it knows.
    Known,
    Rule(bool),
    Locked(bool),
    Room(u8),
    PartStarted,
    Ended {
        failed: bool,
    },
    Wait(u32),
    /// kill -9, and a new recorder with what was kept.
    Crash,
    QuitWhenIdle,
    Shutdown,
}

fn step() -> impl Strategy<Value = Step> {
    let call = || 0..CALLS;
    prop_oneof![
        3 => Just(Step::SignIn),
        1 => Just(Step::SignOut),
        4 => (any::<bool>(), any::<bool>(), prop::bool::weighted(0.8))
            .prop_map(|(offline, between, requests)| Step::LinkUp { offline, between, requests }),
        2 => Just(Step::LinkLost),
        6 => call().prop_map(Step::Start),
        3 => call().prop_map(Step::Stop),
        3 => call().prop_map(Step::Pause),
        3 => call().prop_map(Step::Resume),
        4 => call().prop_map(Step::Press),
        4 => call().prop_map(Step::Release),
        6 => any::<bool>().prop_map(|yes| Step::Answer { yes }),
        3 => Just(Step::Known),
        2 => any::<bool>().prop_map(Step::Rule),
        2 => any::<bool>().prop_map(Step::Locked),
        2 => (0..4u8).prop_map(Step::Room),
        4 => Just(Step::PartStarted),
        3 => any::<bool>().prop_map(|failed| Step::Ended { failed }),
        5 => prop_oneof![1..100u32, 1_000..20_000_000u32].prop_map(Step::Wait),
        1 => Just(Step::Crash),
        1 => Just(Step::QuitWhenIdle),
        1 => Just(Step::Shutdown),
    ]
}

/// What the outside knows: what was asked for, and what the actions made run.
#[derive(Default)]
struct Model {
    signed_in: bool,
    shut_down: bool,
    link_up: bool,
    /// Started and not stopped, and whether the server holds it paused.
    asked: BTreeMap<usize, bool>,
    /// Pressed at the window and neither pressed away with success, nor resumed by the server, nor over.
    pressed: BTreeSet<usize>,
    rule: bool,
    locked: bool,
    room_ends: bool,
    no_room: bool,
    /// Some policy since the start allows captures without an interaction.
    without_interaction: bool,
    runs: bool,
    finishing: bool,
    run_paused: bool,
    run_interactions: BTreeSet<InteractionId>,
    /// Which window's request is about what: the call, and whether it resumes.
    asks: BTreeMap<u64, (usize, bool)>,
    requests: Vec<(u64, AgentAction)>,
    kept_pauses: Vec<KeptPause>,
}

impl Model {
    fn apply(&mut self, actions: &[Action]) {
        for action in actions {
            match action {
                Action::Start(start) => {
                    assert!(!self.runs, "two captures at once");
                    assert!(!self.no_room, "begun without room");
                    assert!(!start.recipients.is_empty(), "sealed for nobody");
                    (self.runs, self.finishing, self.run_paused) = (true, false, start.paused.is_some());
                    self.run_interactions = start.interactions.iter().copied().collect();
                }
                Action::Mark(mark) => {
                    assert!(self.runs && !self.finishing, "a mark on nothing");
                    match mark {
                        Mark::Begin(id) => assert!(self.run_interactions.insert(*id)),
                        Mark::End(id) => assert!(self.run_interactions.remove(id)),
                        Mark::Pause { .. } => self.run_paused = true,
                        Mark::Resume => self.run_paused = false,
                    }
                }
                Action::Recipients(pem) => {
                    assert!(self.runs && !self.finishing && !pem.is_empty(), "sealed for nobody");
                }
                Action::NextPart => assert!(self.runs && !self.finishing),
                Action::Finish => {
                    assert!(self.runs && !self.finishing, "finished twice");
                    self.finishing = true;
                }
                Action::Request { request, action } => {
                    assert!(self.link_up, "asked of nobody");
                    self.requests.push((*request, action.clone()));
                }
                Action::Answer { ask, result } => {
                    let (call, resumes) =
                        self.asks.remove(ask).expect("answered once, and only what was asked");
                    if resumes && result.is_ok() {
                        self.pressed.remove(&call);
                    }
                }
                Action::KeepPauses(kept) => self.kept_pauses.clone_from(kept),
                Action::Send(_) | Action::Keep { .. } => {}
            }
        }
    }

    fn takes_pixels(&self) -> bool {
        self.runs && !self.finishing && !self.run_paused
    }
}

struct World {
    ids: Vec<InteractionId>,
    controller: Controller,
    model: Model,
    up: Duration,
    next_ask: u64,
}

impl World {
    fn new() -> Self {
        let ids = (0..CALLS).map(|_| InteractionId::new()).collect();
        Self {
            ids,
            controller: Controller::new(None),
            model: Model::default(),
            up: Duration::ZERO,
            next_ask: 0,
        }
    }

    fn now(&self) -> Moment {
        Moment { at: Timestamp(self.up.as_micros() as i64), up: self.up }
    }

    fn take(&mut self, input: Input) {
        let now = self.now();
        let actions = self.controller.handle(input, now, &mut CaptureId::new);
        self.model.apply(&actions);
    }

    fn press(&mut self, call: usize, action: RecordingAction) {
        let ask = self.next_ask;
        self.next_ask += 1;
        self.model.asks.insert(ask, (call, action == RecordingAction::Resume));
        if action == RecordingAction::Pause && self.model.asked.contains_key(&call) && self.model.signed_in {
            self.model.pressed.insert(call);
        }
        let action = AgentAction::Recording { interaction: self.ids[call], action, reason: String::new() };
        self.take(Input::Asked { ask, by: "ann".to_owned(), action });
    }

    fn policy(&self, offline: bool, between: bool) -> CapturePolicy {
        let keep = OfflinePolicy::Keep { max_minutes: 30 };
        let offline = if offline { keep } else { OfflinePolicy::None };
        CapturePolicy { offline, between_calls: between, ..CapturePolicy::default() }
    }

    fn known(&self) -> Vec<InteractionView> {
        let view = |(call, paused): (&usize, &bool)| InteractionView {
            id: self.ids[*call],
            medium: Medium::Voice,
            from: String::new(),
            to: String::new(),
            progress: Progress::Established,
            since: Timestamp(0),
            voice: if *paused { RecordingState::Paused } else { RecordingState::Recording },
            screen: RecordingState::Recording,
            calls: Vec::new(),
            holds: Vec::new(),
            recording: Vec::new(),
            attached: BTreeMap::new(),
        };
        self.model.asked.iter().map(view).collect()
    }

    fn answer(&mut self, yes: bool) {
        if self.model.requests.is_empty() {
            return;
        }
        let (request, action) = self.model.requests.remove(0);
        let AgentAction::Recording { interaction, action, .. } = action else { return };
        let call = self.ids.iter().position(|id| *id == interaction).expect("one of ours");
        if yes && self.model.link_up {
            match action {
                RecordingAction::Pause => self.server_pauses(call),
                RecordingAction::Resume => self.server_resumes(call),
                RecordingAction::Start | RecordingAction::Stop => {}
            }
        }
        let error = (!yes).then(|| "no".to_owned());
        self.take(Input::Answered { request, error });
    }

    fn server_pauses(&mut self, call: usize) {
        if let Some(paused) = self.model.asked.get_mut(&call) {
            *paused = true;
        }
        let interaction = self.ids[call];
        self.take(Input::Pause { interaction, by: "a".to_owned(), reason: "b".to_owned() });
    }

    fn server_resumes(&mut self, call: usize) {
        if let Some(paused) = self.model.asked.get_mut(&call) {
            *paused = false;
        }
        self.model.pressed.remove(&call);
        self.take(Input::Resume(self.ids[call]));
    }

    fn crash(&mut self) {
        let kept = std::mem::take(&mut self.model.kept_pauses);
        let offline = self.model.without_interaction;
        let policy = Some((self.policy(offline, false), vec!["A".to_owned()]));
        self.controller = Controller::new(policy).with_pauses(kept.clone());
        let pressed = std::mem::take(&mut self.model.pressed);
        let (locked, rule) = (self.model.locked, self.model.rule);
        let (no_room, room_ends) = (self.model.no_room, self.model.room_ends);
        self.model = Model {
            pressed,
            kept_pauses: kept,
            // What the server asked for comes again with the link; until then the recorder knows nothing of it.
            without_interaction: offline,
            ..Model::default()
        };
        // What a start finds out before anything else.
        self.model.locked = locked;
        self.take(Input::Locked(locked));
        self.model.rule = rule;
        self.take(Input::Rule(rule.then(|| "rule".to_owned())));
        (self.model.no_room, self.model.room_ends) = (no_room, room_ends);
        self.take(Input::Room { takes_new: !no_room, ends_running: room_ends });
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::SignIn => {
                self.model.signed_in = true;
                self.take(Input::SignedIn);
            }
            Step::SignOut => {
                (self.model.signed_in, self.model.link_up) = (false, false);
                (self.model.asked, self.model.pressed) = (BTreeMap::new(), BTreeSet::new());
                self.model.asks.clear();
                self.take(Input::SignedOut);
                self.take(Input::LinkLost);
            }
            Step::LinkUp { offline, between, requests } => {
                self.model.link_up = true;
                self.model.without_interaction |= offline || between;
                if !requests {
                    // Of a server without requests nothing is known but what it has captured.
                    let asked = &self.model.asked;
                    self.model.pressed.retain(|call| asked.contains_key(call));
                }
                let policy = Some(self.policy(offline, between));
                self.take(Input::LinkUp { policy, recipients: vec!["A".to_owned()], requests });
            }
            Step::LinkLost => {
                self.model.link_up = false;
                self.model.requests.clear();
                self.take(Input::LinkLost);
            }
            Step::Start(call) => {
                // Said again, a start ends a server's pause that is not renewed (tested apart): here it never is.
                self.model.asked.insert(call, false);
                let policy = CapturePolicy::default();
                let interaction = self.ids[call];
                self.take(Input::Start { interaction, recipients: vec!["A".to_owned()], policy });
            }
            Step::Stop(call) => {
                self.model.asked.remove(&call);
                self.model.pressed.remove(&call);
                self.take(Input::Stop(self.ids[call]));
            }
            Step::Pause(call) => self.server_pauses(call),
            Step::Resume(call) => self.server_resumes(call),
            Step::Press(call) => self.press(call, RecordingAction::Pause),
            Step::Release(call) => self.press(call, RecordingAction::Resume),
            Step::Answer { yes } => self.answer(yes),
            Step::Known => {
                let asked = &self.model.asked;
                self.model.pressed.retain(|call| asked.contains_key(call));
                // A voice that the server says goes on may end a pause: that is tested apart.
                for (call, paused) in asked {
                    if !paused {
                        self.model.pressed.remove(call);
                    }
                }
                self.take(Input::Known(self.known()));
            }
            Step::Rule(holds) => {
                self.model.rule = holds;
                self.take(Input::Rule(holds.then(|| "rule".to_owned())));
            }
            Step::Locked(locked) => {
                self.model.locked = locked;
                self.take(Input::Locked(locked));
            }
            Step::Room(room) => {
                (self.model.no_room, self.model.room_ends) = (room >= 2, room >= 3);
                self.take(Input::Room { takes_new: room < 2, ends_running: room >= 3 });
            }
            Step::PartStarted if self.model.runs => {
                let recordings = vec![RecordingId::new()];
                self.take(Input::PartStarted { part: 1, recordings, at: Timestamp(0) });
            }
            Step::Ended { failed } if self.model.runs && (failed || self.model.finishing) => {
                (self.model.runs, self.model.finishing) = (false, false);
                self.take(Input::Ended { error: failed.then(|| "x".to_owned()) });
            }
            Step::Wait(ms) => {
                self.up += Duration::from_millis(u64::from(ms));
                self.take(Input::Tick);
            }
            Step::Crash => self.crash(),
            Step::QuitWhenIdle => {
                // From then on it may end whenever nothing is asked for.
                self.take(Input::QuitWhenIdle);
            }
            Step::Shutdown => {
                self.model.shut_down = true;
                self.take(Input::Shutdown);
            }
            Step::PartStarted | Step::Ended { .. } => self.take(Input::Tick),
        }
    }

    fn check(&self) -> Result<(), TestCaseError> {
        let model = &self.model;
        if model.takes_pixels() {
            prop_assert!(model.signed_in && !model.shut_down, "nobody sits there");
            prop_assert!(!model.asked.is_empty() || model.without_interaction, "no reason");
            prop_assert!(!model.rule && !model.locked, "pixels of a forbidden window or a locked session");
            prop_assert!(model.pressed.is_empty(), "pixels while a person has pressed pause");
            prop_assert!(!model.room_ends, "pixels with no room");
            // What the limit without link took back counts as not asked for.
            let paused = |(call, paused): (&usize, &bool)| {
                *paused && model.run_interactions.contains(&self.ids[*call])
            };
            prop_assert!(!model.asked.iter().any(paused), "pixels while the server holds a pause");
        }
        if model.runs && !model.finishing {
            for id in &model.run_interactions {
                prop_assert!(
                    model.asked.keys().any(|call| self.ids[*call] == *id),
                    "owned by nobody who asked"
                );
            }
        }
        Ok(())
    }

    /// Whatever came before: once somebody sits there, the link is open, there is room, and everything that holds the
    /// pixels back is lifted, what is asked for is captured.
    fn ends_well(&mut self) -> Result<(), TestCaseError> {
        if self.model.shut_down {
            return Ok(());
        }
        self.step(Step::SignIn);
        self.step(Step::Room(0));
        self.step(Step::Rule(false));
        self.step(Step::Locked(false));
        self.step(Step::LinkUp { offline: false, between: false, requests: true });
        self.step(Step::Start(0));
        self.step(Step::Known);
        while !self.model.requests.is_empty() {
            self.answer(true);
        }
        for call in 0..CALLS {
            self.step(Step::Release(call));
        }
        while !self.model.requests.is_empty() {
            self.answer(true);
        }
        for _ in 0..4 {
            self.step(Step::Ended { failed: false });
            self.step(Step::Wait(61_000));
        }
        if self.controller.is_done() {
            return Ok(());
        }
        prop_assert!(self.model.takes_pixels(), "asked for, held back by nothing, and not captured");
        prop_assert!(self.model.asks.is_empty(), "a window waits for ever");
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, max_shrink_iters: 20_000, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_captured_without_a_reason_nor_while_anything_is_paused(
        steps in prop::collection::vec(step(), 1..120),
    ) {
        let mut world = World::new();
        for step in steps {
            world.step(step);
            world.check()?;
        }
        world.ends_well()?;
    }
}
