//! How many calls arrived, how they went and how long they took, by span of time.

use super::{
    Format, LARGEST_SUMMARY, Length, ReportedSpan, allow, asked, csv, span, too_many_rows, written_down,
};
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
use hindsight_reporting_server::{
    summary::{Sum, sums, total},
    zone::Buckets,
};
use hindsight_store::reports::{self, Counted, Outcome};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// Most counts that are read: of every row one for each outcome.
const MOST_COUNTS: u32 = 160_000;

/// What is looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum By {
    /// All calls together.
    #[default]
    All,
    /// Each DN that called, was called, rang or spoke.
    Dn,
    /// Each tenant.
    Tenant,
    /// Each media server; its SIP sessions are counted, not calls.
    MediaServer,
}

impl From<By> for Counted {
    fn from(by: By) -> Self {
        match by {
            By::All => Counted::Calls,
            By::Dn => Counted::ByDn,
            By::Tenant => Counted::ByTenant,
            By::MediaServer => Counted::ByMediaServer,
        }
    }
}

/// What to count.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct SummaryQuery {
    /// Began at or after: a day, a time of the site's clocks or RFC 3339. Left out: today.
    from: Option<String>,
    /// Began before. Left out: the end of today.
    to: Option<String>,
    /// `quarter` (of an hour), `hour` or `day`.
    #[serde(default)]
    #[param(inline)]
    per: Length,
    /// `all`, `dn`, `tenant` or `media-server`.
    #[serde(default)]
    #[param(inline)]
    by: By,
    /// `json` or `csv`.
    #[serde(default)]
    #[param(inline)]
    format: Format,
}

/// Counts by span of time.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    #[serde(flatten)]
    asked: ReportedSpan,
    per: Length,
    by: By,
    /// All spans together; with `by=dn`, a call counts once for each of its DNs.
    total: Counts,
    /// In order of time. Of all calls together every span has a row, else those in which something happened.
    rows: Vec<SummaryRow>,
}

/// One span, of one DN, tenant or media server.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SummaryRow {
    /// Its start, as the site's clocks show it, with the offset to UTC.
    #[schema(format = DateTime)]
    start: String,
    /// DN, tenant or address of the media server; empty: all, or none in particular.
    key: String,
    #[serde(flatten)]
    counts: Counts,
}

/// How many, and how long.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Counts {
    /// Began in the span; the sum of what follows.
    arrived: u64,
    answered: u64,
    busy: u64,
    no_answer: u64,
    cancelled: u64,
    refused: u64,
    not_found: u64,
    failed: u64,
    /// Nobody answered yet.
    ringing: u64,
    /// Of all those: not begun by the DN.
    incoming: u64,
    /// Time spoken by those that are over.
    talk_ms: u64,
    longest_talk_ms: u64,
    /// Time until the answer of those that were answered, on the average.
    #[serde(skip_serializing_if = "Option::is_none")]
    average_wait_ms: Option<u64>,
}

impl Counts {
    fn of(sum: &Sum, by: By) -> Self {
        let of = |outcome: Outcome| sum.of(outcome.as_str());
        let answered = of(Outcome::Answered);
        Self {
            arrived: sum.arrived,
            answered,
            busy: of(Outcome::Busy),
            no_answer: of(Outcome::NoAnswer),
            cancelled: of(Outcome::Cancelled),
            refused: of(Outcome::Refused),
            not_found: of(Outcome::NotFound),
            failed: of(Outcome::Failed),
            ringing: of(Outcome::Ringing),
            incoming: sum.incoming,
            talk_ms: sum.talk_ms,
            longest_talk_ms: sum.longest_talk_ms,
            // How long a caller waited is the call's, not a DN's.
            average_wait_ms: if by == By::Dn { None } else { sum.wait_ms.checked_div(answered) },
        }
    }

    fn cells(&self) -> Vec<String> {
        let average = self.average_wait_ms.map(|ms| ms.to_string()).unwrap_or_default();
        let counts = [
            self.arrived,
            self.answered,
            self.busy,
            self.no_answer,
            self.cancelled,
            self.refused,
            self.not_found,
            self.failed,
            self.ringing,
            self.incoming,
            self.talk_ms,
            self.longest_talk_ms,
        ];
        counts.iter().map(u64::to_string).chain([average]).collect()
    }
}

/// Counts of calls or sessions by quarter, hour or day of the site's time zone.
#[utoipa::path(get, path = "/api/v2/reports/summary", operation_id = "report_summary", tag = "reports", params(SummaryQuery), responses(
    (status = 200, description = "The counts", body = Summary),
    (status = 400, description = "The question cannot be read", body = ErrorBody),
    (status = 403, description = "For supervisors and administrators", body = ErrorBody),
    (status = 422, description = "Too many rows", body = ErrorBody),
))]
pub(crate) async fn summary(
    State(app): State<App>,
    user: User,
    input::Asked(query): input::Asked<SummaryQuery>,
) -> Result<Response, ApiError> {
    allow(&user)?;
    let (from, to) = span(&app, query.from.as_deref(), query.to.as_deref())?;
    let SummaryQuery { per, by, format, .. } = query;
    let buckets = app.zone.buckets(from, to, per.into())?;
    let details =
        serde_json::json!({ "from": from, "to": to, "per": per, "by": by, "csv": format == Format::Csv });
    written_down(&app, &user, "summary", details).await?;
    let mut db = app.database.read().await?;
    let counts = reports::counts(&mut db, by.into(), &buckets.spans(), MOST_COUNTS).await?;
    drop(db);
    let cut = counts.len() as u64 >= u64::from(MOST_COUNTS);
    let rows = rows(&buckets, &counts, by);
    if cut || rows.len() > LARGEST_SUMMARY {
        return Err(too_many_rows());
    }
    if format == Format::Csv {
        return Ok(csv::whole("summary", table(&app, by, &rows)));
    }
    let asked = asked(&app, buckets.start(), buckets.end).await?;
    let total = Counts::of(&total(&counts), by);
    Ok(Json(Summary { asked, per, by, total, rows }).into_response())
}

fn rows(buckets: &Buckets, counts: &[reports::SpanCount], by: By) -> Vec<SummaryRow> {
    let mut sums = sums(counts);
    if by == By::All {
        for bucket in 0..buckets.list.len() {
            sums.entry((bucket, String::new())).or_default();
        }
    }
    let row = |((bucket, key), sum): ((usize, String), Sum)| SummaryRow {
        start: buckets.list.get(bucket).map(|bucket| bucket.label.clone()).unwrap_or_default(),
        key,
        counts: Counts::of(&sum, by),
    };
    sums.into_iter().map(row).collect()
}

fn table(app: &App, by: By, rows: &[SummaryRow]) -> String {
    let key = match by {
        By::All => "all",
        By::Dn => "DN",
        By::Tenant => "tenant",
        By::MediaServer => "media server",
    };
    let start = format!("start ({})", app.zone.name());
    let mut table = csv::line([
        start.as_str(),
        key,
        "arrived",
        "answered",
        "busy",
        "no answer",
        "cancelled",
        "refused",
        "not found",
        "failed",
        "ringing",
        "incoming",
        "talk ms",
        "longest talk ms",
        "average wait ms",
    ]);
    for row in rows {
        table += &csv::line([row.start.clone(), row.key.clone()].into_iter().chain(row.counts.cells()));
    }
    table
}
