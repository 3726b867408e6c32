//! A capture from its first picture to its manifests.
//!
//! ```text
//! capture thread ──pictures (≤ 3 in flight)──▶ one thread per monitor: encode, mux, seal ──▶ spool
//! ```
//!
//! The capture thread never waits for encoding, sealing or the disk: a picture that finds no place is dropped,
//! counted, and its content comes with the next one. Plaintext lives in memory only, from the picture to the sealer.

mod job;
mod part;
mod queue;
mod run;
mod schedule;
mod timeline;
mod view;
mod waiting;
mod worker;
mod writer;

pub use job::{Command, Mark, Origin, Run, RunEvent, RunJob};
pub use schedule::{FIRST_LEAVES_US, KEEP_ALIVE_US, SETTLE_US, Schedule, Shot};
pub use timeline::Timeline;
pub use writer::{Sign, Writer, WriterJob};

use crate::{capture::CaptureError, encode::EncodeError, mux::MuxError};
use hindsight_seal::SealError;
use hindsight_spool::SpoolError;

/// Why a capture could not begin, or broke off.
#[derive(Debug, thiserror::Error)]
pub enum RecordingError {
    /// The display.
    #[error(transparent)]
    Capture(#[from] CaptureError),
    /// The encoder.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// The file format.
    #[error(transparent)]
    Mux(#[from] MuxError),
    /// The recipients' certificates, or the cipher.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// The spool: most often a full disk.
    #[error(transparent)]
    Spool(#[from] SpoolError),
    /// Signing the manifest.
    #[error("signing the manifest: {0}")]
    Sign(String),
    /// A thread could not be started, or panicked.
    #[error("thread: {0}")]
    Thread(String),
}

/// Microseconds since the machine started, also while it sleeps: the clock of the media. It never jumps, and a
/// machine that slept shows as one long picture.
pub fn media_clock_us() -> u64 {
    crate::system::boot_clock_us()
}
