//! `/api/v2/interactions`: the list, and one interaction with its media, gaps and events.

use crate::{
    error::{ApiError, ErrorBody},
    event_history::{EventView, history},
    input::{Asked, Named},
    session::User,
    state::App,
};
use axum::{Json, Router, extract::State, routing::get};
use hindsight_model::event::{Event, What};
use hindsight_search::{Cursor, Filter, Page, Scope, find, heard::persons_of, may_see};
use hindsight_store::{
    audit, events,
    interactions::{self, Interaction},
    persons::Person,
    recordings,
};
use hindsight_wire::{InteractionId, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::{IntoParams, ToSchema};

mod files;
mod quality;

use files::MediaFile;

/// Interactions on a page, unless asked otherwise.
const PAGE: u32 = 50;
/// Longest text in a filter.
const LONGEST_FILTER: usize = 200;

/// Routes of interactions.
pub fn routes() -> Router<App> {
    Router::new().route("/api/v2/interactions", get(list)).route("/api/v2/interactions/{id}", get(detail))
}

/// What to list.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct ListQuery {
    /// Login, name or DN of an agent who took part.
    agent: Option<String>,
    /// A number that called, was dialled or took part.
    number: Option<String>,
    /// Started at or after (RFC 3339).
    #[param(value_type = Option<String>, format = DateTime)]
    from: Option<Timestamp>,
    /// Started before (RFC 3339).
    #[param(value_type = Option<String>, format = DateTime)]
    to: Option<Timestamp>,
    /// At most so many, up to 200.
    limit: Option<u32>,
    /// `next` of the page before.
    cursor: Option<String>,
}

impl InteractionPage {
    /// A page as the API gives it.
    pub(crate) fn of(page: &Page) -> Self {
        let next = page.next.as_ref().map(ToString::to_string);
        Self { items: page.items.iter().map(summary).collect(), next }
    }
}

/// A page of interactions.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct InteractionPage {
    /// Newest first.
    items: Vec<InteractionSummary>,
    /// For the next page; absent: this was the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// What a list shows of an interaction.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct InteractionSummary {
    #[schema(format = Uuid)]
    id: String,
    #[schema(format = DateTime)]
    start_time: String,
    #[schema(format = DateTime)]
    stop_time: Option<String>,
    duration_ms: Option<i64>,
    /// `voice`, `chat`, `email` or `work-item`.
    medium: &'static str,
    caller_phone_number: String,
    dialed_phone_number: String,
    agents: Vec<AgentView>,
    /// `active` or `ended`.
    state: &'static str,
    /// `complete`, `partial`, `missing`, `pending` or `none`.
    voice: &'static str,
    /// `complete`, `partial`, `missing`, `pending` or `none`.
    screen: &'static str,
    /// A recording of it was cut by a crash and repaired.
    recovered: bool,
    /// Recording was paused in it.
    paused: bool,
}

/// Somebody at a DN of this site who took part.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AgentView {
    login: String,
    name: String,
    dn: String,
}

/// An interaction with everything known of it.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct InteractionDetail {
    #[serde(flatten)]
    summary: InteractionSummary,
    media_files: Vec<MediaFile>,
    /// Recordings of it that are not this person's to see or hear: of parts in which others took part without them.
    withheld: usize,
    gaps: Vec<GapView>,
    /// Data that came with its announcement.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    attached: BTreeMap<String, String>,
    event_history: Vec<EventView>,
}

/// Something that should have been recorded and is not there.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct GapView {
    /// `voice` or `screen`.
    kind: &'static str,
    /// Where; absent: not of one DN.
    #[serde(skip_serializing_if = "Option::is_none")]
    dn: Option<String>,
    reason: String,
}

/// Find interactions, newest first.
#[utoipa::path(get, path = "/api/v2/interactions", operation_id = "list_interactions", tag = "interactions", params(ListQuery), responses(
    (status = 200, description = "A page", body = InteractionPage),
    (status = 400, description = "A filter cannot be read", body = ErrorBody),
))]
pub(crate) async fn list(
    State(app): State<App>,
    user: User,
    Asked(query): Asked<ListQuery>,
) -> Result<Json<InteractionPage>, ApiError> {
    let text = |text: Option<String>| match text.map(|text| text.trim().to_owned()) {
        Some(text) if text.len() > LONGEST_FILTER => Err(ApiError::bad_request("a filter is too long")),
        text => Ok(text.filter(|text| !text.is_empty())),
    };
    let cursor = query.cursor.as_deref().map(str::parse::<Cursor>).transpose();
    let filter = Filter {
        agent: text(query.agent)?,
        number: text(query.number)?,
        from: query.from,
        to: query.to,
        after: cursor.map_err(|error| ApiError::bad_request(error.to_string()))?,
    };
    let mut db = app.database.read().await?;
    let page = find(&mut db, &user.scope(), &filter, query.limit.unwrap_or(PAGE)).await?;
    drop(db);
    let details = serde_json::json!({
        "agent": filter.agent, "number": filter.number, "from": filter.from, "to": filter.to,
        "more": filter.after.is_some(), "found": page.items.len(),
    });
    record(&app, &user.0, "interaction.search", "", details).await?;
    Ok(Json(InteractionPage::of(&page)))
}

