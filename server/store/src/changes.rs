//! The record of every change of the configuration; its last version is the configuration's.

use crate::{Connection, StoreError};
use hindsight_wire::Timestamp;
use serde::{Deserialize, Serialize};

/// One object before and after a change. Never holds a credential.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectChange {
    /// Kind and name: `person/anna`, `dn/1001`, `realm`.
    pub object: String,
    /// Absent: it is new.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<serde_json::Value>,
    /// Absent: it was removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<serde_json::Value>,
}

/// A version of the configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// Grows by one.
    pub version: u64,
    /// When.
    pub at: Timestamp,
    /// Who: a login, or `command line`.
    pub actor: String,
    /// Why.
    pub reason: String,
    /// What.
    pub objects: Vec<ObjectChange>,
}

/// Records a change, in the same [`crate::Write`] as the change itself; the new version.
pub async fn record(
    db: &mut Connection,
    at: Timestamp,
    actor: &str,
    reason: &str,
    objects: &[ObjectChange],
) -> Result<u64, StoreError> {
    let json = serde_json::to_string(objects).map_err(|error| StoreError::damaged("changes", error))?;
    let done =
        sqlx::query("INSERT INTO configuration_changes (at, actor, reason, changes) VALUES (?, ?, ?, ?)")
            .bind(at.0)
            .bind(actor)
            .bind(reason)
            .bind(json)
            .execute(db)
            .await?;
    Ok(done.last_insert_rowid().unsigned_abs())
}

/// Version of the configuration; 0 before the first change.
pub async fn version(db: &mut Connection) -> Result<u64, StoreError> {
    let version: Option<i64> =
        sqlx::query_scalar("SELECT MAX(version) FROM configuration_changes").fetch_one(db).await?;
    Ok(version.unwrap_or(0).unsigned_abs())
}

/// The latest changes, newest first.
pub async fn latest(db: &mut Connection, limit: u32) -> Result<Vec<Change>, StoreError> {
    let rows: Vec<(i64, i64, String, String, String)> = sqlx::query_as(
        "SELECT version, at, actor, reason, changes FROM configuration_changes ORDER BY version DESC LIMIT ?",
    )
    .bind(limit)
    .fetch_all(db)
    .await?;
    rows.into_iter()
        .map(|(version, at, actor, reason, json)| {
            Ok(Change {
                version: version.unsigned_abs(),
                at: Timestamp(at),
                actor,
                reason,
                objects: serde_json::from_str(&json).map_err(|e| StoreError::damaged("changes", e))?,
            })
        })
        .collect()
}
