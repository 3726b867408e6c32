//! Why a recording cannot be rendered.

use hindsight_seal::SealError;

/// A failure of playback, by whose fault it is.
#[derive(Debug, thiserror::Error)]
pub enum PlaybackError {
    /// The object store failed.
    #[error("reading the sealed recording: {0}")]
    Storage(#[from] std::io::Error),
    /// The sealed bytes are not what was sealed.
    #[error("opening the sealed recording: {0}")]
    Sealed(#[from] SealError),
    /// The decrypted bytes are not the Matroska that our recorder writes.
    #[error("the voice recording is malformed at byte {position}: {reason}")]
    Voice {
        /// Position in the plaintext.
        position: u64,
        /// What is wrong.
        reason: &'static str,
    },
    /// The decrypted bytes are not the fragmented MP4 that our recorder writes.
    #[error("the screen recording is malformed at byte {position}: {reason}")]
    Screen {
        /// Position in the plaintext.
        position: u64,
        /// What is wrong.
        reason: &'static str,
    },
    /// Nothing was recorded.
    #[error("the recording holds no media")]
    Empty,
}
