//! When to try a repair again: pure, randomness is an argument.

use hindsight_wire::Timestamp;

const FIRST_MS: i64 = 1_000;
const LONGEST_MS: i64 = 60_000;

/// After so many failures; `random` from 0 to 1 spreads the attempts of many over half the wait.
pub fn next_attempt(failures: u32, random: f64, now: Timestamp) -> Timestamp {
    let wait = (FIRST_MS << failures.min(16)).min(LONGEST_MS);
    let jitter = (wait as f64 / 2.0 * random.clamp(0.0, 1.0)) as i64;
    now.plus_ms(wait - jitter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_to_a_limit_and_are_spread() {
        let wait = |failures, random| next_attempt(failures, random, Timestamp(0)).0 / 1000;
        assert_eq!([wait(0, 0.0), wait(1, 0.0), wait(2, 0.0)], [1_000, 2_000, 4_000]);
        assert_eq!(wait(u32::MAX, 0.0), 60_000);
        assert_eq!(wait(u32::MAX, 1.0), 30_000);
    }
}
