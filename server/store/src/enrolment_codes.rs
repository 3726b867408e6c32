//! One-time codes with which devices enrol.

use crate::{Connection, StoreError, token};
use hindsight_wire::{DeviceId, Timestamp, enrolment::DeviceKind};

/// Why a code was refused. The caller tells the device only that it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodeRefused {
    /// Never issued.
    #[error("unknown code")]
    Unknown,
    /// Another device enrolled with it.
    #[error("code was used before")]
    Used,
    /// Too old.
    #[error("code has expired")]
    Expired,
    /// It may enrol other kinds of devices only.
    #[error("code is for another kind of device")]
    Kind,
}

/// Issues a code for devices of these kinds and returns it; only its hash is kept.
pub async fn issue(
    db: &mut Connection,
    kinds: &[DeviceKind],
    now: Timestamp,
    expires_at: Timestamp,
) -> Result<String, StoreError> {
    let code = token::new_token();
    let names: Vec<&str> = kinds.iter().map(|kind| kind.as_str()).collect();
    sqlx::query("INSERT INTO enrolment_codes (code_sha256, kinds, made_at, expires_at) VALUES (?, ?, ?, ?)")
        .bind(token::hash(&code).as_slice())
        .bind(serde_json::to_string(&names).map_err(|error| StoreError::damaged("device kinds", error))?)
        .bind(now.0)
        .bind(expires_at.0)
        .execute(db)
        .await?;
    Ok(code)
}

/// Uses a code up for `device`, which must have been added in the same [`crate::Write`]; a refusal changes nothing.
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
    sqlx::query("UPDATE enrolment_codes SET used_at = ?, used_by = ? WHERE code_sha256 = ?")
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
    let row: Option<(String, i64, Option<i64>)> =
        sqlx::query_as("SELECT kinds, expires_at, used_at FROM enrolment_codes WHERE code_sha256 = ?")
            .bind(token::hash(code).as_slice())
            .fetch_optional(db)
            .await?;
    let Some((kinds, expires_at, used_at)) = row else { return Ok(Err(CodeRefused::Unknown)) };
    let kinds: Vec<String> =
        serde_json::from_str(&kinds).map_err(|error| StoreError::damaged("device kinds", error))?;
    Ok(if used_at.is_some() {
        Err(CodeRefused::Used)
    } else if expires_at <= now.0 {
        Err(CodeRefused::Expired)
    } else if !kinds.iter().any(|name| name == kind.as_str()) {
        Err(CodeRefused::Kind)
    } else {
        Ok(())
    })
}
