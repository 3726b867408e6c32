//! Why the SIP server cannot run.

/// Fatal errors; everything else is answered, logged or retried where it happens.
#[derive(Debug, thiserror::Error)]
pub enum SipServerError {
    /// Configuration: the listener cannot be had.
    #[error(transparent)]
    Listen(#[from] hindsight_sip::BindError),
    /// Configuration: the advertised host is no host.
    #[error("advertised_host `{0}` is not a host name or address")]
    AdvertisedHost(String),
    /// Configuration: an address of `trusted`.
    #[error("trusted: {0}")]
    Trusted(#[from] hindsight_sip::gate::NotANetwork),
    /// Configuration: the certificate for phones or its key.
    #[error("TLS for phones: {0}")]
    Tls(#[from] crate::tls::TlsError),
    /// Configuration: there is nobody to report to.
    #[error("the identity names no web services address")]
    NoAddress,
    /// Storage: the configuration cache.
    #[error(transparent)]
    Link(#[from] hindsight_link::LinkError),
    /// Storage: the journal.
    #[error(transparent)]
    Journal(#[from] hindsight_link::JournalError),
    /// Storage: what is kept of calls and registrations.
    #[error(transparent)]
    Ledger(#[from] crate::ledger::LedgerError),
    /// Bug: the SIP stack ended by itself.
    #[error(transparent)]
    Stack(#[from] hindsight_sip::StackGone),
}
