//! Delays between attempts to reach the other side: exponential, capped, with full jitter, so that a server that comes
//! back is not asked by all devices at once.

use std::time::Duration;

/// How long to wait after failures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// Upper bound of the first delay.
    pub base: Duration,
    /// Upper bound of every delay.
    pub cap: Duration,
}

impl Backoff {
    /// A delay between nothing and `base * 2^(failures - 1)`, at most `cap`: the share `jitter` of it, a random number
    /// from 0 to 1.
    pub fn delay(&self, failures: u32, jitter: f64) -> Duration {
        let doubled = 2u32.saturating_pow(failures.saturating_sub(1).min(20));
        self.base.saturating_mul(doubled).min(self.cap).mul_f64(jitter.clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_doubles_up_to_the_cap_and_the_jitter_takes_a_share_of_it() {
        let backoff = Backoff { base: Duration::from_millis(500), cap: Duration::from_secs(30) };
        for (failures, bound_ms) in [(1, 500), (2, 1_000), (6, 16_000), (7, 30_000), (u32::MAX, 30_000)] {
            assert_eq!(backoff.delay(failures, 1.0), Duration::from_millis(bound_ms));
            assert_eq!(backoff.delay(failures, 0.5), Duration::from_millis(bound_ms / 2));
            assert_eq!(backoff.delay(failures, 0.0), Duration::ZERO);
        }
    }
}
