//! Questions to the rows of reports: pages by key, counts by quarter of an hour, and everything that overlaps a span.

use super::{Outcome, Session};
use crate::{Connection, StoreError};
use futures_util::TryStreamExt;
use hindsight_wire::{InteractionId, Timestamp};
use sqlx::{FromRow, QueryBuilder, Sqlite};
use uuid::Uuid;

/// No call is longer: bounds how far back an overlap is looked for.
const LONGEST_CALL: i64 = 7 * 24 * 3600 * 1_000_000;

/// Which calls.
#[derive(Clone, Debug)]
pub struct CallFilter {
    /// Began at or after.
    pub from: Timestamp,
    /// Began before.
    pub to: Timestamp,
    /// A DN that took part.
    pub dn: Option<String>,
    /// How they went.
    pub outcome: Option<Outcome>,
    /// Whose.
    pub tenant: Option<String>,
    /// Only those after this one in the list.
    pub after: Option<CallPlace>,
}

/// Where a call is in the list.
pub type CallPlace = (Timestamp, InteractionId);

/// A call as it is read.
#[derive(Clone, Debug, PartialEq)]
pub struct ReportedCall {
    /// Id.
    pub interaction: InteractionId,
    /// Offered.
    pub started_at: Timestamp,
    /// Answered.
    pub answered_at: Option<Timestamp>,
    /// Over.
    pub ended_at: Option<Timestamp>,
    /// Who called.
    pub caller: String,
    /// What was dialled.
    pub dialled: String,
    /// How it went.
    pub outcome: String,
    /// Cause of its end.
    pub cause: Option<String>,
    /// Who ended it.
    pub ended_by: Option<String>,
    /// Whose.
    pub tenant: String,
    /// DNs of this site that took part, separated by spaces.
    pub dns: String,
    /// How whole its voice recording is, as [`crate::interactions::Completeness`] names it; `None`: not derived yet.
    pub voice: Option<String>,
}

#[derive(FromRow)]
struct CallRow {
    interaction: Uuid,
    started_at: i64,
    answered_at: Option<i64>,
    ended_at: Option<i64>,
    caller: String,
    dialled: String,
    outcome: String,
    cause: Option<String>,
    ended_by: Option<String>,
    tenant: String,
    dns: Option<String>,
    voice: Option<String>,
}

/// The calls that match, newest first, at most `limit` of them.
pub async fn calls(
    db: &mut Connection,
    filter: &CallFilter,
    limit: u32,
) -> Result<Vec<ReportedCall>, StoreError> {
    let rows: Vec<CallRow> = call_query(filter, limit).build_query_as().fetch_all(db).await?;
    let call = |row: CallRow| ReportedCall {
        interaction: InteractionId(row.interaction),
        started_at: Timestamp(row.started_at),
        answered_at: row.answered_at.map(Timestamp),
        ended_at: row.ended_at.map(Timestamp),
        caller: row.caller,
        dialled: row.dialled,
        outcome: row.outcome,
        cause: row.cause,
        ended_by: row.ended_by,
        tenant: row.tenant,
        dns: row.dns.unwrap_or_default(),
        voice: row.voice,
    };
    Ok(rows.into_iter().map(call).collect())
}

fn call_query(filter: &CallFilter, limit: u32) -> QueryBuilder<Sqlite> {
    let mut query = QueryBuilder::new(
        "SELECT c.interaction, c.started_at, c.answered_at, c.ended_at, c.caller, c.dialled, c.outcome, c.cause, c.ended_by, c.tenant,
             (SELECT group_concat(dn, ' ') FROM report_call_dns WHERE interaction = c.interaction) AS dns,
             (SELECT voice FROM interactions WHERE id = c.interaction) AS voice FROM ",
    );
    // CROSS JOIN is SQLite's way to say in which order to loop: the DN's own index first.
    let order = match &filter.dn {
        Some(dn) => {
            query.push(
                "report_call_dns d CROSS JOIN report_calls c ON c.interaction = d.interaction WHERE d.dn = ",
            );
            query.push_bind(dn.clone());
            "d"
        }
        None => {
            query.push("report_calls c WHERE 1");
            "c"
        }
    };
    query.push(format_args!(" AND {order}.started_at >= ")).push_bind(filter.from.0);
    query.push(format_args!(" AND {order}.started_at < ")).push_bind(filter.to.0);
    if let Some(outcome) = filter.outcome {
        query.push(format_args!(" AND {order}.outcome = ")).push_bind(outcome.as_str());
    }
    if let Some(tenant) = &filter.tenant {
        query.push(" AND c.tenant = ").push_bind(tenant.clone());
    }
    if let Some((started_at, interaction)) = filter.after {
        query.push(format_args!(" AND ({order}.started_at, {order}.interaction) < ("));
        query.push_bind(started_at.0).push(", ").push_bind(interaction.0).push(")");
    }
    query.push(format_args!(" ORDER BY {order}.started_at DESC, {order}.interaction DESC LIMIT "));
    query.push_bind(limit);
    query
}

