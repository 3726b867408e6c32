//! Recording commands and recordings that break.

use super::*;

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
