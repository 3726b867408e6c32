//! How many data keys one actor gets: a bucket of tokens each, pure.

use std::collections::HashMap;
use std::time::Duration;

/// Actors remembered; beyond that, those with a full bucket are forgotten, which changes nothing.
const REMEMBERED: usize = 10_000;

/// Buckets of all actors. Times are since any fixed moment.
#[derive(Debug)]
pub struct Limiter {
    at_once: f64,
    per_second: f64,
    buckets: HashMap<String, Bucket>,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    tokens: f64,
    at: Duration,
}

impl Limiter {
    /// `at_once` in one go, `per_hour` on average.
    pub fn new(at_once: u32, per_hour: u32) -> Self {
        Self {
            at_once: f64::from(at_once),
            per_second: f64::from(per_hour) / 3600.0,
            buckets: HashMap::new(),
        }
    }

    /// Takes one; or says how long to wait for it.
    pub fn take(&mut self, actor: &str, now: Duration) -> Result<(), Duration> {
        if self.buckets.len() >= REMEMBERED && !self.buckets.contains_key(actor) {
            self.forget_full(now);
        }
        let full = Bucket { tokens: self.at_once, at: now };
        let bucket = self.buckets.get(actor).map_or(full, |known| self.refilled(*known, now));
        let (left, outcome) = if bucket.tokens >= 1.0 {
            (bucket.tokens - 1.0, Ok(()))
        } else {
            let wait = (1.0 - bucket.tokens) / self.per_second.max(1e-6);
            (bucket.tokens, Err(Duration::from_secs_f64(wait.min(86_400.0))))
        };
        self.buckets.insert(actor.to_owned(), Bucket { tokens: left, at: now });
        outcome
    }

    fn refilled(&self, bucket: Bucket, now: Duration) -> Bucket {
        let gained = now.saturating_sub(bucket.at).as_secs_f64() * self.per_second;
        Bucket { tokens: (bucket.tokens + gained).min(self.at_once), at: now }
    }

    /// Forgets who would get a full bucket anyway; everybody gets one when nobody would (memory stays bounded).
    fn forget_full(&mut self, now: Duration) {
        let (per_second, at_once) = (self.per_second, self.at_once);
        self.buckets.retain(|_, bucket| {
            bucket.tokens + now.saturating_sub(bucket.at).as_secs_f64() * per_second < at_once
        });
        if self.buckets.len() >= REMEMBERED {
            self.buckets.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_a_burst_keys_come_at_the_hourly_rate() {
        let mut limiter = Limiter::new(2, 3600);
        let at = Duration::from_secs(100);
        assert_eq!(limiter.take("anna", at), Ok(()));
        assert_eq!(limiter.take("anna", at), Ok(()));
        assert_eq!(limiter.take("anna", at), Err(Duration::from_secs(1)));
        assert_eq!(limiter.take("bert", at), Ok(()), "another person's limit is another one");
        assert_eq!(limiter.take("anna", at + Duration::from_secs(1)), Ok(()));
        assert!(limiter.take("anna", at + Duration::from_secs(1)).is_err());
    }

    #[test]
    fn memory_is_bounded_whatever_names_are_sent() {
        let mut limiter = Limiter::new(1, 1);
        for actor in 0..3 * REMEMBERED {
            let _ = limiter.take(&actor.to_string(), Duration::ZERO);
            assert!(limiter.buckets.len() <= REMEMBERED);
        }
    }
}
