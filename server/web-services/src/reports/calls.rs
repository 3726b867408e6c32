//! Every call, one row each.

use super::{Format, LARGEST_PAGE, PAGE, ReportedSpan, allow, asked, csv, span, text, written_down};
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
use hindsight_reporting_server::Zone;
use hindsight_store::reports::{self, CallFilter, CallPlace, Outcome, ReportedCall};
use hindsight_wire::{InteractionId, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// Which calls.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct CallsQuery {
    /// Began at or after: a day (`2026-03-29`), a time of the site's clocks (`2026-03-29T14:00`) or RFC 3339. Left out: today.
    from: Option<String>,
    /// Began before. Left out: the end of today.
    to: Option<String>,
    /// A DN that called, was called, rang or spoke.
    dn: Option<String>,
    /// `answered`, `busy`, `no-answer`, `cancelled`, `refused`, `not-found`, `failed` or `ringing`; with `dn`, for that DN.
    outcome: Option<String>,
    /// Whose.
    tenant: Option<String>,
    /// At most so many, up to 1,000.
    limit: Option<u32>,
    /// `next` of the page before.
    cursor: Option<String>,
    /// `json` or `csv`; CSV has all calls, not a page of them.
    #[serde(default)]
    #[param(inline)]
    format: Format,
}

/// A page of calls.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CallReport {
    #[serde(flatten)]
    asked: ReportedSpan,
    /// Newest first.
    items: Vec<CallRecord>,
    /// For the next page; absent: this was the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// A call.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CallRecord {
    #[schema(format = Uuid)]
    interaction: String,
    #[schema(format = DateTime)]
    start_time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    answer_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    stop_time: Option<String>,
    caller_phone_number: String,
    dialed_phone_number: String,
    /// `answered`, `busy`, `no-answer`, `cancelled`, `refused`, `not-found`, `failed` or `ringing`.
    outcome: String,
    /// Why it ended, as in the event log; absent: it goes on.
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<String>,
    /// DN or number of who ended it, where a party did.
    #[serde(skip_serializing_if = "Option::is_none")]
    ended_by: Option<String>,
    /// DNs of this site that took part.
    dns: Vec<String>,
    /// From the offer to the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    wait_ms: Option<i64>,
    /// From the answer to the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    talk_ms: Option<i64>,
    #[serde(skip_serializing_if = "String::is_empty")]
    tenant: String,
    /// How whole its voice recording is: `complete`, `partial`, `missing`, `pending` or `none`.
    #[serde(skip_serializing_if = "Option::is_none")]
    voice: Option<String>,
}

impl CallRecord {
    fn of(call: ReportedCall) -> Self {
        let talk_ms = call.ended_at.zip(call.answered_at).map(|(end, answer)| end.ms_since(answer));
        Self {
            interaction: call.interaction.to_string(),
            start_time: call.started_at.to_string(),
            answer_time: call.answered_at.map(|at| at.to_string()),
            stop_time: call.ended_at.map(|at| at.to_string()),
            caller_phone_number: call.caller,
            dialed_phone_number: call.dialled,
            outcome: call.outcome,
            cause: call.cause,
            ended_by: call.ended_by,
            dns: call.dns.split_whitespace().map(str::to_owned).collect(),
            wait_ms: call.answered_at.map(|at| at.ms_since(call.started_at)),
            talk_ms,
            tenant: call.tenant,
            voice: call.voice,
        }
    }
}

