//! RTP as a recorder needs it (RFC 3550): pure, no sockets, no clock.
//!
//! - [`packet`]: a view over the bytes of a packet; nothing is copied.
//! - [`sequence`]: extended sequence numbers (RFC 3550 A.1).
//! - [`quality`]: packets expected, lost, late and jitter (RFC 3550 A.3, A.8).
//! - [`srtp`]: what a party protected (RFC 3711), opened with the key that it gave.
//! - [`timeline`]: where a packet belongs in wall-clock time: RTP time within a talkspurt, arrival across jumps.
//! - [`stream`]: one party's packets, put in order of RTP time and placed on the timeline.
//!
//! Deliberately absent: making RTP or SRTP, RTCP reports of our own (RTCP is relayed untouched).

pub mod packet;
pub mod quality;
pub mod sequence;
pub mod srtp;
pub mod stream;
pub mod timeline;

pub use packet::{Packet, PacketError};
pub use quality::Quality;
pub use stream::{Arrived, Frame, Stream};
