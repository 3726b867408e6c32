//! What a crash left: signed as it is, and remembered so that its capture can go on.

use crate::{controller::Continuation, recording::RecordingError};
use hindsight_link::Identity;
use hindsight_spool::{InterruptedItem, ItemInfo, Spool};
use hindsight_wire::{CaptureId, InteractionId, RecordingId, manifest::Media};
use std::collections::BTreeMap;

/// Signs an `interrupted` manifest for every item that has none. Gives the captures that were cut, each with its last
/// part. An item that cannot be signed is left for the next start.
pub fn sign_interrupted(spool: &Spool, identity: &Identity) -> Result<Vec<Continuation>, RecordingError> {
    let mut cut: BTreeMap<CaptureId, Continuation> = BTreeMap::new();
    for lost in spool.empty() {
        tracing::warn!(recording = %lost.recording, "a recording was cut before its first segment was whole");
    }
    for item in spool.interrupted() {
        let (recording, info) = (item.recording(), item.info());
        match sign(item, identity) {
            Ok(()) => tracing::info!(%recording, "a recording that was cut is signed as such"),
            Err(error) => tracing::error!(%recording, %error, "a recording that was cut could not be signed"),
        }
        remember(&mut cut, recording, &info);
    }
    Ok(cut.into_values().collect())
}

fn sign(item: InterruptedItem, identity: &Identity) -> Result<(), RecordingError> {
    let manifest = item.manifest()?;
    let signed = identity.sign_json(&manifest).map_err(|error| RecordingError::Sign(error.to_string()))?;
    Ok(item.finish(&signed)?)
}

fn remember(cut: &mut BTreeMap<CaptureId, Continuation>, recording: RecordingId, info: &ItemInfo) {
    let Media::Screen { monitor, .. } = info.media else { return };
    let open: Vec<InteractionId> = info
        .interactions
        .iter()
        .filter(|range| range.to_ms.is_none())
        .map(|range| range.interaction)
        .collect();
    let this = cut.entry(info.capture).or_insert_with(|| Continuation {
        capture: info.capture,
        last_part: info.part,
        recordings: Vec::new(),
        interactions: open.clone(),
    });
    if info.part > this.last_part {
        (this.last_part, this.interactions) = (info.part, open);
        this.recordings.clear();
    }
    if info.part == this.last_part {
        let monitor = monitor as usize;
        this.recordings.resize(this.recordings.len().max(monitor + 1), None);
        this.recordings[monitor] = Some(recording);
    }
}
