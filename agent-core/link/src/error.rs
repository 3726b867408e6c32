//! Why identity, enrolment or a connection failed.

use hindsight_seal::SealError;
use std::{io, path::PathBuf};

/// What went wrong, by whose fault it is.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// Storage: the identity's directory.
    #[error("{doing} {path}: {source}")]
    Storage {
        /// What was tried.
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Configuration: no identity yet, and no enrolment string to get one.
    #[error("no device certificate in {0} and no enrolment string")]
    NotEnrolled(PathBuf),
    /// Configuration: the enrolment string is of another site than the identity.
    #[error("{0} holds the identity of another site; remove it to enrol anew")]
    OtherSite(PathBuf),
    /// Configuration: key, certificate and CA do not belong together, or are none.
    #[error("identity unusable: {0}")]
    Identity(String),
    /// Configuration or peer: whoever answers there is not of the site that made the enrolment string.
    #[error(
        "the server at {address} is not of the site that this enrolment string is for: it does not show the CA certificate with SHA-256 {ca_sha256}"
    )]
    ForeignServer {
        /// `host:port` of the enrolment string.
        address: String,
        /// The fingerprint that it names.
        ca_sha256: String,
    },
    /// Storage: the key store.
    #[error("the device key: {0}")]
    KeyStore(String),
    /// Configuration or peer: the proxy on the way to the site.
    #[error("the proxy: {0}")]
    Proxy(String),
    /// Peer: the server could not be reached, or is not the site's.
    #[error("web services: {0}")]
    Unreachable(String),
    /// Peer: the server answered no.
    #[error("enrolment refused, status {status}: {reason}")]
    Refused {
        /// HTTP status.
        status: u16,
        /// For people.
        reason: String,
    },
    /// Peer: the server's answer cannot be used.
    #[error("enrolment answer unusable: {0}")]
    BadAnswer(String),
}

impl LinkError {
    pub(crate) fn storage(doing: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Storage { doing, path, source }
    }
}

impl From<SealError> for LinkError {
    fn from(error: SealError) -> Self {
        Self::Identity(error.to_string())
    }
}

/// An error with its causes; in plain words where somebody else answers in the site's place.
pub(crate) fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    if text.contains("UnknownIssuer") {
        text.push_str(INTERCEPTED);
    }
    text
}

/// What an unknown issuer means.
const INTERCEPTED: &str = "; whoever answers is not of this site: a proxy that looks inside TLS has to let the site's \
     address through as it is";
