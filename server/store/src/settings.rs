//! Site-wide settings: named JSON values.

use crate::{Connection, StoreError};
use serde::{Serialize, de::DeserializeOwned};

/// The value of a setting.
pub async fn get<T: DeserializeOwned>(
    db: &mut Connection,
    name: &'static str,
) -> Result<Option<T>, StoreError> {
    let value: Option<String> =
        sqlx::query_scalar("SELECT value FROM settings WHERE name = ?").bind(name).fetch_optional(db).await?;
    value
        .map(|json| serde_json::from_str(&json).map_err(|error| StoreError::damaged(name, error)))
        .transpose()
}

/// Sets a setting.
pub async fn put<T: Serialize>(db: &mut Connection, name: &'static str, value: &T) -> Result<(), StoreError> {
    let json = serde_json::to_string(value).map_err(|error| StoreError::damaged(name, error))?;
    sqlx::query(
        "INSERT INTO settings (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
    )
    .bind(name)
    .bind(json)
    .execute(db)
    .await?;
    Ok(())
}
