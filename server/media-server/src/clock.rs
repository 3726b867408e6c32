//! One monotonic clock for relay and recorder, so that arrival times of all legs compare.

use std::time::Instant;

/// Microseconds since the media server started.
#[derive(Clone, Copy, Debug)]
pub struct MonotonicClock {
    origin: Instant,
}

impl MonotonicClock {
    /// Starts at zero.
    pub fn start() -> Self {
        Self { origin: Instant::now() }
    }

    /// Now.
    pub fn now_us(&self) -> i64 {
        self.origin.elapsed().as_micros() as i64
    }
}
