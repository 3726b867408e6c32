use super::*;
use hindsight_model::event::{CallParty, EndCause, Event, What};
use hindsight_store::recordings::Recording;
use hindsight_wire::{
    CaptureId, ClockOffset, DeviceId,
    manifest::{Manifest, VoiceTrack},
};
use uuid::Uuid;

pub const CALL: InteractionId = InteractionId(Uuid::from_u128(7));
const PATIENCE: Patience = Patience { unannounced_ms: 20_000, announced_ms: 900_000 };

/// Seconds after 2026-11-18 11:06:40 UTC.
pub fn at(seconds: i64) -> Timestamp {
    Timestamp((1_795_000_000 + seconds) * 1_000_000)
}

pub fn span(from: i64, to: i64) -> Span {
    Span::new(at(from), at(to))
}

pub fn event(seconds: i64, what: What) -> Event {
    Event { interaction: CALL, at: at(seconds), what }
}

pub fn offered(dn: &str) -> Event {
    let dns = || vec![dn.to_owned()];
    let (caller, dialled) = ("0701".to_owned(), dn.to_owned());
    event(0, What::CallOffered { caller, dialled, record_voice: dns(), record_screen: dns() })
}

pub fn established(dn: &str, seconds: i64) -> Event {
    let party = |number: &str, role, is_dn| CallParty { number: number.to_owned(), role, is_dn };
    let parties = vec![party("0701", Party::Customer, false), party(dn, Party::Agent, true)];
    event(seconds, What::CallEstablished { parties })
}

pub fn call(dn: &str, answered: i64, ended: i64) -> Vec<Event> {
    let over = event(ended, What::CallEnded { cause: EndCause::HungUp, by: Some(dn.to_owned()) });
    vec![offered(dn), established(dn, answered), over]
}

pub fn recording(media: Media, from: i64, to: Option<i64>, state: State) -> Owned {
    let screen = matches!(media, Media::Screen { .. });
    let manifest = Manifest {
        version: 1,
        recording: RecordingId::new(),
        capture: CaptureId::new(),
        part: 1,
        previous: None,
        device: DeviceId::new(),
        person: screen.then(PersonId::new),
        dn: screen.then(|| "1001".to_owned()),
        media,
        interactions: Vec::new(),
        ending: if state == State::Ready { Ending::Complete } else { Ending::Interrupted },
        payload_size: 4096,
        payload_sha256: String::new(),
        envelope_sha256: String::new(),
        started_at: at(from),
        duration_ms: None,
        clock: ClockOffset::default(),
        pauses: Vec::new(),
        quality: Vec::new(),
        index: Vec::new(),
        notes: Vec::new(),
    };
    let recording = Recording {
        manifest,
        started_at: at(from),
        duration_ms: to.map(|to| (to - from) as u64 * 1000),
        state,
        failure: (state == State::Failed).then(|| "no whole segment".to_owned()),
        payload_size: 4096,
        payload_sha256: String::new(),
        rebuilt_index: None,
        received_at: at(from),
    };
    Owned { recording, from_ms: 0, to_ms: None }
}

pub fn voice_media() -> Media {
    let track = |number, party, number_or_dn: &str| VoiceTrack {
        number,
        party,
        number_or_dn: number_or_dn.to_owned(),
        codec: "PCMU".into(),
        clock_rate: 8000,
    };
    Media::Voice { tracks: vec![track(1, Party::Agent, "1001"), track(2, Party::Customer, "0701")] }
}

pub fn screen_media() -> Media {
    Media::Screen { monitor: 0, name: "DP-1".into(), width: 1920, height: 1080, monitors: 1 }
}

fn facts(events: &[Event], recordings: Vec<Owned>) -> Facts {
    let runs = vec![Run { from: at(-9999), seen: at(9999) }];
    Facts { timeline: Timeline::of(events), recordings, runs, ..Facts::default() }
}

fn now(facts: &Facts, seconds: i64) -> Interaction {
    project(CALL, facts, PATIENCE, at(seconds)).unwrap()
}

#[test]
fn a_call_with_voice_and_screen_is_complete() {
    let voice = recording(voice_media(), 10, Some(60), State::Ready);
    let screen = recording(screen_media(), 11, Some(60), State::Ready);
    let person = screen.recording.manifest.person.unwrap();
    let mut facts = facts(&call("1001", 10, 60), vec![voice, screen]);
    facts.people.insert(person, ("ann".into(), "Ann Agent".into()));
    let this = now(&facts, 61);
    assert_eq!((this.voice, this.screen), (Completeness::Complete, Completeness::Complete));
    assert_eq!((this.started_at, this.established_at, this.ended_at), (at(0), Some(at(10)), Some(at(60))));
    assert_eq!((this.caller.as_str(), this.dialled.as_str()), ("0701", "1001"));
    let ann =
        Agent { dn: "1001".into(), person: Some(person), login: "ann".into(), name: "Ann Agent".into() };
    assert_eq!((this.agents, this.gaps, this.recheck_at), (vec![ann], vec![], None));
}

