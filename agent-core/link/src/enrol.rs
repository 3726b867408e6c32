//! Enrolment: a key that never leaves the device, a one-time code, and a server that proves to be the site's.

use crate::{
    Identity, LinkError, atomic,
    error::with_causes,
    identity::{client, store},
    key_place::KeyPlace,
    proxy::Proxy,
    tls,
    verifier::fingerprint,
};
use hindsight_wire::enrolment::{DeviceKind, EnrolmentRequest, EnrolmentResponse, EnrolmentString};
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use reqwest::{StatusCode, header::CONTENT_TYPE};
use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use zeroize::Zeroizing;

pub(crate) const CERTIFICATE: &str = "device.pem";
pub(crate) const CA: &str = "ca.pem";
pub(crate) const ADDRESS: &str = "address";

const TIMEOUT: Duration = Duration::from_secs(30);
const MAX_ANSWER: usize = 256 << 10;

/// Gets a certificate and keeps it. The certificate's file is written last: without it there is no identity.
pub(crate) async fn enrol(
    dir: &Path,
    keys: &Arc<dyn KeyPlace>,
    kind: DeviceKind,
    name: &str,
    enrolment: &EnrolmentString,
    proxy: Option<&Proxy>,
) -> Result<Identity, LinkError> {
    atomic::create_dir(dir).map_err(LinkError::storage("making", dir))?;
    let keys = keys.clone();
    // A key store may take its time.
    let key = tokio::task::spawn_blocking(move || key(&*keys)).await;
    let key = key.map_err(|error| LinkError::KeyStore(error.to_string()))??;
    let request =
        EnrolmentRequest { code: enrolment.code.clone(), kind, name: name.to_owned(), csr: csr(&key, name)? };
    let answer = ask(enrolment, &request, proxy).await?;
    let bad = |reason: &str| LinkError::BadAnswer(reason.to_owned());
    let ca = tls::certificates(&answer.ca)?;
    if ca.len() != 1 || fingerprint(&ca[0]) != enrolment.ca_sha256 {
        return Err(bad("another CA than the enrolment string's"));
    }
    let (certificate, ca) = (answer.certificate.clone(), answer.ca.clone());
    let identity = Identity::new(key, certificate, ca, Some(enrolment.address.clone()))
        .map_err(|error| LinkError::BadAnswer(error.to_string()))?;
    if identity.device() != answer.device || identity.kind() != kind.as_str() {
        return Err(bad("a certificate of another device or kind"));
    }
    store(dir, CA, &answer.ca)?;
    store(dir, ADDRESS, &enrolment.address)?;
    store(dir, CERTIFICATE, &answer.certificate)?;
    tracing::info!(device = %identity.device(), kind = identity.kind(), "enrolled");
    Ok(identity)
}

/// The device's P-256 key, PKCS#8 PEM: the one of an enrolment that was cut short, or a new one.
fn key(keys: &dyn KeyPlace) -> Result<Zeroizing<String>, LinkError> {
    if let Some(pem) = keys.load()? {
        return Ok(pem);
    }
    let key = KeyPair::generate().map_err(|error| LinkError::Identity(error.to_string()))?;
    let pem = Zeroizing::new(key.serialize_pem());
    keys.store(&pem)?;
    Ok(pem)
}

/// PKCS#10 request; the server chooses the subject, the name is for people.
fn csr(key_pem: &str, name: &str) -> Result<String, LinkError> {
    let unusable = |error: rcgen::Error| LinkError::Identity(error.to_string());
    let key = KeyPair::from_pem(key_pem).map_err(unusable)?;
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.serialize_request(&key).and_then(|csr| csr.pem()).map_err(unusable)
}

async fn ask(
    enrolment: &EnrolmentString,
    request: &EnrolmentRequest,
    proxy: Option<&Proxy>,
) -> Result<EnrolmentResponse, LinkError> {
    let foreign = Arc::new(AtomicBool::new(false));
    let unreachable = |error: reqwest::Error| match foreign.load(Ordering::Relaxed) {
        true => LinkError::ForeignServer {
            address: enrolment.address.clone(),
            ca_sha256: enrolment.ca_sha256.clone(),
        },
        false => LinkError::Unreachable(with_causes(&error)),
    };
    let body = serde_json::to_vec(request).map_err(|error| LinkError::Identity(error.to_string()))?;
    let mut response = client(tls::pinned(&enrolment.ca_sha256, &foreign)?, proxy)?
        .post(format!("https://{}/api/v2/devices", enrolment.address))
        .header(CONTENT_TYPE, "application/json")
        .timeout(TIMEOUT)
        .body(body)
        .send()
        .await
        .map_err(unreachable)?;
    let mut answer = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
        if answer.len() + chunk.len() > MAX_ANSWER {
            return Err(LinkError::BadAnswer("too long".to_owned()));
        }
        answer.extend_from_slice(&chunk);
    }
    if response.status() != StatusCode::CREATED {
        let reason = String::from_utf8_lossy(&answer).chars().take(500).collect();
        return Err(LinkError::Refused { status: response.status().as_u16(), reason });
    }
    serde_json::from_slice(&answer).map_err(|error| LinkError::BadAnswer(error.to_string()))
}
