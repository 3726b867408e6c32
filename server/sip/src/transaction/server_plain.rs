//! Non-INVITE server transaction (RFC 3261 17.2.2).

use std::time::Instant;

use super::{AlreadyAnswered, ServerAction, Timers};
use crate::message::StatusCode;

/// The machine.
#[derive(Debug, Clone)]
pub struct ServerPlain {
    timers: Timers,
    reliable: bool,
    state: State,
}

#[derive(Debug, Clone)]
enum State {
    /// Trying and Proceeding. After 64·T1 the client has given up, so an answer would serve nobody.
    Open {
        give_up: Instant,
        answered: bool,
    },
    Completed {
        until: Instant,
    },
    Terminated,
}

impl ServerPlain {
    /// The request has just come.
    pub fn new(timers: Timers, reliable: bool, now: Instant) -> Self {
        Self { timers, reliable, state: State::Open { give_up: now + timers.limit(), answered: false } }
    }

    /// The same request came again.
    pub fn on_repeated_request(&mut self) -> ServerAction {
        match self.state {
            State::Open { answered: true, .. } | State::Completed { .. } => ServerAction::Repeat,
            State::Open { .. } | State::Terminated => ServerAction::Nothing,
        }
    }

    /// The user answers.
    pub fn respond(&mut self, status: StatusCode, now: Instant) -> Result<ServerAction, AlreadyAnswered> {
        match &mut self.state {
            State::Open { answered, .. } if status.is_provisional() => *answered = true,
            State::Open { .. } => {
                self.state = match self.reliable {
                    true => State::Terminated,
                    false => State::Completed { until: now + self.timers.limit() },
                };
            }
            State::Completed { .. } | State::Terminated => return Err(AlreadyAnswered),
        }
        Ok(ServerAction::Send)
    }

    /// Time has come to `deadline`.
    pub fn on_timer(&mut self, now: Instant) -> ServerAction {
        if self.deadline().is_some_and(|at| now >= at) {
            self.state = State::Terminated;
        }
        ServerAction::Nothing
    }

    /// Is the transaction over?
    pub fn is_over(&self) -> bool {
        matches!(self.state, State::Terminated)
    }

    /// When `on_timer` is wanted.
    pub fn deadline(&self) -> Option<Instant> {
        match &self.state {
            State::Open { give_up, .. } => Some(*give_up),
            State::Completed { until } => Some(*until),
            State::Terminated => None,
        }
    }
}
