//! A token bucket over all uploads of a process, without I/O.

use std::time::{Duration, Instant};

/// How much of a second's bytes may be sent at once: small, so that RTP beside it waits for no burst.
const BURST: Duration = Duration::from_millis(50);
/// No limit is lower than this many bytes a second: uploads would never end.
const LOWEST: u64 = 1 << 10;

/// Bytes a second at most.
#[derive(Clone, Debug)]
pub struct Throttle {
    rate: Option<u64>,
    /// What was taken is paid for at this instant.
    paid_at: Instant,
}

impl Throttle {
    /// No limit.
    pub fn new(now: Instant) -> Self {
        Self { rate: None, paid_at: now }
    }

    /// Another limit, from now on.
    pub fn set_rate(&mut self, rate: Option<u64>, now: Instant) {
        let rate = rate.map(|rate| rate.max(LOWEST));
        if rate != self.rate {
            // What is owed was owed at the old rate; nobody waits for that.
            (self.rate, self.paid_at) = (rate, now);
        }
    }

    /// The limit.
    pub fn rate(&self) -> Option<u64> {
        self.rate
    }

    /// Takes `bytes` and says how long to wait before they are sent. Fair in the order of asking.
    pub fn take(&mut self, bytes: u64, now: Instant) -> Duration {
        let Some(rate) = self.rate else { return Duration::ZERO };
        // What was saved up is no more than a burst.
        let from = self.paid_at.max(now.checked_sub(BURST).unwrap_or(now));
        self.paid_at = from + Duration::from_secs_f64(bytes as f64 / rate as f64);
        from.saturating_duration_since(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes sent in so long by senders that each wait for their turn.
    fn send(throttle: &mut Throttle, senders: usize, piece: u64, start: Instant, length: Duration) -> u64 {
        let mut due = vec![start; senders];
        let mut sent = 0;
        loop {
            let next = (0..senders).min_by_key(|sender| due[*sender]).unwrap();
            if due[next] >= start + length {
                return sent;
            }
            let now = due[next];
            due[next] = now + throttle.take(piece, now) + Duration::from_micros(10);
            if due[next] < start + length {
                sent += piece;
            }
        }
    }

    #[test]
    fn any_number_of_senders_stay_under_the_rate_and_reach_it() {
        let start = Instant::now();
        for (senders, rate) in [(1, 10_000u64), (4, 125_000), (16, 1_000_000)] {
            let mut throttle = Throttle::new(start);
            throttle.set_rate(Some(rate), start);
            let sent = send(&mut throttle, senders, 4_096, start, Duration::from_secs(60));
            let share = sent as f64 / (60 * rate) as f64;
            assert!((0.95..1.02).contains(&share), "{senders} senders: {share}");
        }
    }

    #[test]
    fn silence_saves_up_no_burst() {
        let start = Instant::now();
        let mut throttle = Throttle::new(start);
        throttle.set_rate(Some(100_000), start);
        let later = start + Duration::from_secs(3_600);
        let mut at_once = 0;
        while throttle.take(1_000, later).is_zero() {
            at_once += 1_000;
        }
        assert!(at_once <= 6_000, "{at_once}");
    }

    #[test]
    fn another_rate_holds_at_once_and_none_means_no_waiting() {
        let start = Instant::now();
        let mut throttle = Throttle::new(start);
        throttle.set_rate(Some(2_000), start);
        throttle.take(4 << 20, start);
        assert!(throttle.take(1, start) > Duration::from_secs(1_000));
        throttle.set_rate(None, start);
        assert_eq!(throttle.take(1 << 30, start), Duration::ZERO);
        throttle.set_rate(Some(0), start);
        assert_eq!(throttle.rate(), Some(LOWEST), "a limit of nothing would never end");
    }
}
