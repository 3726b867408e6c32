mod pauses;

use super::*;
use hindsight_wire::{
    agent::{AgentAction, InteractionView, Medium, Progress, RecordingState},
    component::RecordingAction,
    policy::OfflinePolicy,
};
use std::collections::BTreeMap;

struct Rig {
    controller: Controller,
    up: Duration,
}

impl Rig {
    fn signed_in() -> Self {
        let mut rig = Self { controller: Controller::new(None), up: Duration::from_secs(100) };
        rig.take(Input::SignedIn);
        rig.take(Input::LinkUp {
            policy: Some(CapturePolicy::default()),
            recipients: vec!["A".to_owned()],
            requests: true,
        });
        rig
    }

    fn take(&mut self, input: Input) -> Vec<Action> {
        let now = Moment { at: Timestamp(self.up.as_micros() as i64), up: self.up };
        self.controller.handle(input, now, &mut CaptureId::new)
    }

    fn after(&mut self, wait: Duration, input: Input) -> Vec<Action> {
        self.up += wait;
        self.take(input)
    }

    /// Starts, and waits until no pause can follow.
    fn start(&mut self, interaction: InteractionId) -> Vec<Action> {
        assert_eq!(self.take(start(interaction)), [], "a pause may follow");
        self.after(Duration::from_millis(40), Input::Tick)
    }

    fn started(&mut self) -> Vec<Action> {
        self.take(Input::PartStarted { part: 1, recordings: vec![RecordingId::new()], at: Timestamp(0) })
    }
}

fn start(interaction: InteractionId) -> Input {
    Input::Start { interaction, recipients: vec!["A".to_owned()], policy: CapturePolicy::default() }
}

fn pause(interaction: InteractionId) -> Input {
    Input::Pause { interaction, by: "alice".to_owned(), reason: "card".to_owned() }
}

#[test]
fn a_second_interaction_shares_the_capture_and_the_last_one_ends_it() {
    let mut rig = Rig::signed_in();
    let (call, chat) = (InteractionId::new(), InteractionId::new());
    let actions = rig.start(call);
    let [Action::Start(began)] = &actions[..] else { panic!("{actions:?}") };
    assert_eq!((began.part, &began.interactions[..]), (1, &[call][..]));
    assert!(matches!(&rig.started()[..], [Action::Send(Message::Started { .. })]));
    let actions = rig.start(chat);
    assert!(
        matches!(&actions[..], [Action::Mark(Mark::Begin(id)), Action::Send(Message::Started { .. })] if *id == chat)
    );
    let actions = rig.take(Input::Stop(call));
    assert!(
        matches!(&actions[..], [Action::Mark(Mark::End(id)), Action::Send(Message::Ended { .. })] if *id == call)
    );
    assert_eq!(rig.take(Input::Stop(chat)), [Action::Finish]);
    let actions = rig.take(Input::Ended { error: None });
    let [Action::Send(Message::Ended { interactions, error: None, .. })] = &actions[..] else {
        panic!("{actions:?}")
    };
    assert_eq!(interactions, &[chat]);
}

#[test]
fn one_pause_holds_for_all_and_a_call_that_begins_paused_begins_without_pixels() {
    let mut rig = Rig::signed_in();
    let (call, chat) = (InteractionId::new(), InteractionId::new());
    rig.start(call);
    rig.started();
    assert!(matches!(&rig.take(pause(call))[..], [Action::Mark(Mark::Pause { .. })]));
    rig.start(chat);
    assert_eq!(rig.take(Input::Resume(chat)), []);
    let actions = rig.take(Input::Stop(call));
    assert_eq!(actions.last(), Some(&Action::Mark(Mark::Resume)), "the paused one is gone");
    rig.take(pause(chat));
    rig.take(Input::Ended { error: Some("display lost".to_owned()) });
    let actions = rig.after(Duration::from_secs(3), Input::Tick);
    let [Action::Start(again)] = &actions[..] else { panic!("{actions:?}") };
    assert_eq!(again.paused, Some(("alice".to_owned(), "card".to_owned())));
    assert_eq!(again.part, 2, "it goes on in the next part of the same capture");
}

