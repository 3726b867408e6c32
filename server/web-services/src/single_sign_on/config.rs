//! `[web-services.single_sign_on]`: which identity provider, and what of its answer names a person here.

use hindsight_wire::single_sign_on::RETURN_PATH;
use serde::{Deserialize, Serialize};
use std::{
    fmt, io,
    path::{Path, PathBuf},
    time::Duration,
};

/// The site's OpenID provider.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SingleSignOnConfig {
    /// Issuer, exactly as the provider writes it; `https`. Its `.well-known/openid-configuration` is read.
    pub issuer: String,
    /// What the provider knows this site as.
    pub client_id: String,
    /// Given by the provider; best by `HINDSIGHT_WEB_SERVICES__SINGLE_SIGN_ON__CLIENT_SECRET`.
    #[serde(default, skip_serializing)]
    pub client_secret: Option<ClientSecretText>,
    /// A file that holds it instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_secret_file: Option<PathBuf>,
    /// Asked for beside `openid`.
    #[serde(default = "default_scopes")]
    pub scopes: Vec<String>,
    /// The claim that is the login name of a person here: `preferred_username`, `email`, `upn`, `sub` …
    #[serde(default = "default_claim")]
    pub claim: String,
    /// Where the provider sends the browser back to, as registered there; absent: this site's `address`.
    #[serde(default)]
    pub redirect_uri: String,
    /// Certificates (PEM) that the provider is verified with; absent: those of the system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// How long the browser has to sign in, seconds.
    #[serde(default = "default_sign_in_seconds")]
    pub sign_in_seconds: u64,
    /// How long the link back to the desktop is good, seconds.
    #[serde(default = "default_code_seconds")]
    pub code_seconds: u64,
}

fn default_scopes() -> Vec<String> {
    vec!["profile".to_owned(), "email".to_owned()]
}

fn default_claim() -> String {
    "preferred_username".to_owned()
}

fn default_sign_in_seconds() -> u64 {
    600
}

fn default_code_seconds() -> u64 {
    120
}

/// The client secret: never shown, never written.
#[derive(Clone, PartialEq, Deserialize)]
#[serde(transparent)]
pub struct ClientSecretText(String);

impl fmt::Debug for ClientSecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientSecretText")
    }
}

impl SingleSignOnConfig {
    /// Fills in what the process knows: the address of the site, the directory that paths are relative to.
    pub fn complete(&mut self, address: &str, directory: &Path) {
        if self.redirect_uri.is_empty() {
            self.redirect_uri = format!("https://{address}{RETURN_PATH}");
        }
        for path in [&mut self.client_secret_file, &mut self.ca_file].into_iter().flatten() {
            *path = directory.join(&*path);
        }
    }

    /// The client secret, from wherever it is; `None`: a public client, which has PKCE only.
    pub(super) fn secret(&self) -> Result<Option<String>, (PathBuf, io::Error)> {
        match (&self.client_secret, &self.client_secret_file) {
            (Some(ClientSecretText(secret)), _) => Ok(Some(secret.clone())),
            (None, Some(path)) => match std::fs::read_to_string(path) {
                Ok(text) => Ok(Some(text.trim_end_matches(['\r', '\n']).to_owned())),
                Err(error) => Err((path.clone(), error)),
            },
            (None, None) => Ok(None),
        }
    }

    pub(super) fn sign_in_limit(&self) -> Duration {
        Duration::from_secs(self.sign_in_seconds)
    }

    pub(super) fn code_limit(&self) -> Duration {
        Duration::from_secs(self.code_seconds)
    }
}
