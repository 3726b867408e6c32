//! Why the spool refused.

use crate::storage::is_unwritable;
use hindsight_wire::RecordingId;
use std::{io, path::PathBuf};

/// What went wrong, by whose fault it is.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// Storage: the disk or the file system.
    #[error("spool storage: {doing} {path}: {source}")]
    Storage {
        /// What was tried.
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Storage: an earlier write or sync of this item failed; nothing after it can be trusted to be on the disk.
    #[error("recording {recording} is not safe on disk any more: {reason}")]
    Broken {
        /// Which item.
        recording: RecordingId,
        /// The first failure.
        reason: String,
    },
    /// Storage: fewer free bytes than the limit.
    #[error("the spool's disk has {free} free bytes, fewer than the {limit} kept free")]
    Full {
        /// Free bytes.
        free: u64,
        /// The limit.
        limit: u64,
    },
    /// Storage: the directory is read-only.
    #[error("the spool cannot be written: {0}")]
    Unwritable(String),
    /// Bug: the id is taken.
    #[error("recording {0} is in the spool already")]
    Exists(RecordingId),
    /// Another process has the item.
    #[error("recording {0} is locked by another process")]
    Locked(RecordingId),
    /// Bug: the manifest does not describe this item.
    #[error("the manifest does not fit recording {recording}: {reason}")]
    Manifest {
        /// Which item.
        recording: RecordingId,
        /// What differs.
        reason: String,
    },
    /// Configuration: an address or a certificate cannot be used.
    #[error("uploader configuration: {0}")]
    Configuration(String),
}

impl SpoolError {
    /// Whether nothing can be changed where it happened, and trying again can help only once that was mended.
    pub(crate) fn is_unwritable(&self) -> bool {
        matches!(self, Self::Unwritable(_))
            || matches!(self, Self::Storage { source, .. } if is_unwritable(source))
    }

    pub(crate) fn storage(doing: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Storage { doing, path, source }
    }
}
