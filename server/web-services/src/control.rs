//! `/api/v2/interactions/{id}/recording`: start, pause, resume and stop in mid-call.
//!
//! Supervisors and administrators may do all of it to every call. Agents may start, pause and resume the recording of
//! their own calls, but not stop what policy records. Nobody else sees a call, and so may do nothing to it.

use crate::{
    error::{ApiError, ErrorBody},
    input::{Input, Named},
    interactions::record,
    link::hub::ControlError,
    session::User,
    state::App,
};
use axum::{Json, Router, extract::State, http::StatusCode, routing::post};
use hindsight_model::event::{Event, What};
use hindsight_search::may_see;
use hindsight_store::{
    events,
    persons::{Person, PersonRole},
};
use hindsight_wire::{
    InteractionId,
    component::{RecordingAction, RecordingControl},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Longest reason.
const LONGEST_REASON: usize = 500;
/// Who started a recording that policy asked for, in [`What::RecordingStarted`].
const FULL_TIME: &str = "full-time";

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
        (status = 403, description = "Your roles do not allow this: agents may not stop what policy records", body = ErrorBody),
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
    let history: Vec<&Event> = log.iter().filter_map(|entry| entry.event.as_ref()).collect();
    if let Err(refusal) = allowed(&user.0, action, &history) {
        let details = serde_json::json!({ "action": action, "reason": reason, "outcome": "not allowed" });
        record(&app, &user, "recording.control", &id.to_string(), details).await?;
        return Err(refusal);
    }
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

/// Whether a person may do this to the recording of a call that they may see, with what has happened to it so far.
fn allowed(person: &Person, action: RecordingAction, history: &[&Event]) -> Result<(), ApiError> {
    if person.is(PersonRole::Supervisor) || person.is(PersonRole::Administrator) {
        return Ok(());
    }
    if !person.is(PersonRole::Agent) {
        return Err(ApiError::forbidden("forbidden", "your roles do not allow this"));
    }
    match action {
        RecordingAction::Start | RecordingAction::Pause | RecordingAction::Resume => Ok(()),
        RecordingAction::Stop if by_policy(history) => {
            let message = "this call is recorded by policy: you may pause it, a supervisor may stop it";
            Err(ApiError::forbidden("recorded_by_policy", message))
        }
        RecordingAction::Stop => Ok(()),
    }
}

/// Whether policy began what a stop would end: the voice, or the screens, whose capture ends with it. A recording whose
/// start has not been heard of yet is policy's where policy asks for one.
fn by_policy(history: &[&Event]) -> bool {
    let started = history.iter().filter_map(|event| match &event.what {
        What::RecordingStarted { by, .. } => Some((event.at, by == FULL_TIME)),
        _ => None,
    });
    let last_by_policy = started.max_by_key(|(at, _)| *at).map(|(_, by_policy)| by_policy);
    let mut asked = history.iter().filter_map(|event| match &event.what {
        What::CallOffered { record_voice, record_screen, .. } => {
            Some((!record_voice.is_empty(), !record_screen.is_empty()))
        }
        _ => None,
    });
    asked.any(|(voice, screen)| screen || last_by_policy.unwrap_or(voice)) || last_by_policy == Some(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hindsight_wire::{CaptureId, PersonId, Timestamp};
    use std::collections::BTreeSet;

    fn person(roles: &[PersonRole]) -> Person {
        Person {
            id: PersonId::new(),
            login: "ann".into(),
            name: String::new(),
            roles: roles.iter().copied().collect::<BTreeSet<_>>(),
            password_hash: String::new(),
            must_change: false,
            failed_attempts: 0,
            locked_until: None,
        }
    }

    fn event(seconds: i64, what: What) -> Event {
        Event { interaction: InteractionId::new(), at: Timestamp(seconds * 1_000_000), what }
    }

    fn offered(voice: bool, screen: bool) -> Event {
        let dns = |asked: bool| if asked { vec!["1001".to_owned()] } else { Vec::new() };
        let (caller, dialled) = ("0701".to_owned(), "1001".to_owned());
        event(0, What::CallOffered { caller, dialled, record_voice: dns(voice), record_screen: dns(screen) })
    }

    fn started(seconds: i64, by: &str) -> Event {
        event(seconds, What::RecordingStarted { capture: CaptureId::new(), by: by.into() })
    }

    fn may(roles: &[PersonRole], action: RecordingAction, history: &[Event]) -> bool {
        allowed(&person(roles), action, &history.iter().collect::<Vec<_>>()).is_ok()
    }

    #[test]
    fn an_agent_may_not_stop_what_policy_records() {
        let agent = &[PersonRole::Agent];
        for (history, may_stop) in [
            (vec![offered(true, false), started(1, FULL_TIME)], false),
            (vec![offered(true, false)], false),
            (vec![started(1, FULL_TIME)], false),
            (vec![offered(false, true), started(1, "ann")], false),
            (vec![offered(false, false), started(1, "ann")], true),
            (vec![started(9, "ann"), started(1, FULL_TIME), offered(true, false)], true),
            (vec![offered(false, false)], true),
        ] {
            assert_eq!(may(agent, RecordingAction::Stop, &history), may_stop, "{history:?}");
            for action in [RecordingAction::Start, RecordingAction::Pause, RecordingAction::Resume] {
                assert!(may(agent, action, &history));
            }
        }
    }

    #[test]
    fn supervisors_and_administrators_may_do_everything_and_others_nothing() {
        let history = [offered(true, true), started(1, FULL_TIME)];
        for action in
            [RecordingAction::Start, RecordingAction::Pause, RecordingAction::Resume, RecordingAction::Stop]
        {
            assert!(may(&[PersonRole::Supervisor, PersonRole::Agent], action, &history));
            assert!(may(&[PersonRole::Administrator], action, &history));
            assert!(!may(&[PersonRole::Auditor], action, &history));
            assert!(!may(&[], action, &history));
        }
    }
}
