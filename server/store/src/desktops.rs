//! What desktops last said of themselves: version, spool, problems, failures.

use crate::{Connection, StoreError};
use hindsight_wire::{DeviceId, Timestamp, agent::Problem};
use serde::{Deserialize, Serialize};
use sqlx::FromRow;
use uuid::Uuid;

/// Recordings that wait on a desktop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SpoolState {
    /// Recordings without a receipt.
    pub waiting: u64,
    /// Their bytes.
    pub waiting_bytes: u64,
    /// Recordings that the server refused, kept there.
    pub refused: u64,
    /// Free bytes on the spool's disk.
    pub free_bytes: u64,
}

/// A span without a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Offline {
    /// Desktop clock.
    pub from: Timestamp,
    /// Desktop clock.
    pub to: Timestamp,
    /// Captures taken by the offline policy.
    pub captures: u64,
}

/// What is known of one desktop.
#[derive(Clone, Debug, PartialEq)]
pub struct Desktop {
    /// Which.
    pub device: DeviceId,
    /// Version of the program.
    pub version: String,
    /// Version of the link's messages that it speaks.
    pub protocol: u32,
    /// Last heard of.
    pub seen_at: Timestamp,
    /// Its spool, and since when that is known.
    pub spool: Option<(SpoolState, Timestamp)>,
    /// What is wrong there.
    pub problems: Vec<Problem>,
    /// The last capture that failed: why and when.
    pub failure: Option<(String, Timestamp)>,
    /// Its last time without a link.
    pub offline: Option<Offline>,
}

#[derive(FromRow)]
struct Row {
    device: Uuid,
    version: String,
    protocol: i64,
    seen_at: i64,
    spool: Option<String>,
    spool_at: Option<i64>,
    problems: String,
    failure: Option<String>,
    failed_at: Option<i64>,
    offline: Option<String>,
}

impl Row {
    fn into_desktop(self) -> Result<Desktop, StoreError> {
        let damaged = |error: serde_json::Error| StoreError::damaged("desktop", error);
        let spool: Option<SpoolState> =
            self.spool.as_deref().map(serde_json::from_str).transpose().map_err(damaged)?;
        Ok(Desktop {
            device: DeviceId(self.device),
            version: self.version,
            protocol: u32::try_from(self.protocol).unwrap_or_default(),
            seen_at: Timestamp(self.seen_at),
            spool: spool.zip(self.spool_at.map(Timestamp)),
            problems: serde_json::from_str(&self.problems).map_err(damaged)?,
            failure: self.failure.zip(self.failed_at.map(Timestamp)),
            offline: self.offline.as_deref().map(serde_json::from_str).transpose().map_err(damaged)?,
        })
    }
}

fn json<T: Serialize>(value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| StoreError::damaged("desktop", error))
}

/// A desktop's link opened. What was wrong before it says again, when it still is.
pub async fn linked(
    db: &mut Connection,
    device: DeviceId,
    version: &str,
    protocol: u32,
    now: Timestamp,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO desktops (device, version, protocol, seen_at) VALUES (?, ?, ?, ?)
         ON CONFLICT (device) DO UPDATE SET version = excluded.version, protocol = excluded.protocol,
             seen_at = excluded.seen_at, problems = '[]'",
    )
    .bind(device.0)
    .bind(version)
    .bind(protocol)
    .bind(now.0)
    .execute(db)
    .await?;
    Ok(())
}

/// It was heard of.
pub async fn seen(db: &mut Connection, device: DeviceId, now: Timestamp) -> Result<(), StoreError> {
    sqlx::query("UPDATE desktops SET seen_at = ? WHERE device = ?")
        .bind(now.0)
        .bind(device.0)
        .execute(db)
        .await?;
    Ok(())
}

/// Its spool's state.
pub async fn spool(
    db: &mut Connection,
    device: DeviceId,
    state: SpoolState,
    now: Timestamp,
) -> Result<(), StoreError> {
    sqlx::query("UPDATE desktops SET spool = ?, spool_at = ?, seen_at = ? WHERE device = ?")
        .bind(json(&state)?)
        .bind(now.0)
        .bind(now.0)
        .bind(device.0)
        .execute(db)
        .await?;
    Ok(())
}

/// All that is wrong with it.
pub async fn problems(
    db: &mut Connection,
    device: DeviceId,
    problems: &[Problem],
    now: Timestamp,
) -> Result<(), StoreError> {
    sqlx::query("UPDATE desktops SET problems = ?, seen_at = ? WHERE device = ?")
        .bind(json(&problems)?)
        .bind(now.0)
        .bind(device.0)
        .execute(db)
        .await?;
    Ok(())
}

/// A capture failed there.
pub async fn failed(
    db: &mut Connection,
    device: DeviceId,
    reason: &str,
    now: Timestamp,
) -> Result<(), StoreError> {
    sqlx::query("UPDATE desktops SET failure = ?, failed_at = ?, seen_at = ? WHERE device = ?")
        .bind(reason)
        .bind(now.0)
        .bind(now.0)
        .bind(device.0)
        .execute(db)
        .await?;
    Ok(())
}

/// It had no link for a while.
pub async fn offline(
    db: &mut Connection,
    device: DeviceId,
    offline: Offline,
    now: Timestamp,
) -> Result<(), StoreError> {
    sqlx::query("UPDATE desktops SET offline = ?, seen_at = ? WHERE device = ?")
        .bind(json(&offline)?)
        .bind(now.0)
        .bind(device.0)
        .execute(db)
        .await?;
    Ok(())
}

/// Every desktop that ever had a link.
pub async fn all(db: &mut Connection) -> Result<Vec<Desktop>, StoreError> {
    let rows: Vec<Row> = sqlx::query_as("SELECT * FROM desktops").fetch_all(db).await?;
    rows.into_iter().map(Row::into_desktop).collect()
}
