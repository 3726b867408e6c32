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
        match (facts.refused.get(id), facts.timeline.lost.get(id)) {
            (Some(reason), _) => {
                evidence.lost += 1;
                why = Some(format!("a recording was refused: {reason}"));
            }
            (None, Some(reason)) => {
                evidence.lost += 1;
                why = Some(reason.clone());
            }
            (None, None) => evidence.waiting += 1,
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
pub(crate) mod tests;