#[test]
fn a_long_call_opens_new_parts_and_without_a_link_it_ends_at_the_limit() {
    let mut rig = Rig::signed_in();
    rig.start(InteractionId::new());
    rig.started();
    let limit = Duration::from_secs(240 * 60);
    assert_eq!(rig.after(limit - Duration::from_secs(1), Input::Tick), []);
    assert_eq!(rig.after(Duration::from_secs(1), Input::Tick), [Action::NextPart]);
    rig.take(Input::LinkLost);
    assert_eq!(rig.after(limit, Input::Tick), [Action::Finish]);
}

#[test]
fn without_offline_policy_the_gap_is_reported_and_nothing_is_captured() {
    let mut rig = Rig::signed_in();
    rig.take(Input::LinkLost);
    assert_eq!(rig.after(Duration::from_secs(600), Input::Tick), []);
    let actions = rig.take(Input::LinkUp { policy: None, recipients: vec![], requests: true });
    let [Action::Send(Message::WasOffline { from, to, captures })] = &actions[..] else {
        panic!("{actions:?}")
    };
    assert_eq!((to.ms_since(*from), captures.len()), (600_000, 0));
}

#[test]
fn a_start_without_the_server_captures_by_the_kept_policy() {
    let offline = OfflinePolicy::Keep { max_minutes: 10 };
    let policy = CapturePolicy { offline, ..CapturePolicy::default() };
    let kept = Some((policy, vec!["A".to_owned()]));
    let mut rig = Rig { controller: Controller::new(kept), up: Duration::from_secs(100) };
    rig.take(Input::SignedIn);
    assert_eq!(rig.take(Input::LinkLost), []);
    let actions = rig.after(Duration::from_secs(2), Input::Tick);
    let [Action::Start(began)] = &actions[..] else { panic!("{actions:?}") };
    let capture = began.capture;
    rig.started();
    let actions = rig
        .after(Duration::from_secs(60), Input::LinkUp { policy: None, recipients: vec![], requests: true });
    assert!(actions.iter().any(|action| matches!(action,
        Action::Send(Message::WasOffline { captures, .. }) if captures == &[capture])));
}

#[test]
fn the_offline_policy_keeps_up_to_its_limit_and_hands_over_to_the_call_under_way() {
    let mut rig = Rig::signed_in();
    let policy =
        CapturePolicy { offline: OfflinePolicy::Keep { max_minutes: 10 }, ..CapturePolicy::default() };
    rig.take(Input::LinkUp {
        policy: Some(policy.clone()),
        recipients: vec!["A".to_owned()],
        requests: true,
    });
    rig.take(Input::LinkLost);
    assert_eq!(
        rig.after(Duration::from_millis(400), Input::Tick),
        [],
        "a link that comes back at once was not away"
    );
    let actions = rig.after(Duration::from_secs(2), Input::Tick);
    let [Action::Start(began)] = &actions[..] else { panic!("{actions:?}") };
    assert!(began.interactions.is_empty() && began.recipients == ["A"]);
    let capture = began.capture;
    rig.started();
    let actions = rig.after(
        Duration::from_secs(60),
        Input::LinkUp { policy: Some(policy.clone()), recipients: vec!["A".to_owned()], requests: true },
    );
    assert!(actions.iter().any(|action| matches!(action,
        Action::Send(Message::WasOffline { captures, .. }) if captures == &[capture])));
    let call = InteractionId::new();
    let actions = rig.start(call);
    assert!(matches!(&actions[..], [Action::Mark(Mark::Begin(_)), Action::Send(_)]), "{actions:?}");
    assert_eq!(rig.after(Duration::from_secs(60), Input::Tick), []);
    rig.take(Input::Stop(call));
    rig.take(Input::Ended { error: None });
    rig.take(Input::LinkLost);
    assert!(matches!(&rig.after(Duration::from_secs(4), Input::Tick)[..], [Action::Start(_)]));
    rig.started();
    assert_eq!(rig.after(Duration::from_secs(600), Input::Tick), [Action::Finish], "the limit");
}

#[test]
fn a_capture_that_a_crash_cut_goes_on_as_the_next_part() {
    let mut rig = Rig::signed_in();
    let (call, old, recording) = (InteractionId::new(), CaptureId::new(), RecordingId::new());
    rig.take(Input::Recovered(Continuation {
        capture: old,
        last_part: 3,
        recordings: vec![Some(recording)],
        interactions: vec![call],
    }));
    let actions = rig.start(call);
    let [Action::Start(again)] = &actions[..] else { panic!("{actions:?}") };
    assert_eq!((again.capture, again.part, &again.previous[..]), (old, 4, &[Some(recording)][..]));
}

