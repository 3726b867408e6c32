//! The requests of the local API.

use super::{Api, guard::Refusal, random_token};
use axum::{
    Json, Router,
    body::Body,
    extract::{DefaultBodyLimit, Path, Request, State, rejection::JsonRejection},
    http::{
        HeaderMap, HeaderValue, Method, StatusCode,
        header::{
            ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
            ACCESS_CONTROL_MAX_AGE, AUTHORIZATION, CACHE_CONTROL, VARY,
        },
    },
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use hindsight_wire::{
    InteractionId,
    agent::AgentAction,
    component::RecordingAction,
    local::{Ask, DesktopStatus, Secret},
};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;

/// Longest body, bytes.
const LONGEST_BODY: usize = 16 << 10;

/// Everything, behind the guard.
pub fn router(api: Arc<Api>) -> Router {
    Router::new()
        .route("/api/v2/me", post(sign_in).get(me).delete(sign_out))
        .route("/api/v2/interactions/{id}/recording", post(recording))
        .route("/ping", get(ping))
        .fallback(|| async { failure(StatusCode::NOT_FOUND, "not_found", "there is no such resource") })
        .layer(DefaultBodyLimit::max(LONGEST_BODY))
        .layer(from_fn_with_state(api.clone(), guarded))
        .with_state(api)
}

async fn guarded(State(api): State<Arc<Api>>, request: Request, next: Next) -> Response {
    let origin = match api.guard.check(request.method(), request.headers()) {
        Ok(origin) => origin.and_then(|origin| HeaderValue::from_str(&origin).ok()),
        Err(Refusal { status, code, message }) => {
            tracing::warn!(code, "a request to the local API is refused");
            return failure(status, code, message).into_response();
        }
    };
    let preflight = request.method() == Method::OPTIONS;
    let mut response = if preflight { preflight_answer() } else { next.run(request).await };
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(VARY, HeaderValue::from_static("Origin"));
    if let Some(origin) = origin {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    }
    response
}

/// What a browser asks for a page before the request itself; pages of other origins do not come so far.
fn preflight_answer() -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST, DELETE"));
    let allowed = HeaderValue::from_static("authorization, content-type, x-csrf-token");
    headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, allowed);
    headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    // A page from the network asks a machine of the private one.
    headers.insert("access-control-allow-private-network", HeaderValue::from_static("true"));
    response
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct SignInBody {
    login: String,
    password: Secret,
    #[serde(default)]
    dn: Option<String>,
}

async fn sign_in(
    State(api): State<Arc<Api>>,
    body: Result<Json<SignInBody>, JsonRejection>,
) -> Result<Response, Failure> {
    let SignInBody { login, password, dn } = read(body)?;
    if api.status.borrow().person.is_some() {
        return Err(failure(StatusCode::CONFLICT, "signed_in", "somebody is signed in already"));
    }
    let asked = api.ask(Ask::SignIn { login, password, dn }).await;
    asked.map_err(|reason| failure(StatusCode::UNAUTHORIZED, "not_signed_in", &reason))?;
    let token = random_token();
    let now = api.now();
    api.presence().signed_in(token.clone(), now);
    api.keep(&token);
    let mut answer = described(&api.status.borrow());
    answer["token"] = json!(token);
    Ok((StatusCode::CREATED, Json(answer)).into_response())
}

async fn me(State(api): State<Arc<Api>>, headers: HeaderMap) -> Result<Json<Value>, Failure> {
    authorized(&api, &headers)?;
    Ok(Json(described(&api.status.borrow())))
}

async fn sign_out(State(api): State<Arc<Api>>, headers: HeaderMap) -> Result<StatusCode, Failure> {
    authorized(&api, &headers)?;
    conflict(api.ask(Ask::SignOut).await)?;
    api.forget();
    Ok(StatusCode::NO_CONTENT)
}

async fn ping(State(api): State<Arc<Api>>, headers: HeaderMap) -> Result<StatusCode, Failure> {
    authorized(&api, &headers)?;
    let now = api.now();
    api.presence().ping(now);
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RecordingBody {
    action: RecordingAction,
    #[serde(default)]
    reason: String,
}

async fn recording(
    State(api): State<Arc<Api>>,
    Path(interaction): Path<String>,
    headers: HeaderMap,
    body: Result<Json<RecordingBody>, JsonRejection>,
) -> Result<StatusCode, Failure> {
    authorized(&api, &headers)?;
    let RecordingBody { action, reason } = read(body)?;
    let interaction: InteractionId = interaction
        .parse()
        .map_err(|_| failure(StatusCode::NOT_FOUND, "not_found", "there is no such interaction"))?;
    conflict(api.ask(Ask::Agent(AgentAction::Recording { interaction, action, reason })).await)?;
    Ok(StatusCode::NO_CONTENT)
}

fn authorized(api: &Api, headers: &HeaderMap) -> Result<(), Failure> {
    let token = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = token.and_then(|value| value.strip_prefix("Bearer "));
    if token.is_some_and(|token| api.presence().knows(token)) {
        return Ok(());
    }
    Err(failure(StatusCode::UNAUTHORIZED, "token", "no token, or one that is not good any more"))
}

fn read<T>(body: Result<Json<T>, JsonRejection>) -> Result<T, Failure> {
    match body {
        Ok(Json(body)) => Ok(body),
        Err(rejection) => Err(failure(rejection.status(), "body", &rejection.body_text())),
    }
}

fn conflict(result: Result<Value, String>) -> Result<(), Failure> {
    result.map(drop).map_err(|reason| failure(StatusCode::CONFLICT, "not_done", &reason))
}

fn described(status: &DesktopStatus) -> Value {
    json!({
        "person": status.person,
        "agent": status.agent,
        "link": status.link,
        "capture": status.capture,
        "pause": status.pause,
        "interactions": status.interactions,
    })
}

/// Why a request was not done.
struct Failure {
    status: StatusCode,
    code: &'static str,
    message: String,
}

fn failure(status: StatusCode, code: &'static str, message: &str) -> Failure {
    Failure { status, code, message: message.to_owned() }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        (self.status, Json(json!({ "code": self.code, "message": self.message }))).into_response()
    }
}
