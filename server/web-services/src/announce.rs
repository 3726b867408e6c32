//! `POST /api/v2/interactions`: another system announces an interaction of an agent (a chat, an e-mail, a piece of work),
//! and ends it. It is captured by policy as a call is.

use crate::{
    callers::Actor,
    error::{ApiError, ErrorBody},
    input::{Input, Named},
    link::director::Message,
    state::App,
};
use axum::{
    Json, Router,
    extract::State,
    http::{HeaderMap, StatusCode},
    routing::post,
};
use hindsight_management::captured_media;
use hindsight_model::event::{Announcement, Event, What};
use hindsight_store::{
    Connection, StoreError,
    announced::{self, Announced},
    api_tokens::Right,
    audit, dns, events,
    persons::{self, PersonRole},
    sessions::{self, Seat},
};
use hindsight_wire::{InteractionId, PersonId, Timestamp, agent::Medium, component::RecordingAction};
use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// Longest address.
const LONGEST_ADDRESS: usize = 200;
/// Most attached data.
const MOST_ATTACHED: usize = 50;
/// Longest name of attached data, and longest key of a request.
const LONGEST_KEY: usize = 100;
/// Longest value of attached data.
const LONGEST_VALUE: usize = 2000;
/// Header that makes a request that is sent twice one announcement.
const KEY_HEADER: &str = "idempotency-key";

/// Routes of announced interactions.
pub fn routes() -> Router<App> {
    Router::new()
        .route("/api/v2/interactions", post(announce))
        .route("/api/v2/interactions/{id}/end", post(end))
}

/// An interaction of an agent.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Announce {
    /// `chat`, `email` or `work-item`. Calls are announced by the SIP server.
    #[schema(value_type = String)]
    medium: Medium,
    /// The agent: their login, or the DN where they sit.
    agent: String,
    /// Number or address of who began it.
    from: String,
    /// Number or address that it was for.
    #[serde(default)]
    to: String,
    /// Data that belongs to it, shown to the agent and kept with it.
    #[serde(default)]
    attached: BTreeMap<String, String>,
}

/// What became of it.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AnnounceDone {
    /// The interaction, for its end and its recording.
    #[schema(format = Uuid)]
    id: String,
    /// When it began.
    #[schema(format = DateTime)]
    started_at: String,
    /// Whether policy asks for the agent's screens.
    recorded: bool,
}

/// It is over.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct EndDone {
    /// The interaction.
    #[schema(format = Uuid)]
    id: String,
    /// When it ended.
    #[schema(format = DateTime)]
    ended_at: String,
}

impl Announce {
    fn fault(&self) -> Option<&'static str> {
        let long = |(key, value): (&String, &String)| {
            key.is_empty() || key.len() > LONGEST_KEY || value.len() > LONGEST_VALUE
        };
        if self.medium == Medium::Voice {
            return Some("calls are announced by the SIP server, not here");
        }
        if self.from.len() > LONGEST_ADDRESS || self.to.len() > LONGEST_ADDRESS {
            return Some("from or to is longer than 200 bytes");
        }
        if self.attached.len() > MOST_ATTACHED || self.attached.iter().any(long) {
            return Some("attached: at most 50 entries, names of 1 to 100 bytes, values of at most 2000");
        }
        None
    }
}

/// Announce an interaction of an agent.
#[utoipa::path(post, path = "/api/v2/interactions", operation_id = "announce_interaction", tag = "interactions",
    params(("Authorization" = Option<String>, Header, description = "`Bearer` and the token of a system that may announce; or a session of an administrator"),
        ("Idempotency-Key" = Option<String>, Header, description = "Makes a request that is sent twice one interaction")),
    request_body = Announce,
    responses(
        (status = 201, description = "It goes on from now", body = AnnounceDone),
        (status = 200, description = "It was announced with this key before", body = AnnounceDone),
        (status = 401, description = "No token, or not a good one", body = ErrorBody),
        (status = 403, description = "The token or the person may not announce", body = ErrorBody),
        (status = 422, description = "No such agent, nowhere to find them, or the key was used for something else", body = ErrorBody),
    ))]
