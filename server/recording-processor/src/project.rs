//! One interaction, from everything that is known of it: pure.

use crate::{
    breaks,
    completeness::{Evidence, Patience, SCREEN_TOLERANCE_MS, VOICE_TOLERANCE_MS, Verdict, judge, together},
    reasons, silence,
    spans::Span,
    timeline::Timeline,
};
use hindsight_store::{
    interactions::{Agent, Completeness, Gap, GapKind, Interaction},
    presence::{DesktopLink, Run},
    recordings::{Owned, State},
};
use hindsight_wire::{
    InteractionId, PersonId, RecordingId, Timestamp,
    manifest::{Ending, Media, Party},
};
use std::collections::{BTreeSet, HashMap};

/// Everything known of one interaction.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// What the events say.
    pub timeline: Timeline,
    /// Recordings that it owns a span of.
    pub recordings: Vec<Owned>,
    /// Announced recordings that the server refused, and why.
    pub refused: HashMap<RecordingId, String>,
    /// Links of desktops at its DNs, around its time.
    pub links: HashMap<String, Vec<DesktopLink>>,
    /// Whose own each of its DNs is.
    pub owners: HashMap<String, PersonId>,
    /// Login and name of the persons above and below.
    pub people: HashMap<PersonId, (String, String)>,
    /// Who was found to sit at its DNs before: what was known then is not forgotten.
    pub known_agents: Vec<Agent>,
    /// When the web services ran, around its time.
    pub runs: Vec<Run>,
}

/// The interaction as it stands at `now`; `None`: nothing is known of it.
pub fn project(id: InteractionId, facts: &Facts, patience: Patience, now: Timestamp) -> Option<Interaction> {
    let story = Story::of(facts)?;
    let (voice, voice_gaps) = voice(facts, &story, patience, now);
    let (screens, screen_gaps) = screens(facts, &story, patience, now);
    let rechecks = screens.iter().chain([&voice]).filter_map(|verdict| verdict.recheck_at);
    let manifests = || facts.recordings.iter().map(|owned| &owned.recording.manifest);
    Some(Interaction {
        id,
        medium: facts.timeline.medium,
        started_at: story.started_at,
        established_at: facts.timeline.established_at,
        ended_at: story.ended_at,
        caller: story.caller,
        dialled: story.dialled,
        voice: voice.completeness,
        screen: together(screens.iter().map(|verdict| verdict.completeness)),
        recovered: manifests().any(|manifest| manifest.ending == Ending::Interrupted),
        paused: facts.timeline.paused || manifests().any(|manifest| !manifest.pauses.is_empty()),
        recheck_at: rechecks.min(),
        agents: story.dns.iter().map(|dn| agent(dn, facts, now)).collect(),
        gaps: voice_gaps.into_iter().chain(screen_gaps).collect(),
    })
}

/// What the events tell; without events, what the recordings do.
struct Story {
    started_at: Timestamp,
    ended_at: Option<Timestamp>,
    caller: String,
    dialled: String,
    dns: BTreeSet<String>,
}

impl Story {
    fn of(facts: &Facts) -> Option<Self> {
        let timeline = &facts.timeline;
        let mut dns = timeline.dns.clone();
        if timeline.established_at.is_none() {
            dns.extend(timeline.record_voice.union(&timeline.record_screen).cloned());
        }
        let recordings = || facts.recordings.iter().map(|owned| &owned.recording);
        dns.extend(recordings().filter_map(|recording| recording.manifest.dn.clone()));
        if let Some(started_at) = timeline.started_at {
            let (caller, dialled) = (timeline.caller.clone(), timeline.dialled.clone());
            return Some(Self { started_at, ended_at: timeline.ended_at, caller, dialled, dns });
        }
        let number = |party| recordings().find_map(|recording| number(&recording.manifest.media, party));
        let agent = number(Party::Agent);
        dns.extend(agent.clone());
        Some(Self {
            started_at: recordings().map(|recording| recording.started_at).min()?,
            ended_at: recordings().map(|r| r.ended_at().unwrap_or(r.started_at)).max(),
            caller: number(Party::Customer).unwrap_or_default(),
            dialled: agent.unwrap_or_default(),
            dns,
        })
    }
}

fn number(media: &Media, party: Party) -> Option<String> {
    let Media::Voice { tracks } = media else { return None };
    let track = tracks.iter().find(|track| track.party == party)?;
    Some(track.number_or_dn.clone()).filter(|number| !number.is_empty())
}

