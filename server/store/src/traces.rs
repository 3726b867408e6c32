//! The signalling of calls, as their SIP servers saw it and masked it.

use crate::{Connection, StoreError};
use hindsight_wire::{
    DeviceId, InteractionId, Timestamp,
    trace::{CallTrace, LONGEST_TEXT, MOST_MESSAGES, PeerKind, TracePeer, TracedMessage},
};
use sqlx::FromRow;
use uuid::Uuid;

/// Longest word of a message beside its text, bytes.
const LONGEST_WORD: usize = 300;

/// What is known of one call's signalling.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Trace {
    /// In the order of time.
    pub messages: Vec<StoredMessage>,
    /// Messages of the call that were seen and are not among these.
    pub not_kept: u64,
    /// OPTIONS that only ask whether the far end is there, with their answers.
    pub probes: u64,
    /// So many went by unseen, of this or other calls.
    pub overlooked: u64,
}

/// A message with its place.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredMessage {
    /// Which series its number is of: 0 for the first process that saw the call.
    pub series: usize,
    /// As it was told.
    pub message: TracedMessage,
}

/// Keeps what a SIP server tells; what is there already stays as it is. Refused with [`StoreError::Conflict`] where it is
/// larger than a SIP server makes it.
pub async fn put(
    db: &mut Connection,
    device: DeviceId,
    traces: &[CallTrace],
    now: Timestamp,
) -> Result<(), StoreError> {
    for trace in traces {
        sqlx::query(
            "INSERT INTO traces (interaction, device, since_us, stored_at, seen, probes, overlooked) VALUES (?, ?, ?, ?, ?, ?, ?)
             ON CONFLICT (interaction, device, since_us) DO UPDATE SET stored_at = excluded.stored_at,
                 seen = MAX(seen, excluded.seen), probes = MAX(probes, excluded.probes),
                 overlooked = MAX(overlooked, excluded.overlooked)",
        )
        .bind(trace.interaction.0)
        .bind(device.0)
        .bind(trace.since_us)
        .bind(now.0)
        .bind(trace.seen)
        .bind(trace.probes)
        .bind(trace.overlooked)
        .execute(&mut *db)
        .await?;
        for message in &trace.messages {
            put_message(&mut *db, device, trace, message).await?;
        }
        let kept: i64 = sqlx::query_scalar(
            "SELECT COUNT(*) FROM trace_messages WHERE interaction = ? AND device = ? AND since_us = ?",
        )
        .bind(trace.interaction.0)
        .bind(device.0)
        .bind(trace.since_us)
        .fetch_one(&mut *db)
        .await?;
        if kept > i64::from(MOST_MESSAGES) {
            return Err(StoreError::Conflict(format!("a trace of {kept} messages")));
        }
    }
    Ok(())
}

async fn put_message(
    db: &mut Connection,
    device: DeviceId,
    trace: &CallTrace,
    message: &TracedMessage,
) -> Result<(), StoreError> {
    let TracedMessage { number, at_us, sent, peer, local, transport, summary, cseq, repeats, cut, text } =
        message;
    let words = [&peer.name, &peer.address, local, transport, summary, cseq];
    if text.len() > LONGEST_TEXT || words.iter().any(|word| word.len() > LONGEST_WORD) {
        return Err(StoreError::Conflict("a message of a trace is too long".to_owned()));
    }
    sqlx::query(
        "INSERT INTO trace_messages (interaction, device, since_us, number, at_us, sent, peer_kind, peer_name, peer_address,
             local, transport, summary, cseq, repeats, cut, text)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
         ON CONFLICT (interaction, device, since_us, number) DO NOTHING",
    )
    .bind(trace.interaction.0)
    .bind(device.0)
    .bind(trace.since_us)
    .bind(number)
    .bind(at_us)
    .bind(sent)
    .bind(kind_name(peer.kind))
    .bind(&peer.name)
    .bind(&peer.address)
    .bind(local)
    .bind(transport)
    .bind(summary)
    .bind(cseq)
    .bind(repeats)
    .bind(cut)
    .bind(text)
    .execute(db)
    .await?;
    Ok(())
}

fn kind_name(kind: PeerKind) -> &'static str {
    match kind {
        PeerKind::Phone => "phone",
        PeerKind::MediaServer => "media-server",
    }
}

#[derive(FromRow)]
struct Series {
    device: Uuid,
    since_us: i64,
    seen: i64,
    probes: i64,
    overlooked: i64,
}

#[derive(FromRow)]
struct Row {
    device: Uuid,
    since_us: i64,
    number: u32,
    at_us: i64,
    sent: bool,
    peer_kind: String,
    peer_name: String,
    peer_address: String,
    local: String,
    transport: String,
    summary: String,
    cseq: String,
    repeats: Option<u32>,
    cut: bool,
    text: String,
}

impl Row {
    fn into_message(self) -> TracedMessage {
        let kind = if self.peer_kind == "phone" { PeerKind::Phone } else { PeerKind::MediaServer };
        TracedMessage {
            number: self.number,
            at_us: self.at_us,
            sent: self.sent,
            peer: TracePeer { kind, name: self.peer_name, address: self.peer_address },
            local: self.local,
            transport: self.transport,
            summary: self.summary,
            cseq: self.cseq,
            repeats: self.repeats,
            cut: self.cut,
            text: self.text,
        }
    }
}

/// The signalling of a call; `None`: nothing is kept of it.
pub async fn of_interaction(
    db: &mut Connection,
    interaction: InteractionId,
) -> Result<Option<Trace>, StoreError> {
    let series: Vec<Series> = sqlx::query_as(
        "SELECT device, since_us, seen, probes, overlooked FROM traces WHERE interaction = ? ORDER BY since_us, device",
    )
    .bind(interaction.0)
    .fetch_all(&mut *db)
    .await?;
    if series.is_empty() {
        return Ok(None);
    }
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT device, since_us, number, at_us, sent, peer_kind, peer_name, peer_address, local, transport, summary, cseq,
             repeats, cut, text
         FROM trace_messages WHERE interaction = ? ORDER BY at_us, since_us, number",
    )
    .bind(interaction.0)
    .fetch_all(db)
    .await?;
    let sum = |count: fn(&Series) -> i64| series.iter().map(|one| count(one).unsigned_abs()).sum::<u64>();
    let of = |row: &Row| {
        let place = series.iter().position(|one| (one.device, one.since_us) == (row.device, row.since_us));
        place.unwrap_or_default()
    };
    let messages: Vec<StoredMessage> =
        rows.into_iter().map(|row| StoredMessage { series: of(&row), message: row.into_message() }).collect();
    Ok(Some(Trace {
        not_kept: sum(|one| one.seen).saturating_sub(messages.len() as u64),
        probes: sum(|one| one.probes),
        overlooked: sum(|one| one.overlooked),
        messages,
    }))
}

/// Removes up to `limit` series that nothing came for since `before`, with their messages; how many.
pub async fn expire(db: &mut Connection, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
    let done = sqlx::query(
        "DELETE FROM traces WHERE (interaction, device, since_us) IN
             (SELECT interaction, device, since_us FROM traces WHERE stored_at < ? ORDER BY stored_at LIMIT ?)",
    )
    .bind(before.0)
    .bind(limit)
    .execute(db)
    .await?;
    Ok(done.rows_affected())
}
