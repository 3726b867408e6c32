//! Where the device key is kept: a file of the identity, unless its owner has a better place.

use crate::{LinkError, atomic};
use std::{
    fs, io,
    path::{Path, PathBuf},
};
use zeroize::Zeroizing;

/// Keeps the device key. Its methods may block: a key store asks other programs.
pub trait KeyPlace: Send + Sync {
    /// The key, PKCS#8 PEM; `None`: none was stored.
    fn load(&self) -> Result<Option<Zeroizing<String>>, LinkError>;
    /// Keeps it; durable on return.
    fn store(&self, pem: &str) -> Result<(), LinkError>;
}

/// `device.key` in the identity's directory, readable for this user only.
#[derive(Clone, Debug)]
pub struct KeyFile(PathBuf);

impl KeyFile {
    /// Of the identity kept in `dir`.
    pub fn new(dir: &Path) -> Self {
        Self(dir.join("device.key"))
    }

    /// Removes the file, for a key that is kept elsewhere now.
    pub fn remove(&self) -> Result<(), LinkError> {
        match fs::remove_file(&self.0) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(LinkError::storage("removing", &self.0)(error))
            }
            Err(_) | Ok(()) => Ok(()),
        }
    }
}

impl KeyPlace for KeyFile {
    fn load(&self) -> Result<Option<Zeroizing<String>>, LinkError> {
        match fs::read_to_string(&self.0) {
            Ok(pem) => Ok(Some(Zeroizing::new(pem))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(LinkError::storage("reading", &self.0)(error)),
        }
    }

    fn store(&self, pem: &str) -> Result<(), LinkError> {
        if let Some(dir) = self.0.parent() {
            atomic::create_dir(dir).map_err(LinkError::storage("making", dir))?;
        }
        atomic::write(&self.0, pem.as_bytes()).map_err(LinkError::storage("writing", &self.0))
    }
}
