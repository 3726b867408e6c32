//! Calls that their SIP server has lost: it was killed, and the file in which it keeps its calls with it; or its journal
//! had no room for their end. Nobody else would ever end them.
//!
//! A SIP server says which calls it serves when its link opens. Of what it began before it said so, a call that it does
//! not name is over: its end is in the journal, which is waited for, or it was lost. Calls of other SIP servers and of
//! recording clients are nobody's here to judge.

use super::director::Message;
use crate::state::App;
use hindsight_model::event::{EndCause, Event, What};
use hindsight_store::{
    Connection, StoreError,
    events::{self, Entry},
    interactions, presence,
};
use hindsight_wire::{DeviceId, InteractionId, Timestamp};
use std::collections::HashSet;

/// Calls ended in one change of the store: it keeps others from writing as long as it lasts.
const BATCH: usize = 32;

/// What one link of a SIP server says of its calls; nothing on other links.
#[derive(Default)]
pub struct Served {
    /// When it was heard before this link.
    seen_before: Option<Timestamp>,
    /// What it said, until that can be judged.
    claim: Option<Claim>,
    /// That has been judged.
    settled: bool,
}

struct Claim {
    /// The newest sequence of its journal then.
    as_of: u64,
    /// What it serves.
    calls: HashSet<InteractionId>,
    /// When it was heard before this link.
    seen: Option<Timestamp>,
}

impl Served {
    /// Its link is open.
    pub async fn open(app: &App, device: DeviceId) -> Result<Self, StoreError> {
        let seen_before = presence::sip_server_seen(&mut *app.database.read().await?, device).await?;
        Ok(Self { seen_before, ..Self::default() })
    }

    /// It says which calls it serves.
    pub async fn say(
        &mut self,
        app: &App,
        device: DeviceId,
        as_of: u64,
        calls: Vec<InteractionId>,
    ) -> Result<(), StoreError> {
        self.claim = Some(Claim { as_of, calls: calls.into_iter().collect(), seen: self.seen_before });
        let mut db = app.database.read().await?;
        let taken = events::last_sequence(&mut db, device).await?;
        drop(db);
        self.taken(app, device, taken).await
    }

    /// Its journal is in the log up to here. What it has lost ends as soon as that is as far as it spoke of.
    pub async fn taken(&mut self, app: &App, device: DeviceId, sequence: u64) -> Result<(), StoreError> {
        if let Some(claim) = self.claim.take_if(|claim| claim.as_of <= sequence) {
            end(app, device, &claim).await?;
            self.settled = true;
        }
        Ok(())
    }

    /// It was heard. Until it has said which calls it serves, what was noted of the process before it holds.
    pub async fn note(&self, app: &App, device: DeviceId, heard: Timestamp) -> Result<(), StoreError> {
        if self.settled {
            let mut write = app.database.write().await?;
            presence::sip_server_heard(&mut write, device, heard).await?;
            write.commit().await?;
        }
        Ok(())
    }
}

async fn end(app: &App, device: DeviceId, claim: &Claim) -> Result<(), StoreError> {
    let mut db = app.database.read().await?;
    let mut open: HashSet<InteractionId> = interactions::open(&mut db).await?.into_iter().collect();
    open.extend(events::interactions_ahead_of(&mut db, events::INTERACTIONS).await?);
    let mut suspects = Vec::new();
    for interaction in open.difference(&claim.calls).copied() {
        if verdict(&mut db, interaction, device, claim).await?.is_some() {
            suspects.push(interaction);
        }
    }
    drop(db);
    let (named, lost) = (claim.calls.len(), suspects.len());
    tracing::info!(%device, named, lost, "a SIP server said which calls go on");
    for some in suspects.chunks(BATCH) {
        let mut write = app.database.write().await?;
        let mut ended = Vec::new();
        for interaction in some {
            // Somebody may have ended it in the meantime.
            let Some(at) = verdict(&mut write, *interaction, device, claim).await? else { continue };
            let event = end_at(*interaction, at);
            events::append(&mut write, &event, Timestamp::now()).await?;
            ended.push(event);
        }
        write.commit().await?;
        metrics::counter!("hindsight_calls_lost_total").increment(ended.len() as u64);
        for event in &ended {
            tracing::warn!(interaction = %event.interaction, %device, "a call was lost with its SIP server: ended");
        }
        app.director.tell(Message::Events(ended)).await;
    }
    Ok(())
}

