//! A file that only this user can read.

use super::KeyStoreError;
use std::{
    fs,
    io::{self, Write as _},
    path::PathBuf,
};
use zeroize::Zeroizing;

/// One secret in one file.
pub struct SecretFile(PathBuf);

impl SecretFile {
    pub fn new(path: PathBuf) -> Self {
        Self(path)
    }

    pub fn read(&self) -> Result<Option<Zeroizing<String>>, KeyStoreError> {
        match fs::read_to_string(&self.0) {
            Ok(text) => Ok(Some(Zeroizing::new(text))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(KeyStoreError::File(self.0.clone(), error)),
        }
    }

    /// Whole or not at all.
    pub fn write(&self, text: &str) -> Result<(), KeyStoreError> {
        let new = self.0.with_extension("new");
        let written = || {
            let mut options = fs::OpenOptions::new();
            options.write(true).create(true).truncate(true);
            #[cfg(unix)]
            std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
            let mut file = options.open(&new)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            fs::rename(&new, &self.0)
        };
        written().map_err(|error| KeyStoreError::File(self.0.clone(), error))
    }

    pub fn remove(&self) -> Result<(), KeyStoreError> {
        match fs::remove_file(&self.0) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(KeyStoreError::File(self.0.clone(), error))
            }
            Err(_) | Ok(()) => Ok(()),
        }
    }
}
