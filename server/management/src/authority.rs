//! The site's certificate authority: an EC P-256 key and its certificate in a directory (`ca.key` 0600, `ca.pem`).
//!
//! It signs the HTTPS certificate, the certificates of devices (common name = device id, organizational unit = kind) and
//! the recording certificates.

use crate::ManagementError;
use hindsight_wire::{DeviceId, Timestamp, enrolment::DeviceKind};
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CertificateSigningRequestParams, DistinguishedName,
    DnType, ExtendedKeyUsagePurpose as Purpose, IsCa, Issuer, KeyPair, KeyUsagePurpose as Usage,
    PublicKeyData, SanType, SerialNumber,
};
use ring::{
    digest::{SHA256, digest},
    rand::{SecureRandom, SystemRandom},
};
use std::{
    fs::{self, OpenOptions},
    io::Write,
    net::IpAddr,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};
use time::{Duration, OffsetDateTime};

/// Certificate of the authority, in its directory.
pub const CERTIFICATE_FILE: &str = "ca.pem";
/// Private key of the authority (PKCS#8 PEM), in its directory.
pub const KEY_FILE: &str = "ca.key";

/// Life of the authority's certificate.
const AUTHORITY_DAYS: i64 = 20 * 365;
/// Life of recording certificates.
const RECORDING_DAYS: i64 = 5 * 365;
/// Life of device and HTTPS certificates.
const DEVICE_DAYS: i64 = 2 * 365;
/// Clocks of devices may be behind by this much and still accept a new certificate.
const BACKDATED: Duration = Duration::hours(24);
/// Organizational unit of recording certificates.
pub const RECORDING_UNIT: &str = "recording";

/// The authority, ready to sign.
pub struct SiteAuthority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
    sha256: [u8; 32],
}

/// A certificate that was just signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issued {
    /// PEM.
    pub pem: String,
    /// SHA-256 of the DER.
    pub sha256: [u8; 32],
    /// Serial number, lower-case hexadecimal.
    pub serial: String,
    /// Its end.
    pub not_after: Timestamp,
}

/// A key made here with its certificate.
pub struct IssuedKey {
    /// The certificate.
    pub certificate: Issued,
    /// Private key, PKCS#8 PEM.
    pub key_pem: String,
}

impl SiteAuthority {
    /// Makes a new authority in `directory`; refuses to replace one.
    pub fn create(directory: &Path, site: &str) -> Result<Self, ManagementError> {
        fs::create_dir_all(directory).map_err(|source| file_error(directory, source))?;
        let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
        let mut params = parameters(name(&format!("{site} recording authority"), None), AUTHORITY_DAYS)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![Usage::KeyCertSign, Usage::CrlSign, Usage::DigitalSignature];
        let certificate = params.self_signed(&key)?;
        write_new(&directory.join(KEY_FILE), &key.serialize_pem())?;
        write_new(&directory.join(CERTIFICATE_FILE), &certificate.pem())?;
        Self::from_pem(certificate.pem(), key)
    }

    /// Loads the authority of a directory.
    pub fn load(directory: &Path) -> Result<Self, ManagementError> {
        let read = |name: &str| {
            let path = directory.join(name);
            fs::read_to_string(&path).map_err(|source| file_error(&path, source))
        };
        let pem = read(CERTIFICATE_FILE)?;
        let unusable = |why: &str| {
            let source = std::io::Error::new(std::io::ErrorKind::InvalidData, why);
            file_error(&directory.join(KEY_FILE), source)
        };
        let key = KeyPair::from_pem(&read(KEY_FILE)?).map_err(|_| unusable("it holds no private key"))?;
        if !is_of(&key, &pem)? {
            return Err(unusable("it is not the key of ca.pem"));
        }
        Self::from_pem(pem, key)
    }

    fn from_pem(pem: String, key: KeyPair) -> Result<Self, ManagementError> {
        let sha256 = pem_sha256(&pem)?;
        Ok(Self { issuer: Issuer::from_ca_cert_pem(&pem, key)?, pem, sha256 })
    }

    /// The authority's certificate, PEM.
    pub fn certificate_pem(&self) -> &str {
        &self.pem
    }