/// The end of a call that was lost.
pub fn end_at(interaction: InteractionId, at: Timestamp) -> Event {
    Event { interaction, at, what: What::CallEnded { cause: EndCause::SipServerLost, by: None } }
}

async fn verdict(
    db: &mut Connection,
    interaction: InteractionId,
    device: DeviceId,
    claim: &Claim,
) -> Result<Option<Timestamp>, StoreError> {
    let log = events::of_interaction(db, interaction).await?;
    Ok(lost_at(&log, device, claim.as_of, claim.seen))
}

/// When a call that its SIP server does not name was last known to go on; `None`: it is not lost.
fn lost_at(log: &[Entry], device: DeviceId, as_of: u64, seen: Option<Timestamp>) -> Option<Timestamp> {
    let begins = |what: &What| matches!(what, What::CallOffered { .. } | What::CallEstablished { .. });
    let told = |entry: &Entry, wanted: &dyn Fn(&What) -> bool| {
        entry.event.as_ref().is_some_and(|event| wanted(&event.what))
    };
    let begun = log.iter().find(|entry| told(entry, &begins))?;
    let its_own = begun.device == Some(device) && begun.sequence.is_some_and(|sequence| sequence <= as_of);
    let over = log.iter().any(|entry| told(entry, &|what| matches!(what, What::CallEnded { .. })));
    if !its_own || over {
        return None;
    }
    let of_its = log.iter().filter(|entry| entry.device == Some(device));
    let last = of_its.filter_map(|entry| Some(entry.event.as_ref()?.at)).max();
    last.max(seen)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp(seconds * 1_000_000)
    }

    fn entry(device: Option<DeviceId>, sequence: u64, seconds: i64, what: What) -> Entry {
        let event = Event { interaction: InteractionId(uuid::Uuid::nil()), at: at(seconds), what };
        Entry {
            position: sequence,
            device,
            sequence: device.map(|_| sequence),
            received_at: at(seconds),
            json: serde_json::to_value(&event).unwrap(),
            event: Some(event),
        }
    }

    fn established() -> What {
        What::CallEstablished { parties: Vec::new() }
    }

    #[test]
    fn a_call_is_lost_by_whoever_began_it_and_by_nobody_else() {
        let (ours, other) = (DeviceId::new(), DeviceId::new());
        let log = [entry(Some(ours), 3, 10, established())];
        assert_eq!(lost_at(&log, ours, 3, None), Some(at(10)));
        assert_eq!(lost_at(&log, other, 3, None), None, "another SIP server's");
        assert_eq!(lost_at(&log, ours, 2, None), None, "it began after what was said");
        let by_the_server = [entry(None, 3, 10, established())];
        assert_eq!(lost_at(&by_the_server, ours, 9, None), None);
        assert_eq!(lost_at(&[], ours, 9, None), None);
    }

    #[test]
    fn a_call_that_ended_is_not_lost_whoever_ended_it() {
        let ours = DeviceId::new();
        for by in [Some(ours), None] {
            let end = What::CallEnded { cause: EndCause::HungUp, by: None };
            let log = [entry(Some(ours), 1, 10, established()), entry(by, 2, 20, end)];
            assert_eq!(lost_at(&log, ours, 9, Some(at(30))), None);
        }
    }

    #[test]
    fn it_ends_when_its_sip_server_was_last_heard_and_not_before_what_that_said_last() {
        let (ours, media) = (DeviceId::new(), DeviceId::new());
        let failed = What::RecordingFailed { reason: "lost".into() };
        let log = [entry(Some(ours), 1, 10, established()), entry(Some(media), 7, 99, failed)];
        assert_eq!(lost_at(&log, ours, 9, Some(at(30))), Some(at(30)));
        assert_eq!(lost_at(&log, ours, 9, Some(at(5))), Some(at(10)));
    }
}
