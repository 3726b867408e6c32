//! `/api/v2/desktop/recordings`, `/api/v2/desktop/media`: an agent's own interactions, listed and replayed at their
//! desktop when the site allows it.

use crate::{
    callers::bearer,
    error::{ApiError, ErrorBody},
    input::{Asked, Named},
    interactions::{self, InteractionDetail, InteractionPage},
    media,
    peer::Caller,
    state::App,
};
use axum::{
    Json, Router,
    extract::{FromRequestParts, State},
    http::{HeaderMap, request::Parts},
    response::Response,
    routing::get,
};
use hindsight_management::agent_terms;
use hindsight_search::{Cursor, Filter, Scope, find};
use hindsight_store::{
    audit,
    persons::{self, Person},
    sessions::{self, Seat},
};
use hindsight_wire::{InteractionId, RecordingId, Timestamp, enrolment::DeviceKind};
use serde::Deserialize;
use utoipa::IntoParams;

/// Interactions on a page, unless asked otherwise.
const PAGE: u32 = 50;

/// Routes of an agent's own recordings.
pub fn routes() -> Router<App> {
    Router::new()
        .route("/api/v2/desktop/recordings", get(list))
        .route("/api/v2/desktop/recordings/{id}", get(detail))
}

/// Routes of their media, which take as long as their bytes do.
pub fn media_routes() -> Router<App> {
    Router::new().route("/api/v2/desktop/media/{id}", get(play))
}

/// Who is signed in at the desktop that asks: its certificate, and the token that is bound to it.
pub(crate) struct AtDesktop(Person);

impl FromRequestParts<App> for AtDesktop {
    type Rejection = ApiError;
    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let caller = Caller::from_request_parts(parts, app).await?;
        let here = caller.require(&[DeviceKind::Desktop])?.id;
        let token = bearer(parts).ok_or_else(ApiError::unauthenticated)?;
        let mut db = app.database.read().await?;
        let session = sessions::by_token(&mut db, token, Timestamp::now()).await?;
        let session = session.ok_or_else(ApiError::unauthenticated)?;
        match session.seat {
            Seat::Desktop { device, .. } if device == here => {}
            Seat::Desktop { .. } | Seat::Console { .. } => return Err(ApiError::unauthenticated()),
        }
        let person = persons::by_id(&mut db, session.person).await?;
        person.map(Self).ok_or_else(ApiError::unauthenticated)
    }
}

/// What to list.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct HistoryQuery {
    /// At most so many, up to 200.
    limit: Option<u32>,
    /// `next` of the page before.
    cursor: Option<String>,
}

/// The agent's own interactions, newest first; mutual TLS and the token of the sign-in at this desktop.
#[utoipa::path(get, path = "/api/v2/desktop/recordings", operation_id = "own_recordings", tag = "desktop",
    params(HistoryQuery, ("Authorization" = String, Header, description = "`Bearer` and the token of the sign-in")),
    responses(
        (status = 200, description = "A page", body = InteractionPage),
        (status = 401, description = "No device certificate, or nobody is signed in with this token", body = ErrorBody),
        (status = 403, description = "The site does not show agents their recordings", body = ErrorBody),
    ))]
pub(crate) async fn list(
    State(app): State<App>,
    AtDesktop(person): AtDesktop,
    Asked(query): Asked<HistoryQuery>,
) -> Result<Json<InteractionPage>, ApiError> {
    let cursor = query.cursor.as_deref().map(str::parse::<Cursor>).transpose();
    let after = cursor.map_err(|error| ApiError::bad_request(error.to_string()))?;
    allowed(&app).await?;
    let mut db = app.database.read().await?;
    let filter = Filter { after, ..Filter::default() };
    // Their own, whatever else their roles let them see at the console.
    let page = find(&mut db, &Scope::Of(person.id), &filter, query.limit.unwrap_or(PAGE)).await?;
    drop(db);
    let mut write = app.database.write().await?;
    let (at, actor, action) = (Timestamp::now(), person.login.as_str(), "interaction.search");
    let details =
        serde_json::json!({ "own": true, "more": filter.after.is_some(), "found": page.items.len() });
    audit::append(&mut write, &audit::Record { at, actor, action, object: "", details }).await?;
    write.commit().await?;
    Ok(Json(InteractionPage::of(&page)))
}

/// Whether the site lets agents have their recordings, now.
async fn allowed(app: &App) -> Result<(), ApiError> {
    let mut db = app.database.read().await?;
    let terms = agent_terms(&mut db).await.map_err(|error| ApiError::internal(&error))?;
    if terms.own_recordings {
        return Ok(());
    }
    Err(ApiError::forbidden("not_offered", "this site does not show agents their recordings"))
}

/// One of the agent's own interactions; mutual TLS and the token of the sign-in at this desktop.
#[utoipa::path(get, path = "/api/v2/desktop/recordings/{id}", operation_id = "own_recording", tag = "desktop",
    params(
        ("id" = uuid::Uuid, Path, description = "The interaction"),
        ("Authorization" = String, Header, description = "`Bearer` and the token of the sign-in"),
    ),
    responses(
        (status = 200, description = "The interaction", body = InteractionDetail),
        (status = 401, description = "No device certificate, or nobody is signed in with this token", body = ErrorBody),
        (status = 403, description = "The site does not show agents their recordings", body = ErrorBody),
        (status = 404, description = "No such interaction, or not theirs", body = ErrorBody),
    ))]
pub(crate) async fn detail(
    State(app): State<App>,
    AtDesktop(person): AtDesktop,
    Named(id): Named<InteractionId>,
) -> Result<Json<InteractionDetail>, ApiError> {
    allowed(&app).await?;
    interactions::view(&app, &person, &Scope::Of(person.id), id).await.map(Json)
}

/// The media of one recording of the agent's own interactions; mutual TLS and the token of the sign-in at this desktop.
#[utoipa::path(get, path = "/api/v2/desktop/media/{id}", operation_id = "own_media", tag = "desktop",
    params(
        ("id" = uuid::Uuid, Path, description = "The recording"),
        ("Authorization" = String, Header, description = "`Bearer` and the token of the sign-in"),
    ),
    responses(
        (status = 200, description = "WAV (PCM 16-bit, 8 kHz, left agent, right customer) or fragmented MP4"),
        (status = 206, description = "The range asked for"),
        (status = 401, description = "No device certificate, or nobody is signed in with this token", body = ErrorBody),
        (status = 403, description = "The site does not show agents their recordings", body = ErrorBody),
        (status = 404, description = "No such recording, or not of their interactions", body = ErrorBody),
        (status = 416, description = "No such range"),
    ))]
pub(crate) async fn play(
    State(app): State<App>,
    AtDesktop(person): AtDesktop,
    Named(id): Named<RecordingId>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    allowed(&app).await?;
    media::replay(&app, &person, &Scope::Of(person.id), id, &headers).await
}
