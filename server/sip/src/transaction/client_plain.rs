//! Non-INVITE client transaction (RFC 3261 17.1.2).

use std::time::Instant;

use super::{ClientAction, Repetition, Timers};
use crate::message::StatusCode;

/// The machine.
#[derive(Debug, Clone)]
pub struct ClientPlain {
    timers: Timers,
    reliable: bool,
    state: State,
}

#[derive(Debug, Clone)]
enum State {
    /// Trying and Proceeding: they differ in the pace of repetition only.
    Waiting {
        repeat: Option<Repetition>,
        give_up: Instant,
        heard: bool,
    },
    Completed {
        until: Instant,
    },
    Terminated,
}

impl ClientPlain {
    /// The request has just been sent for the first time.
    pub fn new(timers: Timers, reliable: bool, now: Instant) -> Self {
        let repeat = (!reliable).then(|| Repetition::start(now, timers.t1));
        Self {
            timers,
            reliable,
            state: State::Waiting { repeat, give_up: now + timers.limit(), heard: false },
        }
    }

    /// A response came.
    pub fn on_response(&mut self, status: StatusCode, now: Instant) -> ClientAction {
        match &mut self.state {
            State::Waiting { repeat, heard, .. } if status.is_provisional() => {
                *heard = true;
                if let Some(repeat) = repeat {
                    repeat.interval = self.timers.t2;
                }
                ClientAction::Deliver
            }
            State::Waiting { .. } => {
                self.state = match self.reliable {
                    true => State::Terminated,
                    false => State::Completed { until: now + self.timers.absorb(false) },
                };
                ClientAction::Deliver
            }
            State::Completed { .. } | State::Terminated => ClientAction::Nothing,
        }
    }

    /// Has no response come yet?
    pub fn is_unheard(&self) -> bool {
        matches!(self.state, State::Waiting { heard: false, .. })
    }

    /// Time has come to `deadline`.
    pub fn on_timer(&mut self, now: Instant) -> ClientAction {
        match &mut self.state {
            State::Waiting { give_up, .. } if now >= *give_up => {
                self.state = State::Terminated;
                ClientAction::TimeOut
            }
            State::Waiting { repeat: Some(repeat), .. } if now >= repeat.at => {
                *repeat = repeat.next(now, self.timers.t2);
                ClientAction::Repeat
            }
            State::Completed { until } if now >= *until => {
                self.state = State::Terminated;
                ClientAction::Nothing
            }
            State::Waiting { .. } | State::Completed { .. } | State::Terminated => ClientAction::Nothing,
        }
    }

    /// When `on_timer` is wanted; `None` when the transaction is over.
    pub fn deadline(&self) -> Option<Instant> {
        match &self.state {
            State::Waiting { repeat, give_up, .. } => Some(repeat.map_or(*give_up, |r| r.at.min(*give_up))),
            State::Completed { until } => Some(*until),
            State::Terminated => None,
        }
    }
}