/// Which sessions.
#[derive(Clone, Debug)]
pub struct SessionFilter {
    /// Began at or after.
    pub from: Timestamp,
    /// Began before.
    pub to: Timestamp,
    /// Address of the media server.
    pub media_server: Option<String>,
    /// Whose.
    pub tenant: Option<String>,
    /// Only those after this one in the list.
    pub after: Option<SessionPlace>,
}

/// Where a session is in the list.
pub type SessionPlace = (Timestamp, InteractionId, String);

#[derive(FromRow)]
struct SessionRow {
    started_at: i64,
    interaction: Uuid,
    call_id: String,
    answered_at: Option<i64>,
    ended_at: i64,
    status: u16,
    media_server: String,
    tenant: String,
}

/// The sessions that match, newest first, at most `limit` of them.
pub async fn sessions(
    db: &mut Connection,
    filter: &SessionFilter,
    limit: u32,
) -> Result<Vec<Session>, StoreError> {
    let mut query: QueryBuilder<Sqlite> = QueryBuilder::new(
        "SELECT started_at, interaction, call_id, answered_at, ended_at, status, media_server, tenant FROM report_sessions
         WHERE started_at >= ",
    );
    query.push_bind(filter.from.0).push(" AND started_at < ").push_bind(filter.to.0);
    for (column, value) in [("media_server", &filter.media_server), ("tenant", &filter.tenant)] {
        if let Some(value) = value {
            query.push(format_args!(" AND {column} = ")).push_bind(value.clone());
        }
    }
    if let Some((started_at, interaction, call_id)) = &filter.after {
        query.push(" AND (started_at, interaction, call_id) < (");
        query.push_bind(started_at.0).push(", ").push_bind(interaction.0);
        query.push(", ").push_bind(call_id.clone()).push(")");
    }
    query.push(" ORDER BY started_at DESC, interaction DESC, call_id DESC LIMIT ").push_bind(limit);
    let rows: Vec<SessionRow> = query.build_query_as().fetch_all(db).await?;
    let session = |row: SessionRow| Session {
        interaction: InteractionId(row.interaction),
        call_id: row.call_id,
        started_at: Timestamp(row.started_at),
        answered_at: row.answered_at.map(Timestamp),
        ended_at: Timestamp(row.ended_at),
        status: row.status,
        media_server: row.media_server,
        tenant: row.tenant,
    };
    Ok(rows.into_iter().map(session).collect())
}

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counted {
    /// Calls.
    Calls,
    /// Calls, for each DN that took part.
    ByDn,
    /// Calls, for each tenant.
    ByTenant,
    /// Sessions, for each media server.
    ByMediaServer,
}

/// What happened in a span with one outcome, for one DN, tenant or media server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpanCount {
    /// Which of the spans.
    pub span: usize,
    /// DN, tenant or media server.
    pub key: String,
    /// Outcome.
    pub outcome: String,
    /// How many.
    pub count: u64,
    /// How many of them were incoming for the DN.
    pub incoming: u64,
    /// Time spoken.
    pub talk_ms: u64,
    /// The longest.
    pub longest_talk_ms: u64,
    /// Time until the answer.
    pub wait_ms: u64,
}

#[derive(FromRow)]
struct CountRow {
    span: i64,
    key: String,
    outcome: String,
    count: i64,
    incoming: i64,
    talk_ms: i64,
    longest_talk_ms: i64,
    wait_ms: i64,
}

/// Counts of what began in each of these spans (first instant, first instant after it); at most `limit` of them.
pub async fn counts(
    db: &mut Connection,
    counted: Counted,
    spans: &[(Timestamp, Timestamp)],
    limit: u32,
) -> Result<Vec<SpanCount>, StoreError> {
    if spans.is_empty() {
        return Ok(Vec::new());
    }
    let sql = count_sql(counted, spans);
    let rows: Vec<CountRow> = sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(limit).fetch_all(db).await?;
    let positive = |value: i64| u64::try_from(value).unwrap_or(0);
    let count = |row: CountRow| SpanCount {
        span: usize::try_from(row.span).unwrap_or(usize::MAX),
        key: row.key,
        outcome: row.outcome,
        count: positive(row.count),
        incoming: positive(row.incoming),
        talk_ms: positive(row.talk_ms),
        longest_talk_ms: positive(row.longest_talk_ms),
        wait_ms: positive(row.wait_ms),
    };
    Ok(rows.into_iter().map(count).collect())
}