pub(crate) async fn announce(
    State(app): State<App>,
    actor: Actor,
    headers: HeaderMap,
    Input(request): Input<Announce>,
) -> Result<(StatusCode, Json<AnnounceDone>), ApiError> {
    may_announce(&actor)?;
    if let Some(fault) = request.fault() {
        return Err(ApiError::unprocessable("bad_announcement", fault));
    }
    let key = key_of(&headers)?;
    let (now, by) = (Timestamp::now(), actor.name());
    let asked = hash(&request);
    let mut write = app.database.write().await?;
    if let Some(key) = key
        && let Some(known) = announced::by_key(&mut write, &by, key).await?
    {
        return again(&mut write, &known, &asked).await;
    }
    let Place { dn, person, record_screen } = place(&mut write, &request.agent, now).await?;
    let media = captured_media(&mut write).await.map_err(|error| ApiError::internal(&error))?;
    let record_screen = record_screen && media.contains(&request.medium);
    let Announce { medium, from, to, attached, .. } = request;
    let interaction = InteractionId::new();
    let by_whom = by.clone();
    let announcement = Announcement { medium, from, to, dn, person, record_screen, attached, by: by_whom };
    let details = serde_json::json!({ "medium": medium, "dn": announcement.dn, "recorded": record_screen });
    let event = Event { interaction, at: now, what: What::InteractionAnnounced(announcement) };
    let entry = Announced { interaction, by: by.clone(), request: asked, at: now, ended_at: None };
    announced::add(&mut write, &entry, key).await?;
    note(&mut write, &event, &by, "interaction.announce", details).await?;
    write.commit().await?;
    app.director.tell(Message::Events(vec![event])).await;
    metrics::counter!("hindsight_interactions_announced_total", "medium" => medium.as_str()).increment(1);
    Ok((StatusCode::CREATED, Json(done(interaction, now, record_screen))))
}

fn done(id: InteractionId, at: Timestamp, recorded: bool) -> AnnounceDone {
    AnnounceDone { id: id.to_string(), started_at: at.to_string(), recorded }
}

fn may_announce(actor: &Actor) -> Result<(), ApiError> {
    match actor {
        Actor::Person(user) => user.require(&[PersonRole::Administrator]),
        Actor::System(token) => token.require(Right::Announce),
    }
}

fn key_of(headers: &HeaderMap) -> Result<Option<&str>, ApiError> {
    let Some(value) = headers.get(KEY_HEADER) else { return Ok(None) };
    let key = value.to_str().ok().filter(|key| !key.is_empty() && key.len() <= LONGEST_KEY);
    key.map(Some).ok_or_else(|| ApiError::bad_request("Idempotency-Key is text of 1 to 100 characters"))
}

fn hash(request: &Announce) -> String {
    let text = serde_json::to_vec(request).unwrap_or_default();
    hex::encode(digest(&SHA256, &text))
}

/// The same request as before: the same answer.
async fn again(
    db: &mut Connection,
    known: &Announced,
    asked: &str,
) -> Result<(StatusCode, Json<AnnounceDone>), ApiError> {
    if known.request != asked {
        let message = "this Idempotency-Key was used for another interaction";
        return Err(ApiError::unprocessable("key_used", message));
    }
    let log = events::of_interaction(db, known.interaction).await?;
    let recorded = log.iter().any(|entry| match &entry.event {
        Some(Event { what: What::InteractionAnnounced(announced), .. }) => announced.record_screen,
        _ => false,
    });
    Ok((StatusCode::OK, Json(done(known.interaction, known.at, recorded))))
}

/// Where an agent is to be found.
struct Place {
    dn: String,
    person: Option<PersonId>,
    record_screen: bool,
}

/// A DN is where it is. A person is where they are signed in at a desktop, else at their own DN.
async fn place(db: &mut Connection, agent: &str, now: Timestamp) -> Result<Place, ApiError> {
    if let Some(owned) = dns::by_number(db, agent).await? {
        let session = sessions::at_dn(db, agent, now).await?;
        let person = session.map(|session| session.person).or(owned.owner);
        let record_screen = owned.dn.record_screen;
        return Ok(Place { dn: owned.dn.number, person, record_screen });
    }
    let no_such = || ApiError::unprocessable("no_such_agent", "there is no such login or DN");
    let person = persons::by_login(db, agent).await?.ok_or_else(no_such)?;
    let session = sessions::of_person(db, person.id, now).await?;
    let seat = session.and_then(|session| match session.seat {
        Seat::Desktop { dn, .. } => Some(dn),
        Seat::Console { .. } => None,
    });
    let owned = match seat {
        Some(dn) => dns::by_number(db, &dn).await?,
        None => dns::owned_by(db, person.id).await?.into_iter().next(),
    };
    let nowhere = || {
        ApiError::unprocessable("agent_nowhere", "this agent sits at no desktop and has no DN of their own")
    };
    let owned = owned.ok_or_else(nowhere)?;
    let record_screen = owned.dn.record_screen;
    Ok(Place { dn: owned.dn.number, person: Some(person.id), record_screen })
}

