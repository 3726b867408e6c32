//! Settings of the link.

use hindsight_wire::backoff::Backoff;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Where the web services are, and how patient to be with them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LinkConfig {
    /// `host:port` of the web services.
    pub address: String,
    /// Longest wait for connection, TLS and the server's Welcome together, milliseconds.
    pub open_timeout_ms: u64,
    /// A ping this often, milliseconds.
    pub ping_every_ms: u64,
    /// A link on which nothing is heard for this long is lost, milliseconds.
    pub idle_timeout_ms: u64,
    /// First delay before connecting again, milliseconds (full jitter: a random part of it).
    pub retry_base_ms: u64,
    /// Longest delay, milliseconds.
    pub retry_cap_ms: u64,
    /// Messages that may wait to be sent, and events that may wait to be taken.
    pub queue: usize,
}

impl Default for LinkConfig {
    fn default() -> Self {
        Self {
            address: "localhost:8443".to_owned(),
            open_timeout_ms: 10_000,
            ping_every_ms: 5_000,
            idle_timeout_ms: 15_000,
            retry_base_ms: 500,
            retry_cap_ms: 15_000,
            queue: 256,
        }
    }
}

impl LinkConfig {
    /// The defaults, for this `host:port`.
    pub fn new(address: impl Into<String>) -> Self {
        Self { address: address.into(), ..Self::default() }
    }

    pub(crate) fn backoff(&self) -> Backoff {
        Backoff {
            base: Duration::from_millis(self.retry_base_ms),
            cap: Duration::from_millis(self.retry_cap_ms),
        }
    }

    pub(crate) fn open_timeout(&self) -> Duration {
        Duration::from_millis(self.open_timeout_ms)
    }

    pub(crate) fn idle_timeout(&self) -> Duration {
        Duration::from_millis(self.idle_timeout_ms)
    }
}
