//! `PATCH` of an upload: bytes in, at the offset that comes next.
//!
//! The bytes are taken by a task of their own: when the client's connection breaks, what had arrived is made durable all the
//! same, and the client finds it there when it is back. With a checksum it is all or nothing.

use super::{
    RECORDERS, TusError, UPLOAD_CHECKSUM, UPLOAD_EXPIRES, UPLOAD_LENGTH, UPLOAD_OFFSET, allowed, expires,
    mine, text,
    tus::{self, Checksum},
};
use crate::{
    error::{ApiError, ErrorBody},
    input::Named,
    peer::Caller,
    state::App,
};
use axum::{
    body::{Body, BodyDataStream},
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use hindsight_store::{
    StoreError,
    upload_area::Appender,
    uploads::{self, State as UploadState, Upload},
};
use hindsight_wire::{RecordingId, Timestamp};
use std::time::Duration;

/// A client that sends nothing for so long is given up.
const STALL_LIMIT: Duration = Duration::from_secs(30);
/// Bytes gathered for one write.
const GATHER: usize = 256 * 1024;

/// Add bytes at `Upload-Offset`.
#[utoipa::path(patch, path = "/api/v2/uploads/{id}", tag = "uploads",
    params(
        ("id" = Uuid, Path, description = "The recording"),
        ("Tus-Resumable" = String, Header, description = "1.0.0"),
        ("Upload-Offset" = u64, Header, description = "What HEAD says"),
        ("Upload-Length" = Option<u64>, Header, description = "Once, when it was deferred"),
        ("Upload-Checksum" = Option<String>, Header, description = "`sha256 <base64>` or `sha1 <base64>` of the body"),
    ),
    request_body(content = Vec<u8>, content_type = "application/offset+octet-stream"),
    responses(
        (status = 204, description = "Durable; Upload-Offset is new"),
        (status = 403, description = "Another device began it", body = ErrorBody),
        (status = 409, description = "Another offset comes next", body = ErrorBody),
        (status = 413, description = "More bytes than the upload's length", body = ErrorBody),
        (status = 423, description = "Another request writes it", body = ErrorBody),
        (status = 460, description = "The checksum does not match; nothing was taken", body = ErrorBody),
    ))]
pub(crate) async fn patch(
    State(app): State<App>,
    caller: Caller,
    Named(id): Named<RecordingId>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let device = caller.require(&RECORDERS)?.id;
    if text(&headers, &header::CONTENT_TYPE) != Some(tus::OFFSET_OCTET_STREAM) {
        let why = "the body of a PATCH is application/offset+octet-stream";
        return Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", why));
    }
    let offset = text(&headers, &UPLOAD_OFFSET).ok_or(TusError::Malformed("Upload-Offset is missing"))?;
    let offset = tus::number(offset)?;
    let checksum = text(&headers, &UPLOAD_CHECKSUM).map(Checksum::parse).transpose()?;
    let upload = mine(&app, device, id).await?;
    let upload = with_length(&app, upload, offset, text(&headers, &UPLOAD_LENGTH)).await?;
    let end = upload.length.unwrap_or(app.config.largest_upload);
    let announced = text(&headers, &header::CONTENT_LENGTH).and_then(|length| length.parse::<u64>().ok());
    if announced.is_some_and(|announced| announced > end.saturating_sub(offset)) {
        return Err(too_long());
    }
    let appender = app.area.append(id, offset).await?;
    let taking = tokio::spawn({
        let app = app.clone();
        async move { take(&app, id, appender, body.into_data_stream(), end, checksum).await }
    });
    let new_offset = taking.await.map_err(|error| ApiError::internal(&error))??;
    let headers = [(UPLOAD_OFFSET, new_offset.to_string()), (UPLOAD_EXPIRES, expires(&app, &upload))];
    Ok((StatusCode::NO_CONTENT, headers).into_response())
}

/// Takes a deferred length, and refuses what cannot be written to.
async fn with_length(app: &App, upload: Upload, offset: u64, told: Option<&str>) -> Result<Upload, ApiError> {
    match &upload.state {
        UploadState::Open => {}
        UploadState::Committed => return Err(ApiError::conflict("committed", "the upload is complete")),
        UploadState::Refused(reason) => return Err(ApiError::unprocessable("refused", reason.clone())),
    }
    let Some(told) = told.map(tus::number).transpose()? else { return Ok(upload) };
    match upload.length {
        Some(known) if known == told => Ok(upload),
        Some(_) => Err(ApiError::bad_request("the upload has another length already")),
        None if told < offset => Err(ApiError::bad_request("the length is less than what has arrived")),
        None => {
            let length = allowed(app, told)?;
            let mut write = app.database.write().await?;
            uploads::set_length(&mut write, upload.recording, length).await?;
            write.commit().await?;
            Ok(Upload { length: Some(length), ..upload })
        }
    }
}

async fn take(
    app: &App,
    id: RecordingId,
    mut appender: Appender,
    body: BodyDataStream,
    end: u64,
    checksum: Option<Checksum>,
) -> Result<u64, ApiError> {
    let start = appender.offset();
    let mut digest = checksum.as_ref().map(Checksum::start);
    let fed = feed(&mut appender, body, end, |bytes| {
        if let Some(digest) = &mut digest {
            digest.update(bytes);
        }
    });
    let fed = fed.await;
    if let (Some(checksum), Some(digest)) = (checksum, digest)
        && (fed.is_err() || !checksum.matches(digest))
    {
        appender.abandon().await?;
        fed?;
        metrics::counter!("hindsight_upload_checksum_mismatches_total").increment(1);
        let status = StatusCode::from_u16(tus::CHECKSUM_MISMATCH).unwrap_or(StatusCode::BAD_REQUEST);
        return Err(ApiError::new(status, "checksum_mismatch", "the body does not match its checksum"));
    }
    let offset = appender.finish().await?;
    metrics::counter!("hindsight_upload_bytes_total").increment(offset - start);
    let mut write = app.database.write().await?;
    uploads::touch(&mut write, id, Timestamp::now()).await?;
    write.commit().await?;
    fed.map(|()| offset)
}

/// Appends the body, in gathered pieces; what was read before a failure is appended too.
async fn feed(
    appender: &mut Appender,
    mut body: BodyDataStream,
    end: u64,
    mut seen: impl FnMut(&[u8]),
) -> Result<(), ApiError> {
    let mut gathered = BytesMut::new();
    let outcome = loop {
        let frame = match tokio::time::timeout(STALL_LIMIT, body.next()).await {
            Ok(Some(Ok(frame))) => frame,
            Ok(None) => break Ok(()),
            Ok(Some(Err(_))) => break Err(ApiError::bad_request("the body broke off")),
            Err(_) => {
                let why = "nothing came for too long";
                break Err(ApiError::new(StatusCode::REQUEST_TIMEOUT, "stalled", why));
            }
        };
        if frame.len() as u64 > end.saturating_sub(appender.offset() + gathered.len() as u64) {
            break Err(too_long());
        }
        seen(&frame);
        gathered.extend_from_slice(&frame);
        if gathered.len() >= GATHER {
            write(appender, gathered.split().freeze()).await?;
        }
    };
    if !gathered.is_empty() {
        write(appender, gathered.freeze()).await?;
    }
    outcome
}

async fn write(appender: &mut Appender, bytes: Bytes) -> Result<(), StoreError> {
    appender.write(bytes).await
}

fn too_long() -> ApiError {
    ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "too_long", "more bytes than the upload has")
}
