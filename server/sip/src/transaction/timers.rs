//! The timer values of RFC 3261 17.1.1.1, table 4.

use std::time::Duration;

/// Base values; all lettered timers follow from them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timers {
    /// Round-trip estimate.
    pub t1: Duration,
    /// Longest interval between repetitions.
    pub t2: Duration,
    /// How long a message stays in the network.
    pub t4: Duration,
    /// Timer C: how long an INVITE may go on ringing after its last provisional response.
    pub c: Duration,
    /// An INVITE gets its 100 after this.
    pub trying: Duration,
}

impl Default for Timers {
    fn default() -> Self {
        Self {
            t1: Duration::from_millis(500),
            t2: Duration::from_secs(4),
            t4: Duration::from_secs(5),
            c: Duration::from_secs(200),
            trying: Duration::from_millis(200),
        }
    }
}

impl Timers {
    /// 64·T1: timers B, F, H, J, L, M, and the wait for the ACK of a 2xx.
    pub fn limit(&self) -> Duration {
        self.t1 * 64
    }

    /// Timer D: how long repeated refusals of an INVITE are acknowledged (at least 32 s on UDP).
    pub fn d(&self, reliable: bool) -> Duration {
        if reliable { Duration::ZERO } else { self.limit().max(Duration::from_secs(32)) }
    }

    /// Timers I and K: how long late repetitions are absorbed.
    pub fn absorb(&self, reliable: bool) -> Duration {
        if reliable { Duration::ZERO } else { self.t4 }
    }
}