async fn note(
    db: &mut Connection,
    event: &Event,
    actor: &str,
    action: &str,
    details: serde_json::Value,
) -> Result<(), StoreError> {
    events::append(db, event, event.at).await?;
    let object = event.interaction.to_string();
    audit::append(db, &audit::Record { at: event.at, actor, action, object: &object, details }).await
}

/// End an interaction that was announced; ending it twice changes nothing.
#[utoipa::path(post, path = "/api/v2/interactions/{id}/end", operation_id = "end_interaction", tag = "interactions",
    params(("id" = Uuid, Path, description = "The interaction"),
        ("Authorization" = Option<String>, Header, description = "`Bearer` and the token of the system that announced it; or a session of an administrator")),
    responses(
        (status = 200, description = "It is over", body = EndDone),
        (status = 403, description = "The token or the person may not end interactions", body = ErrorBody),
        (status = 404, description = "It was not announced, or not by this system", body = ErrorBody),
    ))]
pub(crate) async fn end(
    State(app): State<App>,
    actor: Actor,
    Named(id): Named<InteractionId>,
) -> Result<Json<EndDone>, ApiError> {
    may_announce(&actor)?;
    let (now, by) = (Timestamp::now(), actor.name());
    let mut write = app.database.write().await?;
    let known = announced::by_id(&mut write, id).await?.ok_or_else(ApiError::not_found)?;
    if matches!(actor, Actor::System(_)) && known.by != by {
        return Err(ApiError::not_found());
    }
    let ended_at = match known.ended_at {
        Some(at) => at,
        None => {
            announced::end(&mut write, id, now).await?;
            let event = Event { interaction: id, at: now, what: What::InteractionEnded { by: by.clone() } };
            note(&mut write, &event, &by, "interaction.end", serde_json::Value::Null).await?;
            write.commit().await?;
            app.director.tell(Message::Events(vec![event])).await;
            now
        }
    };
    Ok(Json(EndDone { id: id.to_string(), ended_at: ended_at.to_string() }))
}

/// The recording of an announced interaction: of its agent's screens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RecordingOf {
    /// As policy asks.
    On,
    /// Paused by command.
    Paused,
    /// Stopped by command.
    Stopped,
}

impl RecordingOf {
    /// What a command makes of it, or why it makes no sense.
    pub(crate) fn after(self, action: RecordingAction) -> Result<Self, &'static str> {
        match (self, action) {
            (RecordingOf::Stopped, RecordingAction::Start)
            | (RecordingOf::Paused, RecordingAction::Resume) => Ok(RecordingOf::On),
            (RecordingOf::On, RecordingAction::Pause) => Ok(RecordingOf::Paused),
            (RecordingOf::On | RecordingOf::Paused, RecordingAction::Stop) => Ok(RecordingOf::Stopped),
            (RecordingOf::On | RecordingOf::Paused, RecordingAction::Start) => {
                Err("the interaction is being recorded already")
            }
            (RecordingOf::Paused, RecordingAction::Pause) => Err("the recording is paused already"),
            (RecordingOf::On, RecordingAction::Resume) => Err("the recording is not paused"),
            (RecordingOf::Stopped, _) => Err("the interaction is not being recorded"),
        }
    }
}

/// How it stands, from the interaction's events in the order of the log.
pub(crate) fn recording_state<'a>(
    log: impl IntoIterator<Item = &'a Event>,
) -> Result<RecordingOf, &'static str> {
    let mut state = Err("the interaction is not recorded: policy does not ask for it");
    for event in log {
        match &event.what {
            What::InteractionAnnounced(announced) if announced.record_screen => state = Ok(RecordingOf::On),
            What::InteractionEnded { .. } => return Err("the interaction is over"),
            What::RecordingPaused { .. } => state = state.and(Ok(RecordingOf::Paused)),
            What::RecordingResumed { .. } | What::RecordingStarted { .. } => {
                state = state.and(Ok(RecordingOf::On));
            }
            What::RecordingStopped { .. } => state = state.and(Ok(RecordingOf::Stopped)),
            _ => {}
        }
    }
    state
}
