//! What can go wrong in the crypto server, and whose fault it is.

use hindsight_seal::SealError;
use std::path::{Path, PathBuf};

/// Failure inside the crypto server or of its commands.
#[derive(Debug, thiserror::Error)]
pub enum CryptoError {
    /// Storage: a file cannot be read or written.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Configuration: the key-encryption key is missing or has not its form.
    #[error("key-encryption key: {0}")]
    KeyEncryptionKey(String),
    /// Configuration or damage: a key file does not open under the key-encryption key.
    #[error("{0}: damaged, or encrypted under another key-encryption key")]
    KeyFile(PathBuf),
    /// Configuration: no such key, or it is not clear which.
    #[error("recording key: {0}")]
    NoKey(String),
    /// Damage or tampering: the audit log's chain is broken.
    #[error("audit log: line {line}: {why}")]
    Audit {
        /// Counted from 1.
        line: u64,
        /// What does not fit.
        why: &'static str,
    },
    /// Damage: a power cut has left half a line at the end of the audit log. The next start sets it aside.
    #[error("audit log: line {line} at the end is torn ({bytes} bytes), as a power cut leaves it")]
    AuditTorn {
        /// Counted from 1.
        line: u64,
        /// How much of it there is.
        bytes: usize,
    },
    /// Caller or damage: an envelope or segment is not what it should be.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// Configuration: certificate or key of the listener.
    #[error("TLS: {0}")]
    Tls(String),
}

impl CryptoError {
    pub(crate) fn file(path: &Path, source: std::io::Error) -> Self {
        CryptoError::File { path: path.to_owned(), source }
    }
}
