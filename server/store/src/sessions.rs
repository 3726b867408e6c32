//! Signed-in persons, in browsers and at desktops.

use crate::{Connection, StoreError, token};
use hindsight_wire::{DeviceId, PersonId, Timestamp};
use sqlx::FromRow;
use uuid::Uuid;

/// Where a person is signed in.
#[derive(Clone, PartialEq, Eq)]
pub enum Seat {
    /// A browser; changes need this token in a header as well.
    Console {
        /// Against cross-site requests.
        csrf_token: String,
    },
    /// A desktop; the session's token is good only with this device's certificate.
    Desktop {
        /// Whose certificate.
        device: DeviceId,
        /// Where they sit.
        dn: String,
    },
}

/// A session.
#[derive(Clone, PartialEq, Eq)]
pub struct Session {
    /// Who.
    pub person: PersonId,
    /// Where.
    pub seat: Seat,
    /// Sign-in.
    pub created_at: Timestamp,
    /// Last use.
    pub seen_at: Timestamp,
    /// Last moment.
    pub expires_at: Timestamp,
}

#[derive(FromRow)]
struct Row {
    person: Uuid,
    csrf_token: Option<String>,
    device: Option<Uuid>,
    dn: Option<String>,
    created_at: i64,
    seen_at: i64,
    expires_at: i64,
}

impl Row {
    fn into_session(self) -> Result<Session, StoreError> {
        let seat = match (self.csrf_token, self.device, self.dn) {
            (Some(csrf_token), None, None) => Seat::Console { csrf_token },
            (None, Some(device), Some(dn)) => Seat::Desktop { device: DeviceId(device), dn },
            _ => return Err(StoreError::damaged("session", "neither a console's nor a desktop's")),
        };
        Ok(Session {
            person: PersonId(self.person),
            seat,
            created_at: Timestamp(self.created_at),
            seen_at: Timestamp(self.seen_at),
            expires_at: Timestamp(self.expires_at),
        })
    }
}

/// Opens a session and returns its secret token; only its hash is kept.
pub async fn open(db: &mut Connection, session: &Session) -> Result<String, StoreError> {
    let secret = token::new_token();
    let (csrf_token, device, dn) = match &session.seat {
        Seat::Console { csrf_token } => (Some(csrf_token.as_str()), None, None),
        Seat::Desktop { device, dn } => (None, Some(device.0), Some(dn.as_str())),
    };
    sqlx::query(
        "INSERT INTO sessions (token_sha256, person, csrf_token, device, dn, created_at, seen_at, expires_at)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(token::hash(&secret).as_slice())
    .bind(session.person.0)
    .bind(csrf_token)
    .bind(device)
    .bind(dn)
    .bind(session.created_at.0)
    .bind(session.seen_at.0)
    .bind(session.expires_at.0)
    .execute(db)
    .await?;
    Ok(secret)
}

/// The session of this token, unless it has ended.
pub async fn by_token(
    db: &mut Connection,
    secret: &str,
    now: Timestamp,
) -> Result<Option<Session>, StoreError> {
    let row: Option<Row> = sqlx::query_as("SELECT * FROM sessions WHERE token_sha256 = ? AND expires_at > ?")
        .bind(token::hash(secret).as_slice())
        .bind(now.0)
        .fetch_optional(db)
        .await?;
    row.map(Row::into_session).transpose()
}

/// Marks a session as used and moves its end.
pub async fn touch(
    db: &mut Connection,
    secret: &str,
    now: Timestamp,
    expires_at: Timestamp,
) -> Result<(), StoreError> {
    sqlx::query("UPDATE sessions SET seen_at = ?, expires_at = ? WHERE token_sha256 = ?")
        .bind(now.0)
        .bind(expires_at.0)
        .bind(token::hash(secret).as_slice())
        .execute(db)
        .await?;
    Ok(())
}

/// Ends one session; whether it was there.
pub async fn close(db: &mut Connection, secret: &str) -> Result<bool, StoreError> {
    let done = sqlx::query("DELETE FROM sessions WHERE token_sha256 = ?")
        .bind(token::hash(secret).as_slice())
        .execute(db)
        .await?;
    Ok(done.rows_affected() > 0)
}

/// Ends every session of a person but the one of `keep`: after a change of password.
pub async fn close_others(
    db: &mut Connection,
    person: PersonId,
    keep: Option<&str>,
) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM sessions WHERE person = ? AND token_sha256 IS NOT ?")
        .bind(person.0)
        .bind(keep.map(|secret| token::hash(secret).to_vec()))
        .execute(db)
        .await?;
    Ok(())
}

/// Removes the sessions that have ended.
pub async fn remove_expired(db: &mut Connection, now: Timestamp) -> Result<u64, StoreError> {
    let done = sqlx::query("DELETE FROM sessions WHERE expires_at <= ?").bind(now.0).execute(db).await?;
    Ok(done.rows_affected())
}

/// The latest desktop session at a DN that has not ended: who sits there.
pub async fn at_dn(db: &mut Connection, dn: &str, now: Timestamp) -> Result<Option<Session>, StoreError> {
    let row: Option<Row> = sqlx::query_as(
        "SELECT * FROM sessions WHERE dn = ? AND expires_at > ? ORDER BY created_at DESC LIMIT 1",
    )
    .bind(dn)
    .bind(now.0)
    .fetch_optional(db)
    .await?;
    row.map(Row::into_session).transpose()
}

/// The latest desktop session of a person that has not ended: where they sit.
pub async fn of_person(
    db: &mut Connection,
    person: PersonId,
    now: Timestamp,
) -> Result<Option<Session>, StoreError> {
    let row: Option<Row> = sqlx::query_as(
        "SELECT * FROM sessions WHERE person = ? AND dn IS NOT NULL AND expires_at > ?
         ORDER BY created_at DESC LIMIT 1",
    )
    .bind(person.0)
    .bind(now.0)
    .fetch_optional(db)
    .await?;
    row.map(Row::into_session).transpose()
}

/// The sessions at desktops that have not ended, oldest first.
pub async fn at_desktops(db: &mut Connection, now: Timestamp) -> Result<Vec<Session>, StoreError> {
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT * FROM sessions WHERE device IS NOT NULL AND expires_at > ? ORDER BY created_at",
    )
    .bind(now.0)
    .fetch_all(db)
    .await?;
    rows.into_iter().map(Row::into_session).collect()
}
