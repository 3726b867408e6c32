//! Pauses that people press and rules ask for: of the screens, and of the voice, which the server is asked for.

use super::*;

fn requested(actions: &[Action]) -> Vec<(u64, RecordingAction)> {
    let request = |action: &Action| match action {
        Action::Request { request, action: AgentAction::Recording { action, .. } } => {
            Some((*request, *action))
        }
        _ => None,
    };
    actions.iter().filter_map(request).collect()
}

fn answers(actions: &[Action]) -> Vec<(u64, Result<(), String>)> {
    let answer = |action: &Action| match action {
        Action::Answer { ask, result } => Some((*ask, result.clone())),
        _ => None,
    };
    actions.iter().filter_map(answer).collect()
}

#[test]
fn a_pause_pressed_stops_the_pixels_first_and_then_asks_for_the_voice() {
    let (mut rig, call) = in_call();
    let actions = rig.take(press(7, call, RecordingAction::Pause));
    assert!(
        matches!(&actions[0], Action::Mark(Mark::Pause { by, reason }) if by == "ann" && reason == "card")
    );
    let [(request, RecordingAction::Pause)] = requested(&actions)[..] else { panic!("{actions:?}") };
    assert_eq!(rig.controller.capture_state(), CaptureState::Paused);
    assert_eq!(rig.take(pause(call)), [], "the server's own pause changes nothing");
    assert_eq!(answers(&rig.take(Input::Answered { request, error: None })), [(7, Ok(()))]);
    rig.take(Input::Known(vec![view(call, RecordingState::Paused)]));
    let actions = rig.take(press(8, call, RecordingAction::Resume));
    let [(request, RecordingAction::Resume)] = requested(&actions)[..] else { panic!("{actions:?}") };
    assert_eq!(rig.controller.capture_state(), CaptureState::Paused, "until the voice goes on");
    assert_eq!(rig.take(Input::Resume(call)).first(), Some(&Action::Mark(Mark::Resume)));
    assert_eq!(answers(&rig.take(Input::Answered { request, error: None })), [(8, Ok(()))]);
    assert_eq!(rig.controller.capture_state(), CaptureState::Recording);
}

#[test]
fn screens_stay_paused_when_the_server_refuses_or_is_away_and_people_are_told() {
    let (mut rig, call) = in_call();
    let actions = rig.take(press(1, call, RecordingAction::Pause));
    let [(request, _)] = requested(&actions)[..] else { panic!("{actions:?}") };
    let error = Some("not allowed".to_owned());
    let told = answers(&rig.take(Input::Answered { request, error }));
    assert!(matches!(&told[..], [(1, Err(reason))] if reason.contains("the voice is not: not allowed")));
    assert_eq!(rig.controller.capture_state(), CaptureState::Paused);
    let now = Moment { at: Timestamp(0), up: rig.up };
    assert_eq!(rig.controller.pause(now).unwrap().voice_not.as_deref(), Some("not allowed"));
    // Asked again after a while, and with the next link: nobody pressed anything.
    assert_eq!(rig.after(Duration::from_secs(14), Input::Tick), []);
    let actions = rig.after(Duration::from_secs(1), Input::Tick);
    let [(request, RecordingAction::Pause)] = requested(&actions)[..] else { panic!("{actions:?}") };
    rig.take(Input::Answered { request, error: Some("not allowed".to_owned()) });
    rig.take(Input::LinkLost);
    let actions = rig.take(Input::LinkUp { policy: None, recipients: vec![], requests: true });
    let [(request, RecordingAction::Pause)] = requested(&actions)[..] else { panic!("{actions:?}") };
    rig.take(Input::LinkLost);
    assert_eq!(rig.take(Input::Answered { request, error: None }), [], "of a link that is gone");
    // Pressed away without a link: the voice was never paused, so nothing is held back.
    let actions = rig.take(press(2, call, RecordingAction::Resume));
    assert_eq!(answers(&actions), [(2, Ok(()))]);
    assert_eq!(rig.controller.capture_state(), CaptureState::Recording);
    // Pressed without a link: the screens are paused at once.
    let actions = rig.take(press(3, call, RecordingAction::Pause));
    assert!(matches!(&actions[0], Action::Mark(Mark::Pause { .. })));
    assert!(matches!(&answers(&actions)[..], [(3, Err(_))]));
}

