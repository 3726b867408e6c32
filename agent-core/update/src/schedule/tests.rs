use super::*;
use proptest::prelude::*;

fn version(text: &str) -> Version {
    text.parse().unwrap()
}

fn offer(text: &str) -> Offer {
    let package = Package {
        format: "deb".into(),
        architecture: "x86_64".into(),
        file: format!("{text}.deb"),
        size: 1,
        sha256: "00".repeat(32),
    };
    Offer { version: version(text), package }
}

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// An updater of 1.0.0 that has fetched 1.1.0 by second 1, with a call under way.
fn fetched_in_a_call() -> Updater {
    let mut updater = Updater::new(version("1.0.0"), at(0), 0.0);
    assert_eq!(updater.handle(Input::Busy(true), at(0)), [Action::Look, Action::Ask]);
    let actions = updater.handle(Input::Answered(Ok(Some(offer("1.1.0")))), at(0));
    assert!(actions.contains(&Action::Fetch(offer("1.1.0"))));
    assert_eq!(updater.handle(Input::Fetched(Ok(())), at(1)), []);
    updater
}

#[test]
fn an_update_waits_for_the_end_of_the_recording_and_a_quiet_moment() {
    let mut updater = fetched_in_a_call();
    assert!(updater.waits());
    assert_eq!(updater.next_tick(), None, "nothing but the end of the call brings it on");
    assert_eq!(updater.handle(Input::Tick, at(100_000)), []);
    assert_eq!(updater.handle(Input::Busy(false), at(100_000)), []);
    updater.handle(Input::Busy(true), at(100_005));
    assert_eq!(updater.handle(Input::Tick, at(100_030)), [], "the next call came at once");
    updater.handle(Input::Busy(false), at(100_100));
    assert_eq!(updater.handle(Input::Tick, at(100_119)), []);
    assert_eq!(updater.handle(Input::Tick, at(100_120)), [Action::HandOver(offer("1.1.0"))]);
}

#[test]
fn the_new_version_starts_when_nothing_is_recorded() {
    let mut updater = fetched_in_a_call();
    updater.handle(Input::Busy(false), at(10));
    updater.handle(Input::Tick, at(30));
    updater.handle(Input::HandedOver(Ok(())), at(30));
    updater.handle(Input::Busy(true), at(31));
    assert_eq!(updater.handle(Input::Tick, at(32)), [Action::Look]);
    let installed = Input::Looked { installed: version("1.1.0"), state: None };
    let actions = updater.handle(installed, at(32));
    assert!(matches!(actions.as_slice(), [Action::Tell(_)]), "{actions:?}");
    assert_eq!(updater.handle(Input::Tick, at(4000)), []);
    updater.handle(Input::Busy(false), at(5000));
    assert_eq!(updater.handle(Input::Tick, at(5020)), [Action::StartAnew]);
    assert_eq!(updater.handle(Input::Tick, at(6000)), [], "said once");
}

#[test]
fn what_root_refused_is_not_given_again_but_its_successor_is() {
    let mut updater = fetched_in_a_call();
    updater.handle(Input::Busy(false), at(10));
    updater.handle(Input::Tick, at(30));
    updater.handle(Input::HandedOver(Ok(())), at(30));
    let state =
        State { outcome: Outcome::Failed, version: Some(version("1.1.0")), reason: "no space".into() };
    updater.handle(Input::Looked { installed: version("1.0.0"), state: Some(state) }, at(32));
    let next = updater.next_tick().unwrap();
    assert_eq!(next, at(32) + ASK_EVERY);
    updater.handle(Input::Tick, next);
    assert_eq!(updater.handle(Input::Answered(Ok(Some(offer("1.1.0")))), next), []);
    let next = updater.next_tick().unwrap();
    updater.handle(Input::Tick, next);
    let actions = updater.handle(Input::Answered(Ok(Some(offer("1.1.1")))), next);
    assert!(actions.contains(&Action::Fetch(offer("1.1.1"))));
}

#[test]
fn failures_are_tried_again_ever_more_seldom() {
    let mut updater = Updater::new(version("1.0.0"), at(0), 0.5);
    assert_eq!(updater.next_tick(), Some(FIRST_WITHIN / 2));
    let mut waits = Vec::new();
    for _ in 0..12 {
        let now = updater.next_tick().unwrap();
        updater.handle(Input::Tick, now);
        updater.handle(Input::Answered(Err("no server".into())), now);
        waits.push(updater.next_tick().unwrap() - now);
    }
    assert_eq!(waits[..3], [RETRY, RETRY * 2, RETRY * 4]);
    assert_eq!(waits[11], ASK_EVERY);
}

#[test]
fn a_corrupt_download_is_thrown_away_and_fetched_again() {
    let mut updater = Updater::new(version("1.0.0"), at(0), 0.0);
    updater.handle(Input::Tick, at(0));
    updater.handle(Input::Answered(Ok(Some(offer("1.1.0")))), at(0));
    let actions = updater.handle(Input::Fetched(Err("not what was signed".into())), at(5));
    assert!(actions.contains(&Action::Discard));
    assert_eq!(updater.next_tick(), Some(at(5) + RETRY));
}

fn input() -> impl Strategy<Value = Input> {
    let state = |outcome| State { outcome, version: Some(version("1.1.0")), reason: String::new() };
    prop_oneof![
        Just(Input::Tick),
        any::<bool>().prop_map(Input::Busy),
        Just(Input::Answered(Ok(None))),
        Just(Input::Answered(Ok(Some(offer("1.1.0"))))),
        Just(Input::Answered(Err(String::new()))),
        Just(Input::Fetched(Ok(()))),
        Just(Input::Fetched(Err(String::new()))),
        Just(Input::HandedOver(Ok(()))),
        Just(Input::HandedOver(Err(String::new()))),
        Just(Input::Looked { installed: version("1.0.0"), state: Some(state(Outcome::Refused)) }),
        Just(Input::Looked { installed: version("1.1.0"), state: Some(state(Outcome::Installed)) }),
    ]
}

proptest! {
    /// Whatever happens in whatever order: nothing is handed over or started anew while something is recorded, nothing is
    /// handed over that was not fetched, and the updater never gets stuck without a time or an answer to come.
    #[test]
    fn nothing_is_installed_or_restarted_in_the_middle_of_a_recording(
        steps in proptest::collection::vec((input(), 0u64..200), 1..300),
    ) {
        let (mut updater, mut now, mut busy) = (Updater::new(version("1.0.0"), at(0), 0.3), 0, false);
        let (mut fetched, mut waiting_for) = (false, 0_usize);
        for (input, pause) in steps {
            now += pause;
            match &input {
                Input::Busy(is) => busy = *is,
                Input::Fetched(Ok(())) => fetched = true,
                _ => {}
            }
            for action in updater.handle(input, at(now)) {
                match action {
                    Action::HandOver(_) => prop_assert!(!busy && fetched),
                    Action::StartAnew => prop_assert!(!busy),
                    Action::Ask | Action::Fetch(_) => waiting_for += 1,
                    Action::Discard | Action::Look | Action::Tell(_) => {}
                }
            }
            if !busy && updater.next_tick().is_none() {
                prop_assert!(waiting_for > 0 || updater.stage == Stage::Ending);
            }
        }
    }
}