    /// SHA-256 of the authority's certificate, as in an enrolment string.
    pub fn fingerprint(&self) -> String {
        hex::encode(self.sha256)
    }

    /// Signs the request of a device. Only its key is taken (and proved to be held); the name is ours.
    pub fn issue_device(
        &self,
        id: DeviceId,
        kind: DeviceKind,
        csr_pem: &str,
    ) -> Result<Issued, ManagementError> {
        let request = CertificateSigningRequestParams::from_pem(csr_pem)?;
        self.sign(device_parameters(id, kind)?, &request.public_key)
    }

    /// Makes a key and certificate for a component on this host; components that listen are found under `hosts`.
    pub fn make_device(
        &self,
        id: DeviceId,
        kind: DeviceKind,
        hosts: &[String],
    ) -> Result<IssuedKey, ManagementError> {
        let mut params = device_parameters(id, kind)?;
        if !hosts.is_empty() {
            params.subject_alt_names = alternative_names(hosts)?;
            params.extended_key_usages.push(Purpose::ServerAuth);
        }
        self.make(params)
    }

    /// Makes a key and certificate for HTTPS under these host names and addresses.
    pub fn make_https(&self, hosts: &[String]) -> Result<IssuedKey, ManagementError> {
        let first = hosts.first().map_or("hindsight", String::as_str);
        let mut params = parameters(name(first, None), DEVICE_DAYS)?;
        params.subject_alt_names = alternative_names(hosts)?;
        params.key_usages = vec![Usage::DigitalSignature];
        params.extended_key_usages = vec![Purpose::ServerAuth];
        self.make(params)
    }

    /// Makes a recording key (P-256) and its certificate.
    pub fn make_recording(&self, site: &str) -> Result<IssuedKey, ManagementError> {
        let mut params =
            parameters(name(&format!("{site} recordings"), Some(RECORDING_UNIT)), RECORDING_DAYS)?;
        params.key_usages = vec![Usage::KeyAgreement];
        self.make(params)
    }

    fn make(&self, params: CertificateParams) -> Result<IssuedKey, ManagementError> {
        let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
        Ok(IssuedKey { certificate: self.sign(params, &key)?, key_pem: key.serialize_pem() })
    }

    fn sign(&self, params: CertificateParams, key: &impl PublicKeyData) -> Result<Issued, ManagementError> {
        let certificate: Certificate = params.signed_by(key, &self.issuer)?;
        let mut sha256 = [0; 32];
        sha256.copy_from_slice(digest(&SHA256, certificate.der()).as_ref());
        Ok(Issued {
            pem: certificate.pem(),
            sha256,
            serial: hex::encode(
                params.serial_number.as_ref().map(SerialNumber::to_bytes).unwrap_or_default(),
            ),
            not_after: Timestamp(params.not_after.unix_timestamp().saturating_mul(1_000_000)),
        })
    }
}

fn device_parameters(id: DeviceId, kind: DeviceKind) -> Result<CertificateParams, ManagementError> {
    let mut params = parameters(name(&id.to_string(), Some(kind.as_str())), DEVICE_DAYS)?;
    params.key_usages = vec![Usage::DigitalSignature, Usage::ContentCommitment];
    // E-mail protection is what `openssl cms -verify` asks of a signer of manifests.
    params.extended_key_usages = vec![Purpose::ClientAuth, Purpose::EmailProtection];
    Ok(params)
}

fn parameters(subject: DistinguishedName, days: i64) -> Result<CertificateParams, ManagementError> {
    let mut params = CertificateParams::new(Vec::new())?;
    let now = OffsetDateTime::now_utc();
    params.distinguished_name = subject;
    params.not_before = now - BACKDATED;
    params.not_after = now + Duration::days(days);
    params.serial_number = Some(serial());
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

/// 127 random bits, positive, first byte never zero (RFC 5280 4.1.2.2).
fn serial() -> SerialNumber {
    let mut bytes = [0_u8; 16];
    SystemRandom::new().fill(&mut bytes).expect("the operating system gives random bytes");
    bytes[0] = (bytes[0] & 0x7f) | 0x40;
    SerialNumber::from_slice(&bytes)
}

fn name(common: &str, unit: Option<&str>) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::OrganizationName, "Hindsight");
    if let Some(unit) = unit {
        name.push(DnType::OrganizationalUnitName, unit);
    }
    name.push(DnType::CommonName, common);
    name
}