fn voice(facts: &Facts, story: &Story, patience: Patience, now: Timestamp) -> (Verdict, Option<Gap>) {
    let timeline = &facts.timeline;
    let mine: Vec<&Owned> = facts.recordings.iter().filter(|owned| owned.recording.is_voice()).collect();
    let (evidence, lost) = weigh(&mine, &timeline.opened, facts, timeline.voice_wanted(now), story.ended_at);
    let mut verdict = judge(&evidence, VOICE_TOLERANCE_MS, patience, now);
    let silence = silence::of(&mine);
    let reason = || {
        if let (Some(silence), Completeness::Complete) = (&silence, verdict.completeness) {
            return silence.clone();
        }
        let failure = timeline.failures.last().cloned();
        let interrupted = mine.iter().any(|owned| owned.recording.manifest.ending == Ending::Interrupted);
        lost.or(failure).unwrap_or_else(|| match evidence.waiting {
            0 if interrupted => "the recorder was interrupted".to_owned(),
            0 => "no recording was begun".to_owned(),
            _ => "the recording was begun and has not arrived".to_owned(),
        })
    };
    let silent = silence.is_some() && verdict.completeness == Completeness::Complete;
    let missing = silent || matches!(verdict.completeness, Completeness::Partial | Completeness::Missing);
    let reason = if missing {
        Some(reason())
    } else {
        breaks::of(&evidence, story.started_at, timeline.failures.last().map(String::as_str))
    };
    let gap = reason.map(|reason| Gap { kind: GapKind::Voice, dn: String::new(), reason });
    if silent {
        verdict.completeness = Completeness::Partial;
    }
    (verdict, gap)
}

fn screens(facts: &Facts, story: &Story, patience: Patience, now: Timestamp) -> (Vec<Verdict>, Vec<Gap>) {
    let (mut verdicts, mut gaps) = (Vec::new(), Vec::new());
    for dn in &story.dns {
        let (verdict, gap) = screen(dn, facts, story, patience, now);
        verdicts.push(verdict);
        gaps.extend(gap);
    }
    (verdicts, gaps)
}

fn screen(
    dn: &str,
    facts: &Facts,
    story: &Story,
    patience: Patience,
    now: Timestamp,
) -> (Verdict, Option<Gap>) {
    let timeline = &facts.timeline;
    let here =
        |owned: &&Owned| !owned.recording.is_voice() && owned.recording.manifest.dn.as_deref() == Some(dn);
    let mine: Vec<&Owned> = facts.recordings.iter().filter(here).collect();
    let none = BTreeSet::new();
    let announced = timeline.screens.get(dn).unwrap_or(&none);
    let (evidence, lost) = weigh(&mine, announced, facts, timeline.screen_wanted(dn, now), story.ended_at);
    let verdict = judge(&evidence, SCREEN_TOLERANCE_MS, patience, now);
    if !matches!(verdict.completeness, Completeness::Partial | Completeness::Missing) {
        return (verdict, None);
    }
    let links = facts.links.get(dn).map(Vec::as_slice).unwrap_or_default();
    let interrupted = mine.iter().any(|owned| owned.recording.manifest.ending == Ending::Interrupted);
    let reason = lost.or_else(|| timeline.screen_gaps.get(dn).cloned()).unwrap_or_else(|| {
        match (evidence.waiting, verdict.holes.first()) {
            (0, _) if interrupted => "the recorder was interrupted".to_owned(),
            (0, Some(hole)) => reasons::screen(*hole, links, &facts.runs),
            _ => "the capture was begun and has not arrived".to_owned(),
        }
    });
    (verdict, Some(Gap { kind: GapKind::Screen, dn: dn.to_owned(), reason }))
}

/// What some recordings prove, and why one of them is lost.
fn weigh(
    mine: &[&Owned],
    announced: &BTreeSet<RecordingId>,
    facts: &Facts,
    wanted: Vec<Span>,
    ended_at: Option<Timestamp>,
) -> (Evidence, Option<String>) {
    let mut evidence = Evidence { wanted, ended_at, ..Evidence::default() };
    let mut why = None;
    for owned in mine {
        match owned.recording.state {
            State::Ready | State::Recovered => evidence.covered.push(span(owned)),
            State::Repairing => evidence.waiting += 1,
            State::Failed => {
                evidence.lost += 1;
                let reason = owned.recording.failure.clone().unwrap_or_default();
                why = Some(format!("a recording was cut and cannot be repaired: {reason}"));
            }
        }
    }
    let arrived: BTreeSet<RecordingId> = mine.iter().map(|owned| owned.recording.id()).collect();
    for id in announced.difference(&arrived) {
        match facts.refused.get(id) {
            Some(reason) => {
                evidence.lost += 1;
                why = Some(format!("a recording was refused: {reason}"));
            }
            None => evidence.waiting += 1,
        }
    }
    (evidence, why)
}