#[test]
fn another_recipient_opens_a_new_part() {
    let mut rig = Rig::signed_in();
    rig.start(InteractionId::new());
    rig.started();
    let (interaction, policy) = (InteractionId::new(), CapturePolicy::default());
    rig.take(Input::Start { interaction, recipients: vec!["B".to_owned()], policy });
    let actions = rig.after(Duration::from_millis(40), Input::Tick);
    assert_eq!(actions.last(), Some(&Action::Recipients(vec!["A".to_owned(), "B".to_owned()])));
}

#[test]
fn what_happens_without_a_link_is_told_when_it_is_back() {
    let mut rig = Rig::signed_in();
    rig.start(InteractionId::new());
    rig.take(Input::LinkLost);
    assert_eq!(rig.started(), []);
    let actions = rig.take(Input::LinkUp { policy: None, recipients: vec![], requests: true });
    assert!(actions.iter().any(|action| matches!(action, Action::Send(Message::Started { .. }))));
}

#[test]
fn the_program_ends_when_the_capture_has() {
    let mut rig = Rig::signed_in();
    rig.start(InteractionId::new());
    rig.started();
    assert_eq!(rig.take(Input::Shutdown), [Action::Finish]);
    assert!(!rig.controller.is_done());
    rig.take(Input::Ended { error: None });
    assert!(rig.controller.is_done());
}

#[test]
fn a_call_that_is_paused_when_it_is_named_gives_no_pixel() {
    let mut rig = Rig::signed_in();
    let call = InteractionId::new();
    assert_eq!(rig.take(start(call)), []);
    assert_eq!(rig.after(Duration::from_millis(30), pause(call)), []);
    let actions = rig.after(Duration::from_millis(10), Input::Tick);
    let [Action::Start(began)] = &actions[..] else { panic!("{actions:?}") };
    assert!(began.paused.is_some());
}

#[test]
fn a_pause_outlives_a_lost_link_and_ends_when_the_server_does_not_renew_it() {
    let mut rig = Rig::signed_in();
    let call = InteractionId::new();
    rig.start(call);
    rig.started();
    rig.take(pause(call));
    for renewed in [true, false] {
        rig.take(Input::LinkLost);
        rig.after(
            Duration::from_secs(60),
            Input::LinkUp { policy: None, recipients: vec![], requests: true },
        );
        assert_eq!(rig.take(start(call)), []);
        if renewed {
            assert_eq!(rig.take(pause(call)), []);
        }
        let expected = if renewed { vec![] } else { vec![Action::Mark(Mark::Resume)] };
        assert_eq!(rig.after(Duration::from_secs(2), Input::Tick), expected);
    }
}

#[test]
fn a_failure_that_repeats_is_told_once_and_tried_ever_more_seldom() {
    let mut rig = Rig::signed_in();
    rig.start(InteractionId::new());
    let failed = || Input::Ended { error: Some("no display".to_owned()) };
    assert!(matches!(&rig.take(failed())[..], [Action::Send(Message::Ended { error: Some(_), .. })]));
    for wait in [2, 4, 8, 16, 32, 60, 60] {
        assert_eq!(rig.after(Duration::from_secs(wait) - Duration::from_millis(1), Input::Tick), []);
        let actions = rig.after(Duration::from_millis(1), Input::Tick);
        let [Action::Start(again)] = &actions[..] else { panic!("{actions:?}") };
        assert_eq!(again.part, 1, "no part came of it");
        assert_eq!(rig.take(failed()), []);
    }
    rig.after(Duration::from_secs(60), Input::Tick);
    rig.started();
    assert!(matches!(&rig.take(failed())[..], [Action::Send(Message::Ended { .. })]), "a failure of its own");
}

fn view(id: InteractionId, voice: RecordingState) -> InteractionView {
    InteractionView {
        id,
        medium: Medium::Voice,
        from: "2001".to_owned(),
        to: "1001".to_owned(),
        progress: Progress::Established,
        since: Timestamp(0),
        voice,
        screen: RecordingState::Recording,
        calls: Vec::new(),
        holds: Vec::new(),
        recording: Vec::new(),
        attached: BTreeMap::new(),
    }
}

