//! Where this desktop's two secrets are kept: the device key and the token of who is signed in.
//!
//! | `key_store` | device key | token |
//! |---|---|---|
//! | `system` | the operating system's key store; a key that is in a file is moved there | there too |
//! | `system`, and there is none | a file that only this user can read, and a problem that says so | the same |
//! | `file` | a file that only this user can read | the same |
//! | `ask` | as `file` | nowhere: a person signs in at every start |
//!
//! A device key that is in the system's store is never made anew because the store is locked: the recorder waits.

mod file;
mod system;

use file::SecretFile;
use hindsight_link::{KeyFile, KeyPlace, LinkError};
use serde::{Deserialize, Serialize};
use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};
use system::SystemStore;
use zeroize::Zeroizing;

/// Name of the device key in the system's store.
const DEVICE_KEY: &str = "device-key";
/// Name of the session.
const SESSION: &str = "session";

/// Which key store is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyStoreSetting {
    /// The operating system's; where there is none, files, and people are told.
    #[default]
    System,
    /// Files that only this user can read.
    File,
    /// The token is kept nowhere.
    Ask,
}

/// Why a secret cannot be read or kept.
#[derive(Debug, thiserror::Error)]
pub enum KeyStoreError {
    /// Storage: there is no key store, it is locked, or it gives no answer.
    #[error("the key store of the system: {0}")]
    System(String),
    /// Storage: a file.
    #[error("{0}: {1}")]
    File(PathBuf, io::Error),
}

/// The places in use. Methods may block.
pub struct Keys {
    setting: KeyStoreSetting,
    /// `None`: not asked for, or not there.
    system: Option<SystemStore>,
    session_file: SecretFile,
    key_file: KeyFile,
    /// Says that the device key is in the system's store.
    marker: PathBuf,
    /// Why the setting could not be followed.
    problem: Option<String>,
}

impl Keys {
    /// Looks for what the setting asks for.
    pub fn open(setting: KeyStoreSetting, data_dir: &Path) -> Self {
        let mut problem = None;
        let system = match setting {
            KeyStoreSetting::File | KeyStoreSetting::Ask => None,
            KeyStoreSetting::System => {
                let store = SystemStore::new(data_dir);
                match store.get(SESSION) {
                    Ok(_) => Some(store),
                    Err(error) => {
                        problem = Some(format!("{error}; secrets are kept in files of this user"));
                        None
                    }
                }
            }
        };
        let identity = data_dir.join("identity");
        Self {
            setting,
            system,
            session_file: SecretFile::new(data_dir.join("session.json")),
            key_file: KeyFile::new(&identity),
            marker: identity.join("key-in-system-store"),
            problem,
        }
    }

    /// Why the setting could not be followed, for people.
    pub fn problem(&self) -> Option<&str> {
        self.problem.as_deref()
    }

    /// The session kept last.
    pub fn session(&self) -> Result<Option<Zeroizing<String>>, KeyStoreError> {
        match (&self.system, self.setting) {
            (_, KeyStoreSetting::Ask) => Ok(None),
            (None, _) => self.session_file.read(),
            (Some(store), _) => match (store.get(SESSION)?, self.session_file.read()?) {
                // Kept while there was no store.
                (None, Some(text)) => {
                    store.put(SESSION, &text)?;
                    self.session_file.remove()?;
                    Ok(Some(text))
                }
                (found, _) => Ok(found),
            },
        }
    }

    /// Keeps a session in place of the one before.
    pub fn keep_session(&self, text: &str) -> Result<(), KeyStoreError> {
        match (&self.system, self.setting) {
            (_, KeyStoreSetting::Ask) => Ok(()),
            (None, _) => self.session_file.write(text),
            (Some(store), _) => store.put(SESSION, text),
        }
    }

    /// Forgets the session, wherever one may be.
    pub fn forget_session(&self) -> Result<(), KeyStoreError> {
        self.session_file.remove()?;
        self.system.as_ref().map_or(Ok(()), |store| store.delete(SESSION))
    }
}

/// The device key's place is these.
pub struct DeviceKeyPlace(pub Arc<Keys>);

impl KeyPlace for DeviceKeyPlace {
    fn load(&self) -> Result<Option<Zeroizing<String>>, LinkError> {
        let keys = &*self.0;
        let in_system = keys.marker.exists();
        match (keys.key_file.load()?, &keys.system) {
            (Some(pem), Some(store)) => {
                self.move_to_system(store, &pem)?;
                Ok(Some(pem))
            }
            (Some(pem), None) => Ok(Some(pem)),
            (None, Some(store)) if in_system => store.get(DEVICE_KEY).map_err(in_words),
            (None, None) if in_system => {
                let why =
                    keys.problem.clone().unwrap_or_else(|| "it is in the key store of the system".to_owned());
                Err(LinkError::KeyStore(why))
            }
            (None, Some(_) | None) => Ok(None),
        }
    }

    fn store(&self, pem: &str) -> Result<(), LinkError> {
        match &self.0.system {
            Some(store) => self.move_to_system(store, pem),
            None => self.0.key_file.store(pem),
        }
    }
}

impl DeviceKeyPlace {
    /// The file goes last: at no moment the key is nowhere.
    fn move_to_system(&self, store: &SystemStore, pem: &str) -> Result<(), LinkError> {
        let keys = &*self.0;
        store.put(DEVICE_KEY, pem).map_err(in_words)?;
        if store.get(DEVICE_KEY).map_err(in_words)?.as_deref().map(String::as_str) != Some(pem) {
            return Err(LinkError::KeyStore("the key store of the system gave back another key".to_owned()));
        }
        let marked = fs::write(&keys.marker, "").and_then(|()| fs::File::open(&keys.marker)?.sync_all());
        marked.map_err(|error| LinkError::KeyStore(error.to_string()))?;
        keys.key_file.remove()
    }
}

fn in_words(error: KeyStoreError) -> LinkError {
    LinkError::KeyStore(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_system_store_secrets_are_in_files_of_this_user_and_people_are_told() {
        use std::os::unix::fs::PermissionsExt as _;
        let directory = tempfile::tempdir().unwrap();
        let keys = Arc::new(Keys::open(KeyStoreSetting::File, directory.path()));
        assert_eq!(keys.problem(), None, "files were asked for");
        assert!(keys.session().unwrap().is_none());
        keys.keep_session("secret").unwrap();
        assert_eq!(keys.session().unwrap().unwrap().as_str(), "secret");
        let place = DeviceKeyPlace(keys.clone());
        assert!(place.load().unwrap().is_none());
        place.store("key").unwrap();
        assert_eq!(place.load().unwrap().unwrap().as_str(), "key");
        for file in ["session.json", "identity/device.key"] {
            let mode = fs::metadata(directory.path().join(file)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{file}");
        }
        keys.forget_session().unwrap();
        keys.forget_session().unwrap();
        assert!(keys.session().unwrap().is_none());
    }

    #[test]
    fn who_is_asked_at_every_start_is_kept_nowhere() {
        let directory = tempfile::tempdir().unwrap();
        let keys = Keys::open(KeyStoreSetting::Ask, directory.path());
        keys.keep_session("secret").unwrap();
        assert!(keys.session().unwrap().is_none());
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_device_key_in_a_store_that_is_gone_is_waited_for_and_not_made_anew() {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("identity")).unwrap();
        fs::write(directory.path().join("identity/key-in-system-store"), "").unwrap();
        let keys = Arc::new(Keys::open(KeyStoreSetting::File, directory.path()));
        assert!(matches!(DeviceKeyPlace(keys).load(), Err(LinkError::KeyStore(_))));
    }
}
