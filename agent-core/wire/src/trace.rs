//! What a SIP server tells of a call's signalling: its messages as they went over the wire, without anything secret.
//!
//! Told over the link, a batch at a time ([`crate::link::Up::Trace`]); the next one goes when
//! [`crate::link::Down::TraceStored`] has come for it. A trace is for people who look for a fault: calls and recordings
//! never wait for it, and what could not be kept is counted.

use crate::InteractionId;
use serde::{Deserialize, Serialize};

/// Longest masked text of one message, bytes of UTF-8.
pub const LONGEST_TEXT: usize = 8 * 1024;
/// Messages that are kept of one call by one process.
pub const MOST_MESSAGES: u32 = 500;
/// Messages in one [`crate::link::Up::Trace`].
pub const MOST_IN_BATCH: usize = 500;

/// What was seen of one call since the last batch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CallTrace {
    /// Which call.
    pub interaction: InteractionId,
    /// When this process saw the call's first message, microseconds since the Unix epoch: with the device and the
    /// interaction the name of this series of numbers.
    pub since_us: i64,
    /// Messages seen so far, probes left out. Those without a place among the kept ones were not kept.
    pub seen: u32,
    /// OPTIONS that only ask whether the far end is there, with their answers: never kept.
    pub probes: u32,
    /// So many messages of the SIP server, of this or other calls, went by while nobody could look at them.
    pub overlooked: u32,
    /// New ones.
    pub messages: Vec<TracedMessage>,
}

/// One SIP message, masked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TracedMessage {
    /// From 1 in its series.
    pub number: u32,
    /// When it was received or sent, clock of the SIP server, microseconds since the Unix epoch.
    pub at_us: i64,
    /// Sent by the SIP server; else received by it.
    pub sent: bool,
    /// The far end.
    pub peer: TracePeer,
    /// Address and port of the SIP server; empty where it listens at every address.
    pub local: String,
    /// `UDP`, `TCP` or `TLS`.
    pub transport: String,
    /// Method, or status and reason: `INVITE`, `200 OK`.
    pub summary: String,
    /// `1 INVITE`; empty where it could not be read.
    pub cseq: String,
    /// The same bytes went the same way before, as the message of this number: `text` is empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repeats: Option<u32>,
    /// Whether `text` is only the beginning.
    #[serde(default)]
    pub cut: bool,
    /// The message, masked; at most [`LONGEST_TEXT`] bytes.
    pub text: String,
}

/// The far end of a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TracePeer {
    /// What it is.
    pub kind: PeerKind,
    /// Number of a phone; empty for everything else.
    pub name: String,
    /// Address and port.
    pub address: String,
}

/// What the far end of a leg is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PeerKind {
    /// A phone.
    Phone,
    /// The resource manager with the media server behind it.
    MediaServer,
}
