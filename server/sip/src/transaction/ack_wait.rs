//! A 2xx to an INVITE is repeated by its user, not by the transaction, until the ACK comes (RFC 3261 13.3.1.4).

use std::time::Instant;

use super::{Repetition, Timers};

/// The wait of a called side for the ACK of its 2xx; on reliable transports too, since proxies may sit between.
#[derive(Debug, Clone)]
pub struct AckWait {
    timers: Timers,
    repeat: Repetition,
    give_up: Instant,
}

/// What the wait wants done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AckWaitAction {
    /// Nothing.
    Nothing,
    /// Send the 2xx again.
    Repeat,
    /// No ACK came in 64·T1.
    GiveUp,
}

impl AckWait {
    /// The 2xx has just been sent for the first time.
    pub fn new(timers: Timers, now: Instant) -> Self {
        Self { timers, repeat: Repetition::start(now, timers.t1), give_up: now + timers.limit() }
    }

    /// Time has come to `deadline`.
    pub fn on_timer(&mut self, now: Instant) -> AckWaitAction {
        if now >= self.give_up {
            return AckWaitAction::GiveUp;
        }
        if now >= self.repeat.at {
            self.repeat = self.repeat.next(now, self.timers.t2);
            return AckWaitAction::Repeat;
        }
        AckWaitAction::Nothing
    }

    /// When `on_timer` is wanted.
    pub fn deadline(&self) -> Instant {
        self.repeat.at.min(self.give_up)
    }
}