fn alternative_names(hosts: &[String]) -> Result<Vec<SanType>, ManagementError> {
    let san = |host: &String| match host.parse::<IpAddr>() {
        Ok(address) => Ok(SanType::IpAddress(address)),
        Err(_) => Ok(SanType::DnsName(host.as_str().try_into()?)),
    };
    hosts.iter().map(san).collect()
}

/// Whether a certificate is of this key. Its public key stands in it byte for byte, with its algorithm.
fn is_of(key: &KeyPair, pem: &str) -> Result<bool, ManagementError> {
    let (der, public) = (pem_der(pem)?, key.subject_public_key_info());
    Ok(der.windows(public.len()).any(|window| window == public))
}

fn pem_der(pem: &str) -> Result<Vec<u8>, ManagementError> {
    use rustls_pki_types::{CertificateDer, pem::PemObject};
    let der = CertificateDer::from_pem_slice(pem.as_bytes())
        .map_err(|_| ManagementError::Certificate(rcgen::Error::CouldNotParseCertificate))?;
    Ok(der.to_vec())
}

fn pem_sha256(pem: &str) -> Result<[u8; 32], ManagementError> {
    let mut sha256 = [0; 32];
    sha256.copy_from_slice(digest(&SHA256, &pem_der(pem)?).as_ref());
    Ok(sha256)
}

fn write_new(path: &Path, text: &str) -> Result<(), ManagementError> {
    let written =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            file.sync_all()
        });
    written.map_err(|source| file_error(path, source))
}

fn file_error(path: &Path, source: std::io::Error) -> ManagementError {
    ManagementError::Authority { path: PathBuf::from(path), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_authority_is_made_once_and_loads_as_itself() {
        let directory = tempfile::tempdir().unwrap();
        let made = SiteAuthority::create(directory.path(), "test site").unwrap();
        let loaded = SiteAuthority::load(directory.path()).unwrap();
        assert_eq!(made.fingerprint(), loaded.fingerprint());
        assert!(SiteAuthority::create(directory.path(), "test site").is_err());
    }

    #[test]
    fn a_key_of_another_authority_or_none_is_refused() {
        let (directory, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        SiteAuthority::create(directory.path(), "one").unwrap();
        SiteAuthority::create(other.path(), "two").unwrap();
        let refused = || SiteAuthority::load(directory.path()).err().unwrap().to_string();
        fs::copy(other.path().join(KEY_FILE), directory.path().join(KEY_FILE)).unwrap();
        assert!(refused().contains("not the key of ca.pem"));
        fs::write(directory.path().join(KEY_FILE), "nonsense").unwrap();
        assert!(refused().contains("ca.key: it holds no private key"));
    }

    #[test]
    fn a_device_gets_our_name_whatever_its_request_says() {
        let directory = tempfile::tempdir().unwrap();
        let authority = SiteAuthority::create(directory.path(), "test site").unwrap();
        let key = KeyPair::generate().unwrap();
        let mut asked = CertificateParams::new(vec!["bank.example".to_owned()]).unwrap();
        asked.distinguished_name = name("root of all", Some("web-services"));
        let csr = asked.serialize_request(&key).unwrap().pem().unwrap();
        let issued = authority.issue_device(DeviceId::new(), DeviceKind::Desktop, &csr).unwrap();
        let der = der_text(&issued.pem);
        assert!(der.contains("desktop"));
        assert!(!der.contains("bank.example") && !der.contains("root of all"));
        assert_eq!(issued.serial.len(), 32);
    }

    /// The certificate's bytes as text: names stand in it as they are.
    fn der_text(pem: &str) -> String {
        use rustls_pki_types::{CertificateDer, pem::PemObject};
        String::from_utf8_lossy(&CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()).into_owned()
    }
}
