//! What a recorder signs about one sealed recording (part), and the receipt that the server signs for it.
//!
//! Both travel as [`Signed`]: the exact JSON bytes and a detached CMS SignedData over them.

use crate::{CaptureId, ClockOffset, DeviceId, InteractionId, PersonId, RecordingId, Timestamp};
use serde::{Deserialize, Serialize};

/// What a recorder knows about one recording. Signed with the device's key when the recording ends, or,
/// after a crash, when the spool is recovered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Manifest {
    /// Version of this form; 1.
    pub version: u32,
    /// The recording described.
    pub recording: RecordingId,
    /// The run of recording it belongs to.
    pub capture: CaptureId,
    /// 1 for the first part of its capture (per monitor); replay joins parts in this order.
    pub part: u32,
    /// The part before this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<RecordingId>,
    /// Which device recorded it.
    pub device: DeviceId,
    /// Who sat at the device, for screens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub person: Option<PersonId>,
    /// The DN they had signed in at, for screens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dn: Option<String>,
    /// What the plaintext holds.
    pub media: Media,
    /// Interactions that own a span of this recording.
    pub interactions: Vec<InteractionRange>,
    /// Whether the recorder closed it or a crash did.
    pub ending: Ending,
    /// Bytes of the payload (`.tink`), without the envelope.
    pub payload_size: u64,
    /// SHA-256 of the payload, lower-case hexadecimal.
    pub payload_sha256: String,
    /// SHA-256 of the 4096-byte envelope, lower-case hexadecimal.
    pub envelope_sha256: String,
    /// Time 0 of the media, by the recorder's clock.
    pub started_at: Timestamp,
    /// Length of the media, milliseconds; unknown (absent) after a crash until the server has rebuilt the index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
    /// The recorder's clock against the server's.
    pub clock: ClockOffset,
    /// Spans without media by request. Media time.
    #[serde(default)]
    pub pauses: Vec<Pause>,
    /// Figures of quality per track. A screen has one, whose packets are pictures: `lost` found no place in the queue.
    #[serde(default)]
    pub quality: Vec<TrackQuality>,
    /// Where each cluster or fragment starts in the plaintext; empty after a crash.
    #[serde(default)]
    pub index: Vec<IndexEntry>,
    /// Anything else that happened, in media time.
    #[serde(default)]
    pub notes: Vec<Note>,
}

/// Kind and shape of the media in a recording.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum Media {
    /// Matroska, one audio track per party.
    Voice {
        /// In the order of the Matroska tracks.
        tracks: Vec<VoiceTrack>,
    },
    /// Fragmented MP4, one H.264 track.
    Screen {
        /// Index of the monitor in the capture, from 0.
        monitor: u32,
        /// The system's name of the monitor.
        name: String,
        /// Pixels.
        width: u32,
        /// Pixels.
        height: u32,
        /// How many monitors the capture has.
        monitors: u32,
    },
}

/// One track of a voice recording.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VoiceTrack {
    /// Matroska track number.
    pub number: u64,
    /// Whose voice.
    pub party: Party,
    /// DN or number of the party, where known.
    pub number_or_dn: String,
    /// `PCMU` or `PCMA`: encoding name of RFC 3551.
    pub codec: String,
    /// RTP clock rate, Hz.
    pub clock_rate: u32,
}

/// The side of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Party {
    /// The recorded DN's side.
    Agent,
    /// The other side.
    Customer,
}

/// The span of a recording that belongs to an interaction, in media time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct InteractionRange {
    /// The owner.
    pub interaction: InteractionId,
    /// Milliseconds from the start of the media.
    pub from_ms: u64,
    /// End, milliseconds; absent: to the end of the recording.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to_ms: Option<u64>,
}

/// How a recording came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ending {
    /// Closed by the recorder: the last segment carries the final flag.
    Complete,
    /// Cut by a crash and trimmed to whole segments: the final flag is missing.
    Interrupted,
}

/// A span that was asked not to be recorded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Pause {
    /// Start, milliseconds of media time.
    pub from_ms: u64,
    /// End, milliseconds; absent: never resumed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to_ms: Option<u64>,
    /// Who asked (a login, a rule, a component).
    pub by: String,
    /// Why.
    pub reason: String,
}

/// Packets of one track, counted as RFC 3550 A.1, A.3 and A.8 do.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TrackQuality {
    /// Matroska track number.
    pub track: u64,
    /// Packets written to the recording.
    pub received: u64,
    /// Packets expected by sequence number.
    pub expected: u64,
    /// Expected and never seen.
    pub lost: u64,
    /// Seen twice; written once.
    pub duplicate: u64,
    /// Seen in another order than sent.
    pub reordered: u64,
    /// Too late to be written in order.
    pub late: u64,
    /// Largest interarrival jitter, RTP clock units.
    pub max_jitter: u32,
    /// State of the track as a whole: `ok`, `no-rtp`, `one-way`.
    pub state: String,
    /// How this party's phone heard the other side, where it reports that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reception: Option<Reception>,
}

