//! Whether a trunk is there: asked by OPTIONS every so often. Pure.
//!
//! Any final answer but 408 and 503 shows that it is, whatever it thinks of OPTIONS. Silence for a few seconds, and it is
//! down; then it is asked more often.

use std::time::{Duration, Instant};

/// Between two questions to a trunk that is there, or of which nothing is known.
pub(super) const EVERY: Duration = Duration::from_secs(30);
/// To one that is down.
pub(super) const EVERY_WHILE_DOWN: Duration = Duration::from_secs(5);
/// For the answer: at T1 of half a second it is asked four times.
pub(super) const ANSWERS_WITHIN: Duration = Duration::from_secs(4);

/// What is known of a trunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Nothing yet: calls are tried.
    Unknown,
    /// It answers.
    Up,
    /// It is silent, or says that it serves nobody.
    Down,
}

/// The watch over one trunk.
pub(super) struct Health {
    state: State,
    /// When it is asked next; `None`: never, the site does not want it.
    next: Option<Instant>,
    /// When it was asked last.
    asked_at: Option<Instant>,
    /// Until when the answer must come.
    silent_at: Option<Instant>,
}

impl Health {
    /// Nothing is known. `asks`: whether it is asked at all.
    pub(super) fn new(asks: bool, now: Instant) -> Self {
        Self { state: State::Unknown, next: asks.then_some(now), asked_at: None, silent_at: None }
    }

    pub(super) fn state(&self) -> State {
        self.state
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        [self.next, self.silent_at].into_iter().flatten().min()
    }

    /// Timers: whether it is to be asked now.
    pub(super) fn on_time(&mut self, now: Instant) -> bool {
        if self.silent_at.is_some_and(|at| at <= now) {
            self.is(State::Down, now);
        }
        let due = self.next.is_some_and(|at| at <= now);
        if due {
            self.asked_at = Some(now);
            self.silent_at = Some(now + ANSWERS_WITHIN);
            self.next = Some(now + self.period());
        }
        due
    }

    /// The final answer, 503 also for a question that could not be sent.
    pub(super) fn answered(&mut self, status: u16, now: Instant) {
        self.is(if matches!(status, 408 | 503) { State::Down } else { State::Up }, now);
    }

    /// A call got no answer from it: it is asked at once.
    pub(super) fn suspected(&mut self, now: Instant) {
        if self.next.is_some() && self.silent_at.is_none() {
            self.next = Some(now);
        }
    }

    fn is(&mut self, state: State, now: Instant) {
        self.silent_at = None;
        let changed = std::mem::replace(&mut self.state, state) != state;
        if changed && self.next.is_some() {
            self.next = Some(self.asked_at.unwrap_or(now) + self.period());
        }
    }

    fn period(&self) -> Duration {
        if self.state == State::Down { EVERY_WHILE_DOWN } else { EVERY }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// When it is asked within a minute, in seconds from now, with this answer each time.
    fn asked(health: &mut Health, answer: Option<u16>, start: Instant) -> Vec<u64> {
        let mut asked = Vec::new();
        for second in 0..60 {
            let now = start + SECOND * second;
            if health.on_time(now) {
                asked.push(u64::from(second));
                if let Some(status) = answer {
                    health.answered(status, now);
                }
            }
        }
        asked
    }

    #[test]
    fn it_is_asked_every_half_minute_and_more_often_while_it_is_down() {
        let now = Instant::now();
        let mut health = Health::new(true, now);
        assert_eq!(health.state(), State::Unknown);
        assert_eq!(asked(&mut health, Some(404), now), [0, 30]);
        assert_eq!(health.state(), State::Up, "404 is an answer");
        let later = now + SECOND * 60;
        assert_eq!(asked(&mut health, None, later), [0, 5, 10, 15, 20, 25, 30, 35, 40, 45, 50, 55]);
        assert_eq!(health.state(), State::Down);
        let later = later + SECOND * 60;
        assert_eq!(asked(&mut health, Some(200), later), [0, 30]);
        assert_eq!(health.state(), State::Up);
    }

    #[test]
    fn one_that_says_503_is_down_and_one_that_is_not_asked_never_is() {
        let now = Instant::now();
        let mut health = Health::new(true, now);
        assert!(health.on_time(now));
        health.answered(503, now);
        assert_eq!(health.state(), State::Down);
        let mut health = Health::new(false, now);
        health.suspected(now);
        assert!(!health.on_time(now + SECOND * 3600));
        assert_eq!((health.state(), health.deadline()), (State::Unknown, None));
    }

    #[test]
    fn a_call_that_got_no_answer_has_it_asked_at_once() {
        let now = Instant::now();
        let mut health = Health::new(true, now);
        assert!(health.on_time(now));
        health.answered(200, now);
        health.suspected(now + SECOND);
        assert!(health.on_time(now + SECOND));
        health.suspected(now + SECOND * 2);
        assert!(!health.on_time(now + SECOND * 2), "it has been asked already");
        assert!(!health.on_time(now + SECOND + ANSWERS_WITHIN) && health.state() == State::Down);
    }
}