/// One interaction.
#[utoipa::path(get, path = "/api/v2/interactions/{id}", tag = "interactions",
    params(("id" = Uuid, Path, description = "The interaction")),
    responses(
        (status = 200, description = "The interaction", body = InteractionDetail),
        (status = 404, description = "No such interaction, or not for you", body = ErrorBody),
    ))]
pub(crate) async fn detail(
    State(app): State<App>,
    user: User,
    Named(id): Named<InteractionId>,
) -> Result<Json<InteractionDetail>, ApiError> {
    view(&app, &user.0, &user.scope(), id).await.map(Json)
}

/// What there is to see of an interaction for whoever has this scope; written down.
pub(crate) async fn view(
    app: &App,
    person: &Person,
    scope: &Scope,
    id: InteractionId,
) -> Result<InteractionDetail, ApiError> {
    let mut db = app.database.read().await?;
    if !may_see(&mut db, scope, id).await? {
        return Err(ApiError::not_found());
    }
    let this = interactions::by_id(&mut db, id).await?.ok_or_else(ApiError::not_found)?;
    let log = events::of_interaction(&mut db, id).await?;
    let log: Vec<Event> = log.into_iter().filter_map(|entry| entry.event).collect();
    let owned = recordings::of_interaction(&mut db, id).await?;
    let not_theirs: Vec<String> = owned
        .iter()
        .map(|owned| &owned.recording.manifest)
        .filter(|manifest| !scope.admits(&persons_of(manifest, &this.agents)))
        .map(|manifest| manifest.recording.to_string())
        .collect();
    let mut media_files = files::media_files(&mut db, &this, &log, owned).await?;
    let all = media_files.len();
    media_files.retain(|file| !not_theirs.contains(&file.id));
    let withheld = all - media_files.len();
    drop(db);
    record(app, person, "interaction.view", &id.to_string(), serde_json::Value::Null).await?;
    let gap = |gap: &interactions::Gap| GapView {
        kind: gap.kind.as_str(),
        dn: Some(gap.dn.clone()).filter(|dn| !dn.is_empty()),
        reason: gap.reason.clone(),
    };
    Ok(InteractionDetail {
        summary: summary(&this),
        media_files,
        withheld,
        gaps: this.gaps.iter().map(gap).collect(),
        attached: attached(&log),
        event_history: history(&this, &log),
    })
}

/// Writes down what a person did.
pub(crate) async fn record(
    app: &App,
    person: &Person,
    action: &str,
    object: &str,
    details: serde_json::Value,
) -> Result<(), ApiError> {
    let mut write = app.database.write().await?;
    let actor = &person.login;
    audit::append(&mut write, &audit::Record { at: Timestamp::now(), actor, action, object, details })
        .await?;
    write.commit().await?;
    Ok(())
}

fn summary(this: &Interaction) -> InteractionSummary {
    let agent = |agent: &interactions::Agent| AgentView {
        login: agent.login.clone(),
        name: agent.name.clone(),
        dn: agent.dn.clone(),
    };
    InteractionSummary {
        id: this.id.to_string(),
        start_time: this.started_at.to_string(),
        stop_time: this.ended_at.map(|at| at.to_string()),
        duration_ms: this.ended_at.map(|at| at.ms_since(this.started_at)),
        medium: this.medium.as_str(),
        caller_phone_number: this.caller.clone(),
        dialed_phone_number: this.dialled.clone(),
        agents: this.agents.iter().map(agent).collect(),
        state: if this.ended_at.is_some() { "ended" } else { "active" },
        voice: this.voice.as_str(),
        screen: this.screen.as_str(),
        recovered: this.recovered,
        paused: this.paused,
    }
}

fn attached(log: &[Event]) -> BTreeMap<String, String> {
    let announced = log.iter().find_map(|event| match &event.what {
        What::InteractionAnnounced(announced) => Some(announced.attached.clone()),
        _ => None,
    });
    announced.unwrap_or_default()
}
