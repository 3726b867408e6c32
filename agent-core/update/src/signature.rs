//! Who signed an update: minisign (Ed25519 over BLAKE2b), so that anybody can check it with `minisign -V`.

use minisign_verify::{PublicKey, Signature};
use std::{fs, io, path::Path};

/// Directories of the keys that are believed, installed with the program and added by the site.
pub const KEY_DIRECTORIES: [&str; 2] = ["/usr/share/hindsight/update-keys", "/etc/hindsight/update-keys"];

/// Public keys whose updates are believed.
#[derive(Default)]
pub struct Keys(Vec<PublicKey>);

/// Why an update is not believed.
#[derive(Debug, thiserror::Error)]
pub enum SignatureError {
    /// None is installed.
    #[error("no update key is installed: nothing can be believed")]
    NoKeys,
    /// Not a minisign signature.
    #[error("the update's signature cannot be read")]
    Unreadable,
    /// By another key, or of other bytes.
    #[error("the update is not signed by a known key")]
    NotSigned,
    /// A key file.
    #[error("the update key {0}: {1}")]
    Key(String, String),
}

impl Keys {
    /// Adds a key as `minisign -G` writes it (`*.pub`).
    pub fn add(&mut self, file: &str) -> Result<(), SignatureError> {
        let key = PublicKey::decode(file.trim_end());
        self.0.push(key.map_err(|error| SignatureError::Key("(text)".to_owned(), error.to_string()))?);
        Ok(())
    }

    /// Reads the keys of some directories; one that is not there has none. A file that others could have written is an error.
    pub fn load(directories: &[&Path]) -> Result<Self, SignatureError> {
        let mut keys = Self::default();
        for directory in directories {
            let entries = match fs::read_dir(directory) {
                Ok(entries) => entries,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(unusable(directory, error)),
            };
            for entry in entries {
                let path = entry.map_err(|error| unusable(directory, error))?.path();
                if path.extension().is_some_and(|extension| extension == "pub") {
                    must_be_kept_from_others(&path)?;
                    let text = fs::read_to_string(&path).map_err(|error| unusable(&path, error))?;
                    keys.add(&text).map_err(|error| unusable(&path, error))?;
                }
            }
        }
        Ok(keys)
    }

    /// Whether one of the keys signed these bytes. Signatures of the old kind, over bytes that were not hashed, are refused.
    pub fn verify(&self, bytes: &[u8], signature: &str) -> Result<(), SignatureError> {
        if self.0.is_empty() {
            return Err(SignatureError::NoKeys);
        }
        let signature = Signature::decode(signature).map_err(|_| SignatureError::Unreadable)?;
        let signed = self.0.iter().any(|key| key.verify(bytes, &signature, false).is_ok());
        if signed { Ok(()) } else { Err(SignatureError::NotSigned) }
    }
}

fn unusable(path: &Path, error: impl ToString) -> SignatureError {
    SignatureError::Key(path.display().to_string(), error.to_string())
}

#[cfg(unix)]
fn must_be_kept_from_others(path: &Path) -> Result<(), SignatureError> {
    use std::os::unix::fs::MetadataExt as _;
    let metadata = fs::metadata(path).map_err(|error| unusable(path, error))?;
    let ours = metadata.uid() == 0 || metadata.uid() == rustix::process::geteuid().as_raw();
    if ours && metadata.mode() & 0o022 == 0 {
        Ok(())
    } else {
        Err(unusable(path, "others than root may write it"))
    }
}

#[cfg(not(unix))]
fn must_be_kept_from_others(_: &Path) -> Result<(), SignatureError> {
    Ok(())
}
