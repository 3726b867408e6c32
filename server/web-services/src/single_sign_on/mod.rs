//! `/api/v2/desktop/sso`: signing in at a desktop by the site's identity provider, in the system's browser.
//!
//! - [`config`]: which provider.
//! - [`provider`]: the provider, asked (OpenID Connect).
//! - [`flows`]: sign-ins under way, pure.
//! - [`refusal`]: why not; [`page`]: what the browser shows.
//!
//! The desktop's recorder begins and keeps a verifier; the browser goes to the provider and comes back *here*; its page
//! opens the desktop by a link with a one-time code; the recorder brings the code with its verifier and its device
//! certificate, and gets the session that a password gives. Whoever else sees the link can do nothing with it.
//!
//! Deliberately absent: the console, sign-out at the provider, persons made by their first sign-in.

pub mod config;
mod flows;
mod page;
mod provider;
mod refusal;

pub use config::SingleSignOnConfig;

use crate::{
    WebError,
    desktop::{Way, open_session, seat, seated_at},
    error::{ApiError, ErrorBody},
    input::{Asked, Input},
    peer::{Caller, Peer},
    state::App,
};
use axum::{
    Json, Router,
    extract::State,
    http::HeaderMap,
    response::Response,
    routing::{get, post},
};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use flows::{Asked as Flow, Flows, Redeemed};
use hindsight_management::lockout;
use hindsight_store::{
    audit,
    persons::{self, Person},
    token::new_token,
};
use hindsight_wire::{
    DeviceId, PersonId, Timestamp,
    enrolment::DeviceKind,
    single_sign_on::{Begin, Begun, End, Offer, PATH, Proved, RETURN_PATH, TOKEN_PATH},
};
use page::Language;
use provider::{Proof, Provider};
use refusal::Refusal;
use serde::Deserialize;
use std::{
    net::IpAddr,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// The site's provider, and the sign-ins under way.
pub struct SingleSignOn {
    provider: Provider,
    flows: Mutex<Flows<Proof>>,
}

impl SingleSignOn {
    /// Of this configuration.
    pub fn new(config: &SingleSignOnConfig) -> Result<Self, WebError> {
        let flows = Flows::new(config.sign_in_limit(), config.code_limit());
        Ok(Self { provider: Provider::new(config.clone())?, flows: Mutex::new(flows) })
    }

    fn flows(&self) -> MutexGuard<'_, Flows<Proof>> {
        self.flows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Routes of single sign-on.
pub fn routes() -> Router<App> {
    Router::new()
        .route(PATH, get(offer).post(begin))
        .route(RETURN_PATH, get(come_back))
        .route(TOKEN_PATH, post(token))
}

fn offered(app: &App) -> Result<&SingleSignOn, ApiError> {
    let message = "this site does not offer single sign-on";
    app.single_sign_on.as_ref().ok_or_else(|| ApiError::forbidden("not_offered", message))
}

/// Whether single sign-on is offered; mutual TLS.
#[utoipa::path(get, path = "/api/v2/desktop/sso", operation_id = "single_sign_on_offer", tag = "desktop", responses(
    (status = 200, description = "`offered`", body = Object),
    (status = 401, description = "No device certificate", body = ErrorBody),
))]
pub(crate) async fn offer(State(app): State<App>, caller: Caller) -> Result<Json<Offer>, ApiError> {
    caller.require(&[DeviceKind::Desktop])?;
    Ok(Json(Offer { offered: app.single_sign_on.is_some() }))
}

/// A desktop begins a sign-in; mutual TLS.
#[utoipa::path(post, path = "/api/v2/desktop/sso", operation_id = "begin_single_sign_on", tag = "desktop",
    request_body(content = Object, description = "`challenge` (SHA-256 of the verifier that the desktop keeps, \
        base64url without padding), `dn` (absent: the person's own)"),
    responses(
        (status = 200, description = "`url` for the system's browser", body = Object),
        (status = 401, description = "No device certificate", body = ErrorBody),
        (status = 403, description = "Not offered", body = ErrorBody),
        (status = 422, description = "There is no such DN", body = ErrorBody),
        (status = 429, description = "Too many attempts", body = ErrorBody),
        (status = 502, description = "The identity provider cannot be used", body = ErrorBody),
    ))]
