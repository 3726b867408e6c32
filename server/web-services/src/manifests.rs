//! `/api/v2/recordings/{id}/manifest` and `/receipt`: how an upload becomes a recording.
//!
//! A manifest is believed when its signature chains to the site's authority, its signer is the device that uploaded, and
//! sizes and hashes are those of the bytes that arrived. Then everything is made durable, and only then the receipt is
//! signed: after it the spool deletes. Repeating any of it changes nothing.
//!
//! A recording that a crash cut keeps its bytes in the upload area until the recording processor has repaired them: the
//! object that is stored for good is written once.

use crate::{
    error::{ApiError, ErrorBody},
    input::{Input, Named},
    peer::Caller,
    state::App,
    uploads::{self as tus_uploads, RECORDERS},
};
use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, put},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use hindsight_store::{
    ObjectKey, ObjectKind, ObjectStore, StoreError,
    recordings::{self, Committed},
    upload_area::{Digests, ENVELOPE_LEN},
    uploads::{self, State as UploadState, Upload},
};
use hindsight_wire::{
    DeviceId, RecordingId, Timestamp,
    enrolment::DeviceKind,
    manifest::{Ending, Manifest, Media, Receipt, Signed},
};
use ring::digest::{Context, SHA256, digest};
use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
};

/// Largest manifest, with the index of a day.
const LARGEST_MANIFEST: usize = 16 << 20;
/// Bytes hashed at a time.
const STEP: u64 = 1 << 20;

/// Routes of manifests and receipts.
pub fn routes() -> Router<App> {
    Router::new()
        .route(
            "/api/v2/recordings/{id}/manifest",
            put(put_manifest).layer(DefaultBodyLimit::max(LARGEST_MANIFEST)),
        )
        .route("/api/v2/recordings/{id}/receipt", get(receipt))
}

/// Hand in the signed manifest after the last byte.
#[utoipa::path(put, path = "/api/v2/recordings/{id}/manifest", tag = "uploads",
    params(("id" = Uuid, Path, description = "The recording")),
    request_body(content = Object, description = "`document` (base64 JSON), `signature` (base64 CMS SignedData)"),
    responses(
        (status = 202, description = "Taken; the receipt can be fetched"),
        (status = 403, description = "Another device uploaded", body = ErrorBody),
        (status = 409, description = "Bytes are missing", body = ErrorBody),
        (status = 422, description = "Damaged or forged: refused for good, with the reason", body = ErrorBody),
    ))]
pub(crate) async fn put_manifest(
    State(app): State<App>,
    caller: Caller,
    Named(id): Named<RecordingId>,
    Input(signed): Input<Signed>,
) -> Result<StatusCode, ApiError> {
    let device = caller.require(&RECORDERS)?;
    let (device, kind) = (device.id, device.kind);
    // A client that did not wait for the answer asks again while the first request is still at work: it gets the receipt.
    let Some(turn) = app.committing.begin(id) else { return Ok(StatusCode::ACCEPTED) };
    // Once begun it is finished, whether the client waits or not.
    let taken = tokio::spawn(async move {
        let _turn = turn;
        take(&app, device, kind, id, &signed).await
    });
    taken.await.map_err(|error| ApiError::internal(&error))??;
    Ok(StatusCode::ACCEPTED)
}

/// The recordings that are being committed.
#[derive(Clone, Default)]
pub struct Committing(Arc<Mutex<HashSet<RecordingId>>>);

/// The right to commit one recording; released when dropped.
struct Turn(Committing, RecordingId);

impl Committing {
    fn begin(&self, id: RecordingId) -> Option<Turn> {
        let free = self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(id);
        free.then(|| Turn(self.clone(), id))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.1);
    }
}

/// The signed receipt: from now on the recorder may delete.
#[utoipa::path(get, path = "/api/v2/recordings/{id}/receipt", tag = "uploads",
    params(("id" = Uuid, Path, description = "The recording")),
    responses(
        (status = 200, description = "`document` (base64 JSON), `signature` (base64 CMS SignedData)", body = Object),
        (status = 202, description = "Not yet; Retry-After"),
        (status = 404, description = "No such upload", body = ErrorBody),
        (status = 422, description = "Refused, with the reason", body = ErrorBody),
    ))]
