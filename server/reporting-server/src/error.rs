//! What can go wrong, and whose fault it is.

use hindsight_store::StoreError;

/// Failure of the reporting server or of a question to it.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// Storage.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Configuration: the time zone is not known.
    #[error("{name:?} is no time zone: an IANA name such as Europe/Berlin is expected")]
    Zone {
        /// What was asked for.
        name: String,
    },
    /// The one who asks: not an instant.
    #[error(
        "{text:?} is no time: 2026-03-29, 2026-03-29T14:00 (in {zone}) or an RFC 3339 time with its offset is expected"
    )]
    Instant {
        /// What was asked for.
        text: String,
        /// In which zone it would have been read.
        zone: String,
    },
    /// The one who asks: the span ends before it begins, or is too long.
    #[error("from {from} to {to} is no span of at most {days} days")]
    Span {
        /// Its start.
        from: String,
        /// Its end.
        to: String,
        /// The longest.
        days: i64,
    },
}
