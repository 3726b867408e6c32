//! What can go wrong, and whose fault it is.

use hindsight_msml::ResultCode;

/// Why a recording did not begin, or broke.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// Configuration: nobody could open the recording.
    #[error("no recipient for new recordings is configured")]
    NoRecipients,
    /// Configuration: a recipient's certificate cannot be used, or sealing failed.
    #[error("sealing: {0}")]
    Seal(#[from] hindsight_seal::SealError),
    /// Storage: the spool.
    #[error("spool: {0}")]
    Spool(#[from] hindsight_spool::SpoolError),
    /// Configuration: the device's identity cannot sign.
    #[error("signing the manifest: {0}")]
    Sign(String),
    /// Bug or shut-down: the recorder thread is gone.
    #[error("the recorder has stopped")]
    Stopped,
    /// Caller: no such recording.
    #[error("no such recording")]
    Unknown,
}

impl RecordError {
    /// The code of the MSML result.
    pub fn code(&self) -> ResultCode {
        match self {
            RecordError::NoRecipients | RecordError::Stopped => ResultCode::Unavailable,
            RecordError::Unknown => ResultCode::NoSuchObject,
            RecordError::Seal(_) | RecordError::Spool(_) | RecordError::Sign(_) => ResultCode::Internal,
        }
    }
}

/// Why the media server does not run.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// Configuration: the RTP range holds no pair of ports.
    #[error("the RTP port range {0}-{1} has no room for a call")]
    PortRange(u16, u16),
    /// The system refused a socket, a thread or a directory.
    #[error("{0}: {1}")]
    Io(&'static str, #[source] std::io::Error),
    /// Storage: the spool.
    #[error("spool: {0}")]
    Spool(#[from] hindsight_spool::SpoolError),
    /// Configuration or storage: link, journal or identity.
    #[error("{0}: {1}")]
    Link(&'static str, String),
}
