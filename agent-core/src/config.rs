//! Settings of the recorder: a TOML file, every key also as `HINDSIGHT_RECORDER_…` in the environment.
//!
//! Two secrets are never in the file: the password (`HINDSIGHT_RECORDER_PASSWORD`, a file of its own, or standard
//! input) and the enrolment string (`HINDSIGHT_RECORDER_ENROLMENT`, or a file of its own).

use crate::{
    capture::Backend, key_store::KeyStoreSetting, local_api::LocalApiConfig, system, updates::UpdatesConfig,
};
use figment::{
    Figment,
    providers::{Env, Format, Serialized, Toml},
};
use hindsight_spool::Limits;
use hindsight_wire::{enrolment::EnrolmentString, local::Secret};
use serde::{Deserialize, Serialize};
use std::{
    io::Read as _,
    path::{Path, PathBuf},
};
use zeroize::Zeroizing;

/// The site's settings for every desktop of a machine, put there by a silent installation.
pub const SITE_FILE: &str = "/etc/hindsight/recorder.toml";

/// Prefix of the environment's variables.
pub const ENVIRONMENT: &str = "HINDSIGHT_RECORDER_";

/// Settings of the recorder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RecorderConfig {
    /// Where identity, spool and kept policy live; absent: `hindsight` among the user's data.
    pub data_dir: PathBuf,
    /// `host:port` of the web services; absent: where the device enrolled.
    pub address: Option<String>,
    /// File that holds the enrolment string; needed once.
    pub enrolment_file: Option<PathBuf>,
    /// The device's name, for people; absent: the host's.
    pub name: Option<String>,
    /// Where the device key and the session are kept.
    pub key_store: KeyStoreSetting,
    /// Who sits here; empty: whoever signs in at a window.
    pub login: String,
    /// File that holds the password (first line).
    pub password_file: Option<PathBuf>,
    /// The DN they sit at; absent: their own.
    pub dn: Option<String>,
    /// Which backend takes the pictures.
    pub backend: Backend,
    /// Name of the X display; absent: `$DISPLAY`.
    pub display: Option<String>,
    /// `http://[user:password@]host[:port]` of the proxy on the way to the site; empty: none; absent: as the environment
    /// says (`HTTPS_PROXY`, `ALL_PROXY`, `NO_PROXY`).
    pub proxy: Option<Secret>,
    /// Limits of the spool.
    pub spool: Limits,
    /// The HTTP API on loopback.
    pub local_api: LocalApiConfig,
    /// New versions of this program.
    pub updates: UpdatesConfig,
}

impl Default for RecorderConfig {
    fn default() -> Self {
        Self {
            data_dir: user_data().unwrap_or_default().join("hindsight"),
            address: None,
            enrolment_file: None,
            name: None,
            key_store: KeyStoreSetting::default(),
            login: String::new(),
            password_file: None,
            dn: None,
            backend: Backend::default(),
            display: None,
            proxy: None,
            spool: Limits::default(),
            local_api: LocalApiConfig::default(),
            updates: UpdatesConfig::default(),
        }
    }
}

/// Why the settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A key is unknown or has a wrong value.
    #[error("{0}")]
    Value(#[from] Box<figment::Error>),
    /// A file cannot be read.
    #[error("reading {path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// No enrolment string in its place.
    #[error("the enrolment string: {0}")]
    Enrolment(#[from] hindsight_wire::enrolment::EnrolmentStringError),
    /// No password is given.
    #[error("no password is given (`password_file`, {ENVIRONMENT}PASSWORD, or --password-stdin)")]
    NoPassword,
}

impl RecorderConfig {
    /// Built-in values, then the file (where none is named: the site's, if there is one), then the environment.
    pub fn load(file: Option<&Path>) -> Result<Self, ConfigError> {
        let site = Path::new(SITE_FILE);
        let file = file.or_else(|| site.is_file().then_some(site));
        let mut figment = Figment::from(Serialized::defaults(Self::default()));
        if let Some(file) = file {
            figment = figment.merge(Toml::file_exact(file));
        }
        let environment = Env::prefixed(ENVIRONMENT).ignore(&["password", "enrolment", "log"]).split("__");
        figment.merge(environment).extract().map_err(|error| Box::new(error).into())
    }

    /// The enrolment string, if one was given.
    pub fn enrolment(&self) -> Result<Option<EnrolmentString>, ConfigError> {
        let text = match (std::env::var(format!("{ENVIRONMENT}ENROLMENT")), &self.enrolment_file) {
            (Ok(text), _) => text,
            (Err(_), Some(path)) => read(path)?.to_string(),
            (Err(_), None) => return Ok(None),
        };
        Ok(Some(text.parse()?))
    }

    /// The password, from the environment, its file, or (when asked to) standard input.
    pub fn password(&self, stdin: bool) -> Result<Zeroizing<String>, ConfigError> {
        let text = if stdin {
            let mut text = Zeroizing::new(String::new());
            let path = PathBuf::from("standard input");
            std::io::stdin()
                .read_to_string(&mut text)
                .map_err(|source| ConfigError::File { path, source })?;
            text
        } else if let Ok(text) = std::env::var(format!("{ENVIRONMENT}PASSWORD")) {
            Zeroizing::new(text)
        } else {
            read(self.password_file.as_ref().ok_or(ConfigError::NoPassword)?)?
        };
        let line = text.lines().next().unwrap_or_default();
        if line.is_empty() { Err(ConfigError::NoPassword) } else { Ok(Zeroizing::new(line.to_owned())) }
    }

    /// What the device is called.
    pub fn device_name(&self) -> String {
        self.name.clone().unwrap_or_else(system::host_name)
    }
}

/// Where programs keep a user's data: as the tray program finds it, so that both agree.
fn user_data() -> Option<PathBuf> {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if cfg!(windows) {
        return variable("LOCALAPPDATA");
    }
    let home = variable("HOME")?;
    if cfg!(target_os = "macos") {
        return Some(home.join("Library/Application Support"));
    }
    variable("XDG_DATA_HOME").or_else(|| Some(home.join(".local/share")))
}

fn read(path: &Path) -> Result<Zeroizing<String>, ConfigError> {
    let text = std::fs::read_to_string(path);
    text.map(Zeroizing::new).map_err(|source| ConfigError::File { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_and_an_unknown_key_refused() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("recorder.toml");
        std::fs::write(&file, "login = \"alice\"\nbackend = \"scrap\"\n[spool]\nmin_free_bytes = 7\n")
            .unwrap();
        let config = RecorderConfig::load(Some(&file)).unwrap();
        assert_eq!(
            (config.login.as_str(), config.backend, config.spool.min_free_bytes),
            ("alice", Backend::Scrap, 7)
        );
        std::fs::write(&file, "password = \"in the open\"\n").unwrap();
        assert!(matches!(RecorderConfig::load(Some(&file)), Err(ConfigError::Value(_))));
    }
}
