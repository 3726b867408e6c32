//! Single sign-on: the browser proves who somebody is; the recorder begins it and ends it.
//!
//! The link with which the browser comes back may be seen by any program here. What makes it worth something, the
//! verifier, is made here, told to nobody but the server at the end, and forgotten after a while.

use crate::{
    policy::Seat,
    sign_in::{Session, SignInError, with_causes},
};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use hindsight_link::Identity;
use hindsight_wire::single_sign_on::{Begin, Begun, End, PATH, Proved, TOKEN_PATH};
use ring::{
    digest::{SHA256, digest},
    rand::{SecureRandom as _, SystemRandom},
};
use serde::{Serialize, de::DeserializeOwned};
use std::time::{Duration, Instant};
use zeroize::Zeroizing;

/// The server answers within this time: it may ask the provider twice.
const PATIENCE: Duration = Duration::from_secs(30);
/// A browser that is not back after this time is not waited for: the server's longest wait is not longer.
const WAITED_FOR: Duration = Duration::from_secs(3600);
/// Longest code taken from a link.
const LONGEST_CODE: usize = 256;

/// Random bytes of a verifier (RFC 7636 4.1).
const VERIFIER_BYTES: usize = 32;

/// A sign-in that was begun here and whose browser is not back yet.
#[derive(Clone)]
pub struct Waiting {
    verifier: Zeroizing<String>,
    until: Instant,
}

impl Waiting {
    /// With a verifier of its own; `None`: the system gives no random bytes.
    pub fn new(now: Instant) -> Option<Self> {
        let mut bytes = Zeroizing::new([0; VERIFIER_BYTES]);
        SystemRandom::new().fill(&mut *bytes).ok()?;
        let verifier = Zeroizing::new(BASE64_URL_SAFE_NO_PAD.encode(*bytes));
        Some(Self { verifier, until: now + WAITED_FOR })
    }

    /// Whether the browser may still come.
    pub fn is_good(&self, now: Instant) -> bool {
        now < self.until
    }

    /// What the server may know before the end.
    fn challenge(&self) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(digest(&SHA256, self.verifier.as_bytes()))
    }

    /// Asks the server to begin; the address for the browser.
    pub async fn begin(
        &self,
        identity: &Identity,
        address: &str,
        dn: Option<String>,
    ) -> Result<String, SignInError> {
        let begin = Begin { challenge: self.challenge(), dn };
        let begun: Begun = ask(identity, address, PATH, &begin).await?;
        Ok(begun.url)
    }

    /// Brings the link's code to the server.
    pub async fn end(&self, identity: &Identity, address: &str, code: &str) -> Result<Session, SignInError> {
        if code.is_empty() || code.len() > LONGEST_CODE {
            return Err(SignInError::Refused("the link of the browser is damaged".to_owned()));
        }
        let end = End { code: code.to_owned(), verifier: self.verifier.to_string() };
        let Proved { token, person, login, dn } = ask(identity, address, TOKEN_PATH, &end).await?;
        Ok(Session { seat: Seat { login, person, dn }, token })
    }
}

/// One question; why not, in the server's own words.
async fn ask<A: DeserializeOwned>(
    identity: &Identity,
    address: &str,
    path: &str,
    question: &impl Serialize,
) -> Result<A, SignInError> {
    let unreachable = |error: &dyn std::error::Error| SignInError::Unreachable(with_causes(error));
    let client = identity.http_client().map_err(|error| unreachable(&error))?;
    let asked = client.post(format!("https://{address}{path}")).timeout(PATIENCE).json(question);
    let answer = asked.send().await.map_err(|error| unreachable(&error))?;
    let status = answer.status();
    if status.is_success() {
        return answer.json().await.map_err(|error| unreachable(&error));
    }
    let body: serde_json::Value = answer.json().await.unwrap_or_default();
    let said = body["error"]["message"].as_str().map_or_else(|| status.to_string(), str::to_owned);
    if status.is_client_error() { Err(SignInError::Refused(said)) } else { Err(SignInError::Failed(said)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_challenge_tells_nothing_of_the_verifier_and_is_as_rfc_7636_has_it() {
        // RFC 7636, appendix B.
        let verifier = Zeroizing::new("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk".to_owned());
        let waiting = Waiting { verifier, until: Instant::now() };
        assert_eq!(waiting.challenge(), "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
    }

    #[test]
    fn every_sign_in_has_a_verifier_of_its_own_and_is_not_waited_for_for_ever() {
        let now = Instant::now();
        let (one, other) = (Waiting::new(now).unwrap(), Waiting::new(now).unwrap());
        assert_ne!(*one.verifier, *other.verifier);
        assert!(one.verifier.len() >= 43, "RFC 7636 4.1");
        assert!(one.is_good(now) && !one.is_good(now + WAITED_FOR));
    }
}
