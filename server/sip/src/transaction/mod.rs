//! The four transaction machines of RFC 3261 17, with the Accepted states of RFC 6026.
//!
//! Pure: they hold no messages and read no clock. Each input returns what to do; `deadline` says when
//! `on_timer` wants to be called. The endpoint keeps the messages and does it.

mod ack_wait;
mod client_invite;
mod client_plain;
mod server_invite;
mod server_plain;
mod timers;

pub use ack_wait::{AckWait, AckWaitAction};
pub use client_invite::ClientInvite;
pub use client_plain::ClientPlain;
pub use server_invite::ServerInvite;
pub use server_plain::ServerPlain;
pub use timers::Timers;

use std::time::{Duration, Instant};

/// What a client transaction wants done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientAction {
    /// Nothing.
    Nothing,
    /// Send the request again.
    Repeat,
    /// Give the response to the user.
    Deliver,
    /// Give the refusal to the user and send its ACK.
    DeliverAndAck,
    /// Send the ACK of the refusal again.
    Ack,
    /// Tell the user that no final response came.
    TimeOut,
}

/// What a server transaction wants done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerAction {
    /// Nothing.
    Nothing,
    /// Send this response.
    Send,
    /// Send the last response again.
    Repeat,
    /// Send 100.
    SendTrying,
    /// Give the ACK to the user.
    DeliverAck,
}

/// A response given at the wrong time: the transaction has its final one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the transaction already has its final response")]
pub struct AlreadyAnswered;

/// A repetition that backs off: first after `interval`, then doubled up to `cap`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Repetition {
    at: Instant,
    interval: Duration,
}

impl Repetition {
    fn start(now: Instant, interval: Duration) -> Self {
        Self { at: now + interval, interval }
    }

    /// The next one; counted from when it was due, so that a late loop does not stretch the schedule, unless
    /// the loop is so late that several would go out at once.
    fn next(self, now: Instant, cap: Duration) -> Self {
        let interval = (self.interval * 2).min(cap);
        let at = self.at + interval;
        Self { at: if at > now { at } else { now + interval }, interval }
    }
}
