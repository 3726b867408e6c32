//! How many calls or sessions there were at a time.

use super::{Format, Length, ReportedSpan, allow, asked, csv, span, text, written_down};
use crate::{
    error::{ApiError, ErrorBody},
    input,
    session::User,
    state::App,
};
use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use hindsight_reporting_server::peaks::{Peak, Sweep};
use hindsight_store::reports::{self, Concurrent};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// What goes on at a time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Of {
    /// Calls, from their offer to their end.
    #[default]
    Calls,
    /// Calls, from the answer to their end.
    Conversations,
    /// SIP sessions that are over, from INVITE to BYE.
    Sessions,
}

impl From<Of> for Concurrent {
    fn from(of: Of) -> Self {
        match of {
            Of::Calls => Concurrent::Calls,
            Of::Conversations => Concurrent::Conversations,
            Of::Sessions => Concurrent::Sessions,
        }
    }
}

/// What to look at.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct PeaksQuery {
    /// From: a day, a time of the site's clocks or RFC 3339. Left out: today.
    from: Option<String>,
    /// Until before. Left out: the end of today.
    to: Option<String>,
    /// `quarter` (of an hour), `hour` or `day`.
    #[serde(default)]
    #[param(inline)]
    per: Length,
    /// `calls`, `conversations` or `sessions`.
    #[serde(default)]
    #[param(inline)]
    of: Of,
    /// Of sessions: those of the media server with this address.
    media_server: Option<String>,
    /// `json` or `csv`.
    #[serde(default)]
    #[param(inline)]
    format: Format,
}

/// The most at a time, by span.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Peaks {
    #[serde(flatten)]
    asked: ReportedSpan,
    per: Length,
    of: Of,
    /// The most of all; absent: there were none.
    #[serde(skip_serializing_if = "Option::is_none")]
    most: Option<PeakRow>,
    /// Every span, in order of time.
    rows: Vec<PeakRow>,
}

/// The most at a time in a span.
#[derive(Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PeakRow {
    /// Start of the span, as the site's clocks show it, with the offset to UTC.
    #[schema(format = DateTime)]
    start: String,
    count: u64,
    /// When there were so many first.
    #[schema(format = DateTime)]
    at: String,
}

/// The most calls or sessions at a time, found by every beginning and end, not by samples.
#[utoipa::path(get, path = "/api/v2/reports/peaks", operation_id = "report_peaks", tag = "reports", params(PeaksQuery), responses(
    (status = 200, description = "The peaks", body = Peaks),
    (status = 400, description = "The question cannot be read", body = ErrorBody),
    (status = 403, description = "For supervisors and administrators", body = ErrorBody),
))]
pub(crate) async fn peaks(
    State(app): State<App>,
    user: User,
    input::Asked(query): input::Asked<PeaksQuery>,
) -> Result<Response, ApiError> {
    allow(&user)?;
    let (from, to) = span(&app, query.from.as_deref(), query.to.as_deref())?;
    let PeaksQuery { per, of, format, media_server, .. } = query;
    let media_server = text(media_server)?;
    let buckets = app.zone.buckets(from, to, per.into())?;
    let details =
        serde_json::json!({ "from": from, "to": to, "per": per, "of": of, "csv": format == Format::Csv });
    written_down(&app, &user, "peaks", details).await?;
    let mut sweep = Sweep::new(&buckets);
    let mut db = app.database.read().await?;
    let span = (buckets.start(), buckets.end);
    reports::each_interval(&mut db, of.into(), media_server.as_deref(), span, |start, end| {
        sweep.add(start, end);
    })
    .await?;
    drop(db);
    let found = sweep.finish();
    let row = |(peak, start): (&Peak, &str)| PeakRow {
        start: start.to_owned(),
        count: peak.count,
        at: app.zone.label(peak.at),
    };
    let starts = buckets.list.iter().map(|bucket| bucket.label.as_str());
    let rows: Vec<PeakRow> = found.iter().zip(starts).map(row).collect();
    if format == Format::Csv {
        let zone = app.zone.name();
        let mut table =
            csv::line([format!("start ({zone})"), "most at a time".to_owned(), format!("first at ({zone})")]);
        for row in &rows {
            table += &csv::line([&row.start, &row.count.to_string(), &row.at]);
        }
        return Ok(csv::whole("peaks", table));
    }
    // The first of the largest.
    let most = rows.iter().rev().max_by_key(|row| row.count).filter(|row| row.count > 0).cloned();
    let asked = asked(&app, buckets.start(), buckets.end).await?;
    Ok(Json(Peaks { asked, per, of, most, rows }).into_response())
}
