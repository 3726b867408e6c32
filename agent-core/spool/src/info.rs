//! What the spool keeps about an item so that its manifest can be written after a crash.

use hindsight_wire::{
    CaptureId, ClockOffset, DeviceId, PersonId, RecordingId, Timestamp,
    manifest::{Ending, InteractionRange, Manifest, Media, Note, Pause},
};
use serde::{Deserialize, Serialize};

/// What is known of a recording while it runs; the fields are those of [`Manifest`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ItemInfo {
    /// The run of recording it belongs to.
    pub capture: CaptureId,
    /// 1 for the first part of its capture.
    pub part: u32,
    /// The part before this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<RecordingId>,
    /// Which device records.
    pub device: DeviceId,
    /// Who sits at the device, for screens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub person: Option<PersonId>,
    /// The DN they signed in at, for screens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dn: Option<String>,
    /// What the plaintext holds.
    pub media: Media,
    /// Interactions that own a span of it, so far.
    pub interactions: Vec<InteractionRange>,
    /// Time 0 of the media, by the recorder's clock.
    pub started_at: Timestamp,
    /// The recorder's clock against the server's.
    pub clock: ClockOffset,
    /// Spans without media by request, so far.
    #[serde(default)]
    pub pauses: Vec<Pause>,
    /// Anything else that happened, so far.
    #[serde(default)]
    pub notes: Vec<Note>,
}

/// Sizes and hashes of an item's bytes, as a manifest states them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payload {
    /// Bytes without the envelope.
    pub size: u64,
    /// SHA-256 of them, lower-case hexadecimal.
    pub sha256: String,
    /// SHA-256 of the envelope, lower-case hexadecimal.
    pub envelope_sha256: String,
}

impl ItemInfo {
    /// The manifest of what is known here; duration, quality and index are the recorder's to add.
    pub fn manifest(&self, recording: RecordingId, payload: Payload, ending: Ending) -> Manifest {
        Manifest {
            version: 1,
            recording,
            capture: self.capture,
            part: self.part,
            previous: self.previous,
            device: self.device,
            person: self.person,
            dn: self.dn.clone(),
            media: self.media.clone(),
            interactions: self.interactions.clone(),
            ending,
            payload_size: payload.size,
            payload_sha256: payload.sha256,
            envelope_sha256: payload.envelope_sha256,
            started_at: self.started_at,
            duration_ms: None,
            clock: self.clock,
            pauses: self.pauses.clone(),
            quality: Vec::new(),
            index: Vec::new(),
            notes: self.notes.clone(),
        }
    }
}

/// `state.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StateFile {
    /// Version of this form; 1.
    pub version: u32,
    /// The highest one found counts.
    pub serial: u64,
    /// Everything, the manifest too, is durable.
    pub finished: bool,
    pub info: ItemInfo,
}

impl StateFile {
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("ids, numbers and strings have a JSON form")
    }
}
