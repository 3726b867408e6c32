//! Playback: voice as WAV, screens as MP4, by byte range; the wave's peaks.
//!
//! Access is checked and the replay audited before the key is asked for; what is decrypted leaves only in the answer.

mod range;
mod rendering;

pub use rendering::Open;

use crate::{error::ApiError, session::User, state::App};
use axum::{
    Json, Router,
    body::{Body, Bytes},
    extract::{Path, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use futures_util::stream;
use hindsight_search::{Scope, may_see_recording};
use hindsight_store::{
    audit::{self, Record},
    persons::Person,
    recordings::{self, Recording},
};
use hindsight_wire::{RecordingId, Timestamp};
use range::Asked;
use rendering::Rendering;
use serde::Serialize;
use std::{io, ops::Range, sync::Arc, time::Instant};
use utoipa::ToSchema;

/// Changes when the same recording is rendered into other bytes than before.
const RENDERING_VERSION: u32 = 4;

/// Routes of this module.
pub fn routes() -> Router<App> {
    Router::new()
        .route("/api/v2/recordings/{id}/media", get(media))
        .route("/api/v2/recordings/{id}/peaks", get(peaks))
}

/// Extremes of the wave, to draw it.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PeaksBody {
    /// One list a track (agent, customer): min, max, min, max … in [-1, 1].
    pub tracks: Vec<Vec<f32>>,
    /// Pairs a second.
    pub per_second: f64,
    /// Where the recording is damaged and silence is heard instead.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub damaged: Vec<DamagedSpan>,
}

/// A span of the media that does not open any more, milliseconds of media time.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DamagedSpan {
    from_ms: u64,
    to_ms: u64,
}

/// The media of one recording, rendered for a browser.
#[utoipa::path(get, path = "/api/v2/recordings/{id}/media", tag = "recordings",
    params(("id" = uuid::Uuid, Path, description = "Recording")),
    responses(
        (status = 200, description = "WAV (PCM 16-bit, 8 kHz, left agent, right customer) or fragmented MP4"),
        (status = 206, description = "The range asked for"),
        (status = 404, description = "No such recording, or not for you"),
        (status = 416, description = "No such range"),
        (status = 503, description = "The crypto server is not available"),
    ))]
pub async fn media(
    user: User,
    State(app): State<App>,
    Path(id): Path<RecordingId>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    replay(&app, &user.0, &user.scope(), id, &headers).await
}

/// The media of one recording for whoever has this scope, as far as the headers ask for it.
pub(crate) async fn replay(
    app: &App,
    person: &Person,
    scope: &Scope,
    id: RecordingId,
    headers: &HeaderMap,
) -> Result<Response, ApiError> {
    let (recording, rendering) = opened(app, person, scope, id).await?;
    let etag = etag(&recording);
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let len = rendering.len();
    let mut answer = match range::asked(text(header::RANGE), text(header::IF_RANGE), &etag, len) {
        Asked::Whole => body(StatusCode::OK, rendering.clone(), 0..len, id),
        Asked::Part(part) => {
            let content_range = format!("bytes {}-{}/{len}", part.start, part.end - 1);
            let mut answer = body(StatusCode::PARTIAL_CONTENT, rendering.clone(), part, id);
            set(&mut answer, header::CONTENT_RANGE, &content_range);
            answer
        }
        Asked::Unsatisfiable => {
            let mut answer = StatusCode::RANGE_NOT_SATISFIABLE.into_response();
            set(&mut answer, header::CONTENT_RANGE, &format!("bytes */{len}"));
            return Ok(answer);
        }
    };
    set(&mut answer, header::CONTENT_TYPE, rendering.media_type());
    set(&mut answer, header::ACCEPT_RANGES, "bytes");
    set(&mut answer, header::ETAG, &etag);
    set(&mut answer, header::CACHE_CONTROL, "no-store");
    Ok(answer)
}

