//! The recordings of an interaction: those that are there, those on their way, and those that will never come.

use super::quality::QualityView;
use hindsight_model::event::{Event, What};
use hindsight_store::{
    Connection, StoreError,
    interactions::Interaction,
    recordings::{self, Owned},
    uploads,
};
use hindsight_wire::{
    RecordingId,
    manifest::{Media, Party, Pause, VoiceTrack},
};
use serde::Serialize;
use std::collections::HashMap;
use utoipa::ToSchema;

/// One recording of an interaction.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MediaFile {
    #[schema(format = Uuid)]
    pub(super) id: String,
    /// The run of recording: parts and monitors of one run share it.
    #[schema(format = Uuid)]
    capture: String,
    /// `voice` or `screen`.
    kind: &'static str,
    part: Option<u32>,
    /// Start of the media after the interaction's start; negative: before it.
    offset_ms: Option<i64>,
    duration_ms: Option<u64>,
    /// The interaction's span of the media, milliseconds of media time.
    #[serde(skip_serializing_if = "Option::is_none")]
    from_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    to_ms: Option<u64>,
    /// `recording`, `uploading`, `repairing`, `ready`, `recovered` or `failed`.
    state: &'static str,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    media_url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    peaks_url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    width: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    height: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    monitor: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dn: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tracks: Vec<TrackView>,
    pauses: Vec<PauseView>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    quality: Vec<QualityView>,
}

/// A party's track.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TrackView {
    /// `agent` or `customer`.
    party: &'static str,
    number: String,
}

/// A span that was asked not to be recorded, in media time.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PauseView {
    from_ms: u64,
    to_ms: Option<u64>,
    by: String,
    reason: String,
}

/// All of them; parts of one run in their order.
pub(super) async fn media_files(
    db: &mut Connection,
    this: &Interaction,
    log: &[Event],
    owned: Vec<Owned>,
) -> Result<Vec<MediaFile>, StoreError> {
    let mut files: Vec<MediaFile> = owned.iter().map(|owned| committed(this, owned)).collect();
    let run = |file: &MediaFile| ((file.capture.clone(), file.monitor), file.part.unwrap_or(1));
    let parts = part_numbers(files.iter().map(run));
    files.iter_mut().zip(parts).for_each(|(file, part)| file.part = Some(part));
    for announced in announced(log) {
        if owned.iter().any(|owned| owned.recording.id() == announced.recording) {
            continue;
        }
        let upload = uploads::by_recording(db, announced.recording).await?;
        let lost = log.iter().find_map(|event| match &event.what {
            What::RecordingLost { recording, reason } if *recording == announced.recording => Some(reason),
            _ => None,
        });
        files.push(arriving(announced, upload, lost.cloned()));
    }
    Ok(files)
}

/// Numbers of parts, in the order of their starts, none twice in a run: a media server that takes a call over does not
/// know how many parts the lost one made of changed codecs.
fn part_numbers<Run: Eq + std::hash::Hash>(parts: impl Iterator<Item = (Run, u32)>) -> Vec<u32> {
    let mut last = HashMap::new();
    parts
        .map(|(run, part)| {
            let last = last.entry(run).or_insert(0);
            *last = part.max(*last + 1);
            *last
        })
        .collect()
}

/// A recording that events tell of.
struct Announced {
    recording: RecordingId,
    capture: hindsight_wire::CaptureId,
    kind: &'static str,
    dn: Option<String>,
}

fn announced(log: &[Event]) -> Vec<Announced> {
    let mut all = Vec::new();
    for event in log {
        match &event.what {
            What::RecordingOpened { recording, capture } => {
                all.push(Announced { recording: *recording, capture: *capture, kind: "voice", dn: None });
            }
            What::ScreenStarted { capture, recordings, dn, .. } => {
                let one = |&recording| Announced {
                    recording,
                    capture: *capture,
                    kind: "screen",
                    dn: Some(dn.clone()),
                };
                all.extend(recordings.iter().map(one));
            }
            _ => {}
        }
    }
    all.sort_by_key(|announced| announced.recording);
    all.dedup_by_key(|announced| announced.recording);
    all
}

/// What is not there: on its way, or, with its reason, never to come.
fn arriving(announced: Announced, upload: Option<uploads::Upload>, lost: Option<String>) -> MediaFile {
    let (state, failure) = match (upload.map(|upload| upload.state), lost) {
        (Some(uploads::State::Refused(reason)), _) | (_, Some(reason)) => ("failed", Some(reason)),
        (None, None) => ("recording", None),
        (Some(uploads::State::Open | uploads::State::Committed), None) => ("uploading", None),
    };
    MediaFile {
        id: announced.recording.to_string(),
        capture: announced.capture.to_string(),
        kind: announced.kind,
        part: None,
        offset_ms: None,
        duration_ms: None,
        from_ms: None,
        to_ms: None,
        state,
        failure,
        media_url: None,
        peaks_url: None,
        width: None,
        height: None,
        monitor: None,
        dn: announced.dn,
        tracks: Vec::new(),
        pauses: Vec::new(),
        quality: Vec::new(),
    }
}

fn committed(this: &Interaction, owned: &Owned) -> MediaFile {
    let recording = &owned.recording;
    let manifest = &recording.manifest;
    let id = manifest.recording;
    let playable = matches!(recording.state, recordings::State::Ready | recordings::State::Recovered);
    let url = |what: &str| playable.then(|| format!("/api/v2/recordings/{id}/{what}"));
    let (tracks, screen): (&[VoiceTrack], _) = match &manifest.media {
        Media::Voice { tracks } => (tracks, None),
        Media::Screen { monitor, width, height, .. } => (&[], Some((*monitor, *width, *height))),
    };
    MediaFile {
        id: id.to_string(),
        capture: manifest.capture.to_string(),
        kind: if recording.is_voice() { "voice" } else { "screen" },
        part: Some(manifest.part),
        offset_ms: Some(recording.started_at.ms_since(this.started_at)),
        duration_ms: recording.duration_ms,
        from_ms: Some(owned.from_ms),
        to_ms: owned.to_ms,
        state: recording.state.as_str(),
        failure: recording.failure.clone(),
        media_url: url("media"),
        peaks_url: url("peaks").filter(|_| recording.is_voice()),
        width: screen.map(|(_, width, _)| width),
        height: screen.map(|(_, _, height)| height),
        monitor: screen.map(|(monitor, ..)| monitor),
        dn: manifest.dn.clone(),
        tracks: tracks.iter().map(track).collect(),
        pauses: manifest.pauses.iter().map(pause).collect(),
        quality: manifest.quality.iter().map(QualityView::of).collect(),
    }
}

fn track(track: &VoiceTrack) -> TrackView {
    let party = match track.party {
        Party::Agent => "agent",
        Party::Customer => "customer",
    };
    TrackView { party, number: track.number_or_dn.clone() }
}

fn pause(pause: &Pause) -> PauseView {
    let Pause { from_ms, to_ms, by, reason } = pause.clone();
    PauseView { from_ms, to_ms, by, reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_part_of_a_run_has_the_number_of_another() {
        let parts = [("a", 1), ("b", 1), ("a", 2), ("a", 2), ("a", 3), ("b", 5), ("c", 2)];
        assert_eq!(part_numbers(parts.into_iter()), [1, 1, 2, 3, 4, 5, 2]);
    }
}
