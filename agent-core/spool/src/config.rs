//! Limits of a spool.

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How much a power cut may lose and how full the disk may get.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Longest wait of an unsynced write for the group sync, milliseconds.
    pub sync_interval_ms: u64,
    /// Unsynced segments of one item that start a group sync at once.
    pub sync_segments: u64,
    /// No new item is created with fewer free bytes than this on the spool's disk; items that grow go on.
    pub min_free_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { sync_interval_ms: 500, sync_segments: 256, min_free_bytes: 256 << 20 }
    }
}

impl Limits {
    pub(crate) fn sync_interval(&self) -> Duration {
        Duration::from_millis(self.sync_interval_ms)
    }
}