/// Calls of a span of time, newest first.
#[utoipa::path(get, path = "/api/v2/reports/calls", operation_id = "report_calls", tag = "reports", params(CallsQuery), responses(
    (status = 200, description = "A page; with `format=csv` all of them", body = CallReport),
    (status = 400, description = "The question cannot be read", body = ErrorBody),
    (status = 403, description = "For supervisors and administrators", body = ErrorBody),
))]
pub(crate) async fn list(
    State(app): State<App>,
    user: User,
    input::Asked(query): input::Asked<CallsQuery>,
) -> Result<Response, ApiError> {
    allow(&user)?;
    let (from, to) = span(&app, query.from.as_deref(), query.to.as_deref())?;
    let outcome = text(query.outcome)?.map(|name| {
        Outcome::named(&name).ok_or_else(|| ApiError::bad_request(format!("there is no outcome {name:?}")))
    });
    let after = query
        .cursor
        .as_deref()
        .map(|text| place(text).ok_or_else(|| ApiError::bad_request("the cursor is not one of ours")));
    let (dn, outcome, tenant) = (text(query.dn)?, outcome.transpose()?, text(query.tenant)?);
    let filter = CallFilter { from, to, dn, outcome, tenant, after: after.transpose()? };
    let details = serde_json::json!({
        "from": from, "to": to, "dn": filter.dn, "outcome": filter.outcome.map(Outcome::as_str), "tenant": filter.tenant,
        "csv": query.format == Format::Csv, "more": filter.after.is_some(),
    });
    written_down(&app, &user, "calls", details).await?;
    if query.format == Format::Csv {
        return Ok(table(app, filter));
    }
    let limit = query.limit.unwrap_or(PAGE).clamp(1, LARGEST_PAGE);
    let mut found = reports::calls(&mut *app.database.read().await?, &filter, limit + 1).await?;
    let more = found.len() > limit as usize;
    found.truncate(limit as usize);
    let next = found.last().filter(|_| more).map(|last| cursor((last.started_at, last.interaction)));
    let items = found.into_iter().map(CallRecord::of).collect();
    Ok(Json(CallReport { asked: asked(&app, from, to).await?, items, next }).into_response())
}

fn cursor((started_at, interaction): CallPlace) -> String {
    format!("{}.{interaction}", started_at.0)
}

fn place(text: &str) -> Option<CallPlace> {
    let (started_at, interaction) = text.split_once('.')?;
    Some((Timestamp(started_at.parse().ok()?), InteractionId(interaction.parse().ok()?)))
}

fn table(app: App, filter: CallFilter) -> Response {
    let zone = app.zone.name();
    let head = csv::line([
        "interaction",
        &format!("start ({zone})"),
        &format!("answer ({zone})"),
        &format!("stop ({zone})"),
        "caller",
        "dialled",
        "outcome",
        "cause",
        "ended by",
        "DNs",
        "wait ms",
        "talk ms",
        "tenant",
        "voice",
    ]);
    let pages = futures_util::stream::try_unfold(Some(filter), move |filter| {
        let app = app.clone();
        async move {
            let Some(mut filter) = filter else { return Ok(None) };
            let found = reports::calls(&mut *app.database.read().await?, &filter, LARGEST_PAGE).await?;
            let whole = found.len() == LARGEST_PAGE as usize;
            let last = found.last().filter(|_| whole).map(|call| (call.started_at, call.interaction));
            let lines: String = found.into_iter().map(|call| row(&app.zone, call)).collect();
            let next = last.map(|last| {
                filter.after = Some(last);
                filter
            });
            Ok::<_, ApiError>(Some((lines, next)))
        }
    });
    csv::response("calls", head, pages)
}

fn row(zone: &Zone, call: ReportedCall) -> String {
    let time = |at: Option<Timestamp>| at.map(|at| zone.label(at)).unwrap_or_default();
    let times = [time(Some(call.started_at)), time(call.answered_at), time(call.ended_at)];
    let view = CallRecord::of(call);
    let number = |ms: Option<i64>| ms.map(|ms| ms.to_string()).unwrap_or_default();
    let [start, answer, stop] = times;
    csv::line([
        view.interaction,
        start,
        answer,
        stop,
        view.caller_phone_number,
        view.dialed_phone_number,
        view.outcome,
        view.cause.unwrap_or_default(),
        view.ended_by.unwrap_or_default(),
        view.dns.join(" "),
        number(view.wait_ms),
        number(view.talk_ms),
        view.tenant,
        view.voice.unwrap_or_default(),
    ])
}
