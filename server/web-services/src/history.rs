//! `GET /api/v2/desktop/recordings`: an agent's own interactions, at their desktop, when the site allows it.

use crate::{
    callers::bearer,
    error::{ApiError, ErrorBody},
    input::Asked,
    interactions::InteractionPage,
    peer::Caller,
    state::App,
};
use axum::{
    Json, Router,
    extract::{FromRequestParts, State},
    http::request::Parts,
    routing::get,
};
use hindsight_management::agent_terms;
use hindsight_search::{Cursor, Filter, Scope, find};
use hindsight_store::{
    audit,
    persons::{self, Person},
    sessions::{self, Seat},
};
use hindsight_wire::{Timestamp, enrolment::DeviceKind};
use serde::Deserialize;
use utoipa::IntoParams;

/// Interactions on a page, unless asked otherwise.
const PAGE: u32 = 50;

/// Routes of an agent's own recordings.
pub fn routes() -> Router<App> {
    Router::new().route("/api/v2/desktop/recordings", get(list))
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
    let mut db = app.database.read().await?;
    let terms = agent_terms(&mut db).await.map_err(|error| ApiError::internal(&error))?;
    if !terms.own_recordings {
        let message = "this site does not show agents their recordings";
        return Err(ApiError::forbidden("not_offered", message));
    }
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
