//! What a crash left in the spool: each interrupted recording gets a signed manifest that says so, and is uploaded.

use crate::{error::RecordError, recorder::site::Site};
use hindsight_model::{Event, Timestamp, event::What};
use hindsight_spool::{InterruptedItem, Spool};
use hindsight_wire::manifest::Note;

/// Journals what is lost without a trace; once, at start.
pub fn report_empty(spool: &Spool, site: &dyn Site) {
    for empty in spool.empty() {
        tracing::error!(recording = %empty.recording, "nothing of a recording survived the crash");
        for range in &empty.info.interactions {
            let reason = "nothing of a recording survived a crash of the media server".to_owned();
            let what = What::RecordingLost { recording: empty.recording, reason };
            site.journal(&Event { interaction: range.interaction, at: Timestamp::now(), what });
        }
    }
}

/// Closes every interrupted item; returns how many.
pub fn close_interrupted(spool: &Spool, site: &dyn Site) -> usize {
    let mut closed = 0;
    for item in spool.interrupted() {
        let recording = item.recording();
        match close(item, site) {
            Ok(()) => closed += 1,
            // Kept in the spool: the next start tries again.
            Err(error) => tracing::error!(%recording, %error, "an interrupted recording could not be closed"),
        }
    }
    closed
}

fn close(item: InterruptedItem, site: &dyn Site) -> Result<(), RecordError> {
    let mut manifest = item.manifest()?;
    manifest
        .notes
        .push(Note { at_ms: 0, text: "interrupted: the media server ended in mid-recording".to_owned() });
    let document = serde_json::to_vec(&manifest).map_err(|error| RecordError::Sign(error.to_string()))?;
    let signed = site.sign(&document).map_err(RecordError::Sign)?;
    item.finish(&signed)?;
    tracing::info!(recording = %manifest.recording, bytes = manifest.payload_size, "interrupted recording closed");
    Ok(())
}
