//! TLS settings: aws-lc, TLS 1.2 and 1.3, one trusted CA.

use crate::{LinkError, verifier::FingerprintVerifier};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};
use std::sync::{Arc, atomic::AtomicBool};

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

fn unusable(error: impl std::fmt::Display) -> LinkError {
    LinkError::Identity(error.to_string())
}

pub(crate) fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, LinkError> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    let certificates = certificates.map_err(unusable)?;
    if certificates.is_empty() { Err(unusable("no certificate in PEM")) } else { Ok(certificates) }
}

/// Mutual TLS with the device's key; trusts the site's CA only. Refuses a key that is not the certificate's.
pub(crate) fn mutual(key_pem: &str, cert_pem: &str, ca_pem: &str) -> Result<ClientConfig, LinkError> {
    let mut roots = RootCertStore::empty();
    for ca in certificates(ca_pem)? {
        roots.add(ca).map_err(unusable)?;
    }
    let key = PrivateKeyDer::from_pem_slice(key_pem.as_bytes()).map_err(unusable)?;
    ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(unusable)?
        .with_root_certificates(roots)
        .with_client_auth_cert(certificates(cert_pem)?, key)
        .map_err(unusable)
}

/// For enrolment: no identity yet, and only the CA with this fingerprint is trusted; `foreign` is set when a server
/// does not show it.
pub(crate) fn pinned(ca_sha256: &str, foreign: &Arc<AtomicBool>) -> Result<ClientConfig, LinkError> {
    let verifier = Arc::new(FingerprintVerifier::new(ca_sha256, provider(), foreign.clone()));
    Ok(ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(unusable)?
        // Not a relaxation: the verifier checks chain, validity, host name and, on top, the fingerprint.
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth())
}
