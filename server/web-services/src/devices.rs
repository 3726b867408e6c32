//! `/api/v2/devices`: enrolment of devices, and codes for it.

use crate::{
    error::{ApiError, ErrorBody},
    input::{Input, Named},
    peer::Peer,
    session::User,
    state::App,
};
use axum::{
    Json, Router,
    extract::State,
    http::StatusCode,
    routing::{delete, post},
};
use hindsight_store::{
    audit,
    devices::{self, Device},
    enrolment_codes,
    persons::PersonRole,
};
use hindsight_wire::{
    DeviceId, Timestamp,
    enrolment::{DeviceKind, EnrolmentRequest, EnrolmentResponse},
};
use serde::{Deserialize, Serialize};
use std::{sync::PoisonError, time::Instant};
use utoipa::ToSchema;

/// Longest name of a device.
const LONGEST_NAME: usize = 200;
/// Longest certificate request, bytes of PEM.
const LONGEST_REQUEST: usize = 16 * 1024;
/// Life of a code, hours.
const CODE_HOURS: i64 = 24;

/// Routes of devices.
pub fn routes() -> Router<App> {
    Router::new()
        .route("/api/v2/devices", post(enrol).get(list))
        .route("/api/v2/devices/{id}", delete(revoke))
        .route("/api/v2/enrolment-codes", post(issue_code))
}

/// Enrol a device with a one-time code: a certificate request in, a certificate out.
#[utoipa::path(post, path = "/api/v2/devices", tag = "devices",
    request_body(content = Object, description = "`code`, `kind`, `name`, `csr` (PKCS#10, PEM)"),
    responses(
        (status = 201, description = "`device`, `certificate`, `ca`, `notAfter`", body = Object),
        (status = 403, description = "The code is not good", body = ErrorBody),
        (status = 422, description = "The certificate request is not good", body = ErrorBody),
        (status = 429, description = "Too many attempts", body = ErrorBody),
    ))]
pub(crate) async fn enrol(
    State(app): State<App>,
    peer: Peer,
    Input(request): Input<EnrolmentRequest>,
) -> Result<(StatusCode, Json<EnrolmentResponse>), ApiError> {
    let waiting =
        app.enrolments.lock().unwrap_or_else(PoisonError::into_inner).wait(peer.address, Instant::now());
    if let Some(wait) = waiting {
        return Err(ApiError::too_many(wait));
    }
    if request.name.len() > LONGEST_NAME || request.csr.len() > LONGEST_REQUEST {
        return Err(ApiError::unprocessable("too_long", "the name or the certificate request is too long"));
    }
    let now = Timestamp::now();
    let code =
        enrolment_codes::check(&mut *app.database.read().await?, &request.code, request.kind, now).await?;
    code.map_err(|refused| code_refused(&app, peer, refused))?;
    let id = DeviceId::new();
    let issued = app.authority.issue_device(id, request.kind, &request.csr);
    let issued = issued.map_err(|error| ApiError::unprocessable("certificate_request", error.to_string()))?;
    let mut write = app.database.write().await?;
    let device = Device {
        id,
        kind: request.kind,
        name: request.name,
        certificate_serial: issued.serial,
        certificate_sha256: issued.sha256,
        not_after: issued.not_after,
        enrolled_at: now,
        revoked_at: None,
    };
    devices::add(&mut write, &device).await?;
    let redeemed = enrolment_codes::redeem(&mut write, &request.code, request.kind, id, now).await?;
    redeemed.map_err(|refused| code_refused(&app, peer, refused))?;
    let (actor, object) = (id.to_string(), id.to_string());
    let details = serde_json::json!({ "kind": request.kind, "address": peer.address.to_string() });
    let record = audit::Record { at: now, actor: &actor, action: "device.enrol", object: &object, details };
    audit::append(&mut write, &record).await?;
    write.commit().await?;
    tracing::info!(device = %id, kind = request.kind.as_str(), "enrolled a device");
    let ca = app.authority.certificate_pem().to_owned();
    let not_after = issued.not_after;
    Ok((StatusCode::CREATED, Json(EnrolmentResponse { device: id, certificate: issued.pem, ca, not_after })))
}

/// The device learns only that the code is not good; the log says why.
fn code_refused(app: &App, peer: Peer, refused: enrolment_codes::CodeRefused) -> ApiError {
    app.enrolments.lock().unwrap_or_else(PoisonError::into_inner).failed(peer.address, Instant::now());
    metrics::counter!("hindsight_enrolments_refused_total").increment(1);
    tracing::warn!(why = %refused, "an enrolment was refused");
    ApiError::forbidden("enrolment_code", "the enrolment code is not good")
}