fn count_sql(counted: Counted, spans: &[(Timestamp, Timestamp)]) -> String {
    const TALK: &str = "(ended_at - answered_at) / 1000";
    const WAIT: &str = "(answered_at - started_at) / 1000";
    let (key, outcome, incoming, talk, wait, table) = match counted {
        Counted::Calls => ("''", "outcome", "0", TALK, WAIT, "report_calls"),
        Counted::ByTenant => ("tenant", "outcome", "0", TALK, WAIT, "report_calls"),
        Counted::ByDn => ("dn", "outcome", "incoming", "talk_ms", "0", "report_call_dns"),
        Counted::ByMediaServer => (
            "media_server",
            "CASE WHEN answered_at IS NOT NULL THEN 'answered' WHEN status = 487 THEN 'cancelled' ELSE 'failed' END",
            "0",
            TALK,
            WAIT,
            "report_sessions",
        ),
    };
    let number = |(n, (from, to)): (usize, &(Timestamp, Timestamp))| format!("({n}, {}, {})", from.0, to.0);
    let values: Vec<String> = spans.iter().enumerate().map(number).collect();
    // CROSS JOIN is SQLite's way to say in which order to loop: each span is a range of the index by start.
    format!(
        "WITH spans (span, first, after) AS (VALUES {})
         SELECT span, {key} AS key, {outcome} AS outcome, COUNT(*) AS count, SUM({incoming}) AS incoming,
             COALESCE(SUM({talk}), 0) AS talk_ms, COALESCE(MAX({talk}), 0) AS longest_talk_ms, COALESCE(SUM({wait}), 0) AS wait_ms
         FROM spans CROSS JOIN {table} WHERE started_at >= first AND started_at < after
         GROUP BY 1, 2, 3 ORDER BY 1, 2 LIMIT ?",
        values.join(", ")
    )
}

/// What goes on at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Concurrent {
    /// Calls, from their offer to their end.
    Calls,
    /// Calls, from the answer to their end.
    Conversations,
    /// Sessions that are over, from INVITE to BYE; of one media server, where one is named.
    Sessions,
}

/// Gives everything that goes on in a span, in the order of its beginnings.
pub async fn each_interval(
    db: &mut Connection,
    concurrent: Concurrent,
    media_server: Option<&str>,
    (from, to): (Timestamp, Timestamp),
    mut take: impl FnMut(Timestamp, Option<Timestamp>),
) -> Result<(), StoreError> {
    let (table, start) = match concurrent {
        Concurrent::Calls => ("report_calls", "started_at"),
        // An answer comes soon after the offer: the index by offer finds it, the order has to be made.
        Concurrent::Conversations => ("report_calls", "answered_at"),
        Concurrent::Sessions => ("report_sessions", "started_at"),
    };
    let mut query: QueryBuilder<Sqlite> =
        QueryBuilder::new(format!("SELECT {start}, ended_at FROM {table} WHERE started_at >= "));
    query.push_bind(from.0.saturating_sub(LONGEST_CALL)).push(" AND started_at < ").push_bind(to.0);
    query.push(" AND (ended_at IS NULL OR ended_at > ").push_bind(from.0);
    query.push(format_args!(") AND {start} IS NOT NULL"));
    if let Some(media_server) = media_server.filter(|_| concurrent == Concurrent::Sessions) {
        query.push(" AND media_server = ").push_bind(media_server.to_owned());
    }
    query.push(format_args!(" ORDER BY {start}"));
    let mut rows = query.build_query_as::<(i64, Option<i64>)>().fetch(db);
    while let Some((start, end)) = rows.try_next().await? {
        take(Timestamp(start), end.map(Timestamp));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Database;

    #[tokio::test]
    async fn a_page_of_calls_is_read_by_an_index_and_never_sorted() {
        let directory = tempfile::tempdir().unwrap();
        let database = Database::create(directory.path()).await.unwrap();
        for dn in [None, Some("1001".to_owned())] {
            let filter = CallFilter {
                from: Timestamp(1),
                to: Timestamp(9),
                dn,
                outcome: Some(Outcome::Answered),
                tenant: Some("north".into()),
                after: Some((Timestamp(5), InteractionId::new())),
            };
            let inner = call_query(&filter, 10);
            let sql = format!("EXPLAIN QUERY PLAN {}", inner.sql().as_str());
            let plan: Vec<(i64, i64, i64, String)> = sqlx::query_as(sqlx::AssertSqlSafe(sql))
                .fetch_all(&mut *database.read().await.unwrap())
                .await
                .unwrap();
            let steps: Vec<&str> = plan.iter().map(|step| step.3.as_str()).collect();
            let sorts = steps.iter().any(|step| step.contains("TEMP B-TREE"));
            let scans = steps.iter().any(|step| step.starts_with("SCAN") && !step.contains("USING INDEX"));
            assert!(!sorts && !scans, "{steps:?}");
        }
    }

    #[tokio::test]
    async fn spans_are_counted_by_an_index() {
        let directory = tempfile::tempdir().unwrap();
        let database = Database::create(directory.path()).await.unwrap();
        for counted in [Counted::Calls, Counted::ByDn, Counted::ByTenant, Counted::ByMediaServer] {
            let spans = [(Timestamp(1), Timestamp(5)), (Timestamp(5), Timestamp(9))];
            let sql = format!("EXPLAIN QUERY PLAN {}", count_sql(counted, &spans));
            let plan: Vec<(i64, i64, i64, String)> = sqlx::query_as(sqlx::AssertSqlSafe(sql))
                .bind(10)
                .fetch_all(&mut *database.read().await.unwrap())
                .await
                .unwrap();
            let steps: Vec<&str> = plan.iter().map(|step| step.3.as_str()).collect();
            assert!(steps.iter().any(|step| step.starts_with("SEARCH report_")), "{steps:?}");
        }
    }
}