#[test]
fn a_voice_that_is_paused_keeps_the_screens_paused_while_it_cannot_be_resumed() {
    let (mut rig, call) = in_call();
    let actions = rig.take(press(1, call, RecordingAction::Pause));
    rig.take(Input::Answered { request: requested(&actions)[0].0, error: None });
    rig.take(Input::LinkLost);
    let actions = rig.take(press(2, call, RecordingAction::Resume));
    assert!(matches!(&answers(&actions)[..], [(2, Err(_))]));
    assert_eq!(rig.controller.capture_state(), CaptureState::Paused);
    rig.take(Input::LinkUp { policy: None, recipients: vec![], requests: true });
    let actions = rig.take(press(3, call, RecordingAction::Resume));
    let request = requested(&actions)[0].0;
    // No answer comes: given up, still paused.
    let actions = rig.after(Duration::from_secs(10), Input::Tick);
    assert!(matches!(&answers(&actions)[..], [(3, Err(_))]), "{request}");
    assert_eq!(rig.controller.capture_state(), CaptureState::Paused);
    rig.take(Input::Stop(call));
    rig.take(Input::Known(vec![]));
    assert_eq!(rig.controller.pause(Moment { at: Timestamp(0), up: rig.up }), None, "it ends with its call");
}

#[test]
fn a_window_in_front_pauses_voice_and_screens_and_only_what_it_paused_goes_on() {
    let (mut rig, call) = in_call();
    let chat = InteractionId::new();
    rig.start(chat);
    rig.take(Input::Known(vec![view(call, RecordingState::Recording), view(chat, RecordingState::Paused)]));
    let actions = rig.take(Input::Rule(Some("card form".to_owned())));
    assert!(matches!(&actions[0], Action::Mark(Mark::Pause { by, .. }) if by == "rule"));
    let [(request, RecordingAction::Pause)] = requested(&actions)[..] else { panic!("{actions:?}") };
    // Refused, the voice is asked for again after a while.
    rig.take(Input::Answered { request, error: Some("try again".to_owned()) });
    assert_eq!(rig.after(Duration::from_secs(14), Input::Tick), []);
    let actions = rig.after(Duration::from_secs(1), Input::Tick);
    let [(request, RecordingAction::Pause)] = requested(&actions)[..] else { panic!("{actions:?}") };
    rig.take(Input::Answered { request, error: None });
    let actions = rig.take(press(5, call, RecordingAction::Resume));
    assert!(matches!(&answers(&actions)[..], [(5, Err(_))]), "not while it is in front");
    let actions = rig.take(Input::Rule(None));
    let [(request, RecordingAction::Resume)] = requested(&actions)[..] else { panic!("{actions:?}") };
    // The link is lost before the answer: the voice is asked for again with the next one.
    rig.take(Input::LinkLost);
    let _ = request;
    let actions = rig.take(Input::LinkUp { policy: None, recipients: vec![], requests: true });
    assert!(matches!(&requested(&actions)[..], [(_, RecordingAction::Resume)]));
}

#[test]
fn a_locked_session_shows_no_pixel_and_asks_for_nothing() {
    let (mut rig, _) = in_call();
    assert!(
        matches!(&rig.take(Input::Locked(true))[..], [Action::Mark(Mark::Pause { by, .. })] if by == "system")
    );
    assert_eq!(rig.take(Input::Locked(false)), [Action::Mark(Mark::Resume)]);
}

#[test]
fn a_pause_pressed_before_a_crash_holds_from_the_first_moment_after_it() {
    let (mut rig, call) = in_call();
    let actions = rig.take(press(1, call, RecordingAction::Pause));
    let Some(Action::KeepPauses(kept)) = actions.last() else { panic!("{actions:?}") };
    let controller = Controller::new(None).with_pauses(kept.clone());
    let mut rig = Rig { controller, up: Duration::from_secs(5) };
    rig.take(Input::SignedIn);
    let actions = rig.take(Input::LinkUp { policy: None, recipients: vec![], requests: true });
    assert!(
        matches!(&requested(&actions)[..], [(_, RecordingAction::Pause)]),
        "and the voice is asked for again"
    );
    let actions = rig.start(call);
    let [Action::Start(began)] = &actions[..] else { panic!("{actions:?}") };
    assert!(began.paused.is_some());
}
