//! Moments between the parts of a voice that are too short to make it incomplete, and are listed all the same: pure.

use crate::{completeness::Evidence, spans::uncovered};
use hindsight_wire::Timestamp;

/// What lies between two parts that follow each other directly, milliseconds: a packet.
const SEAM_MS: i64 = 20;

/// The moments without voice between two parts, for people; `None`: there is none. `why`: the last failure.
pub fn of(evidence: &Evidence, started_at: Timestamp, why: Option<&str>) -> Option<String> {
    let between = uncovered(&evidence.wanted, &evidence.covered, SEAM_MS).into_iter().filter(|hole| {
        let covered = &evidence.covered;
        covered.iter().any(|cover| cover.to <= hole.from) && covered.iter().any(|cover| cover.from >= hole.to)
    });
    let place = |at: Timestamp| {
        let tenths = at.ms_since(started_at).max(0) / 100;
        format!("{}:{:02}.{}", tenths / 600, tenths / 10 % 60, tenths % 10)
    };
    let spans: Vec<String> =
        between.map(|hole| format!("for {} ms at {}", hole.ms(), place(hole.from))).collect();
    let why = why.unwrap_or("the recorder was interrupted");
    (!spans.is_empty()).then(|| format!("{why}: nothing was recorded {}", spans.join(", ")))
}
