//! Delays between attempts: exponential, capped, with full jitter.

use rand::Rng;
use std::time::Duration;

/// How long to wait after failures.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    /// Upper bound of the first delay.
    pub base: Duration,
    /// Upper bound of every delay.
    pub cap: Duration,
}

impl Backoff {
    /// A random delay between nothing and `base * 2^(failures - 1)`, at most `cap`.
    pub fn delay(&self, failures: u32, rng: &mut impl Rng) -> Duration {
        let doubled = 2u32.saturating_pow(failures.saturating_sub(1).min(20));
        let bound = self.base.saturating_mul(doubled).min(self.cap);
        bound.mul_f64(rng.random_range(0.0..=1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{SeedableRng as _, rngs::StdRng};

    #[test]
    fn delays_spread_over_a_bound_that_doubles_up_to_the_cap() {
        let backoff = Backoff { base: Duration::from_millis(500), cap: Duration::from_secs(30) };
        let mut rng = StdRng::seed_from_u64(1);
        for (failures, bound_ms) in [(1, 500), (2, 1_000), (6, 16_000), (7, 30_000), (u32::MAX, 30_000)] {
            let delays: Vec<_> = (0..500).map(|_| backoff.delay(failures, &mut rng).as_millis()).collect();
            assert!(delays.iter().all(|ms| *ms <= bound_ms));
            assert!(delays.iter().any(|ms| *ms > bound_ms * 9 / 10));
            assert!(delays.iter().any(|ms| *ms < bound_ms / 10));
        }
    }
}
