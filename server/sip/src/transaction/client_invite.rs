//! INVITE client transaction (RFC 3261 17.1.1, RFC 6026 7.2).

use std::time::Instant;

use super::{ClientAction, Repetition, Timers};
use crate::message::StatusCode;

/// The machine.
#[derive(Debug, Clone)]
pub struct ClientInvite {
    timers: Timers,
    reliable: bool,
    state: State,
}

#[derive(Debug, Clone)]
enum State {
    Calling { repeat: Option<Repetition>, give_up: Instant },
    Proceeding { give_up: Instant, cancelled: bool },
    Completed { until: Instant },
    Accepted { until: Instant },
    Terminated,
}

impl ClientInvite {
    /// The request has just been sent for the first time.
    pub fn new(timers: Timers, reliable: bool, now: Instant) -> Self {
        let repeat = (!reliable).then(|| Repetition::start(now, timers.t1));
        Self { timers, reliable, state: State::Calling { repeat, give_up: now + timers.limit() } }
    }

    /// A response came.
    pub fn on_response(&mut self, status: StatusCode, now: Instant) -> ClientAction {
        match &mut self.state {
            State::Calling { .. } => self.first_half(status, false, now),
            State::Proceeding { cancelled, .. } => {
                let cancelled = *cancelled;
                self.first_half(status, cancelled, now)
            }
            State::Completed { .. } if status.as_u16() >= 300 => ClientAction::Ack,
            State::Accepted { .. } if status.is_success() => ClientAction::Deliver,
            State::Completed { .. } | State::Accepted { .. } | State::Terminated => ClientAction::Nothing,
        }
    }

    fn first_half(&mut self, status: StatusCode, cancelled: bool, now: Instant) -> ClientAction {
        if status.is_provisional() {
            // After a CANCEL the limit of 9.1 runs on; else each provisional response restarts timer C.
            let give_up = match self.state {
                State::Proceeding { give_up, cancelled: true } => give_up,
                _ => now + self.timers.c,
            };
            self.state = State::Proceeding { give_up, cancelled };
            return ClientAction::Deliver;
        }
        if status.is_success() {
            self.state = State::Accepted { until: now + self.timers.limit() };
            return ClientAction::Deliver;
        }
        self.state = match self.reliable {
            true => State::Terminated,
            false => State::Completed { until: now + self.timers.d(false) },
        };
        ClientAction::DeliverAndAck
    }

    /// May a CANCEL be sent now? Only between the first provisional and the final response (9.1).
    pub fn may_cancel(&self) -> bool {
        matches!(self.state, State::Proceeding { cancelled: false, .. })
    }

    /// Has a final response come, or has it been given up?
    pub fn is_answered(&self) -> bool {
        !matches!(self.state, State::Calling { .. } | State::Proceeding { .. })
    }

    /// A CANCEL has been sent: without a final response in 64·T1 the transaction ends.
    pub fn on_cancel_sent(&mut self, now: Instant) {
        if let State::Proceeding { give_up, cancelled } = &mut self.state {
            *give_up = now + self.timers.limit();
            *cancelled = true;
        }
    }

    /// Has no response come yet?
    pub fn is_unheard(&self) -> bool {
        matches!(self.state, State::Calling { .. })
    }

    /// Time has come to `deadline`.
    pub fn on_timer(&mut self, now: Instant) -> ClientAction {
        match &mut self.state {
            State::Calling { give_up, .. } | State::Proceeding { give_up, .. } if now >= *give_up => {
                self.state = State::Terminated;
                ClientAction::TimeOut
            }
            State::Calling { repeat: Some(repeat), .. } if now >= repeat.at => {
                *repeat = repeat.next(now, self.timers.limit());
                ClientAction::Repeat
            }
            State::Completed { until } | State::Accepted { until } if now >= *until => {
                self.state = State::Terminated;
                ClientAction::Nothing
            }
            State::Calling { .. }
            | State::Proceeding { .. }
            | State::Completed { .. }
            | State::Accepted { .. }
            | State::Terminated => ClientAction::Nothing,
        }
    }

    /// When `on_timer` is wanted; `None` when the transaction is over.
    pub fn deadline(&self) -> Option<Instant> {
        match &self.state {
            State::Calling { repeat, give_up } => Some(repeat.map_or(*give_up, |r| r.at.min(*give_up))),
            State::Proceeding { give_up, .. } => Some(*give_up),
            State::Completed { until } | State::Accepted { until } => Some(*until),
            State::Terminated => None,
        }
    }
}