pub(crate) async fn begin(
    State(app): State<App>,
    caller: Caller,
    peer: Peer,
    Input(request): Input<Begin>,
) -> Result<Json<Begun>, ApiError> {
    let device = caller.require(&[DeviceKind::Desktop])?.id;
    let sign_on = offered(&app)?;
    not_too_often(&app, peer.address)?;
    let challenge = BASE64_URL_SAFE_NO_PAD.decode(&request.challenge).ok();
    let challenge: Option<[u8; 32]> = challenge.and_then(|bytes| bytes.try_into().ok());
    let challenge = challenge.ok_or_else(|| ApiError::bad_request("the challenge is no SHA-256"))?;
    if let Some(dn) = &request.dn {
        // Told before the browser is bothered.
        seated_at(&app, dn).await?;
    }
    let begun = match sign_on.provider.begin().await {
        Ok(begun) => begun,
        Err(refusal) => return Err(refused(&app, peer.address, &device.to_string(), refusal).await.into()),
    };
    let asked = Flow { challenge, dn: request.dn };
    sign_on.flows().begin(device, asked, &begun.state, begun.proof, Instant::now());
    Ok(Json(Begun { url: begun.url }))
}

/// What the provider sends the browser back with (RFC 6749 4.1.2).
#[derive(Deserialize)]
pub struct Returned {
    #[serde(default)]
    state: String,
    code: Option<String>,
    error: Option<String>,
}

/// The browser comes back from the identity provider.
#[utoipa::path(get, path = "/api/v2/desktop/sso/return", operation_id = "return_of_single_sign_on", tag = "desktop",
    params(
        ("state" = String, Query, description = "Of the begin"),
        ("code" = Option<String>, Query, description = "The provider's code"),
        ("error" = Option<String>, Query, description = "The provider's refusal"),
    ),
    responses(
        (status = 200, description = "A page that opens the desktop by a link with a one-time code"),
        (status = 400, description = "A page: no desktop waits for this, or not any more"),
        (status = 403, description = "A page: the account may not sign in here"),
        (status = 429, description = "A page: too many attempts"),
        (status = 502, description = "A page: the identity provider does not answer, or is not to be believed"),
    ))]
pub(crate) async fn come_back(
    State(app): State<App>,
    peer: Peer,
    headers: HeaderMap,
    Asked(returned): Asked<Returned>,
) -> Response {
    let language = Language::of(&headers);
    let sign_on = match offered(&app) {
        Ok(sign_on) => sign_on,
        Err(_) => return page::refused(language, &Refusal::UnknownState),
    };
    if let Some(wait) = waiting(&app, peer.address) {
        count("throttled");
        return page::refused(language, &Refusal::Locked(wait));
    }
    let known = sign_on.flows().returned(&returned.state, Instant::now());
    let (device, proof) = match known {
        Ok(known) => known,
        // Counted only: any page can send a browser here, which must neither fill the audit log nor lock anybody out.
        Err(refusal) => {
            noted(&refusal);
            return page::refused(language, &refusal);
        }
    };
    match proved(&app, sign_on, device, returned, proof).await {
        Ok(code) => page::signed_in(language, &code),
        Err(refusal) => {
            page::refused(language, &refused(&app, peer.address, &device.to_string(), refusal).await)
        }
    }
}

/// The code for the desktop.
async fn proved(
    app: &App,
    sign_on: &SingleSignOn,
    device: DeviceId,
    returned: Returned,
    proof: Proof,
) -> Result<String, Refusal> {
    let state = returned.state.clone();
    let person = person(app, sign_on, returned, proof).await?;
    let code = new_token();
    sign_on.flows().proved(device, &state, person, &code, Instant::now())?;
    Ok(code)
}

/// Who the provider says it is.
async fn person(
    app: &App,
    sign_on: &SingleSignOn,
    returned: Returned,
    proof: Proof,
) -> Result<PersonId, Refusal> {
    let code = match (returned.code, returned.error.as_deref()) {
        (_, Some("access_denied")) => return Err(Refusal::Declined),
        (_, Some(error)) => return Err(Refusal::Provider(error_code(error))),
        (None, None) => return Err(Refusal::Provider("it gave no code".to_owned())),
        (Some(code), None) => code,
    };
    let account = sign_on.provider.account(code, proof).await?;
    let person = persons::by_login(&mut *app.database.read().await?, &account).await?;
    let person = person.ok_or(Refusal::UnknownPerson(account))?;
    may_sign_in(&person, Timestamp::now())?;
    Ok(person.id)
}

/// A lock-out for wrong passwords holds here too.
fn may_sign_in(person: &Person, now: Timestamp) -> Result<(), Refusal> {
    if person.roles.is_empty() {
        return Err(Refusal::NoRole);
    }
    match person.locked_until.filter(|until| lockout::is_locked(Some(*until), now)) {
        Some(until) => {
            let wait = u64::try_from(until.ms_since(now)).unwrap_or_default();
            Err(Refusal::Locked(Duration::from_millis(wait)))
        }
        None => Ok(()),
    }
}

