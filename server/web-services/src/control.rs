//! `/api/v2/interactions/{id}/recording`: start, pause, resume and stop while an interaction goes on.
//!
//! The voice of a call is its SIP server's: the screens follow what that confirmed. Of an interaction that another
//! system announced there are only screens. Who may do what: [`rights`](crate::rights); another system may pause and
//! resume, when its token says so.

use crate::{
    announce,
    callers::{Actor, Token},
    error::{ApiError, ErrorBody},
    input::{Input, Named},
    link::{director::Message, hub::ControlError, lost_calls},
    rights::{self, Refusal, Standing},
    state::App,
};
use axum::{Json, Router, extract::State, http::StatusCode, routing::post};
use hindsight_model::event::{Event, What};
use hindsight_search::may_see;
use hindsight_store::{
    StoreError,
    api_tokens::Right,
    audit,
    events::{self, Entry},
};
use hindsight_wire::{
    CaptureId, InteractionId, Timestamp,
    component::{NO_SUCH_CALL, RecordingAction, RecordingControl},
    enrolment::DeviceKind,
};
use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant};
use utoipa::ToSchema;

/// Longest reason.
const LONGEST_REASON: usize = 500;
/// Why nothing can be done any more.
const ENDED: &str = "the call has ended";
/// The end of a call may be on its way for so long.
const END_LIMIT: Duration = Duration::from_secs(2);
const END_POLL: Duration = Duration::from_millis(100);

/// Routes of recording control.
pub fn routes() -> Router<App> {
    Router::new().route("/api/v2/interactions/{id}/recording", post(control))
}

/// What to do.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ControlRequest {
    /// `start`, `pause`, `resume` or `stop`.
    #[schema(value_type = String)]
    action: RecordingAction,
    /// Why; goes into the manifest and the audit log.
    #[serde(default)]
    reason: String,
}

/// What was done.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ControlDone {
    /// As asked.
    #[schema(value_type = String)]
    action: RecordingAction,
}

/// Control the recording of an interaction that is going on; answered when it is confirmed.
#[utoipa::path(post, path = "/api/v2/interactions/{id}/recording", tag = "interactions",
    params(("id" = Uuid, Path, description = "The interaction"),
        ("X-CSRF-Token" = Option<String>, Header, description = "With a session cookie"),
        ("Authorization" = Option<String>, Header, description = "`Bearer` and the token of a system that may pause")),
    request_body = ControlRequest,
    responses(
        (status = 200, description = "Done and confirmed", body = ControlDone),
        (status = 403, description = "Not allowed: agents may not stop what policy records, systems only pause and resume", body = ErrorBody),
        (status = 404, description = "No such interaction, or not for you", body = ErrorBody),
        (status = 409, description = "Not possible now; why", body = ErrorBody),
        (status = 504, description = "No answer in time", body = ErrorBody),
    ))]
pub(crate) async fn control(
    State(app): State<App>,
    actor: Actor,
    Named(id): Named<InteractionId>,
    Input(request): Input<ControlRequest>,
) -> Result<Json<ControlDone>, ApiError> {
    let ControlRequest { action, reason } = request;
    let mut db = app.database.read().await?;
    let known = match &actor {
        Actor::Person(user) => may_see(&mut db, &user.scope(), id).await?,
        Actor::System(_) => true,
    };
    let log = events::of_interaction(&mut db, id).await?;
    drop(db);
    if !known || log.is_empty() {
        return Err(ApiError::not_found());
    }
    let allowed = match &actor {
        Actor::Person(user) => {
            let standing = Standing::of(log.iter().filter_map(|entry| entry.event.as_ref()));
            rights::may(&user.0.roles, action, &standing).map_err(refused)
        }
        Actor::System(token) => may_pause(token, action),
    };
    if let Err(refusal) = allowed {
        let details = serde_json::json!({ "action": action, "reason": reason, "outcome": "not allowed" });
        note(&app, &actor.name(), id, details).await?;
        return Err(refusal);
    }
    let command = Command { interaction: id, action, by: actor.name(), reason };
    perform(&app, command, &log).await?;
    Ok(Json(ControlDone { action }))
}

fn may_pause(token: &Token, action: RecordingAction) -> Result<(), ApiError> {
    token.require(Right::Pause)?;
    match action {
        RecordingAction::Pause | RecordingAction::Resume => Ok(()),
        RecordingAction::Start | RecordingAction::Stop => {
            Err(ApiError::forbidden("forbidden", "other systems may pause and resume, no more"))
        }
    }
}

fn refused(refusal: Refusal) -> ApiError {
    let code = match refusal {
        Refusal::Roles => "forbidden",
        Refusal::Policy => "recorded_by_policy",
    };
    ApiError::forbidden(code, refusal.to_string())
}

async fn note(
    app: &App,
    actor: &str,
    id: InteractionId,
    details: serde_json::Value,
) -> Result<(), StoreError> {
    let (at, action, object) = (Timestamp::now(), "recording.control", id.to_string());
    let mut write = app.database.write().await?;
    audit::append(&mut write, &audit::Record { at, actor, action, object: &object, details }).await?;
    write.commit().await
}

/// What is to be done to a recording, by somebody who may.
pub(crate) struct Command {
    pub(crate) interaction: InteractionId,
    pub(crate) action: RecordingAction,
    pub(crate) by: String,
    pub(crate) reason: String,
}

