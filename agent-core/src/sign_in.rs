//! Signing in at the web services.

use crate::policy::Seat;
use hindsight_link::Identity;
use hindsight_wire::link::{SIGN_IN_PATH, SignIn, SignedIn};
use zeroize::Zeroizing;

/// Who signs in.
pub struct Credentials {
    /// Login name.
    pub login: String,
    /// Kept in memory only, for the next time the server forgets the session.
    pub password: Zeroizing<String>,
    /// The DN they sit at; absent: their own.
    pub dn: Option<String>,
}

/// What a sign-in gives, however somebody proved who they are.
#[derive(Clone)]
pub struct Session {
    /// Who sits where, as the server answered.
    pub seat: Seat,
    /// For the link; good with this device's certificate only.
    pub token: String,
}

/// Why a sign-in failed.
#[derive(Debug, thiserror::Error)]
pub enum SignInError {
    /// The server says no; trying again will not help.
    #[error("the sign-in was refused: {0}")]
    Refused(String),
    /// The server cannot be reached, or cannot answer now.
    #[error("the sign-in did not reach the server: {0}")]
    Unreachable(String),
    /// The server was reached and cannot do it now.
    #[error("the server cannot do this now: {0}")]
    Failed(String),
}

/// Signs in once.
pub async fn sign_in(identity: &Identity, address: &str, who: &Credentials) -> Result<Session, SignInError> {
    let unreachable = |error: &dyn std::error::Error| SignInError::Unreachable(with_causes(error));
    let client = identity.http_client().map_err(|error| unreachable(&error))?;
    let body = SignIn { login: who.login.clone(), password: who.password.to_string(), dn: who.dn.clone() };
    let answer = client
        .post(format!("https://{address}{SIGN_IN_PATH}"))
        .timeout(std::time::Duration::from_secs(20))
        .json(&body)
        .send()
        .await
        .map_err(|error| unreachable(&error))?;
    let status = answer.status();
    if status.is_success() {
        let SignedIn { token, person, dn } = answer.json().await.map_err(|error| unreachable(&error))?;
        return Ok(Session { seat: Seat { login: who.login.clone(), person, dn }, token });
    }
    let said = answer.text().await.unwrap_or_default();
    let reason = format!("{status} {}", said.chars().take(300).collect::<String>());
    match status.as_u16() {
        401 | 403 | 422 => Err(SignInError::Refused(reason)),
        _ => Err(SignInError::Unreachable(reason)),
    }
}

/// An error and what led to it.
pub(crate) fn with_causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
