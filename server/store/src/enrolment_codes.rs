//! Codes with which devices enrol: good for one device, or for a number of them.

use crate::{Connection, StoreError, token};
use hindsight_wire::{DeviceId, Timestamp, enrolment::DeviceKind};
use std::num::NonZeroU32;

/// Why a code was refused. The caller tells the device only that it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodeRefused {
    /// Never issued.
    #[error("unknown code")]
    Unknown,
    /// As many devices as it was for enrolled with it.
    #[error("code was used before")]
    Used,
    /// Too old.
    #[error("code has expired")]
    Expired,
    /// It may enrol other kinds of devices only.
    #[error("code is for another kind of device")]
    Kind,
}

/// Issues a code for one device of these kinds and returns it; only its hash is kept.
pub async fn issue(
    db: &mut Connection,
    kinds: &[DeviceKind],
    now: Timestamp,
    expires_at: Timestamp,
) -> Result<String, StoreError> {
    issue_for_many(db, kinds, NonZeroU32::MIN, now, expires_at).await
}

/// The same for so many devices.
pub async fn issue_for_many(
    db: &mut Connection,
    kinds: &[DeviceKind],
    uses: NonZeroU32,
    now: Timestamp,
    expires_at: Timestamp,
) -> Result<String, StoreError> {
    let code = token::new_token();
    let names: Vec<&str> = kinds.iter().map(|kind| kind.as_str()).collect();
    sqlx::query(
        "INSERT INTO enrolment_codes (code_sha256, kinds, made_at, expires_at, uses_left) VALUES (?, ?, ?, ?, ?)",
    )
    .bind(token::hash(&code).as_slice())
    .bind(serde_json::to_string(&names).map_err(|error| StoreError::damaged("device kinds", error))?)
    .bind(now.0)
    .bind(expires_at.0)
    .bind(uses.get())
    .execute(db)
    .await?;
    Ok(code)
}

/// Makes every code worthless that somebody could still enrol with; how many there were.
pub async fn end_all(db: &mut Connection, now: Timestamp) -> Result<u64, StoreError> {
    let ended =
        sqlx::query("UPDATE enrolment_codes SET expires_at = ? WHERE uses_left > 0 AND expires_at > ?")
            .bind(now.0)
            .bind(now.0)
            .execute(db)
            .await?;
    Ok(ended.rows_affected())
}

/// Uses a code for `device`, which must have been added in the same [`crate::Write`]; a refusal changes nothing.
pub async fn redeem(
    db: &mut Connection,
    code: &str,
    kind: DeviceKind,
    device: DeviceId,
    now: Timestamp,
) -> Result<Result<(), CodeRefused>, StoreError> {
    let hash = token::hash(code);
    if let Err(refused) = check(db, code, kind, now).await? {
        return Ok(Err(refused));
    }
    sqlx::query("UPDATE enrolment_codes SET used_at = ?, used_by = ?, uses_left = uses_left - 1 WHERE code_sha256 = ?")
        .bind(now.0)
        .bind(device.0)
        .bind(hash.as_slice())
        .execute(db)
        .await?;
    Ok(Ok(()))
}

/// Whether [`redeem`] would take this code now.
pub async fn check(
    db: &mut Connection,
    code: &str,
    kind: DeviceKind,
    now: Timestamp,
) -> Result<Result<(), CodeRefused>, StoreError> {
    let row: Option<(String, i64, i64)> =
        sqlx::query_as("SELECT kinds, expires_at, uses_left FROM enrolment_codes WHERE code_sha256 = ?")
            .bind(token::hash(code).as_slice())
            .fetch_optional(db)
            .await?;
    let Some((kinds, expires_at, uses_left)) = row else { return Ok(Err(CodeRefused::Unknown)) };
    let kinds: Vec<String> =
        serde_json::from_str(&kinds).map_err(|error| StoreError::damaged("device kinds", error))?;
    Ok(if uses_left < 1 {
        Err(CodeRefused::Used)
    } else if expires_at <= now.0 {
        Err(CodeRefused::Expired)
    } else if !kinds.iter().any(|name| name == kind.as_str()) {
        Err(CodeRefused::Kind)
    } else {
        Ok(())
    })
}
