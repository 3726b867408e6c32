//! Reads what is known of an interaction, has it projected, writes the result: in one change of the store.

use crate::{
    completeness::Patience,
    project::{Facts, dns_of, overlap, persons_of, project, too_long},
    timeline::Timeline,
};
use hindsight_management::ManagementError;
use hindsight_model::Event;
use hindsight_store::{
    Connection, StoreError, dns, events, interactions, persons, presence,
    recordings::{self, Recording},
    uploads,
};
use hindsight_wire::{InteractionId, RecordingId, Timestamp};
use std::collections::BTreeSet;

/// Name of the web services in the store's runs.
const WEB_SERVICES: &str = "web-services";

/// Computes an interaction anew.
pub async fn refresh(
    db: &mut Connection,
    id: InteractionId,
    patience: Patience,
    now: Timestamp,
) -> Result<(), StoreError> {
    let facts = facts(db, id, now).await?;
    match project(id, &facts, patience, now) {
        Some(interaction) => interactions::put(db, &interaction).await,
        None => Ok(()),
    }
}

async fn facts(db: &mut Connection, id: InteractionId, now: Timestamp) -> Result<Facts, StoreError> {
    let log = events::of_interaction(db, id).await?;
    let log: Vec<Event> = log.into_iter().filter_map(|entry| entry.event).collect();
    let timeline = Timeline::of(&log);
    join_uncommanded(db, id, &timeline, now).await?;
    let recordings = owned(db, id, &timeline).await?;
    let dns = dns_of(&timeline, &recordings);
    let mut facts = Facts { timeline, recordings, ..Facts::default() };
    if let Some(known) = interactions::by_id(db, id).await? {
        facts.known_agents = known.agents;
    }
    if let Some(started_at) = facts.timeline.started_at {
        let end = facts.timeline.ended_at.unwrap_or(now);
        facts.runs = presence::runs_around(db, WEB_SERVICES, started_at, end).await?;
        for dn in &dns {
            facts.links.insert(dn.clone(), presence::links_at(db, dn, started_at, end).await?);
        }
    }
    for dn in dns {
        if let Some(owner) = dns::by_number(db, &dn).await?.and_then(|owned| owned.owner) {
            facts.owners.insert(dn, owner);
        }
    }
    for person in persons_of(&facts) {
        if let Some(known) = persons::by_id(db, person).await? {
            facts.people.insert(person, (known.login, known.name));
        }
    }
    let announced: Vec<RecordingId> =
        facts.timeline.opened.iter().chain(facts.timeline.screens.values().flatten()).copied().collect();
    for recording in announced {
        let upload = uploads::by_recording(db, recording).await?;
        if let Some(uploads::State::Refused(reason)) = upload.map(|upload| upload.state) {
            facts.refused.insert(recording, reason);
        }
    }
    Ok(facts)
}

/// What the interaction owns. A desktop that lost its link does not learn that a call is over: its screen belongs to the
/// call no longer than policy lets after-call work be captured.
async fn owned(
    db: &mut Connection,
    id: InteractionId,
    timeline: &Timeline,
) -> Result<Vec<recordings::Owned>, StoreError> {
    let mut owned = recordings::of_interaction(db, id).await?;
    let Some(ended_at) = timeline.ended_at else { return Ok(owned) };
    let after_call_ms = i64::from(after_call_seconds(db).await?) * 1000;
    for one in owned.iter_mut().filter(|one| !one.recording.is_voice()) {
        if let Some(to_ms) = too_long(one, ended_at.plus_ms(after_call_ms)) {
            recordings::end_by(db, id, one.recording.id(), to_ms).await?;
            one.to_ms = Some(to_ms);
        }
    }
    Ok(owned)
}

async fn after_call_seconds(db: &mut Connection) -> Result<u32, StoreError> {
    match hindsight_management::capture_policy(db).await {
        Ok(policy) => Ok(policy.after_call_seconds),
        Err(ManagementError::Store(error)) => Err(error),
        Err(error) => Err(StoreError::damaged("capture policy", error)),
    }
}

/// Captures taken without a command (the desktop was offline) belong to the calls at their DN and time.
async fn join_uncommanded(
    db: &mut Connection,
    id: InteractionId,
    timeline: &Timeline,
    now: Timestamp,
) -> Result<(), StoreError> {
    let Some(talk) = timeline.conversation(now) else { return Ok(()) };
    for dn in timeline.record_screen.intersection(&timeline.dns) {
        for recording in recordings::uncommanded_at(db, dn, talk.from, talk.to).await? {
            if let Some((from_ms, to_ms)) = overlap(recording.started_at, recording.duration_ms, talk) {
                recordings::join_by_overlap(db, id, recording.id(), from_ms, to_ms).await?;
            }
        }
    }
    Ok(())
}

/// The interactions that a changed recording concerns: those that own it, and, when it was taken without a command, those
/// at its DN and time.
pub async fn concerned(db: &mut Connection, id: RecordingId) -> Result<BTreeSet<InteractionId>, StoreError> {
    let Some(recording) = recordings::by_id(db, id).await? else { return Ok(BTreeSet::new()) };
    let mut concerned: BTreeSet<InteractionId> =
        recordings::interactions_of(db, id).await?.into_iter().collect();
    if let (true, Some(dn)) = (uncommanded(&recording), &recording.manifest.dn) {
        concerned.extend(interactions::at_dn(db, dn, recording.started_at, recording.ended_at()).await?);
    }
    Ok(concerned)
}

fn uncommanded(recording: &Recording) -> bool {
    !recording.is_voice() && recording.manifest.interactions.is_empty()
}
