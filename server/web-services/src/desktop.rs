//! `/api/v2/desktop/sign-in`: a person signs in at an enrolled desktop and says where they sit; their state there.

use crate::{
    error::{ApiError, ErrorBody},
    input::Input,
    link::director::Message,
    peer::{Caller, Peer},
    session::routes::authenticate,
    state::App,
};
use axum::{Json, Router, extract::State, routing::post};
use hindsight_store::{
    StoreError, agent_states, audit, dns,
    persons::{self, Person},
    sessions::{self, Seat, Session},
};
use hindsight_wire::{
    DeviceId, PersonId, Timestamp,
    agent::AgentState,
    enrolment::DeviceKind,
    link::{SIGN_IN_PATH, SignIn, SignedIn},
};
use std::net::IpAddr;

/// Routes of desktops.
pub fn routes() -> Router<App> {
    Router::new().route(SIGN_IN_PATH, post(sign_in))
}

/// Sign in at a desktop; mutual TLS.
#[utoipa::path(post, path = "/api/v2/desktop/sign-in", operation_id = "sign_in_at_desktop", tag = "desktop",
    request_body(content = Object, description = "`login`, `password`, `dn` (absent: the person's own)"),
    responses(
        (status = 200, description = "`token` for the link, `person`, `dn`", body = Object),
        (status = 401, description = "No device certificate, or user name or password is wrong", body = ErrorBody),
        (status = 422, description = "There is no such DN, or the person has none of their own", body = ErrorBody),
        (status = 429, description = "Too many attempts", body = ErrorBody),
    ))]
pub(crate) async fn sign_in(
    State(app): State<App>,
    caller: Caller,
    peer: Peer,
    Input(request): Input<SignIn>,
) -> Result<Json<SignedIn>, ApiError> {
    let device = caller.require(&[DeviceKind::Desktop])?.id;
    let login = &request.login;
    let person = authenticate(&app, peer.address, login, &request.password, "desktop.sign-in").await?;
    let dn = seat(&app, &person, request.dn).await?;
    let token = open_session(&app, &person, device, &dn, peer.address, Way::Password).await?;
    Ok(Json(SignedIn { token, person: person.id, dn }))
}

/// How a person proved who they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// By their password here.
    Password,
    /// In the browser, at the site's identity provider.
    Browser,
}

impl Way {
    /// The name in the audit log.
    pub fn as_str(self) -> &'static str {
        match self {
            Way::Password => "password",
            Way::Browser => "single-sign-on",
        }
    }
}

/// Opens the session of a person who has proved who they are; its token.
pub(crate) async fn open_session(
    app: &App,
    person: &Person,
    device: DeviceId,
    dn: &str,
    address: IpAddr,
    way: Way,
) -> Result<String, ApiError> {
    let now = Timestamp::now();
    let session = Session {
        person: person.id,
        seat: Seat::Desktop { device, dn: dn.to_owned() },
        created_at: now,
        seen_at: now,
        expires_at: expiry(app, now),
    };
    let mut write = app.database.write().await?;
    sessions::remove_expired(&mut write, now).await?;
    let token = sessions::open(&mut write, &session).await?;
    let (actor, object) = (person.login.as_str(), device.to_string());
    let details = serde_json::json!({ "address": address.to_string(), "by": way.as_str(), "dn": dn });
    let record = audit::Record { at: now, actor, action: "desktop.sign-in", object: &object, details };
    audit::append(&mut write, &record).await?;
    let state = agent_states::put(&mut write, person.id, false, None, now).await?;
    write.commit().await?;
    tell_state(app, person.id, state).await;
    Ok(token)
}

/// Sets whether a person takes interactions, and tells their desktops.
pub(crate) async fn set_state(
    app: &App,
    person: PersonId,
    ready: bool,
    reason: Option<&str>,
) -> Result<(), StoreError> {
    let now = Timestamp::now();
    let mut write = app.database.write().await?;
    let known = persons::by_id(&mut write, person).await?;
    let actor = known.map(|person| person.login).unwrap_or_default();
    let state = agent_states::put(&mut write, person, ready, reason, now).await?;
    let details = serde_json::json!({ "ready": ready, "reason": reason });
    let object = person.to_string();
    let record = audit::Record { at: now, actor: &actor, action: "agent.state", object: &object, details };
    audit::append(&mut write, &record).await?;
    write.commit().await?;
    tell_state(app, person, state).await;
    Ok(())
}

/// Ends a person's session at a desktop.
pub(crate) async fn sign_out(
    app: &App,
    device: DeviceId,
    person: PersonId,
    token: &str,
) -> Result<(), StoreError> {
    let now = Timestamp::now();
    let mut write = app.database.write().await?;
    sessions::close(&mut write, token).await?;
    let known = persons::by_id(&mut write, person).await?;
    let actor = known.map(|person| person.login).unwrap_or_default();
    let (object, details) = (device.to_string(), serde_json::Value::Null);
    let record =
        audit::Record { at: now, actor: &actor, action: "desktop.sign-out", object: &object, details };
    audit::append(&mut write, &record).await?;
    write.commit().await?;
    set_state(app, person, false, None).await
}

async fn tell_state(app: &App, person: PersonId, state: AgentState) {
    app.director.tell(Message::State(person, state)).await;
}

/// The end of a desktop's session that was used `now`.
pub(crate) fn expiry(app: &App, now: Timestamp) -> Timestamp {
    now.plus_ms(i64::from(app.config.desktop_hours) * 3_600_000)
}

/// Where a person sits: where they say, or at their own DN.
pub(crate) async fn seat(app: &App, person: &Person, asked: Option<String>) -> Result<String, ApiError> {
    let Some(number) = asked else {
        let own = dns::owned_by(&mut *app.database.read().await?, person.id).await?.into_iter().next();
        return own.map(|owned| owned.dn.number).ok_or_else(no_such_dn);
    };
    seated_at(app, &number).await
}

/// The DN of this number, if there is one.
pub(crate) async fn seated_at(app: &App, number: &str) -> Result<String, ApiError> {
    let found = dns::by_number(&mut *app.database.read().await?, number).await?;
    found.map(|owned| owned.dn.number).ok_or_else(no_such_dn)
}

fn no_such_dn() -> ApiError {
    ApiError::unprocessable("no_such_dn", "there is no such DN; say at which one you sit")
}
