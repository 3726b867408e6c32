//! `/api/v2/reports`: what the reporting server counted, for supervisors and administrators, as JSON or CSV.
//!
//! - [`calls`], [`sessions`]: every call and every SIP session (CDR), page by page.
//! - [`summary`], [`peaks`]: how many, how long, and how many at a time, by quarter, hour or day of the site's time zone.
//! - [`csv`]: tables for spreadsheets.

pub mod calls;
pub mod csv;
pub mod peaks;
pub mod sessions;
pub mod summary;

use crate::{error::ApiError, interactions::record, session::User, state::App};
use axum::{Router, http::StatusCode, routing::get};
use hindsight_reporting_server::{ReportError, zone::Per};
use hindsight_store::persons::PersonRole;
use hindsight_wire::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Rows on a page, unless asked otherwise.
const PAGE: u32 = 100;
/// Most rows on a page.
const LARGEST_PAGE: u32 = 1000;
/// Longest text in a filter.
const LONGEST_FILTER: usize = 200;
/// Most rows of a summary: more is a question for the details.
const LARGEST_SUMMARY: usize = 20_000;

/// Routes of reports.
pub fn routes() -> Router<App> {
    Router::new()
        .route("/api/v2/reports/calls", get(calls::list))
        .route("/api/v2/reports/sessions", get(sessions::list))
        .route("/api/v2/reports/summary", get(summary::summary))
        .route("/api/v2/reports/peaks", get(peaks::peaks))
}

/// Form of an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// JSON, a page at a time.
    #[default]
    Json,
    /// A table for spreadsheets (RFC 4180), all of it.
    Csv,
}

/// How long the spans of a report are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Length {
    /// A quarter of an hour; at most 8 days.
    Quarter,
    /// An hour; at most 35 days.
    #[default]
    Hour,
    /// A day; at most 400 days.
    Day,
}

impl From<Length> for Per {
    fn from(length: Length) -> Self {
        match length {
            Length::Quarter => Per::Quarter,
            Length::Hour => Per::Hour,
            Length::Day => Per::Day,
        }
    }
}

/// What an answer is about.
#[derive(Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReportedSpan {
    /// IANA name of the site's time zone: what its hours and days are.
    time_zone: String,
    /// First instant.
    #[schema(format = DateTime)]
    from: String,
    /// First instant after it.
    #[schema(format = DateTime)]
    to: String,
    /// Events of the log that the reporting server has not counted yet: 0 in a moment, unless it does not run.
    pending_events: u64,
}

/// Refuses who may not see reports.
fn allow(user: &User) -> Result<(), ApiError> {
    user.require(&[PersonRole::Supervisor, PersonRole::Administrator])
}

/// The span that is asked for; what is left out is today's.
fn span(app: &App, from: Option<&str>, to: Option<&str>) -> Result<(Timestamp, Timestamp), ApiError> {
    let instant = |text: Option<&str>| -> Result<Option<Timestamp>, ReportError> {
        text.map(str::trim).filter(|text| !text.is_empty()).map(|text| app.zone.instant(text)).transpose()
    };
    let from = instant(from)?;
    let from = from.unwrap_or_else(|| app.zone.day_of(Timestamp::now()).0);
    let to = instant(to)?;
    let to = to.unwrap_or_else(|| app.zone.day_of(from.max(Timestamp::now())).1);
    let longest = Per::Day.longest_days();
    if to <= from || to.0 - from.0 > longest * 86_400_000_000 {
        let (from, to) = (app.zone.label(from), app.zone.label(to));
        return Err(ReportError::Span { from, to, days: longest }.into());
    }
    Ok((from, to))
}

async fn asked(app: &App, from: Timestamp, to: Timestamp) -> Result<ReportedSpan, ApiError> {
    let pending_events = hindsight_reporting_server::pending(&mut *app.database.read().await?).await?;
    let (from, to) = (app.zone.label(from), app.zone.label(to));
    Ok(ReportedSpan { time_zone: app.zone.name().to_owned(), from, to, pending_events })
}

fn text(text: Option<String>) -> Result<Option<String>, ApiError> {
    match text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty()) {
        Some(text) if text.len() > LONGEST_FILTER => Err(ApiError::bad_request("a filter is too long")),
        text => Ok(text),
    }
}

/// Writes down that a person read a report.
async fn written_down(
    app: &App,
    user: &User,
    what: &str,
    details: serde_json::Value,
) -> Result<(), ApiError> {
    record(app, &user.0, "report.read", what, details).await
}

fn too_many_rows() -> ApiError {
    ApiError::new(
        StatusCode::UNPROCESSABLE_ENTITY,
        "too_many_rows",
        format!("the report would have more than {LARGEST_SUMMARY} rows: ask for less time, or for days"),
    )
}

impl From<ReportError> for ApiError {
    fn from(error: ReportError) -> Self {
        match error {
            ReportError::Store(error) => error.into(),
            ReportError::Zone { .. } => ApiError::internal(&error),
            ReportError::Instant { .. } | ReportError::Span { .. } => {
                ApiError::bad_request(error.to_string())
            }
        }
    }
}
