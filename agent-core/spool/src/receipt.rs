//! The one condition under which a spool deletes.

use crate::item::parse_manifest;
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use hindsight_wire::{
    RecordingId, Timestamp,
    enrolment::DeviceKind,
    manifest::{Receipt, Signed},
};
use ring::digest::{SHA256, digest};

/// Whether `receipt` is signed by the site's web services and is about this recording's bytes and this manifest.
pub(crate) fn verify(
    receipt: &[u8],
    recording: RecordingId,
    manifest: &Signed,
    ca_pem: &str,
    now: Timestamp,
) -> Result<(), String> {
    let signed: Signed =
        serde_json::from_slice(receipt).map_err(|error| format!("receipt unreadable: {error}"))?;
    let decode = |text: &str| BASE64.decode(text).map_err(|error| format!("receipt unreadable: {error}"));
    let (document, signature) = (decode(&signed.document)?, decode(&signed.signature)?);
    let seconds = u64::try_from(now.0 / 1_000_000).unwrap_or(0);
    let signer = hindsight_seal::verify_detached(&document, &signature, ca_pem, seconds)
        .map_err(|error| format!("receipt not signed by this site: {error}"))?;
    if signer.organizational_unit.as_deref() != Some(DeviceKind::WebServices.as_str()) {
        return Err("receipt signed by another component than the web services".to_owned());
    }
    let receipt: Receipt =
        serde_json::from_slice(&document).map_err(|error| format!("receipt unreadable: {error}"))?;
    let sent = parse_manifest(manifest)?;
    let manifest_sha256 = hex::encode(digest(&SHA256, &decode(&manifest.document)?));
    let fits = receipt.recording == recording
        && receipt.payload_size == sent.payload_size
        && receipt.payload_sha256 == sent.payload_sha256
        && receipt.manifest_sha256 == manifest_sha256;
    fits.then_some(()).ok_or_else(|| "receipt is about other bytes".to_owned())
}
