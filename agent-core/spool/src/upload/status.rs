//! What the owner of a spool tells people about it.

use crate::{ItemSummary, Phase, Spool};
use hindsight_wire::link::Up;

/// Health of a spool and its uploads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UploadStatus {
    /// Recordings not yet acknowledged by a receipt, refused ones not counted.
    pub waiting: u64,
    /// Their bytes.
    pub waiting_bytes: u64,
    /// Recordings that the server refused, and damaged ones; kept.
    pub refused: u64,
    /// Free bytes on the spool's disk.
    pub free_bytes: u64,
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

    /// Counts anew what the spool holds.
    pub(crate) fn count(&mut self, spool: &Spool, items: &[ItemSummary]) {
        let (refused, waiting): (Vec<_>, Vec<_>) =
            items.iter().partition(|item| matches!(item.phase, Phase::Refused(_)));
        self.refused = refused.len() as u64 + spool.damaged();
        self.waiting = waiting.len() as u64;
        self.waiting_bytes = waiting.iter().map(|item| item.bytes).sum();
        self.free_bytes = spool.free_bytes().unwrap_or(0);
    }
}
