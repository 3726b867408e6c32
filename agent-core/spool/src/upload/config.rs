//! Settings of the uploader.

use hindsight_wire::backoff::Backoff;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Where to upload to, and how eagerly.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UploadConfig {
    /// Address of the web services, `https://host:port`.
    pub base_url: String,
    /// Requests at the same time, over all items.
    pub parallel: usize,
    /// Most bytes of one PATCH; a multiple of the segment size.
    pub chunk: u64,
    /// A growing item is sent on when this many bytes can be ...
    pub growing_chunk: u64,
    /// ... or when some could be for this long, milliseconds.
    pub growing_wait_ms: u64,
    /// First delay after a failure, milliseconds (full jitter: a random part of it).
    pub retry_base_ms: u64,
    /// Longest delay, milliseconds.
    pub retry_cap_ms: u64,
    /// A request in which nothing moves for so long has failed, milliseconds.
    pub request_timeout_ms: u64,
    /// Recordings that wait longer than this are a problem, minutes since they began.
    pub backlog_minutes: u64,
}

impl Default for UploadConfig {
    fn default() -> Self {
        Self {
            base_url: "https://localhost:8443".to_owned(),
            parallel: 4,
            chunk: 1 << 20,
            growing_chunk: 64 << 10,
            growing_wait_ms: 3_000,
            retry_base_ms: 500,
            retry_cap_ms: 30_000,
            request_timeout_ms: 60_000,
            backlog_minutes: 60,
        }
    }
}

impl UploadConfig {
    pub(crate) fn backoff(&self) -> Backoff {
        Backoff {
            base: Duration::from_millis(self.retry_base_ms),
            cap: Duration::from_millis(self.retry_cap_ms),
        }
    }
}