#[test]
fn a_recording_that_heard_nothing_is_no_complete_one() {
    let mut owned = recording(voice_media(), 10, Some(60), State::Ready);
    owned.recording.manifest.quality = silence::tests::quality(["one-way", "ok"]);
    let this = now(&facts(&call("1001", 10, 60), vec![owned.clone()]), 99);
    let reason = this.gaps[0].reason.as_str();
    assert_eq!((this.voice, reason), (Completeness::Partial, "one-way: nothing was heard from the agent"));
    owned.recording.manifest.quality = silence::tests::quality(["no-rtp", "no-rtp"]);
    let this = now(&facts(&call("1001", 10, 60), vec![owned.clone()]), 99);
    assert_eq!((this.voice, this.gaps[0].reason.as_str()), (Completeness::Partial, "no RTP was received"));
    // What is missing altogether counts for more.
    owned.recording.duration_ms = Some(20_000);
    let this = now(&facts(&call("1001", 10, 60), vec![owned]), 99);
    assert_eq!(this.gaps[0].reason, "no recording was begun");
}

#[test]
fn what_never_came_is_missing_with_its_reason() {
    let facts = facts(&call("1001", 10, 60), vec![]);
    let soon = now(&facts, 61);
    assert_eq!(
        (soon.voice, soon.screen, soon.recheck_at),
        (Completeness::Pending, Completeness::Pending, Some(at(80)))
    );
    let late = now(&facts, 80);
    assert_eq!((late.voice, late.screen), (Completeness::Missing, Completeness::Missing));
    let reasons: Vec<(&str, &str)> =
        late.gaps.iter().map(|gap| (gap.dn.as_str(), gap.reason.as_str())).collect();
    assert_eq!(reasons, [("", "no recording was begun"), ("1001", "no desktop signed in at this DN")]);
}

#[test]
fn a_desktop_that_said_why_is_believed() {
    let mut events = call("1001", 10, 60);
    events.push(event(12, What::ScreenGap { dn: "1001".into(), reason: "no display".into() }));
    let late = now(&facts(&events, vec![]), 99);
    assert_eq!(late.gaps[1].reason, "no display");
}

#[test]
fn a_recording_under_way_is_waited_for_and_then_counts() {
    let mut events = call("1001", 10, 60);
    let one = recording(voice_media(), 10, Some(60), State::Ready);
    let id = one.recording.id();
    events.push(event(10, What::RecordingOpened { recording: id, capture: CaptureId::new() }));
    let waiting = facts(&events, vec![]);
    assert_eq!(now(&waiting, 500).voice, Completeness::Pending);
    assert_eq!(now(&waiting, 961).voice, Completeness::Missing);
    assert_eq!(now(&waiting, 961).gaps[0].reason, "the recording was begun and has not arrived");
    assert_eq!(now(&facts(&events, vec![one]), 9999).voice, Completeness::Complete);
    let mut refused = waiting;
    refused.refused.insert(id, "the payload's SHA-256 is not the manifest's".into());
    assert_eq!(now(&refused, 61).voice, Completeness::Missing);
}

#[test]
fn a_crash_in_the_middle_is_recovered_and_partial_when_it_cost_more_than_a_moment() {
    let first = recording(voice_media(), 10, Some(30), State::Recovered);
    let second = |from| recording(voice_media(), from, Some(60), State::Ready);
    let quick = now(&facts(&call("1001", 10, 60), vec![first.clone(), second(31)]), 61);
    assert_eq!((quick.voice, quick.recovered), (Completeness::Complete, true));
    let slow = now(&facts(&call("1001", 10, 60), vec![first, second(40)]), 99);
    assert_eq!(
        (slow.voice, slow.gaps[0].reason.as_str()),
        (Completeness::Partial, "the recorder was interrupted")
    );
    let mending = recording(voice_media(), 10, None, State::Repairing);
    assert_eq!(now(&facts(&call("1001", 10, 60), vec![mending]), 99).voice, Completeness::Pending);
}

#[test]
fn parts_of_two_media_servers_are_one_voice_and_the_moment_between_them_is_listed() {
    let mut events = call("1001", 10, 60);
    events.push(event(30, What::RecordingFailed { reason: "the media server was lost".into() }));
    events.push(event(31, What::RecordingStarted { capture: CaptureId::new(), by: "full-time".into() }));
    let first = recording(voice_media(), 10, Some(30), State::Recovered);
    let second = recording(voice_media(), 31, Some(60), State::Ready);
    let opened = |owned: &Owned| {
        let recording = owned.recording.id();
        event(10, What::RecordingOpened { recording, capture: owned.recording.manifest.capture })
    };
    let listed = "the media server was lost: nothing was recorded for 1000 ms at 0:30.0";
    // Part 1 comes when the dead server is back, its announcement with it or before it.
    let without = now(&facts(&events, vec![second.clone()]), 61);
    assert_eq!((without.voice, without.gaps.len()), (Completeness::Pending, 0));
    let late = now(&facts(&events, vec![second.clone()]), 99);
    assert_eq!(
        (late.voice, late.gaps[0].reason.as_str()),
        (Completeness::Partial, "the media server was lost")
    );
    events.extend([opened(&first), opened(&second)]);
    assert_eq!(now(&facts(&events, vec![second.clone()]), 99).voice, Completeness::Pending);
    for order in [vec![first.clone(), second.clone()], vec![second, first]] {
        let both = now(&facts(&events, order), 99);
        assert_eq!((both.voice, both.recovered), (Completeness::Complete, true));
        assert_eq!(both.gaps[0].reason, listed);
    }
}

