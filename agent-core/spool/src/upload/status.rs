//! What the owner of a spool tells people about it.

use crate::{ItemSummary, Phase, Room, Spool};
use hindsight_wire::{Timestamp, agent::ProblemKind, link::Up, local::SpoolStatus};
use std::time::Duration;

/// Health of a spool and its uploads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UploadStatus {
    /// Recordings not yet acknowledged by a receipt, refused ones not counted.
    pub waiting: u64,
    /// Their bytes.
    pub waiting_bytes: u64,
    /// When the oldest of them that is finished began, if that is longer ago than it should be.
    pub overdue_since: Option<Timestamp>,
    /// Recordings that the server refused, and damaged ones; kept.
    pub refused: u64,
    /// Free bytes on the spool's disk.
    pub free_bytes: u64,
    /// How much room that is.
    pub room: Room,
    /// Why uploads wait although the server can be reached.
    pub waits: Option<&'static str>,
    /// The server does not answer.
    pub away: bool,
    /// Recordings received and deleted since the start.
    pub received: u64,
    /// Requests failed since the start.
    pub failures: u64,
    /// What the last of them said.
    pub last_failure: Option<String>,
}

impl UploadStatus {
    /// The message for the link.
    pub fn to_link(&self) -> Up {
        let &Self { waiting, waiting_bytes, refused, free_bytes, .. } = self;
        Up::Spool { waiting, waiting_bytes, refused, free_bytes }
    }

    /// The same for the window.
    pub fn to_local(&self) -> SpoolStatus {
        let &Self { waiting, waiting_bytes, refused, free_bytes, .. } = self;
        SpoolStatus { waiting, waiting_bytes, refused, free_bytes }
    }

    /// What is wrong with spool and uploads, most severe first, with a text for people.
    pub fn problems(&self) -> Vec<(ProblemKind, String)> {
        let mib = self.free_bytes >> 20;
        let disk = match &self.room {
            Room::Enough => None,
            Room::Low => Some((ProblemKind::DiskLow, format!("only {mib} MiB are left for recordings"))),
            Room::Full => {
                Some((ProblemKind::DiskFull, format!("no new recording begins with only {mib} MiB left")))
            }
            Room::Exhausted => Some((
                ProblemKind::DiskFull,
                format!("recordings were closed with only {mib} MiB left; no new one begins"),
            )),
            Room::Unwritable(reason) => {
                Some((ProblemKind::DiskFull, format!("recordings cannot be written: {reason}")))
            }
        };
        let refused = (self.refused > 0).then(|| {
            let count = self.refused;
            (
                ProblemKind::UploadRefused,
                format!("{count} recordings were refused by the server or are damaged, and kept"),
            )
        });
        let overdue = self.overdue_since.map(|since| {
            let count = self.waiting;
            let why = match (self.waits, self.away) {
                (Some(waits), _) => format!("; {waits}"),
                (None, true) => "; the server does not answer".to_owned(),
                (None, false) => String::new(),
            };
            (ProblemKind::UploadBacklog, format!("{count} recordings wait, the oldest since {since}{why}"))
        });
        disk.into_iter().chain(refused).chain(overdue).collect()
    }

    /// Counts anew what the spool holds. What waits longer than `backlog` is overdue.
    pub(crate) fn count(&mut self, spool: &Spool, items: &[ItemSummary], backlog: Duration) {
        let (refused, waiting): (Vec<_>, Vec<_>) =
            items.iter().partition(|item| matches!(item.phase, Phase::Refused(_)));
        self.refused = refused.len() as u64 + spool.damaged();
        self.waiting = waiting.len() as u64;
        self.waiting_bytes = waiting.iter().map(|item| item.bytes).sum();
        // Ids begin with the time at which they were made.
        let finished = waiting.iter().filter(|item| item.phase == Phase::Finished);
        let oldest = finished.filter_map(|item| began(item.recording.0)).min();
        let limit = Timestamp::now().plus_ms(-i64::try_from(backlog.as_millis()).unwrap_or(i64::MAX));
        self.overdue_since = oldest.filter(|began| *began < limit);
        self.free_bytes = spool.free_bytes().unwrap_or(0);
        self.room = spool.room().borrow().clone();
    }
}

/// The time inside a UUIDv7.
fn began(id: uuid::Uuid) -> Option<Timestamp> {
    let (seconds, nanos) = id.get_timestamp()?.to_unix();
    i64::try_from(seconds).ok().map(|seconds| Timestamp(seconds * 1_000_000 + i64::from(nanos / 1_000)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use hindsight_wire::RecordingId;

    #[test]
    fn every_trouble_of_the_spool_is_a_problem_with_its_reason() {
        let mut status = UploadStatus { free_bytes: 300 << 20, ..UploadStatus::default() };
        assert!(status.problems().is_empty());
        let mut kind = |room| {
            status.room = room;
            status.problems().remove(0)
        };
        assert_eq!(
            kind(Room::Low),
            (ProblemKind::DiskLow, "only 300 MiB are left for recordings".to_owned())
        );
        assert_eq!(kind(Room::Full).0, ProblemKind::DiskFull);
        assert_eq!(kind(Room::Exhausted).0, ProblemKind::DiskFull);
        let (kind, text) = kind(Room::Unwritable("Read-only file system".to_owned()));
        assert_eq!(kind, ProblemKind::DiskFull);
        assert!(text.ends_with("Read-only file system"));
        (status.refused, status.waiting, status.away) = (2, 5, true);
        status.overdue_since = Some(Timestamp(0));
        let kinds: Vec<_> = status.problems().into_iter().map(|(kind, _)| kind).collect();
        assert_eq!(kinds, [ProblemKind::DiskFull, ProblemKind::UploadRefused, ProblemKind::UploadBacklog]);
        let (_, text) = status.problems().remove(2);
        assert!(
            text.starts_with("5 recordings wait") && text.ends_with("the server does not answer"),
            "{text}"
        );
    }

    #[test]
    fn an_id_tells_when_it_was_made() {
        let made = began(RecordingId::new().0).unwrap();
        assert!((Timestamp::now().0 - made.0).abs() < 5_000_000);
    }
}
