//! Delays between connections: exponential, capped, with full jitter.

use rand::Rng;
use std::time::Duration;

/// A random delay between nothing and `base * 2^(failures - 1)`, at most `cap`.
pub(crate) fn delay(base: Duration, cap: Duration, failures: u32, rng: &mut impl Rng) -> Duration {
    let doubled = 2u32.saturating_pow(failures.saturating_sub(1).min(20));
    base.saturating_mul(doubled).min(cap).mul_f64(rng.random_range(0.0..=1.0))
}