/// An error code of RFC 6749, as far as it is one.
fn error_code(error: &str) -> String {
    let harmless = |char: &char| char.is_ascii_alphanumeric() || *char == '_';
    error.chars().filter(harmless).take(60).collect()
}

/// The desktop brings the code; mutual TLS.
#[utoipa::path(post, path = "/api/v2/desktop/sso/token", operation_id = "end_single_sign_on", tag = "desktop",
    request_body(content = Object, description = "`code` of the link, `verifier` of the begin"),
    responses(
        (status = 200, description = "`token` for the link, `person`, `login`, `dn`", body = Object),
        (status = 401, description = "The code was never given, was used, is late, another desktop's, or not of this \
            begin", body = ErrorBody),
        (status = 403, description = "Not offered, or the person may not sign in", body = ErrorBody),
        (status = 422, description = "The person has no DN of their own", body = ErrorBody),
        (status = 429, description = "Too many attempts", body = ErrorBody),
    ))]
pub(crate) async fn token(
    State(app): State<App>,
    caller: Caller,
    peer: Peer,
    Input(request): Input<End>,
) -> Result<Json<Proved>, ApiError> {
    let device = caller.require(&[DeviceKind::Desktop])?.id;
    let sign_on = offered(&app)?;
    not_too_often(&app, peer.address)?;
    let End { code, verifier } = request;
    let redeemed = sign_on.flows().redeem(device, &code, &verifier, Instant::now());
    let person = match redeemed {
        Ok(redeemed) => still_known(&app, redeemed).await,
        Err(refusal) => Err(refusal),
    };
    let (person, dn) = match person {
        Ok(found) => found,
        Err(refusal) => return Err(refused(&app, peer.address, &device.to_string(), refusal).await.into()),
    };
    let dn = seat(&app, &person, dn).await?;
    let token = open_session(&app, &person, device, &dn, peer.address, Way::Browser).await?;
    count("ok");
    Ok(Json(Proved { token, person: person.id, login: person.login, dn }))
}

/// The person, who may have been locked out or lost their roles since the browser came back.
async fn still_known(app: &App, redeemed: Redeemed) -> Result<(Person, Option<String>), Refusal> {
    let person = persons::by_id(&mut *app.database.read().await?, redeemed.person).await?;
    let person = person.ok_or(Refusal::NoRole)?;
    may_sign_in(&person, Timestamp::now())?;
    Ok((person, redeemed.dn))
}

fn waiting(app: &App, address: IpAddr) -> Option<Duration> {
    app.sign_ins.lock().unwrap_or_else(PoisonError::into_inner).wait(address, Instant::now())
}

fn not_too_often(app: &App, address: IpAddr) -> Result<(), ApiError> {
    match waiting(app, address) {
        Some(wait) => {
            count("throttled");
            Err(ApiError::too_many(wait))
        }
        None => Ok(()),
    }
}

fn count(outcome: &'static str) {
    metrics::counter!("hindsight_sign_ins_total", "outcome" => outcome).increment(1);
}

fn noted(refusal: &Refusal) {
    count(if matches!(refusal, Refusal::Locked(_)) { "locked" } else { "refused" });
    metrics::counter!("hindsight_single_sign_on_refused_total", "reason" => refusal.code()).increment(1);
}

/// Counts and audits a refusal; the same, or what storage says when it cannot.
async fn refused(app: &App, address: IpAddr, object: &str, refusal: Refusal) -> Refusal {
    noted(&refusal);
    if refusal.is_a_guess() {
        app.sign_ins.lock().unwrap_or_else(PoisonError::into_inner).failed(address, Instant::now());
    }
    match written(app, address, object, &refusal).await {
        Ok(()) => refusal,
        Err(error) => Refusal::from(error),
    }
}

async fn written(app: &App, address: IpAddr, object: &str, refusal: &Refusal) -> Result<(), ApiError> {
    let mut details = serde_json::json!({
        "address": address.to_string(), "by": Way::Browser.as_str(), "why": refusal.code(),
    });
    // Proved by the provider, not typed: an administrator needs it to help.
    if let Refusal::UnknownPerson(account) = refusal {
        details["account"] = account.as_str().into();
    }
    let (at, action) = (Timestamp::now(), "desktop.sign-in.refused");
    let mut write = app.database.write().await?;
    audit::append(&mut write, &audit::Record { at, actor: "unknown", action, object, details }).await?;
    Ok(write.commit().await?)
}