fn press(ask: u64, interaction: InteractionId, action: RecordingAction) -> Input {
    let action = AgentAction::Recording { interaction, action, reason: "card".to_owned() };
    Input::Asked { ask, by: "ann".to_owned(), action }
}

/// A rig with a running capture for one call.
fn in_call() -> (Rig, InteractionId) {
    let (mut rig, call) = (Rig::signed_in(), InteractionId::new());
    rig.start(call);
    rig.started();
    rig.take(Input::Known(vec![view(call, RecordingState::Recording)]));
    (rig, call)
}

#[test]
fn a_full_disk_ends_the_capture_last_and_it_goes_on_as_the_same_when_there_is_room() {
    let (mut rig, _) = in_call();
    assert_eq!(rig.take(Input::Room { takes_new: false, ends_running: false }), [], "what runs goes on");
    assert_eq!(rig.take(Input::Room { takes_new: false, ends_running: true }), [Action::Finish]);
    let actions = rig.take(Input::Ended { error: None });
    assert!(matches!(&actions[..], [Action::Send(Message::Ended { error: Some(_), .. })]), "{actions:?}");
    assert_eq!(rig.after(Duration::from_secs(60), Input::Tick), []);
    assert_eq!(rig.controller.capture_state(), CaptureState::Failed);
    let actions = rig.take(Input::Room { takes_new: true, ends_running: false });
    let [Action::Start(again)] = &actions[..] else { panic!("{actions:?}") };
    assert_eq!(again.part, 2);
}

#[test]
fn a_call_that_finds_no_room_is_told_to_the_server_once() {
    let mut rig = Rig::signed_in();
    rig.take(Input::Room { takes_new: false, ends_running: false });
    let actions = rig.start(InteractionId::new());
    assert!(matches!(&actions[..], [Action::Send(Message::Ended { capture: None, error: Some(_), .. })]));
    assert_eq!(rig.after(Duration::from_secs(60), Input::Tick), []);
    assert!(matches!(
        &rig.take(Input::Room { takes_new: true, ends_running: false })[..],
        [Action::Start(_)]
    ));
}

#[test]
fn between_calls_is_captured_by_policy_and_by_one_capture() {
    let mut rig = Rig::signed_in();
    let policy = CapturePolicy { between_calls: true, ..CapturePolicy::default() };
    let actions = rig.take(Input::Policy { policy, recipients: vec!["A".to_owned()] });
    let Some(Action::Start(began)) = actions.last() else { panic!("{actions:?}") };
    assert!(began.interactions.is_empty());
    rig.started();
    let call = InteractionId::new();
    assert!(matches!(&rig.start(call)[..], [Action::Mark(Mark::Begin(_)), Action::Send(_)]));
    assert!(matches!(&rig.take(Input::Stop(call))[..], [Action::Mark(Mark::End(_)), Action::Send(_)]));
    rig.take(Input::LinkLost);
    assert_eq!(rig.after(Duration::from_secs(29), Input::Tick), []);
    assert_eq!(
        rig.after(Duration::from_secs(1), Input::Tick),
        [Action::Finish],
        "then the offline policy holds"
    );
}

#[test]
fn an_update_waits_for_the_end_of_the_call_and_not_for_the_time_between() {
    let (mut rig, call) = in_call();
    let policy = CapturePolicy { between_calls: true, ..CapturePolicy::default() };
    rig.take(Input::Policy { policy, recipients: vec!["A".to_owned()] });
    assert_eq!(rig.take(Input::QuitWhenIdle), []);
    assert_eq!(rig.after(Duration::from_secs(60), Input::Tick), []);
    assert!(!rig.controller.is_done());
    assert_eq!(rig.take(Input::Stop(call)).last(), Some(&Action::Finish));
    rig.take(Input::Ended { error: None });
    assert!(rig.controller.is_done());
}

#[test]
fn signing_out_ends_the_capture_and_forgets_its_reasons() {
    let (mut rig, call) = in_call();
    rig.take(press(1, call, RecordingAction::Pause));
    assert_eq!(rig.take(Input::SignedOut), [Action::Finish, Action::KeepPauses(vec![])]);
    assert!(matches!(&rig.take(Input::Ended { error: None })[..], [Action::Send(Message::Ended { .. })]));
    assert_eq!(rig.take(Input::SignedIn), []);
    assert_eq!(rig.after(Duration::from_secs(1), Input::Tick), []);
}
