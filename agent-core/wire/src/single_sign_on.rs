//! Single sign-on at a desktop: the recorder begins it, the browser does it, the recorder ends it; over mutual TLS.
//!
//! The recorder makes a random *verifier* and tells the server only its hash, the *challenge* (as RFC 7636 does). The
//! browser comes back with a one-time code, by a link that any program of the machine may see; the code is good only
//! together with the verifier, and only for the device that began.

use crate::PersonId;
use serde::{Deserialize, Serialize};

/// GET: [`Offer`]; POST: [`Begin`] → [`Begun`].
pub const PATH: &str = "/api/v2/desktop/sso";

/// POST: [`End`] → [`Proved`].
pub const TOKEN_PATH: &str = "/api/v2/desktop/sso/token";

/// GET, by the browser: where the identity provider sends it back to.
pub const RETURN_PATH: &str = "/api/v2/desktop/sso/return";

/// What the browser's link back to the desktop begins with; the code follows.
pub const LINK: &str = "hindsight://signed-in?code=";

/// Whether this site has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Offer {
    /// It has.
    pub offered: bool,
}

/// Begins a sign-in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Begin {
    /// SHA-256 of the verifier, base64url without padding.
    pub challenge: String,
    /// Where they sit; absent: their own DN.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dn: Option<String>,
}

/// Answer to [`Begin`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Begun {
    /// What the browser is to open: the identity provider.
    pub url: String,
}

/// Ends a sign-in.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct End {
    /// From the link.
    pub code: String,
    /// What [`Begin::challenge`] is the hash of.
    pub verifier: String,
}

/// Answer to [`End`]: the session that a sign-in with a password gives.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Proved {
    /// Bearer token; bound to the device's certificate.
    pub token: String,
    /// Who signed in.
    pub person: PersonId,
    /// Their login name here.
    pub login: String,
    /// Where they sit.
    pub dn: String,
}
