//! What the certificate of a peer says: who it is and until when.

use hindsight_wire::Timestamp;
use ring::digest::{SHA256, digest};
use x509_cert::{
    Certificate,
    der::{Decode, DecodePem, Encode, asn1::ObjectIdentifier},
    name::Name,
};

const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");
const ORGANIZATIONAL_UNIT: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.11");

/// A certificate, read. It is the caller's to have checked who signed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateInfo {
    /// For devices: the device's id.
    pub common_name: String,
    /// For devices: the kind.
    pub organizational_unit: String,
    /// Lower-case hexadecimal.
    pub serial: String,
    /// SHA-256 of the DER.
    pub sha256: [u8; 32],
    /// Its end.
    pub not_after: Timestamp,
}

impl CertificateInfo {
    /// Reads a certificate; `None` when it is none.
    pub fn from_der(der: &[u8]) -> Option<Self> {
        Self::read(&Certificate::from_der(der).ok()?, der)
    }

    /// Reads the first certificate of a PEM text.
    pub fn from_pem(pem: &str) -> Option<Self> {
        let end = "-----END CERTIFICATE-----";
        let first = &pem[..pem.find(end)? + end.len()];
        let certificate = Certificate::from_pem(first.trim_start()).ok()?;
        Self::read(&certificate, &certificate.to_der().ok()?)
    }

    fn read(certificate: &Certificate, der: &[u8]) -> Option<Self> {
        let fields = &certificate.tbs_certificate;
        let mut sha256 = [0; 32];
        sha256.copy_from_slice(digest(&SHA256, der).as_ref());
        let not_after = fields.validity.not_after.to_unix_duration().as_micros();
        Some(Self {
            common_name: first(&fields.subject, COMMON_NAME),
            organizational_unit: first(&fields.subject, ORGANIZATIONAL_UNIT),
            serial: hex::encode(fields.serial_number.as_bytes()),
            sha256,
            not_after: Timestamp(i64::try_from(not_after).ok()?),
        })
    }

    /// SHA-256 in lower-case hexadecimal.
    pub fn fingerprint(&self) -> String {
        hex::encode(self.sha256)
    }
}

/// The first attribute of this type; empty when there is none.
fn first(name: &Name, oid: ObjectIdentifier) -> String {
    name.0
        .iter()
        .flat_map(|rdn| rdn.0.iter())
        .find(|attribute| attribute.oid == oid)
        .and_then(|attribute| std::str::from_utf8(attribute.value.value()).ok())
        .unwrap_or_default()
        .to_owned()
}
