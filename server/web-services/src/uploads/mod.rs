//! `/api/v2/uploads`: a tus 1.0 server for sealed recordings that may still grow.
//!
//! The upload's id is the recording's. Only the device that began an upload may touch it. What is acknowledged is durable.
//!
//! - [`tus`]: the protocol's headers (pure).
//! - [`patch`]: bytes in.
//! - [`expiry`]: gives up what nobody touches.

pub mod expiry;
pub mod patch;
pub mod tus;

use crate::{
    error::{ApiError, ErrorBody},
    input::Named,
    peer::Caller,
    state::App,
};
use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header},
    middleware::{Next, from_fn},
    response::{IntoResponse, Response},
    routing::{head, post},
};
use hindsight_store::{
    ObjectKey, ObjectKind,
    upload_area::ENVELOPE_LEN,
    uploads::{self, State as UploadState, Upload},
};
use hindsight_wire::{DeviceId, RecordingId, Timestamp, enrolment::DeviceKind};
use time::{OffsetDateTime, format_description::well_known::Rfc2822};
use tus::{Length, Metadata, TusError};

/// Where uploads are made.
pub const UPLOADS_PATH: &str = "/api/v2/uploads";
/// Unfinished uploads of one device.
const MOST_OPEN: u64 = 10_000;

const TUS_RESUMABLE: HeaderName = HeaderName::from_static("tus-resumable");
const UPLOAD_OFFSET: HeaderName = HeaderName::from_static("upload-offset");
const UPLOAD_LENGTH: HeaderName = HeaderName::from_static("upload-length");
const UPLOAD_DEFER_LENGTH: HeaderName = HeaderName::from_static("upload-defer-length");
const UPLOAD_METADATA: HeaderName = HeaderName::from_static("upload-metadata");
const UPLOAD_CHECKSUM: HeaderName = HeaderName::from_static("upload-checksum");
const UPLOAD_EXPIRES: HeaderName = HeaderName::from_static("upload-expires");

/// The devices that record.
pub(crate) const RECORDERS: [DeviceKind; 2] = [DeviceKind::Desktop, DeviceKind::MediaServer];

/// Routes of uploads.
pub fn routes() -> Router<App> {
    Router::new()
        .route(UPLOADS_PATH, post(create).options(options))
        .route("/api/v2/uploads/{id}", head(look).patch(patch::patch).post(overridden).options(options))
        .layer(from_fn(speak_tus))
}

/// `Tus-Resumable` on every request and answer (2.2 of the protocol), but for `OPTIONS`.
async fn speak_tus(request: Request, next: Next) -> Response {
    let version = text(request.headers(), &TUS_RESUMABLE);
    let mut response = if request.method() != Method::OPTIONS && version != Some(tus::VERSION) {
        let why = "this server speaks tus 1.0.0";
        let refused = ApiError::new(StatusCode::PRECONDITION_FAILED, "tus_version", why);
        ([("tus-version", tus::VERSION)], refused).into_response()
    } else {
        next.run(request).await
    };
    let headers = response.headers_mut();
    headers.insert(TUS_RESUMABLE, HeaderValue::from_static(tus::VERSION));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// What this server can do.
#[utoipa::path(options, path = "/api/v2/uploads", tag = "uploads",
    responses((status = 204, description = "Version, extensions and limits of tus")))]
pub(crate) async fn options(State(app): State<App>) -> impl IntoResponse {
    let headers = [
        ("tus-version", tus::VERSION.to_owned()),
        ("tus-extension", tus::EXTENSIONS.to_owned()),
        ("tus-checksum-algorithm", tus::CHECKSUM_ALGORITHMS.to_owned()),
        ("tus-max-size", app.config.largest_upload.to_string()),
    ];
    (StatusCode::NO_CONTENT, headers)
}

/// Begin an upload, or find one again that this device began: then `Upload-Offset` says how much is there.
#[utoipa::path(post, path = "/api/v2/uploads", tag = "uploads",
    params(
        ("Tus-Resumable" = String, Header, description = "1.0.0"),
        ("Upload-Metadata" = String, Header, description = "`recording <base64 UUID>,kind <base64 voice|screen>`"),
        ("Upload-Length" = Option<u64>, Header, description = "Bytes of envelope and payload"),
        ("Upload-Defer-Length" = Option<u8>, Header, description = "1: the length is told later"),
    ),
    responses(
        (status = 201, description = "Location, Upload-Offset, Upload-Expires"),
        (status = 403, description = "Another device began it", body = ErrorBody),
        (status = 413, description = "Too large", body = ErrorBody),
    ))]
