//! `/api/v2/interactions/{id}/trace`: the signalling of a call, for administrators; [`keep`]: how it gets here and goes.

pub mod keep;

use crate::{
    error::{ApiError, ErrorBody},
    input::Named,
    interactions::record,
    rights,
    session::User,
    state::App,
};
use axum::{
    Json, Router,
    extract::State,
    http::header,
    response::{IntoResponse, Response},
    routing::get,
};
use hindsight_search::may_see;
use hindsight_store::traces::{self, StoredMessage, Trace};
use hindsight_wire::{
    InteractionId, Timestamp,
    trace::{PeerKind, TracedMessage},
};
use serde::Serialize;
use std::{collections::HashMap, fmt::Write as _};
use utoipa::ToSchema;

/// Routes of the signalling.
pub fn routes() -> Router<App> {
    Router::new()
        .route("/api/v2/interactions/{id}/trace", get(view))
        .route("/api/v2/interactions/{id}/trace.txt", get(text))
}

/// The SIP messages of a call as its SIP server saw them, without passwords, keys and digits.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TraceView {
    /// In the order of time.
    messages: Vec<TraceMessage>,
    /// Messages of the call that were seen and are not among these: there were too many.
    not_kept: u64,
    /// OPTIONS that only ask whether the far end is there, with their answers: never kept.
    probes: u64,
    /// So many messages went by unseen when the SIP server was too busy, of this or other calls.
    overlooked: u64,
}

/// One SIP message.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TraceMessage {
    /// From 1 in this list.
    number: usize,
    /// Clock of the SIP server, to the microsecond.
    #[schema(format = DateTime)]
    at: String,
    /// After the first message of the list, microseconds.
    offset_us: i64,
    /// Sent by the SIP server; else received by it.
    sent: bool,
    peer: TracePeerView,
    /// Address and port of the SIP server; empty where it listens at every address.
    local: String,
    /// `UDP`, `TCP` or `TLS`.
    transport: String,
    /// Method, or status and reason.
    summary: String,
    /// Of a response.
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    /// Number and method; empty where it could not be read.
    cseq: String,
    /// Sent again: number of the message that was the same; `text` is that one's.
    #[serde(skip_serializing_if = "Option::is_none")]
    repeats: Option<usize>,
    /// Whether `text` is only the beginning.
    cut: bool,
    /// The message with `***` in place of what is secret.
    text: String,
}

/// The far end of a message.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TracePeerView {
    /// `phone` or `media-server` (behind the resource manager).
    kind: &'static str,
    /// Number of a phone.
    name: String,
    /// Address and port.
    address: String,
}

impl TraceView {
    fn of(trace: Trace) -> Self {
        let Trace { messages, not_kept, probes, overlooked } = trace;
        let place = |(at, stored): (usize, &StoredMessage)| ((stored.series, stored.message.number), at + 1);
        let places: HashMap<(usize, u32), usize> = messages.iter().enumerate().map(place).collect();
        let texts: HashMap<usize, (String, bool)> = messages
            .iter()
            .enumerate()
            .map(|(at, stored)| (at + 1, (stored.message.text.clone(), stored.message.cut)))
            .collect();
        let first = messages.first().map_or(0, |stored| stored.message.at_us);
        let view = |(at, StoredMessage { series, message }): (usize, StoredMessage)| {
            let repeats = message.repeats.and_then(|number| places.get(&(series, number)).copied());
            let original = repeats.and_then(|number| texts.get(&number).cloned());
            let TracedMessage { at_us, sent, peer, local, transport, summary, cseq, cut, text, .. } = message;
            let (text, cut) = original.unwrap_or((text, cut));
            TraceMessage {
                number: at + 1,
                at: Timestamp(at_us).to_string(),
                offset_us: at_us.saturating_sub(first),
                sent,
                peer: TracePeerView { kind: kind(peer.kind), name: peer.name, address: peer.address },
                local,
                transport,
                status: summary.split(' ').next().and_then(|word| word.parse().ok()),
                summary,
                cseq,
                repeats,
                cut,
                text,
            }
        };
        Self { messages: messages.into_iter().enumerate().map(view).collect(), not_kept, probes, overlooked }
    }

    /// For a file: each message below a line that says when and where it went.
    fn into_text(self) -> String {
        let mut out = String::new();
        for message in &self.messages {
            let TraceMessage { number, at, sent, peer, local, transport, repeats, cut, text, .. } = message;
            let way = if *sent { "sent to" } else { "received from" };
            let server = if local.is_empty() { "the SIP server" } else { local };
            let _ = write!(out, "#{number} {at} {server} {way} {} {} {transport}", peer.kind, peer.address);
            if let Some(first) = repeats {
                let _ = write!(out, " (again: #{first})");
            }
            if *cut {
                out.push_str(" (only the beginning)");
            }
            let _ = write!(out, "\n{text}\n\n");
        }
        let Self { not_kept, probes, overlooked, .. } = self;
        let _ = writeln!(
            out,
            "not kept: {not_kept}; OPTIONS that only probe: {probes}; overlooked, of this or other calls: {overlooked}"
        );
        out
    }
}

fn kind(kind: PeerKind) -> &'static str {
    match kind {
        PeerKind::Phone => "phone",
        PeerKind::MediaServer => "media-server",
    }
}

async fn trace(app: &App, user: &User, id: InteractionId) -> Result<TraceView, ApiError> {
    if !rights::may_see_signalling(&user.0.roles) {
        return Err(ApiError::forbidden("forbidden", "your roles do not allow this"));
    }
    let mut db = app.database.read().await?;
    if !may_see(&mut db, &user.scope(), id).await? {
        return Err(ApiError::not_found());
    }
    let trace = traces::of_interaction(&mut db, id).await?.unwrap_or_default();
    drop(db);
    let details = serde_json::json!({ "messages": trace.messages.len() });
    record(app, &user.0, "interaction.trace", &id.to_string(), details).await?;
    Ok(TraceView::of(trace))
}

/// The signalling of one call; administrators only.
#[utoipa::path(get, path = "/api/v2/interactions/{id}/trace", operation_id = "interaction_trace", tag = "interactions",
    params(("id" = Uuid, Path, description = "The interaction")),
    responses(
        (status = 200, description = "Its SIP messages; none where nothing was or is kept", body = TraceView),
        (status = 403, description = "Not for your roles", body = ErrorBody),
        (status = 404, description = "No such interaction, or not for you", body = ErrorBody),
    ))]
pub(crate) async fn view(
    State(app): State<App>,
    user: User,
    Named(id): Named<InteractionId>,
) -> Result<Json<TraceView>, ApiError> {
    trace(&app, &user, id).await.map(Json)
}

/// The same as a text file.
#[utoipa::path(get, path = "/api/v2/interactions/{id}/trace.txt", operation_id = "interaction_trace_text", tag = "interactions",
    params(("id" = Uuid, Path, description = "The interaction")),
    responses(
        (status = 200, description = "Its SIP messages", body = String, content_type = "text/plain"),
        (status = 403, description = "Not for your roles", body = ErrorBody),
        (status = 404, description = "No such interaction, or not for you", body = ErrorBody),
    ))]
pub(crate) async fn text(
    State(app): State<App>,
    user: User,
    Named(id): Named<InteractionId>,
) -> Result<Response, ApiError> {
    let text = trace(&app, &user, id).await?.into_text();
    let headers = [
        (header::CONTENT_TYPE, "text/plain; charset=utf-8".to_owned()),
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"trace-{id}.txt\"")),
    ];
    Ok((headers, text).into_response())
}
