//! Whether a certificate leads to the CA (RFC 5280, 6, without policies, name constraints and revocation).

use super::algorithm;
use crate::SealError;
use der::asn1::ObjectIdentifier;
use der::{Encode, oid::AssociatedOid};
use x509_cert::Certificate;
use x509_cert::ext::pkix::{BasicConstraints, ExtendedKeyUsage, KeyUsage, SubjectAltName};

/// Certificates between signer and CA.
const MOST_INTERMEDIATES: u8 = 3;

/// Critical extensions that are checked here or do not matter to a signature.
const KNOWN: [ObjectIdentifier; 4] =
    [BasicConstraints::OID, KeyUsage::OID, ExtendedKeyUsage::OID, SubjectAltName::OID];

pub fn check(
    signer: &Certificate,
    carried: &[Certificate],
    anchors: &[Certificate],
    at: u64,
) -> Result<(), SealError> {
    check_one(signer, at)?;
    let usage = signer.tbs_certificate.get::<KeyUsage>();
    let usage = usage.map_err(|_| SealError::UntrustedSigner("its key usage is malformed"))?;
    if usage.is_some_and(|(_, usage)| !usage.digital_signature()) {
        return Err(SealError::UntrustedSigner("its key is not for signatures"));
    }
    climb(signer, carried, anchors, at, 0)
}

/// Looks for an issuer among the anchors, then among the certificates carried along. `below` counts the
/// intermediates passed.
fn climb(
    certificate: &Certificate,
    carried: &[Certificate],
    anchors: &[Certificate],
    at: u64,
    below: u8,
) -> Result<(), SealError> {
    let mut reason = SealError::UntrustedSigner("no certificate of this CA issued it");
    for anchor in anchors {
        match issued_by(certificate, anchor, at, below) {
            Ok(true) => return Ok(()),
            Ok(false) => {}
            Err(error) => reason = error,
        }
    }
    if below == MOST_INTERMEDIATES {
        return Err(reason);
    }
    for intermediate in carried {
        match issued_by(certificate, intermediate, at, below) {
            Ok(true) if intermediate != certificate => {
                match climb(intermediate, carried, anchors, at, below + 1) {
                    Ok(()) => return Ok(()),
                    Err(error) => reason = error,
                }
            }
            Ok(_) => {}
            Err(error) => reason = error,
        }
    }
    Err(reason)
}

/// `Ok(false)`: another issuer. An error: this issuer, but not usable.
fn issued_by(certificate: &Certificate, issuer: &Certificate, at: u64, below: u8) -> Result<bool, SealError> {
    let issuer_tbs = &issuer.tbs_certificate;
    if certificate.tbs_certificate.issuer != issuer_tbs.subject {
        return Ok(false);
    }
    let signed = certificate.tbs_certificate.to_der().map_err(|_| SealError::BadCertificate)?;
    let by = (&issuer_tbs.subject_public_key_info, &certificate.signature_algorithm);
    let signature = certificate.signature.as_bytes().unwrap_or_default();
    if certificate.tbs_certificate.signature != certificate.signature_algorithm
        || algorithm::verify(by.0, by.1, None, &signed, signature).is_none()
    {
        return Ok(false);
    }
    check_one(issuer, at)?;
    let bad = |_| SealError::UntrustedSigner("its issuer is malformed");
    match issuer_tbs.get::<BasicConstraints>().map_err(bad)? {
        Some((_, BasicConstraints { ca: true, path_len_constraint })) => {
            if path_len_constraint.is_some_and(|most| below > most) {
                return Err(SealError::UntrustedSigner("its chain is longer than the CA allows"));
            }
        }
        Some(_) | None => return Err(SealError::UntrustedSigner("its issuer is not a CA")),
    }
    if issuer_tbs.get::<KeyUsage>().map_err(bad)?.is_some_and(|(_, usage)| !usage.key_cert_sign()) {
        return Err(SealError::UntrustedSigner("its issuer may not sign certificates"));
    }
    Ok(true)
}

fn check_one(certificate: &Certificate, at: u64) -> Result<(), SealError> {
    let tbs = &certificate.tbs_certificate;
    let validity = &tbs.validity;
    let seconds =
        validity.not_before.to_unix_duration().as_secs()..=validity.not_after.to_unix_duration().as_secs();
    if !seconds.contains(&at) {
        return Err(SealError::CertificateNotValidThen);
    }
    let mut extensions = tbs.extensions.iter().flatten();
    if extensions.any(|extension| extension.critical && !KNOWN.contains(&extension.extn_id)) {
        return Err(SealError::UntrustedSigner("a critical extension is unknown"));
    }
    Ok(())
}