pub(crate) async fn receipt(
    State(app): State<App>,
    caller: Caller,
    Named(id): Named<RecordingId>,
) -> Result<Response, ApiError> {
    let device = caller.require(&RECORDERS)?.id;
    let given = recordings::receipt(&mut *app.database.read().await?, id).await?;
    if let Some((owner, receipt)) = given {
        return if owner == device { Ok(Json(receipt).into_response()) } else { Err(ApiError::not_found()) };
    }
    match tus_uploads::mine(&app, device, id).await?.state {
        UploadState::Refused(reason) => Err(ApiError::unprocessable("refused", reason)),
        UploadState::Open | UploadState::Committed => {
            Ok((StatusCode::ACCEPTED, [(header::RETRY_AFTER, "1")]).into_response())
        }
    }
}

/// Why a manifest is not believed: said to the device, kept with the upload, counted.
struct Refusal(String);

async fn take(
    app: &App,
    device: DeviceId,
    kind: DeviceKind,
    id: RecordingId,
    signed: &Signed,
) -> Result<(), ApiError> {
    let upload = tus_uploads::mine(app, device, id).await?;
    match &upload.state {
        UploadState::Open => {}
        UploadState::Committed => return Ok(()),
        UploadState::Refused(reason) => return Err(ApiError::unprocessable("refused", reason.clone())),
    }
    let believed = believe(app, device, kind, &upload, signed, Timestamp::now());
    let (manifest, document, signature) = match believed {
        Ok(believed) => believed,
        Err(refusal) => return refuse(app, id, refusal).await,
    };
    let arrived = tus_uploads::offset(app, &upload).await?;
    if arrived < ENVELOPE_LEN + manifest.payload_size {
        return Err(ApiError::conflict("not_whole", "bytes are missing; upload them first"));
    }
    if let Err(refusal) = same_bytes(&manifest, &arrived_digests(app, id).await?) {
        return refuse(app, id, refusal).await;
    }
    commit(app, &manifest, &document, &signature).await
}

/// Everything that the manifest itself must be, before the bytes are looked at.
fn believe(
    app: &App,
    device: DeviceId,
    kind: DeviceKind,
    upload: &Upload,
    signed: &Signed,
    now: Timestamp,
) -> Result<(Manifest, String, Vec<u8>), Refusal> {
    let refusal = |why: &dyn std::fmt::Display| Refusal(why.to_string());
    let document =
        BASE64_STANDARD.decode(&signed.document).map_err(|_| refusal(&"the manifest is not base64"))?;
    let signature =
        BASE64_STANDARD.decode(&signed.signature).map_err(|_| refusal(&"the signature is not base64"))?;
    let at = u64::try_from(now.0 / 1_000_000).unwrap_or_default();
    let signer = hindsight_seal::verify_detached(&document, &signature, app.authority.certificate_pem(), at);
    let signer = signer.map_err(|error| Refusal(format!("the manifest's signature: {error}")))?;
    if signer.common_name != device.to_string()
        || signer.organizational_unit.as_deref() != Some(kind.as_str())
    {
        return Err(refusal(&"the manifest is signed by another device than the one that uploads"));
    }
    let document = String::from_utf8(document).map_err(|_| refusal(&"the manifest is not UTF-8"))?;
    let manifest: Manifest =
        serde_json::from_str(&document).map_err(|error| Refusal(format!("the manifest: {error}")))?;
    let voice = matches!(manifest.media, Media::Voice { .. });
    let known = [
        (manifest.version == 1, "the manifest has an unknown version"),
        (manifest.recording == upload.recording, "the manifest is of another recording"),
        (manifest.device == device, "the manifest names another device"),
        ((upload.kind == "voice") == voice, "the upload said it was of another kind"),
        (
            voice == (kind == DeviceKind::MediaServer),
            "this kind of device does not record this kind of media",
        ),
        (
            upload.length.is_none_or(|length| length == ENVELOPE_LEN.saturating_add(manifest.payload_size)),
            "the upload's length is not the manifest's",
        ),
        (manifest.payload_size <= app.config.largest_upload, "the payload is larger than allowed"),
        (
            manifest.duration_ms.is_some() || manifest.ending == Ending::Interrupted,
            "a complete recording has a duration",
        ),
    ];
    match known.into_iter().find(|(holds, _)| !holds) {
        Some((_, why)) => Err(refusal(&why)),
        None => Ok((manifest, document, signature)),
    }
}

