//! Signed-in persons at the console: a cookie that scripts cannot read, a token in a header against cross-site requests,
//! an end after inactivity.

pub mod cookie;
pub mod routes;

use crate::{error::ApiError, state::App};
use axum::{
    extract::FromRequestParts,
    http::{HeaderName, Method, header, request::Parts},
};
use hindsight_search::Scope;
use hindsight_store::{
    persons::{self, Person, PersonRole},
    sessions::{self, Seat, Session},
};
use hindsight_wire::Timestamp;

/// Carries the token of [`Seat::Console`] with every request that changes something.
pub const CSRF_HEADER: HeaderName = HeaderName::from_static("x-csrf-token");
/// A session is marked as used at most so often: a page of requests is one write.
const TOUCH_EVERY_MS: i64 = 30_000;

/// A person with a session, perhaps with a password that must be changed first.
#[derive(Clone)]
pub struct SignedIn {
    /// Who.
    pub person: Person,
    /// Against cross-site requests.
    pub csrf_token: String,
    /// The cookie's value.
    pub token: String,
}

/// A person with a session and a password of their own: what everything but the session itself asks for.
#[derive(Clone)]
pub struct User(pub Person);

impl User {
    /// What they may see.
    pub fn scope(&self) -> Scope {
        Scope::of(&self.0)
    }

    /// Refuses who has none of these roles.
    pub fn require(&self, roles: &[PersonRole]) -> Result<(), ApiError> {
        if roles.iter().any(|role| self.0.is(*role)) {
            Ok(())
        } else {
            Err(ApiError::forbidden("forbidden", "your roles do not allow this"))
        }
    }
}

impl FromRequestParts<App> for SignedIn {
    type Rejection = ApiError;
    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let cookies = parts.headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
        let token = cookie::read(cookies).ok_or_else(ApiError::unauthenticated)?;
        let now = Timestamp::now();
        let mut db = app.database.read().await?;
        let session =
            sessions::by_token(&mut db, &token, now).await?.ok_or_else(ApiError::unauthenticated)?;
        let Seat::Console { csrf_token } = &session.seat else { return Err(ApiError::unauthenticated()) };
        if changes_something(&parts.method) {
            let given = parts.headers.get(CSRF_HEADER).map(|value| value.as_bytes()).unwrap_or_default();
            if !same(given, csrf_token.as_bytes()) {
                return Err(ApiError::forbidden("csrf", "the X-CSRF-Token header is missing or wrong"));
            }
        }
        let person = persons::by_id(&mut db, session.person).await?.ok_or_else(ApiError::unauthenticated)?;
        drop(db);
        touch(app, &token, &session, now).await?;
        Ok(Self { person, csrf_token: csrf_token.clone(), token })
    }
}

impl FromRequestParts<App> for User {
    type Rejection = ApiError;
    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let signed_in = SignedIn::from_request_parts(parts, app).await?;
        if signed_in.person.must_change {
            return Err(ApiError::forbidden(
                "password_change_required",
                "change your one-time password first",
            ));
        }
        Ok(Self(signed_in.person))
    }
}

fn changes_something(method: &Method) -> bool {
    !matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

/// Compares without telling by its duration how much was right.
fn same(given: &[u8], expected: &[u8]) -> bool {
    given.len() == expected.len() && given.iter().zip(expected).fold(0, |all, (a, b)| all | (a ^ b)) == 0
}

async fn touch(app: &App, token: &str, session: &Session, now: Timestamp) -> Result<(), ApiError> {
    if now.ms_since(session.seen_at) < TOUCH_EVERY_MS {
        return Ok(());
    }
    let mut write = app.database.write().await?;
    sessions::touch(&mut write, token, now, expiry(app, session.created_at, now)).await?;
    write.commit().await?;
    Ok(())
}

/// The end of a console session that was used `now`.
fn expiry(app: &App, created_at: Timestamp, now: Timestamp) -> Timestamp {
    let idle = now.plus_ms(i64::from(app.config.idle_minutes) * 60_000);
    let longest = created_at.plus_ms(i64::from(app.config.session_hours) * 3_600_000);
    idle.min(longest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_the_same_only_byte_for_byte() {
        assert!(same(b"abc", b"abc"));
        for given in [&b""[..], b"ab", b"abd", b"abcd"] {
            assert!(!same(given, b"abc"));
        }
    }

    #[test]
    fn only_reading_needs_no_csrf_token() {
        assert!(!changes_something(&Method::GET) && !changes_something(&Method::HEAD));
        for method in [Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
            assert!(changes_something(&method));
        }
    }
}
