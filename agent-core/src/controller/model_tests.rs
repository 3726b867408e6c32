//! The promises of the controller, against random inputs and a model that is too simple to be wrong.

use super::*;
use hindsight_wire::policy::OfflinePolicy;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

/// Inputs in terms of four interactions.
#[derive(Clone, Debug)]
enum Step {
    SignIn,
    LinkUp { offline: bool },
    LinkLost,
    Start(usize),
    Stop(usize),
    Pause(usize),
    Resume(usize),
    PartStarted,
    Ended { failed: bool },
    Wait(u32),
    Shutdown,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        1 => Just(Step::SignIn),
        2 => any::<bool>().prop_map(|offline| Step::LinkUp { offline }),
        2 => Just(Step::LinkLost),
        4 => (0..4usize).prop_map(Step::Start),
        3 => (0..4usize).prop_map(Step::Stop),
        3 => (0..4usize).prop_map(Step::Pause),
        3 => (0..4usize).prop_map(Step::Resume),
        3 => Just(Step::PartStarted),
        2 => any::<bool>().prop_map(|failed| Step::Ended { failed }),
        4 => (1..20_000u32).prop_map(Step::Wait),
        1 => Just(Step::Shutdown),
    ]
}

/// What the outside knows: what was asked for, and what the actions made run.
#[derive(Default)]
struct Model {
    signed_in: bool,
    shut_down: bool,
    asked: BTreeMap<usize, bool>,
    /// The link was lost, and the last policy allows captures without it.
    offline_allowed: bool,
    runs: bool,
    finishing: bool,
    run_paused: bool,
    run_interactions: BTreeSet<InteractionId>,
}

impl Model {
    fn apply(&mut self, actions: &[Action]) {
        for action in actions {
            match action {
                Action::Start(start) => {
                    assert!(!self.runs, "two captures at once");
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
                Action::NextPart | Action::Recipients(_) => assert!(self.runs && !self.finishing),
                Action::Finish => {
                    assert!(self.runs && !self.finishing, "finished twice");
                    self.finishing = true;
                }
                Action::Send(_) | Action::Keep { .. } => {}
            }
        }
    }

    fn takes_pixels(&self) -> bool {
        self.runs && !self.finishing && !self.run_paused
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_captured_without_a_reason_nor_while_one_is_paused(steps in prop::collection::vec(step(), 1..80)) {
        let ids: Vec<InteractionId> = (0..4).map(|_| InteractionId::new()).collect();
        let mut controller = Controller::new(None);
        let mut model = Model::default();
        let mut up = Duration::ZERO;
        let mut link_up = false;
        for step in steps {
            let input = match step {
                Step::SignIn => { model.signed_in = true; Input::SignedIn }
                Step::LinkUp { offline } => {
                    let keep = OfflinePolicy::Keep { max_minutes: 30 };
                    let offline_policy = if offline { keep } else { OfflinePolicy::None };
                    link_up = true;
                    model.offline_allowed |= offline;
                    let policy = CapturePolicy { offline: offline_policy, ..CapturePolicy::default() };
                    Input::LinkUp { policy: Some(policy), recipients: vec!["A".to_owned()] }
                }
                Step::LinkLost => { link_up = false; Input::LinkLost }
                Step::Start(n) => {
                    // Said again, a start ends a pause that is not renewed (tested apart): here it never is.
                    model.asked.insert(n, false);
                    let policy = CapturePolicy::default();
                    Input::Start { interaction: ids[n], recipients: vec!["A".to_owned()], policy }
                }
                Step::Stop(n) => { model.asked.remove(&n); Input::Stop(ids[n]) }
                Step::Pause(n) => {
                    if let Some(paused) = model.asked.get_mut(&n) { *paused = true; }
                    Input::Pause { interaction: ids[n], by: "a".to_owned(), reason: "b".to_owned() }
                }
                Step::Resume(n) => {
                    if let Some(paused) = model.asked.get_mut(&n) { *paused = false; }
                    Input::Resume(ids[n])
                }
                Step::PartStarted if model.runs => {
                    Input::PartStarted { part: 1, recordings: vec![RecordingId::new()], at: Timestamp(0) }
                }
                Step::Ended { failed } if model.runs && (failed || model.finishing) => {
                    (model.runs, model.finishing) = (false, false);
                    Input::Ended { error: failed.then(|| "x".to_owned()) }
                }
                Step::Wait(seconds) => { up += Duration::from_secs(u64::from(seconds)); Input::Tick }
                Step::Shutdown => { model.shut_down = true; Input::Shutdown }
                Step::PartStarted | Step::Ended { .. } => Input::Tick,
            };
            let now = Moment { at: Timestamp(up.as_micros() as i64), up };
            let actions = controller.handle(input, now, &mut CaptureId::new);
            model.apply(&actions);
            if model.takes_pixels() {
                prop_assert!(model.signed_in && !model.shut_down);
                prop_assert!(!model.asked.is_empty() || model.offline_allowed, "no reason");
                // What the limit without link took back counts as not asked for.
                let paused = model.asked.iter().any(|(n, paused)| *paused && model.run_interactions.contains(&ids[*n]));
                prop_assert!(!paused, "pixels while paused");
            }
            if model.runs && !model.finishing {
                for id in &model.run_interactions {
                    prop_assert!(model.asked.keys().any(|n| ids[*n] == *id), "owned by nobody who asked");
                }
            }
            if link_up && model.signed_in && !model.shut_down && !model.runs {
                // Wanted and not running: only while a failed capture waits for its next try.
                let later = Moment { at: now.at, up: up + Duration::from_secs(61) };
                if !controller.reasons.interactions(later.up).is_empty() {
                    up += Duration::from_secs(61);
                    model.apply(&controller.handle(Input::Tick, later, &mut CaptureId::new));
                    prop_assert!(model.runs, "wanted and never started");
                }
            }
        }
    }
}
