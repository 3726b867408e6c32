//! INVITE server transaction (RFC 3261 17.2.1, RFC 6026 7.1).

use std::time::Instant;

use super::{AlreadyAnswered, Repetition, ServerAction, Timers};
use crate::message::StatusCode;

/// The machine.
#[derive(Debug, Clone)]
pub struct ServerInvite {
    timers: Timers,
    reliable: bool,
    state: State,
}

#[derive(Debug, Clone)]
enum State {
    Proceeding { trying: Option<Instant> },
    Completed { repeat: Option<Repetition>, give_up: Instant },
    Confirmed { until: Instant },
    Accepted { until: Instant },
    Terminated,
}

impl ServerInvite {
    /// The INVITE has just come.
    pub fn new(timers: Timers, reliable: bool, now: Instant) -> Self {
        Self { timers, reliable, state: State::Proceeding { trying: Some(now + timers.trying) } }
    }

    /// The same INVITE came again.
    pub fn on_repeated_request(&mut self) -> ServerAction {
        match self.state {
            State::Proceeding { .. } | State::Completed { .. } => ServerAction::Repeat,
            State::Confirmed { .. } | State::Accepted { .. } | State::Terminated => ServerAction::Nothing,
        }
    }

    /// An ACK with the branch of the INVITE came.
    pub fn on_ack(&mut self, now: Instant) -> ServerAction {
        match self.state {
            State::Completed { .. } => {
                self.state = match self.reliable {
                    true => State::Terminated,
                    false => State::Confirmed { until: now + self.timers.absorb(false) },
                };
                ServerAction::Nothing
            }
            State::Accepted { .. } => ServerAction::DeliverAck,
            State::Proceeding { .. } | State::Confirmed { .. } | State::Terminated => ServerAction::Nothing,
        }
    }

    /// The user answers.
    pub fn respond(&mut self, status: StatusCode, now: Instant) -> Result<ServerAction, AlreadyAnswered> {
        match self.state {
            State::Proceeding { .. } if status.is_provisional() => {
                self.state = State::Proceeding { trying: None };
            }
            State::Proceeding { .. } if status.is_success() => {
                self.state = State::Accepted { until: now + self.timers.limit() };
            }
            State::Proceeding { .. } => {
                let repeat = (!self.reliable).then(|| Repetition::start(now, self.timers.t1));
                self.state = State::Completed { repeat, give_up: now + self.timers.limit() };
            }
            State::Accepted { .. } if status.is_success() => {}
            State::Completed { .. }
            | State::Confirmed { .. }
            | State::Accepted { .. }
            | State::Terminated => {
                return Err(AlreadyAnswered);
            }
        }
        Ok(ServerAction::Send)
    }

    /// Is a final response still to come?
    pub fn is_open(&self) -> bool {
        matches!(self.state, State::Proceeding { .. })
    }

    /// Time has come to `deadline`.
    pub fn on_timer(&mut self, now: Instant) -> ServerAction {
        match &mut self.state {
            State::Proceeding { trying } if trying.is_some_and(|at| now >= at) => {
                *trying = None;
                ServerAction::SendTrying
            }
            State::Completed { give_up, .. } if now >= *give_up => {
                self.state = State::Terminated;
                ServerAction::Nothing
            }
            State::Completed { repeat: Some(repeat), .. } if now >= repeat.at => {
                *repeat = repeat.next(now, self.timers.t2);
                ServerAction::Repeat
            }
            State::Confirmed { until } | State::Accepted { until } if now >= *until => {
                self.state = State::Terminated;
                ServerAction::Nothing
            }
            State::Proceeding { .. }
            | State::Completed { .. }
            | State::Confirmed { .. }
            | State::Accepted { .. }
            | State::Terminated => ServerAction::Nothing,
        }
    }

    /// Is the transaction over?
    pub fn is_over(&self) -> bool {
        matches!(self.state, State::Terminated)
    }

    /// When `on_timer` is wanted.
    pub fn deadline(&self) -> Option<Instant> {
        match &self.state {
            State::Proceeding { trying } => *trying,
            State::Completed { repeat, give_up } => Some(repeat.map_or(*give_up, |r| r.at.min(*give_up))),
            State::Confirmed { until } | State::Accepted { until } => Some(*until),
            State::Terminated => None,
        }
    }
}
