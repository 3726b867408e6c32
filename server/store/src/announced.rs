//! Interactions that other systems announced: who announced which, and which request was sent twice.

use crate::{Connection, StoreError};
use hindsight_wire::{InteractionId, Timestamp};
use sqlx::FromRow;
use uuid::Uuid;

/// An announced interaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announced {
    /// Which.
    pub interaction: InteractionId,
    /// `system:<name>` or `person:<login>`.
    pub by: String,
    /// SHA-256 of what was asked, hexadecimal.
    pub request: String,
    /// When.
    pub at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
}

#[derive(FromRow)]
struct Row {
    interaction: Uuid,
    announced_by: String,
    request: String,
    announced_at: i64,
    ended_at: Option<i64>,
}

impl From<Row> for Announced {
    fn from(row: Row) -> Self {
        Announced {
            interaction: InteractionId(row.interaction),
            by: row.announced_by,
            request: row.request,
            at: Timestamp(row.announced_at),
            ended_at: row.ended_at.map(Timestamp),
        }
    }
}

/// Notes an announcement; `key` must not have been used by the same announcer ([`by_key`]).
pub async fn add(db: &mut Connection, announced: &Announced, key: Option<&str>) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO announced_interactions (interaction, announced_by, request_key, request, announced_at, ended_at)
         VALUES (?, ?, ?, ?, ?, ?)",
    )
    .bind(announced.interaction.0)
    .bind(&announced.by)
    .bind(key)
    .bind(&announced.request)
    .bind(announced.at.0)
    .bind(announced.ended_at.map(|at| at.0))
    .execute(db)
    .await?;
    Ok(())
}

/// What an announcer announced with this key.
pub async fn by_key(db: &mut Connection, by: &str, key: &str) -> Result<Option<Announced>, StoreError> {
    let row: Option<Row> =
        sqlx::query_as("SELECT * FROM announced_interactions WHERE announced_by = ? AND request_key = ?")
            .bind(by)
            .bind(key)
            .fetch_optional(db)
            .await?;
    Ok(row.map(Announced::from))
}

/// An announced interaction; `None`: there is none of this id, or it is a call.
pub async fn by_id(db: &mut Connection, id: InteractionId) -> Result<Option<Announced>, StoreError> {
    let row: Option<Row> = sqlx::query_as("SELECT * FROM announced_interactions WHERE interaction = ?")
        .bind(id.0)
        .fetch_optional(db)
        .await?;
    Ok(row.map(Announced::from))
}

/// Ends one; whether it was not over before.
pub async fn end(db: &mut Connection, id: InteractionId, now: Timestamp) -> Result<bool, StoreError> {
    let done = sqlx::query(
        "UPDATE announced_interactions SET ended_at = ? WHERE interaction = ? AND ended_at IS NULL",
    )
    .bind(now.0)
    .bind(id.0)
    .execute(db)
    .await?;
    Ok(done.rows_affected() > 0)
}
