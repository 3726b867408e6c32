//! All routes, and what lies around them.

use crate::{
    announce, console, control, desktop, desktops, devices, error::ApiError, headers, history, interactions,
    link, manifests, media, openapi, reports, session, single_sign_on, state::App, telemetry, traces,
    updates, uploads,
};
use axum::{
    Router,
    extract::{DefaultBodyLimit, Request},
    http::StatusCode,
    middleware::{Next, from_fn},
    response::{IntoResponse, Response},
    routing::get,
};
use std::time::Duration;

/// Largest body, where a route says nothing else.
const LARGEST_BODY: usize = 64 * 1024;
/// Longest request, where a route says nothing else: also bounds how slowly a body may come.
const LONGEST_REQUEST: Duration = Duration::from_secs(30);

/// The whole service.
pub fn router(app: App) -> Router {
    let timed = Router::new()
        .merge(session::routes::routes())
        .merge(devices::routes())
        .merge(desktop::routes())
        .merge(single_sign_on::routes())
        .merge(desktops::routes())
        .merge(history::routes())
        .merge(interactions::routes())
        .merge(traces::routes())
        .merge(announce::routes())
        .merge(control::routes())
        .merge(reports::routes())
        .merge(telemetry::routes())
        .route("/openapi.json", get(openapi::serve))
        .layer(from_fn(limit_time));
    // These take as long as their bytes do, and watch over that themselves.
    let streaming = Router::new()
        .merge(link::routes())
        .merge(updates::routes())
        .merge(uploads::routes())
        .merge(manifests::routes())
        .merge(media::routes())
        .merge(history::media_routes());
    timed
        .merge(streaming)
        .fallback(console::serve)
        .layer(DefaultBodyLimit::max(LARGEST_BODY))
        .layer(from_fn(telemetry::count))
        .layer(from_fn(headers::secure))
        .with_state(app)
}

async fn limit_time(request: Request, next: Next) -> Response {
    match tokio::time::timeout(LONGEST_REQUEST, next.run(request)).await {
        Ok(response) => response,
        Err(_) => ApiError::new(StatusCode::REQUEST_TIMEOUT, "too_slow", "the request took too long")
            .into_response(),
    }
}
