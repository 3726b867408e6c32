//! `/api/v2/interactions/{id}/recording`: start, pause, resume and stop in mid-call.

use crate::{
    error::{ApiError, ErrorBody},
    input::{Input, Named},
    interactions::record,
    link::hub::ControlError,
    session::User,
    state::App,
};
use axum::{Json, Router, extract::State, http::StatusCode, routing::post};
use hindsight_search::may_see;
use hindsight_store::events;
use hindsight_wire::{
    InteractionId,
    component::{RecordingAction, RecordingControl},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Longest reason.
const LONGEST_REASON: usize = 500;

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

/// Control the recording of a call that is going on; answered when the media server has confirmed.
#[utoipa::path(post, path = "/api/v2/interactions/{id}/recording", tag = "interactions",
    params(("id" = Uuid, Path, description = "The interaction"), ("X-CSRF-Token" = String, Header)),
    request_body = ControlRequest,
    responses(
        (status = 200, description = "Done and confirmed", body = ControlDone),
        (status = 404, description = "No such interaction, or not for you", body = ErrorBody),
        (status = 409, description = "Not possible now; why", body = ErrorBody),
        (status = 504, description = "No answer in time", body = ErrorBody),
    ))]
pub(crate) async fn control(
    State(app): State<App>,
    user: User,
    Named(id): Named<InteractionId>,
    Input(request): Input<ControlRequest>,
) -> Result<Json<ControlDone>, ApiError> {
    if request.reason.len() > LONGEST_REASON {
        return Err(ApiError::bad_request("the reason is too long"));
    }
    let mut db = app.database.read().await?;
    if !may_see(&mut db, &user.scope(), id).await? {
        return Err(ApiError::not_found());
    }
    let log = events::of_interaction(&mut db, id).await?;
    drop(db);
    let sip_server = log.iter().find_map(|entry| entry.device);
    let ControlRequest { action, reason } = request;
    let by = user.0.login.clone();
    let asked = RecordingControl { interaction: id, action, by, reason: reason.clone() };
    let outcome = app.hub.control(sip_server, asked, app.config.control_timeout()).await;
    let done = match &outcome {
        Ok(()) => "done".to_owned(),
        Err(ControlError::Nobody) => "no SIP server".to_owned(),
        Err(ControlError::TimedOut) => "no answer".to_owned(),
        Err(ControlError::Refused(why)) => format!("refused: {why}"),
    };
    let details = serde_json::json!({ "action": action, "reason": reason, "outcome": done });
    record(&app, &user, "recording.control", &id.to_string(), details).await?;
    let late = |why| ApiError::new(StatusCode::GATEWAY_TIMEOUT, "no_answer", why);
    match outcome {
        Ok(()) => Ok(Json(ControlDone { action })),
        Err(ControlError::Refused(why)) => Err(ApiError::conflict("not_possible", why)),
        Err(ControlError::Nobody) => Err(late("no SIP server is linked to this server")),
        Err(ControlError::TimedOut) => Err(late("the SIP server did not answer in time")),
    }
}
