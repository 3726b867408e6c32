//! `/api/v2/session`: sign in, who am I, sign out, change the password.

use super::{SignedIn, cookie, expiry};
use crate::{
    error::{ApiError, ErrorBody},
    input::Input,
    peer::Peer,
    state::App,
};
use axum::{
    Json, Router,
    extract::State,
    http::{StatusCode, header},
    response::{AppendHeaders, IntoResponse},
    routing::{get, post},
};
use hindsight_management::authentication::{self, Attempt, SignInError};
use hindsight_store::{
    audit,
    persons::Person,
    sessions::{self, Seat, Session},
    token::new_token,
};
use hindsight_wire::Timestamp;
use serde::{Deserialize, Serialize};
use std::{
    net::IpAddr,
    sync::PoisonError,
    time::{Duration, Instant},
};
use utoipa::ToSchema;

/// Routes of the session.
pub fn routes() -> Router<App> {
    Router::new()
        .route("/api/v2/session", get(current).post(sign_in).delete(sign_out))
        .route("/api/v2/session/password", post(change_password))
}

/// Body of a sign-in.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SignInRequest {
    /// Login name.
    pub login: String,
    /// Password.
    pub password: String,
}

/// Body of a change of password.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PasswordChange {
    /// The password so far.
    pub current: String,
    /// The password from now on.
    pub new: String,
}

/// Who is signed in.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SessionView {
    /// Who.
    pub person: PersonView,
    /// Nothing else can be done before the password is changed.
    pub must_change_password: bool,
    /// For the `X-CSRF-Token` header of requests that change something.
    pub csrf_token: String,
}

/// A person.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PersonView {
    /// Id.
    #[schema(format = Uuid)]
    pub id: String,
    /// Login name.
    pub login: String,
    /// Name.
    pub name: String,
    /// `agent`, `supervisor`, `administrator`, `auditor`.
    pub roles: Vec<String>,
}

fn view(person: &Person, csrf_token: String) -> SessionView {
    SessionView {
        person: PersonView {
            id: person.id.to_string(),
            login: person.login.clone(),
            name: person.name.clone(),
            roles: person.roles.iter().map(|role| role.as_str().to_owned()).collect(),
        },
        must_change_password: person.must_change,
        csrf_token,
    }
}

/// Sign in.
#[utoipa::path(post, path = "/api/v2/session", tag = "session", request_body = SignInRequest, responses(
    (status = 200, description = "Signed in; the cookie is set", body = SessionView),
    (status = 401, description = "User name or password is wrong", body = ErrorBody),
    (status = 403, description = "The person has no role", body = ErrorBody),
    (status = 429, description = "Too many attempts", body = ErrorBody),
))]
pub(crate) async fn sign_in(
    State(app): State<App>,
    peer: Peer,
    Input(request): Input<SignInRequest>,
) -> Result<impl IntoResponse, ApiError> {
    let now = Timestamp::now();
    let person =
        authenticate(&app, peer.address, &request.login, &request.password, "session.sign-in").await?;
    let csrf_token = new_token();
    let session = Session {
        person: person.id,
        seat: Seat::Console { csrf_token: csrf_token.clone() },
        created_at: now,
        seen_at: now,
        expires_at: expiry(&app, now, now),
    };
    let mut write = app.database.write().await?;
    sessions::remove_expired(&mut write, now).await?;
    let token = sessions::open(&mut write, &session).await?;
    record(&mut write, &person.login, "session.sign-in", peer.address).await?;
    write.commit().await?;
    Ok((AppendHeaders([(header::SET_COOKIE, cookie::set(&token))]), Json(view(&person, csrf_token))))
}

