//! The description of the API, made from the code; `packaging/reference/openapi.json` is its committed copy.

use crate::{
    announce, control, desktop, desktops, devices, history, interactions, manifests, media, reports,
    session::routes as session,
    single_sign_on, telemetry, traces, updates,
    uploads::{self, patch},
};
use axum::Json;
use utoipa::OpenApi;

/// The API.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Hindsight",
        description = "Calls and screens of a contact centre: found, replayed, controlled. Times are UTC, RFC 3339. \
            Failures are `{\"error\":{\"code\",\"message\"}}`.",
    ),
    paths(
        session::sign_in,
        session::current,
        session::sign_out,
        session::change_password,
        interactions::list,
        interactions::detail,
        traces::view,
        traces::text,
        control::control,
        announce::announce,
        announce::end,
        devices::enrol,
        devices::list,
        devices::revoke,
        devices::issue_code,
        desktop::sign_in,
        single_sign_on::offer,
        single_sign_on::begin,
        single_sign_on::come_back,
        single_sign_on::token,
        desktops::list,
        history::list,
        history::detail,
        history::play,
        reports::calls::list,
        reports::sessions::list,
        reports::summary::summary,
        reports::peaks::peaks,
        updates::serve,
        uploads::options,
        uploads::create,
        uploads::look,
        patch::patch,
        manifests::put_manifest,
        manifests::receipt,
        media::media,
        media::peaks,
        telemetry::livez,
        telemetry::readyz,
        telemetry::exposition,
    )
)]
pub struct Api;

/// As JSON text, as it is committed.
pub fn document() -> String {
    let mut json = Api::openapi().to_pretty_json().unwrap_or_default();
    json.push('\n');
    json
}

pub(crate) async fn serve() -> Json<utoipa::openapi::OpenApi> {
    Json(Api::openapi())
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_committed_description_is_that_of_the_code() {
        let path = "../../packaging/reference/openapi.json"; // tests run in their package's folder
        let made = super::document();
        if std::env::var_os("HINDSIGHT_WRITE_OPENAPI").is_some() {
            std::fs::write(path, &made).unwrap();
        }
        let committed = std::fs::read_to_string(path).unwrap_or_default();
        assert!(committed == made, "run again with HINDSIGHT_WRITE_OPENAPI=1 and commit openapi.json");
    }
}
