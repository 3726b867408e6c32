//! How a device gets its certificate: once, with a one-time code, no trust on first use.
//!
//! `POST /api/v2/devices` over TLS whose certificate chains to the CA with the string's fingerprint.

use crate::{DeviceId, Timestamp};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// What an administrator hands to a device: `hindsight:1:<address>:<CA SHA-256>:<code>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnrolmentString {
    /// Host and port of the web services, `host:port`.
    pub address: String,
    /// SHA-256 of the CA certificate's DER, lower-case hexadecimal (64 digits).
    pub ca_sha256: String,
    /// One-time code.
    pub code: String,
}

/// Why an enrolment string was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnrolmentStringError {
    /// Another prefix or version.
    #[error("an enrolment string starts with `hindsight:1:`")]
    Prefix,
    /// A field is missing or empty.
    #[error("an enrolment string has an address with port, a CA fingerprint and a code")]
    Fields,
    /// Not 64 hexadecimal digits.
    #[error("the CA fingerprint is 64 hexadecimal digits")]
    Fingerprint,
}

impl fmt::Display for EnrolmentString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "hindsight:1:{}:{}:{}", self.address, self.ca_sha256, self.code)
    }
}

impl FromStr for EnrolmentString {
    type Err = EnrolmentStringError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let rest = text.trim().strip_prefix("hindsight:1:").ok_or(EnrolmentStringError::Prefix)?;
        let mut fields = rest.rsplitn(3, ':');
        let (Some(code), Some(ca), Some(address)) = (fields.next(), fields.next(), fields.next()) else {
            return Err(EnrolmentStringError::Fields);
        };
        if code.is_empty() || !address.contains(':') {
            return Err(EnrolmentStringError::Fields);
        }
        if ca.len() != 64 || !ca.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(EnrolmentStringError::Fingerprint);
        }
        Ok(Self { address: address.to_owned(), ca_sha256: ca.to_ascii_lowercase(), code: code.to_owned() })
    }
}

/// What a device is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeviceKind {
    /// An agent's workstation.
    Desktop,
    /// A voice component.
    SipServer,
    /// A voice component.
    ResourceManager,
    /// A voice component; a recorder.
    MediaServer,
    /// The HTTPS front.
    WebServices,
    /// The key keeper.
    CryptoServer,
    /// Joins recordings.
    RecordingProcessor,
}

impl DeviceKind {
    /// The name used in configuration, certificates (organizational unit) and directories.
    pub fn as_str(self) -> &'static str {
        match self {
            DeviceKind::Desktop => "desktop",
            DeviceKind::SipServer => "sip-server",
            DeviceKind::ResourceManager => "resource-manager",
            DeviceKind::MediaServer => "media-server",
            DeviceKind::WebServices => "web-services",
            DeviceKind::CryptoServer => "crypto-server",
            DeviceKind::RecordingProcessor => "recording-processor",
        }
    }
}

/// Body of `POST /api/v2/devices`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EnrolmentRequest {
    /// The one-time code.
    pub code: String,
    /// What the device is.
    pub kind: DeviceKind,
    /// The device's own name (host name), for people.
    pub name: String,
    /// PKCS#10 request, PEM. Its subject is ignored: the server sets it.
    pub csr: String,
}

/// Answer to an [`EnrolmentRequest`], 201.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EnrolmentResponse {
    /// The device's id, also the certificate's common name.
    pub device: DeviceId,
    /// The device certificate, PEM.
    pub certificate: String,
    /// The site's CA certificate, PEM.
    pub ca: String,
    /// When the certificate ends.
    pub not_after: Timestamp,
}
