//! Settings of this process: `hindsight.toml` in the data directory; every key also as an environment variable, section
//! and key joined by two underscores (`HINDSIGHT_WEB_SERVICES__LISTEN`,
//! `HINDSIGHT_WEB_SERVICES__SINGLE_SIGN_ON__CLIENT_SECRET`), which goes before the file.

use crate::{data_directory::DataDirectory, logging::LogSettings};
use anyhow::bail;
use figment::{
    Figment,
    providers::{Env, Format, Toml},
};
use hindsight_model::Role;
use serde::{Deserialize, Serialize};
use std::{fs::File, io::ErrorKind, path::Path};

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
        // Opened, not only looked for: what may not be read is something else than what is missing.
        match File::open(&path).and_then(|file| file.metadata()) {
            Ok(metadata) if metadata.is_file() => {}
            Ok(_) => bail!("{} is no file", path.display()),
            Err(error) => bail!(unreadable(&path, &error)),
        }
        let settings: Settings = Figment::new()
            .merge(Toml::file_exact(&path))
            .merge(environment())
            .extract()
            .map_err(|error| refused(&path, error))?;
        if let Some(fault) = settings.fault() {
            bail!("settings: {}: {fault}", path.display());
        }
        Ok(settings.rooted(data))
    }

    /// A value that nobody can mean. Zero is no "never" in any of these.
    fn fault(&self) -> Option<String> {
        let (web, sip) = (&self.web_services, &self.sip_server);
        let (manager, crypto) = (&self.resource_manager, &self.crypto_server);
        let zero = [
            ("web-services.idle_minutes", u64::from(web.idle_minutes)),
            ("web-services.session_hours", web.session_hours.into()),
            ("web-services.desktop_hours", web.desktop_hours.into()),
            ("web-services.upload_hours", web.upload_hours.into()),
            ("web-services.largest_upload", web.largest_upload),
            ("web-services.control_timeout_ms", web.control_timeout_ms),
            ("web-services.connections", web.connections as u64),
            ("crypto-server.keys_per_person_and_hour", crypto.keys_per_person_and_hour.into()),
            ("crypto-server.keys_at_once", crypto.keys_at_once.into()),
            ("crypto-server.keys_per_processor_and_hour", crypto.keys_per_processor_and_hour.into()),
            ("resource-manager.idle_hours", manager.idle_hours),
            ("sip-server.max_expires", sip.max_expires.into()),
            ("sip-server.ring_seconds", sip.ring_seconds),
            ("sip-server.setup_seconds", sip.setup_seconds),
            ("sip-server.control_seconds", sip.control_seconds),
            ("sip-server.silence_seconds", sip.silence_seconds),
        ];
        if let Some((key, _)) = zero.into_iter().find(|(_, value)| *value == 0) {
            return Some(format!("{key} is at least 1"));
        }
        if sip.min_expires > sip.max_expires {
            return Some("sip-server.min_expires is at most max_expires".to_owned());
        }
        let port = crate::site_address::port(&self.address).filter(|port| *port != 0);
        if port.is_none() || crate::site_address::host(&self.address).is_empty() {
            return Some(format!("address = {:?}: host:port is expected", self.address));
        }
        None
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
        if let Some(tls) = &mut self.sip_server.tls {
            tls.certificate = data.path().join(&tls.certificate);
            tls.key = data.path().join(&tls.key);
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

/// Why a file of the data directory cannot be opened, and what to do.
fn unreadable(path: &Path, error: &std::io::Error) -> String {
    let path = path.display();
    match error.kind() {
        ErrorKind::NotFound => format!(
            "{path} is missing: `hindsight-server init` makes it (or name the data directory with --data)"
        ),
        ErrorKind::PermissionDenied => format!(
            "{path}: {error}: run this as the user whom the data directory belongs to (of the package: runuser -u hindsight -- hindsight-server …)"
        ),
        _ => format!("{path}: {error}"),
    }
}

/// What cannot be read, and where it stands: each in a line of its own.
fn refused(path: &Path, errors: figment::Error) -> anyhow::Error {
    let told = errors.into_iter().map(|error| {
        let variable = error.metadata.as_ref().is_some_and(|from| from.source.is_none());
        let (kind, key) = (expected(&error.kind), error.path.join("."));
        match variable {
            true => format!("environment variable for {key}: {kind}"),
            false if key.is_empty() => format!("{}: {kind}", path.display()),
            false => format!("{}: {key}: {kind}", path.display()),
        }
    });
    anyhow::anyhow!("settings: {}", told.collect::<Vec<_>>().join("; "))
}

/// Types by what may be written, not by their names in the program.
fn expected(kind: &figment::error::Kind) -> String {
    let whole = "a whole number, 0 or more";
    let text = kind.to_string();
    match text.rsplit_once("expected ") {
        Some((before, "usize" | "u64")) => format!("{before}expected {whole}"),
        Some((before, "u32")) => format!("{before}expected {whole}, at most {}", u32::MAX),
        Some((before, "u16")) => format!("{before}expected {whole}, at most {}", u16::MAX),
        _ => text,
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
    fn a_wrong_type_is_told_with_file_key_and_what_may_be_written() {
        let (directory, data) = data_with("[sip-server]\nmax_calls = \"many\"\n");
        let error = format!("{:#}", Settings::load(&data).err().unwrap());
        let file = directory.path().join("hindsight.toml");
        assert!(
            error.starts_with(&format!("settings: {}: sip-server.max_calls: ", file.display())),
            "{error}"
        );
        assert!(error.ends_with("expected a whole number, 0 or more"), "{error}");
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
    fn a_value_that_nobody_can_mean_is_refused_by_its_name() {
        for (text, named) in [
            ("[web-services]\nidle_minutes = 0\n", "idle_minutes"),
            ("[web-services]\nupload_hours = 0\n", "upload_hours"),
            ("[resource-manager]\nidle_hours = 0\n", "idle_hours"),
            ("[sip-server]\nmin_expires = 4000\n", "min_expires"),
            ("address = \"rec.example\"\n", "host:port"),
            ("address = \"rec.example:0\"\n", "host:port"),
        ] {
            let (_directory, data) = data_with(text);
            let error = crate::output::told(&Settings::load(&data).err().unwrap());
            assert!(error.contains(named), "{error}");
        }
    }

    #[test]
    fn settings_that_may_not_be_read_are_not_called_missing() {
        let (_directory, data) = data_with("");
        let denied = std::io::Error::from(ErrorKind::PermissionDenied);
        let text = unreadable(&data.settings(), &denied);
        assert!(text.contains("permission denied") && !text.contains("missing"), "{text}");
        // The same by the file system: a file stands where the data directory should be.
        let below_a_file = DataDirectory::new(data.settings());
        let error = Settings::load(&below_a_file).err().unwrap().to_string();
        assert!(!error.contains("missing") && !error.contains("init"), "{error}");
        std::fs::remove_file(data.settings()).unwrap();
        std::fs::create_dir(data.settings()).unwrap();
        assert!(Settings::load(&data).err().unwrap().to_string().contains("is no file"));
    }

    #[test]
    fn without_a_file_the_way_out_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let error = Settings::load(&DataDirectory::new(directory.path().to_owned())).err().unwrap();
        assert!(error.to_string().contains("hindsight-server init"));
    }
}
