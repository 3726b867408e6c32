//! The lock-out after wrong passwords: pure.

use hindsight_wire::Timestamp;

/// Wrong passwords that cost nothing.
const FREE_ATTEMPTS: u32 = 5;
/// First lock, milliseconds; it doubles with each further wrong password.
const FIRST_LOCK_MS: i64 = 30_000;
/// Longest lock, milliseconds: a stranger must not be able to shut a person out for ever.
const LONGEST_LOCK_MS: i64 = 15 * 60_000;

/// Until when nothing is heard after this many wrong passwords in a row, the last of them `now`.
pub fn after_failure(failed_attempts: u32, now: Timestamp) -> Option<Timestamp> {
    let over = failed_attempts.checked_sub(FREE_ATTEMPTS)?;
    let lock = FIRST_LOCK_MS.checked_shl(over.min(30)).unwrap_or(LONGEST_LOCK_MS).min(LONGEST_LOCK_MS);
    Some(now.plus_ms(lock))
}

/// Whether a person locked until then must still wait.
pub fn is_locked(locked_until: Option<Timestamp>, now: Timestamp) -> bool {
    locked_until.is_some_and(|until| now < until)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fifth_wrong_password_locks_and_each_further_one_for_twice_as_long() {
        let now = Timestamp(0);
        assert_eq!(after_failure(4, now), None);
        assert_eq!(after_failure(5, now), Some(Timestamp(30_000_000)));
        assert_eq!(after_failure(6, now), Some(Timestamp(60_000_000)));
        assert_eq!(after_failure(u32::MAX, now), Some(Timestamp(900_000_000)));
    }

    #[test]
    fn a_lock_ends() {
        assert!(is_locked(Some(Timestamp(10)), Timestamp(9)));
        assert!(!is_locked(Some(Timestamp(10)), Timestamp(10)));
        assert!(!is_locked(None, Timestamp(0)));
    }
}
