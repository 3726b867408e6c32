//! Who did what to what: sign-ins, searches, replays, changes. Each row's hash covers the row and the hash before it, so
//! that a row changed or taken out of the middle is noticed.

use crate::{Connection, StoreError, token::sha256};
use hindsight_wire::Timestamp;
use serde_json::Value;
use sqlx::FromRow;

/// An entry to write.
#[derive(Clone, Debug, PartialEq)]
pub struct Record<'a> {
    /// When.
    pub at: Timestamp,
    /// Who: a login, a device id, `command line`.
    pub actor: &'a str,
    /// What, in the form `recording.play`.
    pub action: &'a str,
    /// To what: an id.
    pub object: &'a str,
    /// The rest.
    pub details: Value,
}

/// An entry read.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Place in the log.
    pub position: u64,
    /// When.
    pub at: Timestamp,
    /// Who.
    pub actor: String,
    /// What.
    pub action: String,
    /// To what.
    pub object: String,
    /// The rest.
    pub details: Value,
}

#[derive(FromRow)]
struct Row {
    position: i64,
    at: i64,
    actor: String,
    action: String,
    object: String,
    details: String,
    hash: Vec<u8>,
}

impl Row {
    fn into_entry(self) -> Result<Entry, StoreError> {
        Ok(Entry {
            position: self.position.unsigned_abs(),
            at: Timestamp(self.at),
            actor: self.actor,
            action: self.action,
            object: self.object,
            details: serde_json::from_str(&self.details)
                .map_err(|e| StoreError::damaged("audit details", e))?,
        })
    }
}

/// The hash of a row: over the hash before it and the row's fields as a JSON list.
fn chained(before: &[u8], at: i64, actor: &str, action: &str, object: &str, details: &str) -> [u8; 32] {
    let mut bytes = before.to_vec();
    bytes.extend_from_slice(serde_json::json!([at, actor, action, object, details]).to_string().as_bytes());
    sha256(&bytes)
}

/// Appends an entry. Use it inside the [`crate::Write`] of what it tells of.
pub async fn append(db: &mut Connection, record: &Record<'_>) -> Result<(), StoreError> {
    let before: Option<Vec<u8>> = sqlx::query_scalar("SELECT hash FROM audit ORDER BY position DESC LIMIT 1")
        .fetch_optional(&mut *db)
        .await?;
    let details = record.details.to_string();
    let hash = chained(
        before.as_deref().unwrap_or_default(),
        record.at.0,
        record.actor,
        record.action,
        record.object,
        &details,
    );
    sqlx::query("INSERT INTO audit (at, actor, action, object, details, hash) VALUES (?, ?, ?, ?, ?, ?)")
        .bind(record.at.0)
        .bind(record.actor)
        .bind(record.action)
        .bind(record.object)
        .bind(details)
        .bind(hash.as_slice())
        .execute(db)
        .await?;
    Ok(())
}

/// Up to `limit` entries before `position` (none: the end), newest first.
pub async fn before(
    db: &mut Connection,
    position: Option<u64>,
    limit: u32,
) -> Result<Vec<Entry>, StoreError> {
    let rows: Vec<Row> =
        sqlx::query_as("SELECT * FROM audit WHERE position < ? ORDER BY position DESC LIMIT ?")
            .bind(position.map_or(i64::MAX, u64::cast_signed))
            .bind(limit)
            .fetch_all(db)
            .await?;
    rows.into_iter().map(Row::into_entry).collect()
}

/// Entries about one object, oldest first.
pub async fn of_object(db: &mut Connection, object: &str) -> Result<Vec<Entry>, StoreError> {
    let rows: Vec<Row> = sqlx::query_as("SELECT * FROM audit WHERE object = ? ORDER BY position")
        .bind(object)
        .fetch_all(db)
        .await?;
    rows.into_iter().map(Row::into_entry).collect()
}

/// Follows the chain from the first row; the position of the first row that does not fit, `None` when all do. Rows cut
/// off at the end are found only against a hash noted elsewhere: see [`head`].
pub async fn verify(db: &mut Connection) -> Result<Option<u64>, StoreError> {
    let mut hash: Vec<u8> = Vec::new();
    let mut position = 0_i64;
    loop {
        let rows: Vec<Row> =
            sqlx::query_as("SELECT * FROM audit WHERE position > ? ORDER BY position LIMIT 1000")
                .bind(position)
                .fetch_all(&mut *db)
                .await?;
        if rows.is_empty() {
            return Ok(None);
        }
        for row in rows {
            let expected = chained(&hash, row.at, &row.actor, &row.action, &row.object, &row.details);
            if row.hash != expected {
                return Ok(Some(row.position.unsigned_abs()));
            }
            position = row.position;
            hash = row.hash;
        }
    }
}

/// Position and hash of the last row.
pub async fn head(db: &mut Connection) -> Result<Option<(u64, Vec<u8>)>, StoreError> {
    let head: Option<(i64, Vec<u8>)> =
        sqlx::query_as("SELECT position, hash FROM audit ORDER BY position DESC LIMIT 1")
            .fetch_optional(db)
            .await?;
    Ok(head.map(|(position, hash)| (position.unsigned_abs(), hash)))
}
