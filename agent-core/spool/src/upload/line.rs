//! Whether the server can be reached at all, without I/O.
//!
//! While it cannot, one request at a time asks for it, with growing and scattered delays, however many recordings
//! wait: a site whose server comes back is not asked by every recording of every desktop at once.

use hindsight_wire::backoff::Backoff;
use std::time::{Duration, Instant};

/// Requests without an answer, in a row, after which the server counts as away.
const AWAY_AFTER: u32 = 3;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Up { lost: u32 },
    Away { failures: u32, next: Instant, asking: bool },
}

/// The way to the server.
#[derive(Clone, Debug)]
pub struct Line {
    backoff: Backoff,
    state: State,
}

impl Line {
    /// Believed to be up.
    pub fn new(backoff: Backoff) -> Self {
        Self { backoff, state: State::Up { lost: 0 } }
    }

    /// Whether a request may go out now.
    pub fn may_ask(&self, now: Instant) -> bool {
        match self.state {
            State::Up { .. } => true,
            State::Away { next, asking, .. } => !asking && now >= next,
        }
    }

    /// A request went out.
    pub fn asked(&mut self) {
        if let State::Away { asking, .. } = &mut self.state {
            *asking = true;
        }
    }

    /// A request got an answer of any kind; true when the server was away.
    pub fn answered(&mut self) -> bool {
        let was_away = self.is_away();
        self.state = State::Up { lost: 0 };
        was_away
    }

    /// A request got none. `jitter` from 0 to 1.
    pub fn lost(&mut self, now: Instant, jitter: f64) {
        let away =
            |failures| State::Away { failures, next: now + self.delay(failures, jitter), asking: false };
        self.state = match self.state {
            State::Up { lost } if lost + 1 < AWAY_AFTER => State::Up { lost: lost + 1 },
            State::Up { .. } => away(1),
            State::Away { failures, asking: true, .. } => away(failures.saturating_add(1)),
            // Others that were under way when it went.
            State::Away { asking: false, .. } => self.state,
        };
    }

    fn delay(&self, failures: u32, jitter: f64) -> Duration {
        // At least a half: so many in a row are no accident.
        self.backoff.delay(failures, 0.5 + jitter.clamp(0.0, 1.0) / 2.0)
    }

    /// Whether the server is away.
    pub fn is_away(&self) -> bool {
        matches!(self.state, State::Away { .. })
    }

    /// When the next request may go out, while it may not.
    pub fn next(&self) -> Option<Instant> {
        match self.state {
            State::Up { .. } | State::Away { asking: true, .. } => None,
            State::Away { next, .. } => Some(next),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line() -> Line {
        Line::new(Backoff { base: Duration::from_millis(500), cap: Duration::from_secs(30) })
    }

    #[test]
    fn single_losses_are_accidents_and_three_in_a_row_an_outage() {
        let (mut line, now) = (line(), Instant::now());
        for _ in 0..10 {
            line.lost(now, 1.0);
            line.lost(now, 1.0);
            assert!(line.may_ask(now));
            assert!(!line.answered());
        }
        for _ in 0..3 {
            line.lost(now, 1.0);
        }
        assert!(line.is_away() && !line.may_ask(now));
        assert!(line.may_ask(line.next().unwrap()));
    }

    #[test]
    fn one_request_at_a_time_asks_for_a_server_that_is_away_until_it_answers() {
        let (mut line, mut now) = (line(), Instant::now());
        for _ in 0..3 {
            line.lost(now, 1.0);
        }
        let mut waits = Vec::new();
        for _ in 0..12 {
            let next = line.next().unwrap();
            waits.push((next - now).as_millis());
            now = next;
            assert!(line.may_ask(now));
            line.asked();
            assert!(!line.may_ask(now) && line.next().is_none(), "one at a time");
            line.lost(now, 1.0);
            line.lost(now, 1.0);
        }
        assert_eq!(waits[..7], [500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000]);
        assert!(waits[7..].iter().all(|wait| *wait == 30_000));
        line.asked();
        assert!(line.answered());
        assert!(line.may_ask(now));
    }
}
