//! Tokens of other systems: one each, with no more rights than it needs; only the hash is kept.

use crate::{Connection, StoreError, token};
use hindsight_wire::Timestamp;
use serde::{Deserialize, Serialize};
use sqlx::FromRow;
use std::collections::BTreeSet;

/// What a system may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Right {
    /// Announce interactions, and end those that it announced.
    Announce,
    /// Pause and resume recording.
    Pause,
}

impl Right {
    /// Every right.
    pub const ALL: [Right; 2] = [Right::Announce, Right::Pause];

    /// The name on the command line and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Right::Announce => "announce",
            Right::Pause => "pause",
        }
    }
}

/// A system that has a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct System {
    /// Its name.
    pub name: String,
    /// What it may do.
    pub rights: BTreeSet<Right>,
    /// When its token was made.
    pub made_at: Timestamp,
    /// From when on it is refused.
    pub revoked_at: Option<Timestamp>,
}

#[derive(FromRow)]
struct Row {
    name: String,
    rights: String,
    made_at: i64,
    revoked_at: Option<i64>,
}

impl Row {
    fn into_system(self) -> Result<System, StoreError> {
        Ok(System {
            name: self.name,
            rights: serde_json::from_str(&self.rights)
                .map_err(|error| StoreError::damaged("rights", error))?,
            made_at: Timestamp(self.made_at),
            revoked_at: self.revoked_at.map(Timestamp),
        })
    }
}

/// Makes a token for a system and returns it. One that the system had before is good no more.
pub async fn make(
    db: &mut Connection,
    name: &str,
    rights: &BTreeSet<Right>,
    now: Timestamp,
) -> Result<String, StoreError> {
    let secret = token::new_token();
    let rights = serde_json::to_string(rights).map_err(|error| StoreError::damaged("rights", error))?;
    sqlx::query(
        "INSERT INTO api_tokens (name, token_sha256, rights, made_at) VALUES (?, ?, ?, ?)
         ON CONFLICT (name) DO UPDATE SET token_sha256 = excluded.token_sha256, rights = excluded.rights,
             made_at = excluded.made_at, revoked_at = NULL",
    )
    .bind(name)
    .bind(token::hash(&secret).as_slice())
    .bind(rights)
    .bind(now.0)
    .execute(db)
    .await?;
    Ok(secret)
}

/// The system of this token, unless it was revoked.
pub async fn by_token(db: &mut Connection, secret: &str) -> Result<Option<System>, StoreError> {
    let row: Option<Row> = sqlx::query_as(
        "SELECT name, rights, made_at, revoked_at FROM api_tokens WHERE token_sha256 = ? AND revoked_at IS NULL",
    )
    .bind(token::hash(secret).as_slice())
    .fetch_optional(db)
    .await?;
    row.map(Row::into_system).transpose()
}

/// Every system, by name.
pub async fn all(db: &mut Connection) -> Result<Vec<System>, StoreError> {
    let rows: Vec<Row> =
        sqlx::query_as("SELECT name, rights, made_at, revoked_at FROM api_tokens ORDER BY name")
            .fetch_all(db)
            .await?;
    rows.into_iter().map(Row::into_system).collect()
}

/// Refuses a system's token from now on; whether it was good before.
pub async fn revoke(db: &mut Connection, name: &str, now: Timestamp) -> Result<bool, StoreError> {
    let done = sqlx::query("UPDATE api_tokens SET revoked_at = ? WHERE name = ? AND revoked_at IS NULL")
        .bind(now.0)
        .bind(name)
        .execute(db)
        .await?;
    Ok(done.rows_affected() > 0)
}
