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
    /// With fewer free bytes than this on the spool's disk people are told, and uploads wait for no better network.
    pub low_free_bytes: u64,
    /// No new item is created with fewer free bytes than this; items that grow go on.
    pub min_free_bytes: u64,
    /// With fewer free bytes than this what is running has to be closed.
    pub stop_free_bytes: u64,
    /// Bytes held back in a file of their own, so that recordings can be closed and signed on a disk that others filled.
    pub reserve_bytes: u64,
    /// How often the disk is looked at, milliseconds.
    pub guard_interval_ms: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            sync_interval_ms: 500,
            sync_segments: 256,
            low_free_bytes: 1 << 30,
            min_free_bytes: 256 << 20,
            stop_free_bytes: 64 << 20,
            reserve_bytes: 4 << 20,
            guard_interval_ms: 2_000,
        }
    }
}

impl Limits {
    pub(crate) fn sync_interval(&self) -> Duration {
        Duration::from_millis(self.sync_interval_ms)
    }

    pub(crate) fn guard_interval(&self) -> Duration {
        Duration::from_millis(self.guard_interval_ms.max(100))
    }
}
