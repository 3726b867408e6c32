//! What an agent asks for at their desktop: their state, their calls, their recordings. Answered when it is done and
//! confirmed, on the link that asked.

use super::{captures::Desktop, hub::ControlError};
use crate::{control, desktop::set_state, rights, state::App};
use hindsight_management::agent_terms;
use hindsight_store::{StoreError, audit, events, persons};
use hindsight_wire::{
    DeviceId, InteractionId, Timestamp,
    agent::{AgentAction, CallAction, Medium, Progress},
    component::{CallControl, RecordingAction},
    link::Down,
};
use std::time::Duration;

/// Longest number that a call can be transferred to.
const LONGEST_NUMBER: usize = 64;
/// A transfer is confirmed when somebody answers: the SIP server's `ring_seconds` and what comes before and after.
const RINGS_FOR: Duration = Duration::from_secs(90);

/// Whose link it came on.
#[derive(Clone)]
pub(super) struct Asking {
    pub(super) device: DeviceId,
    pub(super) link: u64,
    pub(super) desktop: Desktop,
}

/// Does what was asked and answers.
pub(super) async fn serve(app: App, asking: Asking, request: u64, action: AgentAction) {
    let outcome = match action {
        AgentAction::State { ready, reason } => state(&app, &asking, ready, reason).await,
        AgentAction::Call { interaction, action } => call(&app, &asking, interaction, action).await,
        AgentAction::Transfer { interaction, to } => transfer(&app, &asking, interaction, to).await,
        AgentAction::Recording { interaction, action, reason } => {
            recording(&app, &asking, interaction, action, reason).await
        }
    };
    let error = outcome.err();
    app.hub.send_on(asking.device, asking.link, Down::Answer { request, error });
}

/// What a person is told when the server's own storage fails.
fn internal(error: StoreError) -> String {
    tracing::error!(%error, "a request of an agent failed");
    "the server could not do this; its log says why".to_owned()
}

async fn state(app: &App, asking: &Asking, ready: bool, reason: Option<String>) -> Result<(), String> {
    let reason = reason.filter(|reason| !ready && !reason.is_empty());
    if let Some(reason) = &reason {
        let terms = async { agent_terms(&mut *app.database.read().await?).await };
        let terms = terms.await.map_err(|error| error.to_string())?;
        if !terms.reasons.contains(reason) {
            return Err("this is not one of the site's reasons".to_owned());
        }
    }
    set_state(app, asking.desktop.person, ready, reason.as_deref()).await.map_err(internal)
}

async fn call(
    app: &App,
    asking: &Asking,
    interaction: InteractionId,
    action: CallAction,
) -> Result<(), String> {
    let view = app.director.shown(asking.device, interaction).await;
    let view = view.ok_or_else(|| "this is not one of your interactions".to_owned())?;
    if !view.calls.contains(&action) {
        return Err("this is not possible now".to_owned());
    }
    control_call(app, asking, interaction, (action, None), app.config.control_timeout()).await
}

async fn transfer(app: &App, asking: &Asking, interaction: InteractionId, to: String) -> Result<(), String> {
    let view = app.director.shown(asking.device, interaction).await;
    let view = view.ok_or_else(|| "this is not one of your interactions".to_owned())?;
    let speaks = matches!(view.progress, Progress::Established | Progress::Held);
    if view.medium != Medium::Voice || !speaks {
        return Err("only a call that was answered can be transferred".to_owned());
    }
    if to.is_empty() || to.len() > LONGEST_NUMBER {
        return Err("this is no number".to_owned());
    }
    control_call(app, asking, interaction, (CallAction::Transfer, Some(to)), RINGS_FOR).await
}

async fn control_call(
    app: &App,
    asking: &Asking,
    interaction: InteractionId,
    (action, to): (CallAction, Option<String>),
    limit: Duration,
) -> Result<(), String> {
    let (login, sip_server) = origin(app, asking, interaction).await.map_err(internal)?;
    let dn = asking.desktop.dn.clone();
    let control = CallControl { interaction, dn, action, to: to.clone(), by: login.clone() };
    let outcome = app.hub.call_control(sip_server, control, limit).await;
    let outcome = outcome.map_err(|error| match error {
        ControlError::Nobody => "no SIP server that can do this is linked".to_owned(),
        ControlError::TimedOut => "no answer in time".to_owned(),
        ControlError::Refused(why) => why,
    });
    let done = outcome.as_ref().err().map_or("done", String::as_str);
    let details = match to {
        None => serde_json::json!({ "action": action, "outcome": done }),
        Some(to) => serde_json::json!({ "action": action, "to": to, "outcome": done }),
    };
    note(app, &login, "call.control", interaction, details).await.map_err(internal)?;
    outcome
}

async fn recording(
    app: &App,
    asking: &Asking,
    interaction: InteractionId,
    action: RecordingAction,
    reason: String,
) -> Result<(), String> {
    let view = app.director.shown(asking.device, interaction).await;
    view.ok_or_else(|| "this is not one of your interactions".to_owned())?;
    let mut db = app.database.read().await.map_err(internal)?;
    let person = persons::by_id(&mut db, asking.desktop.person).await.map_err(internal)?;
    let person = person.ok_or_else(|| "you are no longer known here".to_owned())?;
    let log = events::of_interaction(&mut db, interaction).await.map_err(internal)?;
    drop(db);
    let standing = rights::Standing::of(log.iter().filter_map(|entry| entry.event.as_ref()));
    if let Err(refusal) = rights::may(&person.roles, action, &standing) {
        let details = serde_json::json!({ "action": action, "reason": reason, "outcome": "not allowed" });
        note(app, &person.login, "recording.control", interaction, details).await.map_err(internal)?;
        return Err(refusal.to_string());
    }
    let command = control::Command { interaction, action, by: person.login, reason };
    control::perform(app, command, &log).await.map_err(|error| error.message().to_owned())
}

async fn origin(
    app: &App,
    asking: &Asking,
    interaction: InteractionId,
) -> Result<(String, Option<DeviceId>), StoreError> {
    let mut db = app.database.read().await?;
    let person = persons::by_id(&mut db, asking.desktop.person).await?;
    let log = events::of_interaction(&mut db, interaction).await?;
    let login = person.map(|person| person.login).unwrap_or_default();
    Ok((login, log.iter().find_map(|entry| entry.device)))
}

async fn note(
    app: &App,
    actor: &str,
    action: &str,
    interaction: InteractionId,
    details: serde_json::Value,
) -> Result<(), StoreError> {
    let mut write = app.database.write().await?;
    let (at, object) = (Timestamp::now(), interaction.to_string());
    audit::append(&mut write, &audit::Record { at, actor, action, object: &object, details }).await?;
    write.commit().await
}
