//! RTP as a recorder needs it (RFC 3550): pure, no sockets, no clock.
//!
//! - [`packet`]: a view over the bytes of a packet; nothing is copied.
//! - [`sequence`]: extended sequence numbers (RFC 3550 A.1).
//! - [`rtcp`]: sender and reception reports (RFC 3550 6, RFC 5506).
//! - [`reception`]: what a party's phone says of how it hears the other.
//! - [`quality`]: packets expected, lost, late and jitter (RFC 3550 A.3, A.8).
//! - [`srtp`]: what a party protected (RFC 3711), opened with the key that it gave.
//! - [`timeline`]: where a packet belongs in wall-clock time: RTP time within a talkspurt, arrival across jumps.
//! - [`sender_clock`]: how a sender's RTP clock runs against its wall clock, by its own word.
//! - [`stream`]: one party's packets, put in order of RTP time and placed on the timeline.
//!
//! Deliberately absent: making RTP or SRTP, RTCP reports of our own (RTCP is relayed untouched), reading anything else of
//! RTCP than the reports.

pub mod packet;
pub mod quality;
pub mod reception;
pub mod rtcp;
pub mod sender_clock;
pub mod sequence;
pub mod srtp;
pub mod stream;
pub mod timeline;

pub use packet::{Packet, PacketError};
pub use quality::Quality;
pub use reception::Reception;
pub use stream::{Arrived, Frame, Stream};
