//! Who calls the API: a person at the console, or another system with a token of its own.

use crate::{error::ApiError, session::User, state::App};
use axum::{
    extract::FromRequestParts,
    http::{StatusCode, header, request::Parts},
};
use hindsight_store::api_tokens::{self, Right, System};

/// Another system, by its token.
#[derive(Clone, Debug)]
pub struct Token(pub System);

impl Token {
    /// Refuses a system that has not this right.
    pub fn require(&self, right: Right) -> Result<(), ApiError> {
        if self.0.rights.contains(&right) {
            return Ok(());
        }
        let message = format!("the token of this system has not the right \"{}\"", right.as_str());
        Err(ApiError::forbidden("forbidden", message))
    }
}

/// A person or a system.
#[derive(Clone)]
pub enum Actor {
    /// With a session cookie.
    Person(User),
    /// With a bearer token.
    System(Token),
}

impl Actor {
    /// The name in events and in the audit log.
    pub fn name(&self) -> String {
        match self {
            Actor::Person(user) => user.0.login.clone(),
            Actor::System(token) => format!("system:{}", token.0.name),
        }
    }
}

impl FromRequestParts<App> for Actor {
    type Rejection = ApiError;
    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        if !parts.headers.contains_key(header::AUTHORIZATION) {
            return User::from_request_parts(parts, app).await.map(Actor::Person);
        }
        let refused = || {
            let message = "the token is unknown or revoked";
            ApiError::new(StatusCode::UNAUTHORIZED, "bad_token", message)
        };
        let token = bearer(parts).ok_or_else(refused)?;
        let system = api_tokens::by_token(&mut *app.database.read().await?, token).await?;
        system.map(|system| Actor::System(Token(system))).ok_or_else(refused)
    }
}

/// The token of `Authorization: Bearer` (RFC 6750 2.1).
pub fn bearer(parts: &Parts) -> Option<&str> {
    let value = parts.headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}
