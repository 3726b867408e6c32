//! What an upload is asked and answered: its item, the requests to the server, their ends.

use hindsight_wire::backoff::Backoff;
use std::time::{Duration, Instant};

/// How eagerly to send.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Most bytes of one PATCH.
    pub chunk: u64,
    /// A growing item is sent on when this many bytes can be,
    pub growing_chunk: u64,
    /// or when some could be for this long.
    pub growing_wait: Duration,
    /// After failures.
    pub backoff: Backoff,
}

/// What the item offers at this moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Local {
    /// Bytes that may be sent.
    pub sendable: u64,
    /// Bytes in all, once it is finished.
    pub total: Option<u64>,
}

/// A request to the server about one recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// tus creation; the length is deferred while unknown.
    Create {
        /// Length, when known.
        total: Option<u64>,
    },
    /// tus HEAD: how far did we come?
    Head,
    /// tus PATCH.
    Patch {
        /// First byte.
        offset: u64,
        /// How many bytes.
        len: u64,
        /// Declares the length, once.
        declare: Option<u64>,
    },
    /// PUT of the signed manifest.
    Manifest,
    /// GET of the signed receipt.
    Receipt,
}

/// What a server said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// `Upload-Offset`.
    pub offset: Option<u64>,
    /// `Upload-Length`.
    pub length: Option<u64>,
    /// `Location`, resolved and of the server's own origin.
    pub location: Option<String>,
    /// `Retry-After`.
    pub retry_after: Option<Duration>,
    /// What the body says of an error, for people.
    pub reason: String,
    /// Whether a receipt in the body was verified: signer, recording, size and hashes.
    pub receipt: Option<Result<(), String>>,
}

/// How a request ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The server answered.
    Answered(Answer),
    /// No answer: connection, time-out.
    Lost(String),
    /// Not asked, or the answer not kept: this side's disk.
    Local(String),
}

/// What to do now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Ask the server.
    Request(Request),
    /// Nothing before this instant.
    At(Instant),
    /// Nothing before the item changes.
    Growth,
    /// The receipt is verified: delete the item.
    Delete,
    /// The server will not have it: keep the item and this reason.
    Keep(String),
}
