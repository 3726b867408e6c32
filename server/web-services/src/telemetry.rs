//! What is counted (`/metrics`, Prometheus text), and whether the service is well (`/livez`, `/readyz`).

use crate::{link::hub::Hub, state::App};
use axum::{
    Json, Router,
    extract::{MatchedPath, Request, State},
    http::{StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
    routing::get,
};
use hindsight_store::StoreError;
use hindsight_wire::enrolment::DeviceKind;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use serde::Serialize;
use std::{
    sync::{
        OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};
use utoipa::ToSchema;

/// Bounds of the histogram of request times, seconds.
const BOUNDS: [f64; 9] = [0.002, 0.005, 0.01, 0.025, 0.1, 0.25, 1.0, 5.0, 30.0];
/// A database that has not answered by then is not well.
const READY_LIMIT: Duration = Duration::from_secs(2);

static RECORDER: OnceLock<PrometheusHandle> = OnceLock::new();

/// The process's recorder, set up at the first call.
pub fn recorder() -> PrometheusHandle {
    RECORDER
        .get_or_init(|| {
            let builder = PrometheusBuilder::new();
            let requests = Matcher::Full("hindsight_http_request_seconds".to_owned());
            let builder =
                builder.set_buckets_for_metric(requests, &BOUNDS).expect("the list of bounds is not empty");
            let recorder = builder.build_recorder();
            let handle = recorder.handle();
            if metrics::set_global_recorder(recorder).is_err() {
                tracing::warn!("this process has another recorder of metrics; ours stays empty");
            }
            handle
        })
        .clone()
}

/// Routes for those who watch.
pub fn routes() -> Router<App> {
    Router::new().route("/livez", get(livez)).route("/readyz", get(readyz)).route("/metrics", get(exposition))
}

/// Counts and times every request, by its route and never by its address: ids are no labels.
pub async fn count(request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().map_or("other", MatchedPath::as_str).to_owned();
    let method = request.method().as_str().to_owned();
    let started = Instant::now();
    let response = next.run(request).await;
    let status = response.status().as_u16().to_string();
    metrics::counter!("hindsight_http_requests_total", "method" => method, "route" => route.clone(), "status" => status)
        .increment(1);
    metrics::histogram!("hindsight_http_request_seconds", "route" => route)
        .record(started.elapsed().as_secs_f64());
    response
}

/// The process runs.
#[utoipa::path(get, path = "/livez", tag = "health", responses((status = 200, description = "It runs")))]
pub(crate) async fn livez() -> &'static str {
    "ok\n"
}

/// What the service needs.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Readiness {
    /// Whether all of it is well.
    ready: bool,
    /// The database answers, and its file is still where it was opened.
    database: bool,
    /// A file could be written to the place of uploads, and removed.
    uploads: bool,
    /// Whether the voice components have their links; no part of `ready`, for calls go on without.
    links: Links,
}

/// Of which kinds of voice components at least one has its link.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Links {
    /// A SIP server.
    sip_server: bool,
    /// A resource manager.
    resource_manager: bool,
    /// A media server.
    media_server: bool,
}

impl Links {
    fn of(hub: &Hub) -> Self {
        let any = |kind| hub.count(kind) > 0;
        Self {
            sip_server: any(DeviceKind::SipServer),
            resource_manager: any(DeviceKind::ResourceManager),
            media_server: any(DeviceKind::MediaServer),
        }
    }
}

/// The service can do its work.
#[utoipa::path(get, path = "/readyz", tag = "health", responses(
    (status = 200, description = "It can", body = Readiness),
    (status = 503, description = "It cannot; what is wrong", body = Readiness),
))]
pub(crate) async fn readyz(State(app): State<App>) -> (StatusCode, Json<Readiness>) {
    let database = tokio::time::timeout(READY_LIMIT, app.database.schema_version());
    let uploads = tokio::time::timeout(READY_LIMIT, app.area.try_writing());
    let (database, uploads) = tokio::join!(database, uploads);
    let in_place = app.database.in_place();
    tell_once(in_place.as_ref().err());
    let database = matches!(database, Ok(Ok(_))) && in_place.is_ok();
    let uploads = matches!(uploads, Ok(Ok(_)));
    let ready = database && uploads;
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(Readiness { ready, database, uploads, links: Links::of(&app.hub) }))
}

/// A database that is not in its place is told when that is found out, not at every question.
fn tell_once(displaced: Option<&StoreError>) {
    static TOLD: AtomicBool = AtomicBool::new(false);
    match displaced {
        Some(error) if !TOLD.swap(true, Ordering::Relaxed) => tracing::error!(%error, "not ready"),
        Some(_) => {}
        None => TOLD.store(false, Ordering::Relaxed),
    }
}

/// Figures in Prometheus' text format: counts only, nothing of persons or calls.
#[utoipa::path(get, path = "/metrics", tag = "health",
    responses((status = 200, description = "Prometheus text format", content_type = "text/plain")))]
pub(crate) async fn exposition(State(app): State<App>) -> impl IntoResponse {
    app.metrics.run_upkeep();
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], app.metrics.render())
}
