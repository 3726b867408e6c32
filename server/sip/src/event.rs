//! What the stack tells its user.

use std::fmt;

use crate::flow::Source;
use crate::message::{Request, Response};

/// Names a server transaction: a request that came in and wants a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServerTransactionId(pub(crate) u64);

/// Names a client transaction: a request that went out and gets a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientTransactionId(pub(crate) u64);

impl fmt::Display for ServerTransactionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s{}", self.0)
    }
}

impl fmt::Display for ClientTransactionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "c{}", self.0)
    }
}

/// One thing that happened. CANCEL, the ACK of a refusal and repetitions are dealt with inside.
#[derive(Debug, Clone)]
pub enum Event {
    /// A new request. Answer it once finally; an INVITE gets its 100 by itself after 200 ms.
    Request {
        /// To answer it with.
        transaction: ServerTransactionId,
        /// The request, its top Via completed with `received` and `rport`.
        request: Request,
        /// Where it came from.
        source: Source,
    },
    /// An INVITE that was not yet answered finally has been cancelled (the CANCEL is answered): answer it 487.
    Cancelled {
        /// The transaction of the INVITE.
        transaction: ServerTransactionId,
        /// The CANCEL (its Reason header may interest).
        request: Request,
    },
    /// The ACK of a 2xx, which belongs to the dialog.
    Ack {
        /// The ACK.
        request: Request,
        /// Where it came from.
        source: Source,
    },
    /// A response to a request of ours: provisional, then final. An INVITE may get several 2xx (forks).
    Response {
        /// The transaction of the request.
        transaction: ClientTransactionId,
        /// The response, our own Via still on top.
        response: Response,
        /// Where it came from.
        source: Source,
    },
    /// No final response in time: as if 408 had come. The transaction is over.
    TimedOut {
        /// The transaction of the request.
        transaction: ClientTransactionId,
    },
    /// The request could not be sent: as if 503 had come. The transaction is over.
    TransportFailed {
        /// The transaction of the request.
        transaction: ClientTransactionId,
        /// What the operating system said.
        reason: String,
    },
    /// A 2xx given to `accept` was never acknowledged (64·T1): end the session with BYE (RFC 3261 13.3.1.4).
    AckMissing {
        /// The transaction of the INVITE.
        transaction: ServerTransactionId,
    },
}