fn same_bytes(manifest: &Manifest, arrived: &Digests) -> Result<(), Refusal> {
    let refused = |why: &str| Err(Refusal(why.to_owned()));
    if arrived.payload_size != manifest.payload_size {
        return refused("more bytes arrived than the manifest says");
    }
    if arrived.payload_sha256 != manifest.payload_sha256 {
        return refused("the payload's SHA-256 is not the manifest's");
    }
    if arrived.envelope_sha256 != manifest.envelope_sha256 {
        return refused("the envelope's SHA-256 is not the manifest's");
    }
    Ok(())
}

async fn refuse(app: &App, id: RecordingId, Refusal(reason): Refusal) -> Result<(), ApiError> {
    tracing::warn!(recording = %id, reason, "an upload was refused");
    metrics::counter!("hindsight_uploads_refused_total").increment(1);
    let mut write = app.database.write().await?;
    uploads::refused(&mut write, id, &reason).await?;
    write.commit().await?;
    Err(ApiError::unprocessable("refused", reason))
}

/// What arrived: in the upload area, or in object storage when a crash came after the bytes were taken over.
async fn arrived_digests(app: &App, id: RecordingId) -> Result<Digests, StoreError> {
    if app.area.length(id).await?.is_some() {
        return app.area.digest(id).await;
    }
    let objects = app.objects.as_ref();
    let (payload_sha256, payload_size) =
        object_sha256(objects, ObjectKey::new(id, ObjectKind::Payload)).await?;
    let (envelope_sha256, _) = object_sha256(objects, ObjectKey::new(id, ObjectKind::Envelope)).await?;
    Ok(Digests { envelope_sha256, payload_sha256, payload_size })
}

async fn object_sha256(objects: &dyn ObjectStore, key: ObjectKey) -> Result<(String, u64), StoreError> {
    let size = objects.size(key).await?.ok_or_else(|| StoreError::NotFound(key.to_string()))?;
    let mut context = Context::new(&SHA256);
    let mut at = 0;
    while at < size {
        let end = size.min(at + STEP);
        context.update(&objects.read(key, at..end).await?);
        at = end;
    }
    Ok((hex::encode(context.finish()), size))
}

async fn commit(app: &App, manifest: &Manifest, document: &str, signature: &[u8]) -> Result<(), ApiError> {
    let id = manifest.recording;
    let now = Timestamp::now();
    let receipt = Receipt {
        version: 1,
        recording: id,
        payload_size: manifest.payload_size,
        payload_sha256: manifest.payload_sha256.clone(),
        manifest_sha256: hex::encode(digest(&SHA256, document.as_bytes())),
        received_at: now,
    };
    let receipt = serde_json::to_vec(&receipt).map_err(|error| ApiError::internal(&error))?;
    let signed = app.signer.sign(&receipt).map_err(|error| ApiError::internal(&error))?;
    let receipt_signature =
        BASE64_STANDARD.decode(&signed.signature).map_err(|error| ApiError::internal(&error))?;
    let state = match manifest.ending {
        Ending::Complete => {
            app.area.commit(id, app.objects.as_ref()).await?;
            recordings::State::Ready
        }
        Ending::Interrupted => recordings::State::Repairing,
    };
    let parts: [(ObjectKind, &[u8]); 4] = [
        (ObjectKind::Manifest, document.as_bytes()),
        (ObjectKind::ManifestSignature, signature),
        (ObjectKind::Receipt, &receipt),
        (ObjectKind::ReceiptSignature, &receipt_signature),
    ];
    for (kind, bytes) in parts {
        app.objects.put(ObjectKey::new(id, kind), Bytes::copy_from_slice(bytes)).await?;
    }
    let committed = Committed {
        manifest,
        manifest_json: document,
        manifest_signature: signature,
        receipt: &signed,
        state,
        received_at: now,
    };
    let mut write = app.database.write().await?;
    // Another request may have come first: then its receipt holds.
    if recordings::receipt(&mut write, id).await?.is_none() {
        recordings::commit(&mut write, &committed).await?;
        uploads::set_length(&mut write, id, ENVELOPE_LEN + manifest.payload_size).await?;
        uploads::committed(&mut write, id).await?;
    }
    write.commit().await?;
    metrics::counter!("hindsight_recordings_committed_total").increment(1);
    tracing::info!(recording = %id, bytes = manifest.payload_size, state = state.as_str(), "committed a recording");
    Ok(())
}