/// A device, as administrators see it.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeviceView {
    #[schema(format = Uuid)]
    id: String,
    kind: String,
    name: String,
    #[schema(format = DateTime)]
    enrolled_at: String,
    #[schema(format = DateTime)]
    not_after: String,
    revoked: bool,
    linked: bool,
}

/// Every enrolled device.
#[utoipa::path(get, path = "/api/v2/devices", operation_id = "list_devices", tag = "devices",
    responses((status = 200, description = "In the order of their enrolment", body = Vec<DeviceView>)))]
pub(crate) async fn list(State(app): State<App>, user: User) -> Result<Json<Vec<DeviceView>>, ApiError> {
    user.require(&[PersonRole::Administrator])?;
    let devices = devices::all(&mut *app.database.read().await?).await?;
    let view = |device: Device| DeviceView {
        id: device.id.to_string(),
        kind: device.kind.as_str().to_owned(),
        name: device.name,
        enrolled_at: device.enrolled_at.to_string(),
        not_after: device.not_after.to_string(),
        revoked: device.revoked_at.is_some(),
        linked: app.hub.is_linked(device.id),
    };
    Ok(Json(devices.into_iter().map(view).collect()))
}

/// Refuse a device from now on; its link is closed.
#[utoipa::path(delete, path = "/api/v2/devices/{id}", tag = "devices",
    params(("id" = Uuid, Path, description = "The device"), ("X-CSRF-Token" = String, Header)),
    responses((status = 204, description = "Revoked"), (status = 404, description = "No such device", body = ErrorBody)))]
pub(crate) async fn revoke(
    State(app): State<App>,
    user: User,
    Named(id): Named<DeviceId>,
) -> Result<StatusCode, ApiError> {
    user.require(&[PersonRole::Administrator])?;
    let now = Timestamp::now();
    let mut write = app.database.write().await?;
    if !devices::revoke(&mut write, id, now).await? {
        return Err(ApiError::not_found());
    }
    let object = id.to_string();
    let (actor, details) = (user.0.login.as_str(), serde_json::Value::Null);
    let record = audit::Record { at: now, actor, action: "device.revoke", object: &object, details };
    audit::append(&mut write, &record).await?;
    write.commit().await?;
    app.hub.close(id);
    Ok(StatusCode::NO_CONTENT)
}

/// Body of a request for an enrolment code.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CodeRequest {
    /// Which kinds of devices it may enrol.
    #[schema(value_type = Vec<String>)]
    pub kinds: Vec<DeviceKind>,
}

/// A one-time code.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CodeView {
    /// Shown once.
    pub code: String,
    /// SHA-256 of the authority's certificate: with the server's address and the code it makes the enrolment string.
    pub ca_sha256: String,
    /// The code's end.
    #[schema(format = DateTime)]
    pub expires_at: String,
}

/// Issue a one-time enrolment code.
#[utoipa::path(post, path = "/api/v2/enrolment-codes", tag = "devices", request_body = CodeRequest,
    params(("X-CSRF-Token" = String, Header)),
    responses((status = 201, description = "Issued", body = CodeView)))]
pub(crate) async fn issue_code(
    State(app): State<App>,
    user: User,
    Input(request): Input<CodeRequest>,
) -> Result<(StatusCode, Json<CodeView>), ApiError> {
    user.require(&[PersonRole::Administrator])?;
    if request.kinds.is_empty() {
        return Err(ApiError::unprocessable("no_kind", "a code is for at least one kind of device"));
    }
    let now = Timestamp::now();
    let expires_at = now.plus_ms(CODE_HOURS * 3_600_000);
    let mut write = app.database.write().await?;
    let code = enrolment_codes::issue(&mut write, &request.kinds, now, expires_at).await?;
    let details = serde_json::json!({ "kinds": request.kinds });
    let (actor, action) = (user.0.login.as_str(), "enrolment-code.issue");
    audit::append(&mut write, &audit::Record { at: now, actor, action, object: "", details }).await?;
    write.commit().await?;
    let view = CodeView { code, ca_sha256: app.authority.fingerprint(), expires_at: expires_at.to_string() };
    Ok((StatusCode::CREATED, Json(view)))
}
