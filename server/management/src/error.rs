//! What can go wrong in management, and whose fault it is.

use hindsight_store::StoreError;

/// Failure of a management operation.
#[derive(Debug, thiserror::Error)]
pub enum ManagementError {
    /// Configuration: the file is not what it should be; the text names the line.
    #[error("configuration file: {0}")]
    File(String),
    /// Configuration: the file asks for something that cannot be.
    #[error("configuration: {0}")]
    Rule(String),
    /// Caller: somebody else changed the configuration after the plan was made.
    #[error("the configuration was changed meanwhile; plan again")]
    Changed,
    /// Storage.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Bug or damage: a certificate or key cannot be made or read.
    #[error("certificate: {0}")]
    Certificate(#[from] rcgen::Error),
    /// Storage: a file of the authority cannot be read or written.
    #[error("{path}: {source}")]
    Authority {
        /// Which.
        path: std::path::PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Bug: the password hash could not be computed.
    #[error("password hash: {0}")]
    Password(String),
}