/// Does it, and writes down how it went. `log`: the interaction's events.
pub(crate) async fn perform(app: &App, command: Command, log: &[Entry]) -> Result<(), ApiError> {
    if command.reason.len() > LONGEST_REASON {
        return Err(ApiError::bad_request("the reason is too long"));
    }
    let is_announced =
        |entry: &Entry| matches!(&entry.event, Some(Event { what: What::InteractionAnnounced(_), .. }));
    let Command { interaction, action, by, reason } = &command;
    let outcome = if log.iter().any(is_announced) {
        announced(app, &command).await?
    } else if has_ended(log) {
        Err(ControlError::Refused(ENDED.to_owned()))
    } else {
        let sip_server = log.iter().find_map(|entry| entry.device);
        let (by, reason) = (by.clone(), reason.clone());
        let asked = RecordingControl { interaction: *interaction, action: *action, by, reason };
        let outcome = app.hub.control(sip_server, asked, app.config.control_timeout()).await;
        // Only whose call it was can say that it is no more.
        let asked_its_own =
            sip_server.is_some_and(|device| app.hub.is_linked_as(device, DeviceKind::SipServer));
        match outcome {
            Err(ControlError::Refused(why)) if asked_its_own && why == NO_SUCH_CALL => {
                lost(app, &command).await?
            }
            outcome => outcome,
        }
    };
    let done = match &outcome {
        Ok(()) => "done".to_owned(),
        Err(ControlError::Nobody) => "no SIP server".to_owned(),
        Err(ControlError::TimedOut) => "no answer".to_owned(),
        Err(ControlError::Refused(why)) => format!("refused: {why}"),
    };
    let details = serde_json::json!({ "action": action, "reason": reason, "outcome": done });
    note(app, by, *interaction, details).await?;
    let late = |why| ApiError::new(StatusCode::GATEWAY_TIMEOUT, "no_answer", why);
    outcome.map_err(|error| match error {
        ControlError::Refused(why) => ApiError::conflict("not_possible", why),
        ControlError::Nobody => late("no SIP server is linked to this server"),
        ControlError::TimedOut => late("the SIP server did not answer in time"),
    })
}

/// Of a call that its SIP server knows no more. Its end may still be on the way; where none comes, the call was lost
/// with what that server knew, and is closed here: at the last thing that is known of it.
async fn lost(app: &App, command: &Command) -> Result<Result<(), ControlError>, ApiError> {
    let Command { interaction, action, by, .. } = command;
    let until = Instant::now() + END_LIMIT;
    while Instant::now() < until {
        let log = events::of_interaction(&mut *app.database.read().await?, *interaction).await?;
        if has_ended(&log) {
            return Ok(Err(ControlError::Refused(ENDED.to_owned())));
        }
        tokio::time::sleep(END_POLL).await;
    }
    let mut write = app.database.write().await?;
    let log = events::of_interaction(&mut write, *interaction).await?;
    let last = log.iter().filter_map(|entry| Some(entry.event.as_ref()?.at)).max();
    let (Some(at), false) = (last, has_ended(&log)) else {
        return Ok(Err(ControlError::Refused(ENDED.to_owned())));
    };
    tracing::warn!(%interaction, "a call that its SIP server knows no more is closed");
    let stop = *action == RecordingAction::Stop;
    let stopped = stop.then(|| What::RecordingStopped { by: by.clone(), voice_only: false });
    let stopped = stopped.map(|what| Event { interaction: *interaction, at, what });
    let both: Vec<Event> = stopped.into_iter().chain([lost_calls::end_at(*interaction, at)]).collect();
    for event in &both {
        events::append(&mut write, event, Timestamp::now()).await?;
    }
    write.commit().await?;
    app.director.tell(Message::Events(both)).await;
    let why = "the call was lost with its SIP server; it has been closed";
    Ok(if stop { Ok(()) } else { Err(ControlError::Refused(why.to_owned())) })
}

fn has_ended(log: &[Entry]) -> bool {
    let is_end = |event: &Event| matches!(event.what, What::CallEnded { .. });
    log.iter().filter_map(|entry| entry.event.as_ref()).any(is_end)
}

/// Of an announced interaction the server itself has the say: what it writes to the log is so.
async fn announced(app: &App, command: &Command) -> Result<Result<(), ControlError>, ApiError> {
    let Command { interaction, action, by, reason } = command;
    let now = Timestamp::now();
    let mut write = app.database.write().await?;
    let log = events::of_interaction(&mut write, *interaction).await?;
    let state = announce::recording_state(log.iter().filter_map(|entry| entry.event.as_ref()));
    if let Err(why) = state.and_then(|state| state.after(*action)) {
        return Ok(Err(ControlError::Refused(why.to_owned())));
    }
    let (by, reason) = (by.clone(), reason.clone());
    let what = match action {
        RecordingAction::Start => What::RecordingStarted { capture: CaptureId::new(), by },
        RecordingAction::Pause => What::RecordingPaused { by, reason },
        RecordingAction::Resume => What::RecordingResumed { by },
        RecordingAction::Stop => What::RecordingStopped { by, voice_only: false },
    };
    let event = Event { interaction: *interaction, at: now, what };
    events::append(&mut write, &event, now).await?;
    write.commit().await?;
    app.director.tell(Message::Events(vec![event])).await;
    Ok(Ok(()))
}
