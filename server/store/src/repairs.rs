//! Recordings that a crash cut off: which repairs are due, what became of them, and those beyond repair.

use crate::{Connection, StoreError, recordings::changed};
use hindsight_wire::{
    CaptureId, PersonId, RecordingId, Timestamp,
    manifest::{IndexEntry, Signed},
};
use uuid::Uuid;

/// A repair to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repair {
    /// Of which recording.
    pub recording: RecordingId,
    /// How often it was tried.
    pub attempts: u32,
}

/// Repairs that are due, the longest waiting first.
pub async fn due(db: &mut Connection, now: Timestamp, limit: u32) -> Result<Vec<Repair>, StoreError> {
    let rows: Vec<(Uuid, u32)> =
        sqlx::query_as("SELECT recording, attempts FROM repairs WHERE next_at <= ? ORDER BY next_at LIMIT ?")
            .bind(now.0)
            .bind(limit)
            .fetch_all(db)
            .await?;
    Ok(rows.into_iter().map(|(id, attempts)| Repair { recording: RecordingId(id), attempts }).collect())
}

/// A repair failed for now.
pub async fn later(
    db: &mut Connection,
    recording: RecordingId,
    next_at: Timestamp,
    reason: &str,
) -> Result<(), StoreError> {
    sqlx::query("UPDATE repairs SET attempts = attempts + 1, next_at = ?, reason = ? WHERE recording = ?")
        .bind(next_at.0)
        .bind(reason)
        .bind(recording.0)
        .execute(db)
        .await?;
    Ok(())
}

/// A repair failed for good: the recording goes to the failed list.
pub async fn give_up(db: &mut Connection, recording: RecordingId, reason: &str) -> Result<(), StoreError> {
    sqlx::query("UPDATE recordings SET state = 'failed', failure = ? WHERE id = ?")
        .bind(reason)
        .bind(recording.0)
        .execute(&mut *db)
        .await?;
    sqlx::query("DELETE FROM repairs WHERE recording = ?").bind(recording.0).execute(&mut *db).await?;
    changed(db, recording).await
}

/// What a repair made of a recording.
pub struct Repaired<'a> {
    /// Which.
    pub recording: RecordingId,
    /// Bytes of the payload stored now.
    pub payload_size: u64,
    /// Its SHA-256, lower-case hexadecimal.
    pub payload_sha256: &'a str,
    /// The signed record of it.
    pub record: &'a Signed,
}

/// A repair succeeded and its object is durable.
pub async fn done(db: &mut Connection, repaired: &Repaired<'_>) -> Result<(), StoreError> {
    let record =
        serde_json::to_string(repaired.record).map_err(|e| StoreError::damaged("recovered record", e))?;
    sqlx::query(
        "UPDATE recordings SET state = 'recovered', failure = NULL, payload_size = ?, payload_sha256 = ?, recovered = ?
         WHERE id = ?",
    )
    .bind(repaired.payload_size.cast_signed())
    .bind(repaired.payload_sha256)
    .bind(record)
    .bind(repaired.recording.0)
    .execute(&mut *db)
    .await?;
    sqlx::query("DELETE FROM repairs WHERE recording = ?")
        .bind(repaired.recording.0)
        .execute(&mut *db)
        .await?;
    changed(db, repaired.recording).await
}

/// Keeps what reading a repaired recording through has shown: its length and where it can be entered.
pub async fn set_rebuilt(
    db: &mut Connection,
    recording: RecordingId,
    duration_ms: u64,
    index: &[IndexEntry],
) -> Result<(), StoreError> {
    let index = serde_json::to_string(index).map_err(|e| StoreError::damaged("index", e))?;
    sqlx::query("UPDATE recordings SET duration_ms = ?, rebuilt_index = ? WHERE id = ?")
        .bind(duration_ms.cast_signed())
        .bind(index)
        .bind(recording.0)
        .execute(&mut *db)
        .await?;
    changed(db, recording).await
}

/// A recording that could not be repaired.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Which.
    pub recording: RecordingId,
    /// Of which run.
    pub capture: CaptureId,
    /// Who sat there, for screens.
    pub person: Option<PersonId>,
    /// Why.
    pub reason: String,
}

/// The failed list.
pub async fn failed(db: &mut Connection, limit: u32) -> Result<Vec<Failure>, StoreError> {
    let rows: Vec<(Uuid, Uuid, Option<Uuid>, Option<String>)> = sqlx::query_as(
        "SELECT id, capture, person, failure FROM recordings WHERE state = 'failed' ORDER BY id DESC LIMIT ?",
    )
    .bind(limit)
    .fetch_all(db)
    .await?;
    let failure = |(id, capture, person, reason): (Uuid, Uuid, Option<Uuid>, Option<String>)| Failure {
        recording: RecordingId(id),
        capture: CaptureId(capture),
        person: person.map(PersonId),
        reason: reason.unwrap_or_default(),
    };
    Ok(rows.into_iter().map(failure).collect())
}
