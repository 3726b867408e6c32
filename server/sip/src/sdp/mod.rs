//! Offers and answers (RFC 3264, RFC 8866) of audio: read with `sdp-types`, written anew.
//!
//! Nothing that we do not understand (ICE candidates, unknown attributes) crosses from one party to another; lines of
//! other media are refused. What is understood: one or more audio lines over RTP/AVP or RTP/SAVP with SDES keys
//! (RFC 4568), in the codecs of [`Codec`], with telephone events (RFC 4733) and comfort noise (RFC 3389).
//!
//! | file | what |
//! |---|---|
//! | `format` | codecs and payload types; what two sides agree on |
//! | `direction` | who sends, hold |
//! | `key` | SRTP master keys as they stand in `a=crypto` |
//! | `audio` | one audio line |
//! | `description` | a description read: its audio, the lines round it, the streams of a recording session |
//! | `writer` | a dialog's descriptions written, their version in step with every change |

mod audio;
mod description;
mod direction;
mod format;
mod key;
mod writer;

pub use audio::{Agreed, Audio, Profile};
pub use description::{Description, Shape, Stream, StreamsOffer};
pub use direction::Direction;
pub use format::{Codec, Encoding, Format};
pub use key::{Key, Suite};
pub use writer::Writer;

/// Media type of a session description.
pub const CONTENT_TYPE: &str = "application/sdp";

/// Why a description cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SdpError {
    /// No SDP at all, or no address in it: 400.
    #[error("not a session description")]
    Malformed,
    /// Nothing that we carry: 488.
    #[error("no audio line in G.711, G.722 or Opus")]
    NothingInCommon,
}

#[cfg(test)]
mod tests;
