//! When a recorder that ended is started again: pure.

use hindsight_wire::backoff::Backoff;
use std::time::{Duration, Instant};

/// A recorder that ran so long was well: what ended it is no series.
const WELL: Duration = Duration::from_secs(60);
/// Ends in a row after which people are told.
const HOPELESS: u32 = 3;

const BACKOFF: Backoff = Backoff { base: Duration::from_millis(500), cap: Duration::from_secs(60) };

/// Counts the ends in a row.
#[derive(Default)]
pub struct Watchdog {
    failures: u32,
    connected: Option<Instant>,
}

impl Watchdog {
    /// It speaks.
    pub fn connected(&mut self, now: Instant) {
        self.connected = Some(now);
    }

    /// It ended; how long to wait before the next. Only one program waits here: no jitter.
    pub fn ended(&mut self, now: Instant) -> Duration {
        let well = self.connected.take().is_some_and(|since| now.duration_since(since) >= WELL);
        self.failures = if well { 1 } else { self.failures.saturating_add(1) };
        BACKOFF.delay(self.failures, 1.0)
    }

    /// It ended so often that it will probably end again.
    pub fn is_hopeless(&self) -> bool {
        self.failures >= HOPELESS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_in_a_row_are_further_and_further_apart_and_a_long_life_forgives_them() {
        let mut watchdog = Watchdog::default();
        let mut now = Instant::now();
        let mut waits = Vec::new();
        for _ in 0..9 {
            watchdog.connected(now);
            now += Duration::from_secs(1);
            waits.push(watchdog.ended(now).as_millis());
            now += Duration::from_secs(90);
        }
        assert_eq!(waits, [500, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000]);
        assert!(watchdog.is_hopeless());
        watchdog.connected(now);
        assert_eq!(watchdog.ended(now + WELL), Duration::from_millis(500));
        assert!(!watchdog.is_hopeless());
    }
}