/// The span of server time that an interaction owns of a recording.
fn span(owned: &Owned) -> Span {
    let ms = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    let recording = &owned.recording;
    let length = end(owned).unwrap_or(owned.from_ms);
    Span::new(recording.started_at.plus_ms(ms(owned.from_ms)), recording.started_at.plus_ms(ms(length)))
}

/// Where it ends, media time; unknown while a recording that was cut is not repaired.
fn end(owned: &Owned) -> Option<u64> {
    [owned.to_ms, owned.recording.duration_ms].into_iter().flatten().min()
}

/// Where the span has to end, media time, when it goes on after `until`.
pub fn too_long(owned: &Owned, until: Timestamp) -> Option<u64> {
    let latest = u64::try_from(until.ms_since(owned.recording.started_at)).unwrap_or(0).max(owned.from_ms);
    (latest < end(owned)?).then_some(latest)
}

/// Who sat at a DN: as a recorder said, else as a link did, else as was known before, else whose it is.
fn agent(dn: &str, facts: &Facts, now: Timestamp) -> Agent {
    let recorded = || {
        let manifests = facts.recordings.iter().map(|owned| &owned.recording.manifest);
        manifests.filter(|manifest| manifest.dn.as_deref() == Some(dn)).find_map(|manifest| manifest.person)
    };
    let linked = || {
        let talk = facts.timeline.conversation(now)?;
        let overlaps = |link: &&DesktopLink| link.from < talk.to && link.to.is_none_or(|to| to > talk.from);
        facts.links.get(dn)?.iter().rfind(overlaps).map(|link| link.person)
    };
    let known = || facts.known_agents.iter().find(|agent| agent.dn == dn)?.person;
    let person = recorded()
        .or_else(|| facts.timeline.seated.get(dn).copied())
        .or_else(linked)
        .or_else(known)
        .or_else(|| facts.owners.get(dn).copied());
    let (login, name) = person.and_then(|person| facts.people.get(&person).cloned()).unwrap_or_default();
    Agent { dn: dn.to_owned(), person, login, name }
}

/// DNs and persons whose names and links are needed.
pub fn dns_of(timeline: &Timeline, recordings: &[Owned]) -> BTreeSet<String> {
    let mut dns = timeline.dns.clone();
    dns.extend(timeline.record_voice.union(&timeline.record_screen).cloned());
    for owned in recordings {
        dns.extend(owned.recording.manifest.dn.clone());
        dns.extend(number(&owned.recording.manifest.media, Party::Agent));
    }
    dns
}

/// Persons whose names are needed.
pub fn persons_of(facts: &Facts) -> BTreeSet<PersonId> {
    let links = facts.links.values().flatten().map(|link| link.person);
    let recorded = facts.recordings.iter().filter_map(|owned| owned.recording.manifest.person);
    let known = facts.known_agents.iter().filter_map(|agent| agent.person);
    let seated = facts.timeline.seated.values().copied();
    links.chain(recorded).chain(known).chain(seated).chain(facts.owners.values().copied()).collect()
}

/// The part of a recording that lies in a conversation, in media time; for captures taken without a command.
pub fn overlap(started_at: Timestamp, duration_ms: Option<u64>, talk: Span) -> Option<(u64, Option<u64>)> {
    let from_ms = u64::try_from(talk.from.ms_since(started_at).max(0)).ok()?;
    let to_ms = u64::try_from(talk.to.ms_since(started_at)).ok()?;
    let to_ms = duration_ms.map_or(to_ms, |duration| to_ms.min(duration));
    (from_ms < to_ms).then_some((from_ms, Some(to_ms)))
}

#[cfg(test)]
pub(crate) mod tests {
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
        assert_eq!(
            (this.started_at, this.established_at, this.ended_at),
            (at(0), Some(at(10)), Some(at(60)))
        );
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
        assert_eq!(
            (this.voice, reason),
            (Completeness::Partial, "one-way: nothing was heard from the agent")
        );
        owned.recording.manifest.quality = silence::tests::quality(["no-rtp", "no-rtp"]);
        let this = now(&facts(&call("1001", 10, 60), vec![owned.clone()]), 99);
        assert_eq!(
            (this.voice, this.gaps[0].reason.as_str()),
            (Completeness::Partial, "no RTP was received")
        );
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
        let agent =
            Agent { dn: "1001".into(), person: Some(known), login: String::new(), name: String::new() };
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
}
