//! What is wrong with a message, and what may be answered to it.

use thiserror::Error;

use super::{Response, StatusCode};

/// One thing wrong with a message or a part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("{} {reason}", .status.as_u16())]
pub struct Fault {
    /// The status that says it to the peer.
    pub status: StatusCode,
    /// The reason phrase that says it to a person.
    pub reason: &'static str,
    /// After this fault nobody knows where the message ends: a stream has to be closed.
    pub framing: bool,
}

impl Fault {
    /// The message does not follow the grammar (400).
    pub fn syntax(reason: &'static str) -> Self {
        Self { status: StatusCode::BAD_REQUEST, reason, framing: false }
    }

    /// The end of the message cannot be known (400, and a stream is closed).
    pub fn framing(reason: &'static str) -> Self {
        Self { framing: true, ..Self::syntax(reason) }
    }

    /// Any other status.
    pub fn status(status: StatusCode, reason: &'static str) -> Self {
        Self { status, reason, framing: false }
    }
}

/// A message that is refused: why, and the answer to send where one is possible.
#[derive(Debug, Clone, Error)]
#[error("{fault}")]
pub struct Rejection {
    /// What is wrong.
    pub fault: Fault,
    /// The answer, made of what could be read. `None`: drop silently (a response, an ACK, no Via, not SIP).
    pub response: Option<Box<Response>>,
}
