//! Settings of this process: `hindsight.toml` in the data directory; every key also as an environment variable, section
//! and key joined by two underscores (`HINDSIGHT_WEB_SERVICES__LISTEN`,
//! `HINDSIGHT_WEB_SERVICES__SINGLE_SIGN_ON__CLIENT_SECRET`), which goes before the file.

use crate::{data_directory::DataDirectory, logging::LogSettings};
use anyhow::Context;
use figment::{
    Figment,
    providers::{Env, Format, Toml},
};
use hindsight_model::Role;
use serde::{Deserialize, Serialize};

/// Start of the variables.
const PREFIX: &str = "HINDSIGHT_";

/// All settings. What is configured for the site as a whole (persons, DNs, policy) is not here but in the database.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Settings {
    /// Roles of this process.
    pub roles: Vec<Role>,
    /// `host:port` under which devices reach the web services; written into enrolment strings.
    pub address: String,
    /// Where the crypto server is; empty: on this host, at its `listen`.
    pub crypto_server_url: String,
    /// Logs.
    pub log: LogSettings,
    pub crypto_server: hindsight_crypto_server::Config,
    pub web_services: hindsight_web_services::config::Config,
    pub media_server: hindsight_media_server::Config,
    pub resource_manager: hindsight_resource_manager::Config,
    pub sip_server: hindsight_sip_server::config::Config,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            roles: Role::ALL.to_vec(),
            address: format!("localhost:{}", hindsight_web_services::config::DEFAULT_PORT),
            crypto_server_url: String::new(),
            log: LogSettings::default(),
            crypto_server: Default::default(),
            web_services: Default::default(),
            media_server: Default::default(),
            resource_manager: Default::default(),
            sip_server: Default::default(),
        }
    }
}

impl Settings {
    /// Reads the file and the environment. Paths in them are relative to the data directory.
    pub fn load(data: &DataDirectory) -> anyhow::Result<Self> {
        let path = data.settings();
        anyhow::ensure!(
            path.is_file(),
            "{} is missing: `hindsight-server init` makes it (or name the data directory with --data)",
            path.display()
        );
        let settings: Settings = Figment::new()
            .merge(Toml::file_exact(&path))
            .merge(environment())
            .extract()
            .with_context(|| format!("settings: {}", path.display()))?;
        Ok(settings.rooted(data))
    }

    fn rooted(mut self, data: &DataDirectory) -> Self {
        let web = &mut self.web_services;
        let paths = [
            &mut web.tls_certificate,
            &mut web.tls_key,
            &mut web.authority,
            &mut web.identity,
            &mut web.updates,
        ];
        for path in paths {
            *path = data.path().join(&*path);
        }
        if let Some(single_sign_on) = &mut web.single_sign_on {
            single_sign_on.complete(&self.address, data.path());
        }
        if self.crypto_server_url.is_empty() {
            self.crypto_server_url = format!("https://{}", self.crypto_server.listen);
        }
        self
    }
}

/// Variables with a section (`HINDSIGHT_LOG__FILTER`) and the three without; others that begin alike are not ours.
fn environment() -> Env {
    Env::prefixed(PREFIX)
        .filter_map(|name| {
            let name = name.as_str().to_lowercase();
            match name.split_once("__") {
                // Section names have hyphens, their keys do not, nor do sections inside sections.
                Some((section, key)) => {
                    Some(format!("{}.{}", section.replace('_', "-"), key.replace("__", ".")).into())
                }
                None if matches!(name.as_str(), "roles" | "address" | "crypto_server_url") => {
                    Some(name.replace('_', "-").into())
                }
                None => None,
            }
        })
        .lowercase(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data_with(text: &str) -> (tempfile::TempDir, DataDirectory) {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("hindsight.toml"), text).unwrap();
        let data = DataDirectory::new(directory.path().to_owned());
        (directory, data)
    }

    #[test]
    fn an_empty_file_gives_the_defaults_under_the_data_directory() {
        let (directory, data) = data_with("");
        let settings = Settings::load(&data).unwrap();
        assert_eq!(settings.roles, Role::ALL);
        assert!(settings.web_services.identity.starts_with(directory.path()));
    }

    #[test]
    fn an_unknown_key_is_refused_by_its_name() {
        let (_directory, data) = data_with("[sip-server]\nlisten_adress = \"0.0.0.0:5060\"\n");
        let error = format!("{:#}", Settings::load(&data).err().unwrap());
        assert!(error.contains("listen_adress"), "{error}");
    }

    #[test]
    fn the_keys_of_every_section_are_written_alike() {
        let (_directory, data) =
            data_with("[web-services]\nidle_minutes = 7\n[sip-server]\nlisten = \"127.0.0.1:1\"\n");
        assert_eq!(Settings::load(&data).unwrap().web_services.idle_minutes, 7);
        let toml = toml::to_string(&Settings::default()).unwrap();
        for line in toml.lines().filter(|line| !line.starts_with('[')) {
            let key = line.split_once(" = ").map_or("", |(key, _)| key);
            assert!(!key.contains('-') || key == "crypto-server-url", "{key}");
        }
    }

    #[test]
    fn single_sign_on_comes_back_to_the_sites_own_address() {
        let section =
            "[web-services.single_sign_on]\nissuer = \"https://id.example\"\nclient_id = \"hindsight\"\n";
        let (directory, data) = data_with(&format!(
            "address = \"calls.example:8443\"\n{section}client_secret_file = \"id.secret\"\n"
        ));
        let settings = Settings::load(&data).unwrap();
        let single_sign_on = settings.web_services.single_sign_on.unwrap();
        assert_eq!(single_sign_on.redirect_uri, "https://calls.example:8443/api/v2/desktop/sso/return");
        assert_eq!(single_sign_on.client_secret_file.unwrap(), directory.path().join("id.secret"));
        let (_directory, data) = data_with(&format!("{section}scope = [\"profile\"]\n"));
        let error = format!("{:#}", Settings::load(&data).err().unwrap());
        assert!(error.contains("scope"), "{error}");
    }

    #[test]
    fn without_a_file_the_way_out_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let error = Settings::load(&DataDirectory::new(directory.path().to_owned())).err().unwrap();
        assert!(error.to_string().contains("hindsight-server init"));
    }
}
