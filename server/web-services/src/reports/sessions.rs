//! Every SIP session at a resource manager (CDR), one row each.

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
use hindsight_store::reports::{self, Session, SessionFilter, SessionPlace};
use hindsight_wire::{InteractionId, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// Which sessions.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct SessionsQuery {
    /// Began at or after: a day, a time of the site's clocks or RFC 3339. Left out: today.
    from: Option<String>,
    /// Began before. Left out: the end of today.
    to: Option<String>,
    /// Address of the media server.
    media_server: Option<String>,
    /// Whose.
    tenant: Option<String>,
    /// At most so many, up to 1,000.
    limit: Option<u32>,
    /// `next` of the page before.
    cursor: Option<String>,
    /// `json` or `csv`; CSV has all sessions, not a page of them.
    #[serde(default)]
    #[param(inline)]
    format: Format,
}

/// A page of sessions.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SessionReport {
    #[serde(flatten)]
    asked: ReportedSpan,
    /// Newest first.
    items: Vec<SessionRecordView>,
    /// For the next page; absent: this was the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// A session: one leg of a call, or a recording session of another system.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SessionRecordView {
    /// The call that it carried a leg of.
    #[schema(format = Uuid)]
    interaction: String,
    call_id: String,
    #[schema(format = DateTime)]
    start_time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    answer_time: Option<String>,
    #[schema(format = DateTime)]
    stop_time: String,
    /// Final SIP status of its INVITE.
    status: u16,
    /// Address of the media server; absent: none served it.
    #[serde(skip_serializing_if = "String::is_empty")]
    media_server: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    tenant: String,
}

fn view(session: Session) -> SessionRecordView {
    SessionRecordView {
        interaction: session.interaction.to_string(),
        call_id: session.call_id,
        start_time: session.started_at.to_string(),
        answer_time: session.answered_at.map(|at| at.to_string()),
        stop_time: session.ended_at.to_string(),
        status: session.status,
        media_server: session.media_server,
        tenant: session.tenant,
    }
}

/// SIP sessions of a span of time, newest first.
#[utoipa::path(get, path = "/api/v2/reports/sessions", operation_id = "report_sessions", tag = "reports", params(SessionsQuery), responses(
    (status = 200, description = "A page; with `format=csv` all of them", body = SessionReport),
    (status = 400, description = "The question cannot be read", body = ErrorBody),
    (status = 403, description = "For supervisors and administrators", body = ErrorBody),
))]
pub(crate) async fn list(
    State(app): State<App>,
    user: User,
    input::Asked(query): input::Asked<SessionsQuery>,
) -> Result<Response, ApiError> {
    allow(&user)?;
    let (from, to) = span(&app, query.from.as_deref(), query.to.as_deref())?;
    let after = query
        .cursor
        .as_deref()
        .map(|text| place(text).ok_or_else(|| ApiError::bad_request("the cursor is not one of ours")));
    let (media_server, tenant) = (text(query.media_server)?, text(query.tenant)?);
    let filter = SessionFilter { from, to, media_server, tenant, after: after.transpose()? };
    let details = serde_json::json!({
        "from": from, "to": to, "mediaServer": filter.media_server, "tenant": filter.tenant,
        "csv": query.format == Format::Csv, "more": filter.after.is_some(),
    });
    written_down(&app, &user, "sessions", details).await?;
    if query.format == Format::Csv {
        return Ok(table(app, filter));
    }
    let limit = query.limit.unwrap_or(PAGE).clamp(1, LARGEST_PAGE);
    let mut found = reports::sessions(&mut *app.database.read().await?, &filter, limit + 1).await?;
    let more = found.len() > limit as usize;
    found.truncate(limit as usize);
    let next = found.last().filter(|_| more).map(cursor);
    let items = found.into_iter().map(view).collect();
    Ok(Json(SessionReport { asked: asked(&app, from, to).await?, items, next }).into_response())
}

fn cursor(last: &Session) -> String {
    format!("{}.{}.{}", last.started_at.0, last.interaction, last.call_id)
}

fn place(text: &str) -> Option<SessionPlace> {
    let mut parts = text.splitn(3, '.');
    let started_at = Timestamp(parts.next()?.parse().ok()?);
    let interaction = InteractionId(parts.next()?.parse().ok()?);
    Some((started_at, interaction, parts.next()?.to_owned()))
}

fn table(app: App, filter: SessionFilter) -> Response {
    let zone = app.zone.name();
    let head = csv::line([
        "interaction",
        "Call-ID",
        &format!("start ({zone})"),
        &format!("answer ({zone})"),
        &format!("stop ({zone})"),
        "status",
        "media server",
        "tenant",
    ]);
    let pages = futures_util::stream::try_unfold(Some(filter), move |filter| {
        let app = app.clone();
        async move {
            let Some(mut filter) = filter else { return Ok(None) };
            let found = reports::sessions(&mut *app.database.read().await?, &filter, LARGEST_PAGE).await?;
            let whole = found.len() == LARGEST_PAGE as usize;
            let last = found.last().filter(|_| whole);
            let next = last.map(|last| (last.started_at, last.interaction, last.call_id.clone()));
            let row = |session: &Session| {
                csv::line([
                    session.interaction.to_string(),
                    session.call_id.clone(),
                    app.zone.label(session.started_at),
                    session.answered_at.map(|at| app.zone.label(at)).unwrap_or_default(),
                    app.zone.label(session.ended_at),
                    session.status.to_string(),
                    session.media_server.clone(),
                    session.tenant.clone(),
                ])
            };
            let lines: String = found.iter().map(row).collect();
            let next = next.map(|next| {
                filter.after = Some(next);
                filter
            });
            Ok::<_, ApiError>(Some((lines, next)))
        }
    });
    csv::response("sessions", head, pages)
}
