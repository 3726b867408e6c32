//! The one log of domain events. Everything else about interactions is derived from it and can be rebuilt.

use crate::{Connection, Database, StoreError};
use hindsight_model::{Event, InteractionId};
use hindsight_wire::{DeviceId, Timestamp, link::JournalEntry};
use serde_json::Value;
use sqlx::FromRow;
use std::time::Duration;
use uuid::Uuid;

/// The consumer that derives interactions: its cursor's name.
pub const INTERACTIONS: &str = "recording-processor";

/// How often another process's events are looked for.
const POLL: Duration = Duration::from_millis(250);

/// An event in the log.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Place in the log; grows.
    pub position: u64,
    /// Whose journal it came from; `None`: the server's own.
    pub device: Option<DeviceId>,
    /// Its number there.
    pub sequence: Option<u64>,
    /// When the server had it.
    pub received_at: Timestamp,
    /// As received.
    pub json: Value,
    /// As understood; `None` when this version cannot read it: consumers pass over it.
    pub event: Option<Event>,
}

#[derive(FromRow)]
struct Row {
    position: i64,
    device: Option<Uuid>,
    sequence: Option<i64>,
    received_at: i64,
    event: String,
}

impl Row {
    fn into_entry(self) -> Result<Entry, StoreError> {
        let json: Value = serde_json::from_str(&self.event).map_err(|e| StoreError::damaged("event", e))?;
        Ok(Entry {
            position: self.position.unsigned_abs(),
            device: self.device.map(DeviceId),
            sequence: self.sequence.map(i64::unsigned_abs),
            received_at: Timestamp(self.received_at),
            event: serde_json::from_value(json.clone()).ok(),
            json,
        })
    }
}

/// Appends an event of the server's own, in the same [`crate::Write`] as the change that it tells of.
pub async fn append(db: &mut Connection, event: &Event, now: Timestamp) -> Result<(), StoreError> {
    let json = serde_json::to_value(event).map_err(|error| StoreError::damaged("event", error))?;
    insert(db, None, &json, now).await
}

/// Appends entries of a device's journal; what has been seen is ignored. The highest sequence now in the log.
pub async fn append_journal(
    db: &mut Connection,
    device: DeviceId,
    entries: &[JournalEntry],
    now: Timestamp,
) -> Result<u64, StoreError> {
    for entry in entries {
        let sequence = i64::try_from(entry.sequence)
            .map_err(|_| StoreError::Conflict(format!("sequence {} is too large", entry.sequence)))?;
        insert(db, Some((device, sequence)), &entry.event, now).await?;
    }
    last_sequence(db, device).await
}

async fn insert(
    db: &mut Connection,
    source: Option<(DeviceId, i64)>,
    json: &Value,
    now: Timestamp,
) -> Result<(), StoreError> {
    let interaction = json.get("interaction").and_then(Value::as_str).and_then(|id| id.parse::<Uuid>().ok());
    sqlx::query(
        "INSERT INTO events (device, sequence, received_at, interaction, event) VALUES (?, ?, ?, ?, ?)
         ON CONFLICT (device, sequence) DO NOTHING",
    )
    .bind(source.map(|(device, _)| device.0))
    .bind(source.map(|(_, sequence)| sequence))
    .bind(now.0)
    .bind(interaction)
    .bind(json.to_string())
    .execute(db)
    .await?;
    Ok(())
}

/// The highest sequence of a device in the log; 0 when there is none.
pub async fn last_sequence(db: &mut Connection, device: DeviceId) -> Result<u64, StoreError> {
    let last: Option<i64> = sqlx::query_scalar("SELECT MAX(sequence) FROM events WHERE device = ?")
        .bind(device.0)
        .fetch_one(db)
        .await?;
    Ok(last.unwrap_or(0).unsigned_abs())
}

/// Up to `limit` events after `position`, oldest first.
pub async fn after(db: &mut Connection, position: u64, limit: u32) -> Result<Vec<Entry>, StoreError> {
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT position, device, sequence, received_at, event FROM events WHERE position > ? ORDER BY position LIMIT ?",
    )
    .bind(position.cast_signed())
    .bind(limit)
    .fetch_all(db)
    .await?;
    rows.into_iter().map(Row::into_entry).collect()
}

/// Everything that happened to one interaction, in the order of the log.
pub async fn of_interaction(
    db: &mut Connection,
    interaction: InteractionId,
) -> Result<Vec<Entry>, StoreError> {
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT position, device, sequence, received_at, event FROM events WHERE interaction = ? ORDER BY position",
    )
    .bind(interaction.0)
    .fetch_all(db)
    .await?;
    rows.into_iter().map(Row::into_entry).collect()
}

/// The last position of the log; 0 when it is empty.
pub async fn last_position(db: &mut Connection) -> Result<u64, StoreError> {
    let last: Option<i64> = sqlx::query_scalar("SELECT MAX(position) FROM events").fetch_one(db).await?;
    Ok(last.unwrap_or(0).unsigned_abs())
}

/// Interactions that a consumer of the log has not come to.
pub async fn interactions_ahead_of(
    db: &mut Connection,
    consumer: &str,
) -> Result<Vec<InteractionId>, StoreError> {
    let position = cursor(db, consumer).await?;
    let ids: Vec<Uuid> = sqlx::query_scalar(
        "SELECT DISTINCT interaction FROM events WHERE position > ? AND interaction IS NOT NULL",
    )
    .bind(position.cast_signed())
    .fetch_all(db)
    .await?;
    Ok(ids.into_iter().map(InteractionId).collect())
}

/// How far a consumer has come; 0 at first.
pub async fn cursor(db: &mut Connection, consumer: &str) -> Result<u64, StoreError> {
    let position: Option<i64> = sqlx::query_scalar("SELECT position FROM consumers WHERE name = ?")
        .bind(consumer)
        .fetch_optional(db)
        .await?;
    Ok(position.unwrap_or(0).unsigned_abs())
}

/// Moves a consumer's cursor, in the same [`crate::Write`] as what it derived from the events.
pub async fn advance(db: &mut Connection, consumer: &str, position: u64) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO consumers (name, position) VALUES (?, ?)
         ON CONFLICT (name) DO UPDATE SET position = excluded.position",
    )
    .bind(consumer)
    .bind(position.cast_signed())
    .execute(db)
    .await?;
    Ok(())
}

/// Waits until the log has events after `position`, of this or another process. Safe to drop at any await.
pub async fn wait_after(database: &Database, position: u64) -> Result<(), StoreError> {
    let mut changed = database.changed();
    loop {
        if last_position(&mut *database.read().await?).await? > position {
            return Ok(());
        }
        let _ = tokio::time::timeout(POLL, changed.changed()).await;
    }
}