/// The wave of a voice recording, for drawing.
#[utoipa::path(get, path = "/api/v2/recordings/{id}/peaks", tag = "recordings",
    params(("id" = uuid::Uuid, Path, description = "Recording")),
    responses((status = 200, body = PeaksBody), (status = 404, description = "No such voice recording, or not for you")))]
pub async fn peaks(
    user: User,
    State(app): State<App>,
    Path(id): Path<RecordingId>,
) -> Result<Response, ApiError> {
    let (_, rendering) = opened(&app, &user.0, &user.scope(), id).await?;
    let Rendering::Voice(voice) = &*rendering else { return Err(ApiError::not_found()) };
    let peaks = voice.peaks().await.map_err(|error| rendering::unplayable(id, &error))?;
    let damaged: Vec<DamagedSpan> =
        peaks.damaged.iter().map(|span| DamagedSpan { from_ms: span.start, to_ms: span.end }).collect();
    if !damaged.is_empty() {
        tracing::error!(recording = %id, spans = damaged.len(), "a recording is damaged: segments do not open");
    }
    let body = PeaksBody { tracks: peaks.tracks, per_second: peaks.per_second, damaged };
    let mut answer = Json(body).into_response();
    set(&mut answer, header::CACHE_CONTROL, "no-store");
    Ok(answer)
}

/// The recording, if this person may replay it, opened.
async fn opened(
    app: &App,
    person: &Person,
    scope: &Scope,
    id: RecordingId,
) -> Result<(Recording, Arc<Rendering>), ApiError> {
    let recording = {
        let mut db = app.database.read().await?;
        let found = recordings::by_id(&mut db, id).await?.ok_or_else(ApiError::not_found)?;
        if !may_see_recording(&mut db, scope, id).await? {
            return Err(ApiError::not_found());
        }
        found
    };
    if matches!(recording.state, recordings::State::Repairing | recordings::State::Failed) {
        return Err(ApiError::conflict("not_ready", "this recording was cut off and is not repaired"));
    }
    let now = Instant::now();
    if let Some(rendering) = app.open.get(person.id, id, now) {
        return Ok((recording, rendering));
    }
    audited(app, person, id).await?;
    let rendering = Arc::new(rendering::open(app, &recording, &person.login).await?);
    app.open.put(person.id, id, rendering.clone(), now);
    Ok((recording, rendering))
}

/// No record, no replay.
async fn audited(app: &App, person: &Person, id: RecordingId) -> Result<(), ApiError> {
    let mut write = app.database.write().await?;
    let object = id.to_string();
    let record = Record {
        at: Timestamp::now(),
        actor: &person.login,
        action: "recording.play",
        object: &object,
        details: serde_json::Value::Null,
    };
    audit::append(&mut write, &record).await?;
    Ok(write.commit().await?)
}

fn etag(recording: &Recording) -> String {
    format!("\"{}-{RENDERING_VERSION}\"", recording.payload_sha256)
}

fn set(answer: &mut Response, name: header::HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        answer.headers_mut().insert(name, value);
    }
}

/// The bytes of `range`, rendered piece by piece as the network takes them.
fn body(status: StatusCode, rendering: Arc<Rendering>, range: Range<u64>, id: RecordingId) -> Response {
    let length = range.end - range.start;
    let pieces = stream::unfold((rendering, range), move |(rendering, mut left)| async move {
        if left.is_empty() {
            return None;
        }
        let piece = rendering.read(left.clone()).await;
        left.start = match &piece {
            Ok(bytes) if !bytes.is_empty() => left.start + bytes.len() as u64,
            // A failure, or a rendering shorter than it said: the answer breaks off, and the player sees it.
            _ => left.end,
        };
        let piece = piece.map(Bytes::from).map_err(|error| {
            tracing::error!(recording = %id, %error, "a replay broke off");
            io::Error::other(error)
        });
        Some((piece, (rendering, left)))
    });
    let mut answer = (status, Body::from_stream(pieces)).into_response();
    answer.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    answer
}
