//! Uploads of sealed recordings: who may write them and how far they are from a committed recording.
//!
//! The bytes are in [`crate::upload_area`]; how many of them are durable is what the area says.

use crate::{Connection, StoreError};
use hindsight_wire::{DeviceId, RecordingId, Timestamp};
use sqlx::FromRow;
use uuid::Uuid;

/// What becomes of an upload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Bytes or the manifest are still to come.
    Open,
    /// A recording; the receipt is signed.
    Committed,
    /// Damaged or forged; why.
    Refused(String),
}

/// An upload. Its id is the recording's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upload {
    /// The recording uploaded.
    pub recording: RecordingId,
    /// The only device that may touch it.
    pub device: DeviceId,
    /// `voice` or `screen`.
    pub kind: String,
    /// Bytes of envelope and payload; `None`: the client tells later.
    pub length: Option<u64>,
    /// Where it stands.
    pub state: State,
    /// Creation.
    pub created_at: Timestamp,
    /// Last byte or creation: it expires some time after.
    pub touched_at: Timestamp,
}

#[derive(FromRow)]
struct Row {
    recording: Uuid,
    device: Uuid,
    kind: String,
    length: Option<i64>,
    state: String,
    reason: Option<String>,
    created_at: i64,
    touched_at: i64,
}

impl Row {
    fn into_upload(self) -> Result<Upload, StoreError> {
        let state = match (self.state.as_str(), self.reason) {
            ("open", None) => State::Open,
            ("committed", None) => State::Committed,
            ("refused", Some(reason)) => State::Refused(reason),
            (other, _) => return Err(StoreError::damaged("upload state", other)),
        };
        Ok(Upload {
            recording: RecordingId(self.recording),
            device: DeviceId(self.device),
            kind: self.kind,
            length: self.length.map(i64::unsigned_abs),
            state,
            created_at: Timestamp(self.created_at),
            touched_at: Timestamp(self.touched_at),
        })
    }
}

fn length_column(length: Option<u64>) -> Result<Option<i64>, StoreError> {
    let fits =
        |length| i64::try_from(length).map_err(|_| StoreError::Conflict("length is too large".to_owned()));
    length.map(fits).transpose()
}

/// Adds an upload, or opens one again that was refused.
pub async fn put(db: &mut Connection, upload: &Upload) -> Result<(), StoreError> {
    let (state, reason) = match &upload.state {
        State::Open => ("open", None),
        State::Committed => ("committed", None),
        State::Refused(reason) => ("refused", Some(reason.as_str())),
    };
    sqlx::query(
        "INSERT INTO uploads (recording, device, kind, length, state, reason, created_at, touched_at)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?)
         ON CONFLICT (recording) DO UPDATE SET kind = excluded.kind, length = excluded.length,
             state = excluded.state, reason = excluded.reason, touched_at = excluded.touched_at",
    )
    .bind(upload.recording.0)
    .bind(upload.device.0)
    .bind(&upload.kind)
    .bind(length_column(upload.length)?)
    .bind(state)
    .bind(reason)
    .bind(upload.created_at.0)
    .bind(upload.touched_at.0)
    .execute(db)
    .await?;
    Ok(())
}

/// The upload of a recording.
pub async fn by_recording(db: &mut Connection, recording: RecordingId) -> Result<Option<Upload>, StoreError> {
    let row: Option<Row> = sqlx::query_as("SELECT * FROM uploads WHERE recording = ?")
        .bind(recording.0)
        .fetch_optional(db)
        .await?;
    row.map(Row::into_upload).transpose()
}

/// Sets the length that the client deferred.
pub async fn set_length(db: &mut Connection, recording: RecordingId, length: u64) -> Result<(), StoreError> {
    sqlx::query("UPDATE uploads SET length = ? WHERE recording = ?")
        .bind(length_column(Some(length))?)
        .bind(recording.0)
        .execute(db)
        .await?;
    Ok(())
}

/// Moves the moment at which an unfinished upload expires.
pub async fn touch(db: &mut Connection, recording: RecordingId, now: Timestamp) -> Result<(), StoreError> {
    sqlx::query("UPDATE uploads SET touched_at = ? WHERE recording = ?")
        .bind(now.0)
        .bind(recording.0)
        .execute(db)
        .await?;
    Ok(())
}

/// Marks an upload as committed, in the [`crate::Write`] that adds its recording.
pub async fn committed(db: &mut Connection, recording: RecordingId) -> Result<(), StoreError> {
    sqlx::query("UPDATE uploads SET state = 'committed', reason = NULL WHERE recording = ?")
        .bind(recording.0)
        .execute(db)
        .await?;
    Ok(())
}

/// Marks an upload as refused.
pub async fn refused(db: &mut Connection, recording: RecordingId, reason: &str) -> Result<(), StoreError> {
    sqlx::query("UPDATE uploads SET state = 'refused', reason = ? WHERE recording = ? AND state = 'open'")
        .bind(reason)
        .bind(recording.0)
        .execute(db)
        .await?;
    Ok(())
}

/// How many uploads of a device are neither committed nor refused.
pub async fn open_of(db: &mut Connection, device: DeviceId) -> Result<u64, StoreError> {
    let count: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM uploads WHERE device = ? AND state = 'open'")
        .bind(device.0)
        .fetch_one(db)
        .await?;
    Ok(count.unsigned_abs())
}

/// Unfinished and refused uploads that nobody has touched since `before`.
pub async fn untouched(
    db: &mut Connection,
    before: Timestamp,
    limit: u32,
) -> Result<Vec<RecordingId>, StoreError> {
    let ids: Vec<Uuid> = sqlx::query_scalar(
        "SELECT recording FROM uploads WHERE state IN ('open', 'refused') AND touched_at < ? LIMIT ?",
    )
    .bind(before.0)
    .bind(limit)
    .fetch_all(db)
    .await?;
    Ok(ids.into_iter().map(RecordingId).collect())
}

/// Forgets an upload that was not committed.
pub async fn remove(db: &mut Connection, recording: RecordingId) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM uploads WHERE recording = ? AND state <> 'committed'")
        .bind(recording.0)
        .execute(db)
        .await?;
    Ok(())
}