pub(crate) async fn create(
    State(app): State<App>,
    caller: Caller,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let device = caller.require(&RECORDERS)?.id;
    let metadata =
        text(&headers, &UPLOAD_METADATA).ok_or(TusError::Malformed("Upload-Metadata is missing"))?;
    let metadata = Metadata::parse(metadata)?;
    let length = Length::parse(text(&headers, &UPLOAD_LENGTH), text(&headers, &UPLOAD_DEFER_LENGTH))?;
    let length = match length {
        Length::Known(length) => Some(allowed(&app, length)?),
        Length::Deferred => None,
    };
    let now = Timestamp::now();
    let recording = metadata.recording;
    let mut write = app.database.write().await?;
    let known = uploads::by_recording(&mut write, recording).await?;
    let fresh = match known {
        Some(upload) if upload.device != device => return Err(not_yours()),
        Some(upload) => match upload.state {
            UploadState::Open | UploadState::Committed => None,
            // Whatever was refused is gone for good; the device starts over.
            UploadState::Refused(_) => {
                Some(Upload { state: UploadState::Open, length, touched_at: now, ..upload })
            }
        },
        None if uploads::open_of(&mut write, device).await? >= MOST_OPEN => {
            return Err(ApiError::new(
                StatusCode::TOO_MANY_REQUESTS,
                "too_many_uploads",
                "finish some first",
            ));
        }
        None => Some(Upload {
            recording,
            device,
            kind: metadata.kind.as_str().to_owned(),
            length,
            state: UploadState::Open,
            created_at: now,
            touched_at: now,
        }),
    };
    if let Some(upload) = &fresh {
        app.area.discard(recording).await?;
        app.area.create(recording).await?;
        uploads::put(&mut write, upload).await?;
        write.commit().await?;
        metrics::counter!("hindsight_uploads_created_total").increment(1);
    }
    let upload = mine(&app, device, recording).await?;
    let headers = [
        (header::LOCATION, format!("{UPLOADS_PATH}/{recording}")),
        (UPLOAD_OFFSET, offset(&app, &upload).await?.to_string()),
        (UPLOAD_EXPIRES, expires(&app, &upload)),
    ];
    Ok((StatusCode::CREATED, headers).into_response())
}

/// How much of an upload is durable.
#[utoipa::path(head, path = "/api/v2/uploads/{id}", tag = "uploads",
    params(("id" = Uuid, Path, description = "The recording")),
    responses(
        (status = 200, description = "Upload-Offset; Upload-Length or Upload-Defer-Length"),
        (status = 404, description = "No such upload"),
    ))]
pub(crate) async fn look(
    State(app): State<App>,
    caller: Caller,
    Named(id): Named<RecordingId>,
) -> Result<Response, ApiError> {
    let upload = mine(&app, caller.require(&RECORDERS)?.id, id).await?;
    if let UploadState::Refused(reason) = upload.state {
        return Err(ApiError::unprocessable("refused", reason));
    }
    let kind = if upload.kind == "voice" { tus::Kind::Voice } else { tus::Kind::Screen };
    let length = match upload.length {
        Some(length) => (UPLOAD_LENGTH, length.to_string()),
        None => (UPLOAD_DEFER_LENGTH, "1".to_owned()),
    };
    let headers = [
        (UPLOAD_OFFSET, offset(&app, &upload).await?.to_string()),
        length,
        (UPLOAD_METADATA, Metadata { recording: id, kind }.header()),
        (UPLOAD_EXPIRES, expires(&app, &upload)),
    ];
    Ok((StatusCode::OK, headers).into_response())
}

/// For clients behind proxies that know no `PATCH` (`X-HTTP-Method-Override` of the protocol).
async fn overridden(
    app: State<App>,
    caller: Caller,
    id: Named<RecordingId>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    match headers.get("x-http-method-override").map(HeaderValue::as_bytes) {
        Some(b"PATCH") => patch::patch(app, caller, id, headers, body).await,
        Some(b"HEAD") => look(app, caller, id).await,
        _ => Err(ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "method", "an upload takes HEAD and PATCH")),
    }
}

/// An upload of this device.
pub(crate) async fn mine(app: &App, device: DeviceId, id: RecordingId) -> Result<Upload, ApiError> {
    let upload = uploads::by_recording(&mut *app.database.read().await?, id).await?;
    let upload = upload.ok_or_else(ApiError::not_found)?;
    if upload.device == device { Ok(upload) } else { Err(not_yours()) }
}

/// Bytes that are durable. An upload whose bytes were taken over has them all.
pub(crate) async fn offset(app: &App, upload: &Upload) -> Result<u64, ApiError> {
    if let (UploadState::Committed, Some(length)) = (&upload.state, upload.length) {
        return Ok(length);
    }
    if let Some(length) = app.area.length(upload.recording).await? {
        return Ok(length);
    }
    // A crash between taking the bytes over and saying so.
    let payload = app.objects.size(ObjectKey::new(upload.recording, ObjectKind::Payload)).await?;
    payload.map(|size| size + ENVELOPE_LEN).ok_or_else(ApiError::not_found)
}

/// A length that this server takes.
fn allowed(app: &App, length: u64) -> Result<u64, ApiError> {
    if length > app.config.largest_upload {
        return Err(ApiError::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "too_large",
            "the upload is larger than allowed",
        ));
    }
    Ok(length)
}

fn not_yours() -> ApiError {
    ApiError::forbidden("not_your_upload", "another device began this upload")
}

fn expires(app: &App, upload: &Upload) -> String {
    let at = upload.touched_at.plus_ms(i64::from(app.config.upload_hours) * 3_600_000);
    let at = OffsetDateTime::from_unix_timestamp(at.0 / 1_000_000).ok();
    // RFC 9110 5.6.7 wants GMT where RFC 2822 writes the offset.
    let text = at.and_then(|at| at.format(&Rfc2822).ok()).unwrap_or_default();
    text.replace("+0000", "GMT")
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

impl From<TusError> for ApiError {
    fn from(error: TusError) -> Self {
        ApiError::new(StatusCode::BAD_REQUEST, "tus", error.to_string())
    }
}