/// How a party's phone heard the other side, by its own reports (RTCP, RFC 3550 6.4): the whole way from the other phone.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Reception {
    /// How many reports were read.
    pub reports: u64,
    /// Packets of the other side that it has missed since it began to hear it; negative where more came than were sent.
    pub lost: i64,
    /// As it reported last.
    pub last: ReceptionFigures,
    /// The largest of each.
    pub worst: ReceptionFigures,
}

/// Figures of a report of a phone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReceptionFigures {
    /// Share of packets lost since the report before.
    pub loss_percent: f64,
    /// Interarrival jitter, milliseconds.
    pub jitter_ms: u32,
    /// From the media server to the phone and back, milliseconds, where it can be known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub round_trip_ms: Option<u32>,
}

/// Start of a cluster (Matroska) or a fragment (`moof`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct IndexEntry {
    /// Media time, milliseconds.
    pub time_ms: u64,
    /// Byte position in the plaintext.
    pub position: u64,
    /// Whether decoding can start here (always true for voice).
    pub key: bool,
    /// How far after its time the media of this entry reaches, milliseconds, where that is more than [`INDEX_STEP_MS`]:
    /// packets that the network held back for long lie behind later ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub span_ms: Option<u64>,
    /// What the fragment holds; absent for voice, and where the recorder did not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pictures: Option<Pictures>,
}

/// What a fragment of a screen holds: with it the place of every byte of a replay is known before one is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Pictures {
    /// How many.
    pub count: u32,
    /// Their bytes, without the boxes around them.
    pub bytes: u32,
}

/// The index of a voice recording names a cluster at most this often, milliseconds.
pub const INDEX_STEP_MS: u64 = 1_000;

impl IndexEntry {
    /// How far after its time the media of this entry may reach, milliseconds.
    pub fn span(&self) -> u64 {
        self.span_ms.unwrap_or(INDEX_STEP_MS).max(INDEX_STEP_MS)
    }

    /// Enters a cluster at `position` with packets that begin from `first` to `last` milliseconds. An entry stands for
    /// everything up to the next one; none of that begins before its time or after its span.
    pub fn enter(index: &mut Vec<IndexEntry>, first: u64, last: u64, position: u64) {
        let last = last.max(first);
        for entry in index.iter_mut().rev().take_while(|entry| entry.time_ms > first) {
            let end = entry.time_ms + entry.span();
            entry.time_ms = first;
            entry.span_ms = Some(end - first);
        }
        if index.last().is_none_or(|entry| last >= entry.time_ms + entry.span()) {
            let span_ms = (last - first >= INDEX_STEP_MS).then_some(last - first + 1);
            index.push(IndexEntry { time_ms: first, position, key: true, span_ms, pictures: None });
        }
    }
}

/// Something worth knowing at a moment of the recording.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Note {
    /// Media time, milliseconds.
    pub at_ms: u64,
    /// For people.
    pub text: String,
}

/// What the server signs when payload, envelope and manifest are durable: only then may a spool delete.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Receipt {
    /// Version of this form; 1.
    pub version: u32,
    /// The recording received.
    pub recording: RecordingId,
    /// As in the manifest.
    pub payload_size: u64,
    /// As in the manifest.
    pub payload_sha256: String,
    /// SHA-256 of the manifest's JSON bytes, lower-case hexadecimal.
    pub manifest_sha256: String,
    /// When it was committed, by the server's clock.
    pub received_at: Timestamp,
}

/// Exact bytes of a JSON document and a detached CMS SignedData over them, both base64 in JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Signed {
    /// The document, base64.
    pub document: String,
    /// DER of the CMS SignedData (RFC 5652) without attributes, carrying the signer's certificate, base64.
    pub signature: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quality_without_reports_is_written_and_read_as_before_there_were_any() {
        let before = r#"{"track":1,"received":9,"expected":10,"lost":1,"duplicate":0,"reordered":0,"late":0,"maxJitter":7,"state":"ok"}"#;
        let mut quality: TrackQuality = serde_json::from_str(before).unwrap();
        assert_eq!(quality.reception, None);
        assert_eq!(serde_json::to_string(&quality).unwrap(), before);
        let last = ReceptionFigures { loss_percent: 1.2, jitter_ms: 4, round_trip_ms: None };
        let worst = ReceptionFigures { round_trip_ms: Some(80), ..last };
        quality.reception = Some(Reception { reports: 2, lost: -1, last, worst });
        let text = serde_json::to_string(&quality).unwrap();
        assert!(text.ends_with(
            r#""reception":{"reports":2,"lost":-1,"last":{"lossPercent":1.2,"jitterMs":4},"worst":{"lossPercent":1.2,"jitterMs":4,"roundTripMs":80}}}"#
        ));
        assert_eq!(serde_json::from_str::<TrackQuality>(&text).unwrap(), quality);
    }
}