/// Checks a password, for the console and for desktops: counted, throttled by address, failures audited.
pub(crate) async fn authenticate(
    app: &App,
    address: IpAddr,
    login: &str,
    password: &str,
    action: &str,
) -> Result<Person, ApiError> {
    let waiting = app.sign_ins.lock().unwrap_or_else(PoisonError::into_inner).wait(address, Instant::now());
    if let Some(wait) = waiting {
        metrics::counter!("hindsight_sign_ins_total", "outcome" => "throttled").increment(1);
        return Err(ApiError::too_many(wait));
    }
    let now = Timestamp::now();
    let attempt = Attempt { lock_out: &app.lock_out, address, now };
    match authentication::sign_in(&app.database, login, password, attempt).await {
        Ok(person) => {
            metrics::counter!("hindsight_sign_ins_total", "outcome" => "ok").increment(1);
            Ok(person)
        }
        Err(error) => {
            let outcome = if matches!(error, SignInError::Locked(_)) { "locked" } else { "refused" };
            metrics::counter!("hindsight_sign_ins_total", "outcome" => outcome).increment(1);
            if matches!(error, SignInError::Refused) {
                app.sign_ins.lock().unwrap_or_else(PoisonError::into_inner).failed(address, Instant::now());
            }
            if matches!(error, SignInError::Refused | SignInError::NoRole) {
                let mut write = app.database.write().await?;
                // What was typed as a login may be a password: only logins that exist are written down.
                let known = hindsight_store::persons::by_login(&mut write, login).await?;
                let actor = known.map_or_else(|| "unknown".to_owned(), |person| person.login);
                record(&mut write, &actor, &format!("{action}.refused"), address).await?;
                write.commit().await?;
            }
            Err(refusal(error, now))
        }
    }
}

fn refusal(error: SignInError, now: Timestamp) -> ApiError {
    match error {
        SignInError::Refused => {
            ApiError::new(StatusCode::UNAUTHORIZED, "wrong_credentials", "user name or password is wrong")
        }
        SignInError::Locked(until) => {
            let wait = u64::try_from(until.ms_since(now)).unwrap_or_default();
            ApiError::too_many(Duration::from_millis(wait))
        }
        SignInError::NoRole => ApiError::forbidden(
            "no_role",
            "you have no role here any more; whoever administers this site can give you one",
        ),
        SignInError::Weak(why) => ApiError::unprocessable("weak_password", why),
        SignInError::Failed(error) => ApiError::internal(&error),
    }
}

async fn record(
    db: &mut hindsight_store::Connection,
    actor: &str,
    action: &str,
    address: IpAddr,
) -> Result<(), ApiError> {
    let details = serde_json::json!({ "address": address.to_string() });
    audit::append(db, &audit::Record { at: Timestamp::now(), actor, action, object: actor, details }).await?;
    Ok(())
}

/// Who is signed in.
#[utoipa::path(get, path = "/api/v2/session", tag = "session", responses(
    (status = 200, description = "Signed in", body = SessionView),
    (status = 401, description = "Not signed in", body = ErrorBody),
))]
pub(crate) async fn current(signed_in: SignedIn) -> Json<SessionView> {
    Json(view(&signed_in.person, signed_in.csrf_token))
}

/// Sign out.
#[utoipa::path(delete, path = "/api/v2/session", tag = "session",
    params(("X-CSRF-Token" = String, Header, description = "From the session")),
    responses((status = 204, description = "Signed out")))]
pub(crate) async fn sign_out(
    State(app): State<App>,
    peer: Peer,
    signed_in: SignedIn,
) -> Result<impl IntoResponse, ApiError> {
    let mut write = app.database.write().await?;
    sessions::close(&mut write, &signed_in.token).await?;
    record(&mut write, &signed_in.person.login, "session.sign-out", peer.address).await?;
    write.commit().await?;
    Ok((StatusCode::NO_CONTENT, AppendHeaders([(header::SET_COOKIE, cookie::clear())])))
}

/// Change one's own password; every other session of the person ends.
#[utoipa::path(post, path = "/api/v2/session/password", tag = "session", request_body = PasswordChange,
    params(("X-CSRF-Token" = String, Header, description = "From the session")),
    responses(
        (status = 200, description = "Changed", body = SessionView),
        (status = 401, description = "The current password is wrong", body = ErrorBody),
        (status = 422, description = "The new password will not do", body = ErrorBody),
    ))]
pub(crate) async fn change_password(
    State(app): State<App>,
    peer: Peer,
    signed_in: SignedIn,
    Input(change): Input<PasswordChange>,
) -> Result<Json<SessionView>, ApiError> {
    let now = Timestamp::now();
    let keep = Some(signed_in.token.as_str());
    let changed = authentication::change_password(
        &app.database,
        signed_in.person.id,
        &change.current,
        &change.new,
        keep,
        Attempt { lock_out: &app.lock_out, address: peer.address, now },
    );
    let person = changed.await.map_err(|error| refusal(error, now))?;
    let mut write = app.database.write().await?;
    record(&mut write, &person.login, "session.password", peer.address).await?;
    write.commit().await?;
    Ok(Json(view(&person, signed_in.csrf_token)))
}