#[test]
fn a_recording_beyond_repair_is_said_at_once() {
    let failed = recording(voice_media(), 10, None, State::Failed);
    let this = now(&facts(&call("1001", 10, 60), vec![failed]), 61);
    assert_eq!(this.voice, Completeness::Missing);
    assert_eq!(this.gaps[0].reason, "a recording was cut and cannot be repaired: no whole segment");
}

#[test]
fn media_without_events_makes_an_interaction_of_its_own() {
    let this = now(&facts(&[], vec![recording(voice_media(), 10, Some(60), State::Ready)]), 61);
    assert_eq!((this.started_at, this.ended_at), (at(10), Some(at(60))));
    assert_eq!((this.caller.as_str(), this.dialled.as_str()), ("0701", "1001"));
    assert_eq!((this.voice, this.screen), (Completeness::Complete, Completeness::None));
    assert!(project(CALL, &facts(&[], vec![]), PATIENCE, at(0)).is_none());
}

#[test]
fn who_sat_there_is_told_by_the_link_then_by_what_was_known_then_by_the_owner() {
    let (linked, known, owner) = (PersonId::new(), PersonId::new(), PersonId::new());
    let mut facts = facts(&call("1001", 10, 60), vec![]);
    facts.owners.insert("1001".into(), owner);
    assert_eq!(now(&facts, 99).agents[0].person, Some(owner));
    let agent = Agent { dn: "1001".into(), person: Some(known), login: String::new(), name: String::new() };
    facts.known_agents.push(agent);
    assert_eq!(now(&facts, 99).agents[0].person, Some(known));
    let link = DesktopLink {
        device: DeviceId::new(),
        person: linked,
        dn: "1001".into(),
        from: at(-5),
        to: Some(at(20)),
    };
    facts.links.insert("1001".into(), vec![link]);
    assert_eq!(now(&facts, 99).agents[0].person, Some(linked));
}

#[test]
fn a_screen_that_runs_on_after_its_call_belongs_to_it_until_the_end_only() {
    let long = recording(voice_media(), 10, Some(90), State::Ready);
    assert_eq!(too_long(&long, at(60)), Some(50_000));
    assert_eq!(too_long(&long, at(90)), None);
    // Cut once, it stays; a part that began after the end gives nothing.
    assert_eq!(too_long(&Owned { to_ms: Some(50_000), ..long.clone() }, at(60)), None);
    assert_eq!(too_long(&long, at(5)), Some(0));
    // How long a broken one is, is not known; a cut must not make it seem longer than it is.
    let broken = recording(voice_media(), 10, None, State::Repairing);
    assert_eq!(too_long(&Owned { to_ms: None, ..broken }, at(60)), None);
    let short = recording(voice_media(), 10, Some(30), State::Recovered);
    assert_eq!(super::span(&Owned { to_ms: Some(50_000), ..short }), span(10, 30));
}

#[test]
fn an_uncommanded_capture_gives_the_part_that_lies_in_the_conversation() {
    assert_eq!(overlap(at(0), Some(100_000), span(10, 60)), Some((10_000, Some(60_000))));
    assert_eq!(overlap(at(20), Some(100_000), span(10, 60)), Some((0, Some(40_000))));
    assert_eq!(overlap(at(0), Some(30_000), span(10, 60)), Some((10_000, Some(30_000))));
    assert_eq!(overlap(at(0), Some(5_000), span(10, 60)), None);
    assert_eq!(overlap(at(70), None, span(10, 60)), None);
}

#[test]
fn a_recording_of_which_nothing_survived_is_said_at_once() {
    let lost = RecordingId::new();
    let mut events = call("1001", 10, 60);
    events.push(event(10, What::RecordingOpened { recording: lost, capture: CaptureId::new() }));
    assert_eq!(now(&facts(&events, Vec::new()), 61).voice, Completeness::Pending);
    let reason = "nothing of a recording survived a crash of the media server".to_owned();
    events.push(event(11, What::RecordingLost { recording: lost, reason: reason.clone() }));
    let this = now(&facts(&events, Vec::new()), 61);
    assert_eq!((this.voice, &this.gaps[0].reason), (Completeness::Missing, &reason));
    // What was recorded after it is there all the same.
    let rest = recording(voice_media(), 12, Some(60), State::Ready);
    let this = now(&facts(&events, vec![rest]), 61);
    assert_eq!((this.voice, &this.gaps[0].reason), (Completeness::Partial, &reason));
}
