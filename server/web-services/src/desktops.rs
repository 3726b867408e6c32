//! `GET /api/v2/desktops`: every enrolled desktop, who sits there, and what is wrong with it.

use crate::{
    error::{ApiError, ErrorBody},
    session::User,
    state::App,
};
use axum::{Json, Router, extract::State, routing::get};
use hindsight_store::{
    agent_states,
    desktops::{self, Desktop, SpoolState},
    devices::{self, Device},
    persons::{self, PersonRole},
    presence,
    sessions::{self, Seat, Session},
};
use hindsight_wire::{DeviceId, Timestamp, agent::Problem, enrolment::DeviceKind};
use serde::Serialize;
use std::collections::HashMap;
use utoipa::ToSchema;

/// Routes of the list of desktops.
pub fn routes() -> Router<App> {
    Router::new().route("/api/v2/desktops", get(list))
}

/// All desktops.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DesktopList {
    /// Those with problems first, then by name.
    items: Vec<DesktopView>,
}

/// One desktop.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DesktopView {
    #[schema(format = Uuid)]
    device: String,
    /// Host name.
    name: String,
    /// `linked`, `offline` (somebody is signed in), `idle` (nobody is), `revoked`.
    state: &'static str,
    /// Who is signed in.
    #[serde(skip_serializing_if = "Option::is_none")]
    person: Option<SeatedPerson>,
    /// The DN where they sit.
    #[serde(skip_serializing_if = "Option::is_none")]
    dn: Option<String>,
    /// Since when it has its link.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    linked_since: Option<String>,
    /// Last heard of.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    seen_at: Option<String>,
    /// Version of its program; absent: it never had a link.
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    /// Recordings that wait there.
    #[serde(skip_serializing_if = "Option::is_none")]
    spool: Option<SpoolView>,
    /// What is wrong, as it says itself.
    problems: Vec<ProblemView>,
    /// The last capture that failed there.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_failure: Option<FailureView>,
    /// Its last time without a link.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_offline: Option<OfflineView>,
}

/// Who is signed in.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SeatedPerson {
    login: String,
    name: String,
    /// Takes interactions.
    ready: bool,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// Since when.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    since: Option<String>,
}

/// Recordings without a receipt.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SpoolView {
    waiting: u64,
    waiting_bytes: u64,
    /// Refused by the server, kept there.
    refused: u64,
    free_bytes: u64,
    /// When it said so.
    #[schema(format = DateTime)]
    at: String,
}

/// Something that keeps a desktop from its work.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProblemView {
    /// `link`, `refused`, `capture`, `disk-low`, `disk-full`, `upload-refused`, `upload-backlog`, `clock`, `key-store`,
    /// `restarted` or `other`.
    kind: String,
    /// For people.
    detail: String,
    #[schema(format = DateTime)]
    since: String,
}

/// A capture that failed.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FailureView {
    reason: String,
    #[schema(format = DateTime)]
    at: String,
}

/// A span without a link, by the desktop's clock.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct OfflineView {
    #[schema(format = DateTime)]
    from: String,
    #[schema(format = DateTime)]
    to: String,
    /// Captures that it took meanwhile.
    captures: u64,
}

/// Every desktop, for those who look after them.
#[utoipa::path(get, path = "/api/v2/desktops", operation_id = "list_desktops", tag = "devices", responses(
    (status = 200, description = "All of them", body = DesktopList),
    (status = 403, description = "For supervisors and administrators", body = ErrorBody),
))]
pub(crate) async fn list(State(app): State<App>, user: User) -> Result<Json<DesktopList>, ApiError> {
    user.require(&[PersonRole::Supervisor, PersonRole::Administrator])?;
    let now = Timestamp::now();
    let mut db = app.database.read().await?;
    let mut said: HashMap<DeviceId, Desktop> =
        desktops::all(&mut db).await?.into_iter().map(|desktop| (desktop.device, desktop)).collect();
    let mut seats: HashMap<DeviceId, Session> = HashMap::new();
    for session in sessions::at_desktops(&mut db, now).await? {
        if let Seat::Desktop { device, .. } = &session.seat {
            seats.insert(*device, session);
        }
    }
    let mut items = Vec::new();
    for device in devices::all(&mut db).await? {
        if device.kind != DeviceKind::Desktop {
            continue;
        }
        let seat = seats.remove(&device.id);
        let (person, dn) = match seat {
            Some(Session { person, seat: Seat::Desktop { dn, .. }, .. }) => {
                let state = agent_states::of(&mut db, person).await?;
                let known = persons::by_id(&mut db, person).await?;
                let view = known.map(|known| SeatedPerson {
                    login: known.login,
                    name: known.name,
                    ready: state.ready,
                    reason: state.reason,
                    since: state.since.map(|at| at.to_string()),
                });
                (view, Some(dn))
            }
            _ => (None, None),
        };
        let linked = app.hub.is_linked(device.id);
        let since = if linked { presence::open_since(&mut db, device.id).await? } else { None };
        let said = said.remove(&device.id);
        items.push(view(device, said, (person, dn), linked, since));
    }
    items.sort_by(|a, b| (a.calm(), &a.name, &a.device).cmp(&(b.calm(), &b.name, &b.device)));
    Ok(Json(DesktopList { items }))
}

impl DesktopView {
    fn calm(&self) -> bool {
        self.problems.is_empty() && self.spool.as_ref().is_none_or(|spool| spool.refused == 0)
    }
}

fn view(
    device: Device,
    said: Option<Desktop>,
    (person, dn): (Option<SeatedPerson>, Option<String>),
    linked: bool,
    since: Option<Timestamp>,
) -> DesktopView {
    let state = match (device.revoked_at, linked, &person) {
        (Some(_), _, _) => "revoked",
        (None, true, _) => "linked",
        (None, false, Some(_)) => "offline",
        (None, false, None) => "idle",
    };
    let (seen_at, version) = match &said {
        Some(said) => (Some(said.seen_at.to_string()), Some(said.version.clone())),
        None => (None, None),
    };
    let spool = said.as_ref().and_then(|said| said.spool);
    let offline = said.as_ref().and_then(|said| said.offline);
    let failure = said.as_ref().and_then(|said| said.failure.clone());
    DesktopView {
        device: device.id.to_string(),
        name: device.name,
        state,
        person,
        dn,
        linked_since: since.map(|at| at.to_string()),
        seen_at,
        version,
        spool: spool.map(|(state, at)| spool_view(state, at)),
        problems: said.map(|said| said.problems.iter().map(problem).collect()).unwrap_or_default(),
        last_failure: failure.map(|(reason, at)| FailureView { reason, at: at.to_string() }),
        last_offline: offline.map(|offline| OfflineView {
            from: offline.from.to_string(),
            to: offline.to.to_string(),
            captures: offline.captures,
        }),
    }
}

fn spool_view(state: SpoolState, at: Timestamp) -> SpoolView {
    let SpoolState { waiting, waiting_bytes, refused, free_bytes } = state;
    SpoolView { waiting, waiting_bytes, refused, free_bytes, at: at.to_string() }
}

fn problem(problem: &Problem) -> ProblemView {
    let kind = serde_json::to_value(problem.kind).unwrap_or_default();
    ProblemView {
        kind: kind.as_str().unwrap_or("other").to_owned(),
        detail: problem.detail.clone(),
        since: problem.since.to_string(),
    }
}
