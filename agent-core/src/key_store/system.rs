//! The operating system's key store: Secret Service, Keychain, Credential Manager. Each call in a thread of its own and
//! with a limit, for it may wait for a person to unlock it.

use super::KeyStoreError;
use keyring::Entry;
use std::{path::Path, sync::mpsc, time::Duration};
use zeroize::Zeroizing;

/// Name of this program in the store.
const SERVICE: &str = "hindsight-recorder";
/// Longest wait for an answer.
const LIMIT: Duration = Duration::from_secs(10);

/// The store, with names of this data directory's own.
pub struct SystemStore {
    data_dir: String,
}

impl SystemStore {
    pub fn new(data_dir: &Path) -> Self {
        let data_dir = std::path::absolute(data_dir).unwrap_or_else(|_| data_dir.to_owned());
        Self { data_dir: data_dir.to_string_lossy().into_owned() }
    }

    pub fn get(&self, name: &str) -> Result<Option<Zeroizing<String>>, KeyStoreError> {
        self.within_limit(name, |entry| match entry.get_password() {
            Ok(secret) => Ok(Some(Zeroizing::new(secret))),
            Err(keyring::Error::NoEntry) => Ok(None),
            Err(error) => Err(error),
        })
    }

    pub fn put(&self, name: &str, secret: &str) -> Result<(), KeyStoreError> {
        let secret = Zeroizing::new(secret.to_owned());
        self.within_limit(name, move |entry| entry.set_password(&secret))
    }

    pub fn delete(&self, name: &str) -> Result<(), KeyStoreError> {
        self.within_limit(name, |entry| match entry.delete_credential() {
            Err(keyring::Error::NoEntry) => Ok(()),
            other => other,
        })
    }

    fn within_limit<T: Send + 'static>(
        &self,
        name: &str,
        work: impl FnOnce(&Entry) -> Result<T, keyring::Error> + Send + 'static,
    ) -> Result<T, KeyStoreError> {
        let (sender, receiver) = mpsc::sync_channel(1);
        let user = format!("{name} {}", self.data_dir);
        let thread = std::thread::Builder::new().name("key-store".to_owned());
        let started = thread.spawn(move || {
            // Whoever asked may have given up.
            let _ = sender.send(Entry::new(SERVICE, &user).and_then(|entry| work(&entry)));
        });
        started.map_err(|error| KeyStoreError::System(error.to_string()))?;
        match receiver.recv_timeout(LIMIT) {
            Ok(result) => result.map_err(|error| KeyStoreError::System(in_words(&error))),
            Err(_) => Err(KeyStoreError::System(format!("no answer within {} s", LIMIT.as_secs()))),
        }
    }
}

fn in_words(error: &keyring::Error) -> String {
    match error {
        keyring::Error::NoDefaultStore => "there is none".to_owned(),
        keyring::Error::NoStorageAccess(_) => "it is locked or not to be reached".to_owned(),
        other => other.to_string(),
    }
}
