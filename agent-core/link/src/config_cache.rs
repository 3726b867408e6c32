//! The last configuration of a voice component, so that it starts and records with the server unreachable.

use crate::{LinkError, atomic};
use hindsight_wire::component::VoiceConfig;
use std::{
    fs, io,
    path::{Path, PathBuf},
};

const FILE: &str = "config.json";

/// `config.json` in a component's directory; readable by this user only (it holds digests of passwords).
#[derive(Clone, Debug)]
pub struct ConfigCache {
    path: PathBuf,
}

impl ConfigCache {
    /// The cache in `dir`, which is made when there is none.
    pub fn open(dir: &Path) -> Result<Self, LinkError> {
        atomic::create_dir(dir).map_err(LinkError::storage("making", dir))?;
        Ok(Self { path: dir.join(FILE) })
    }

    /// The configuration kept last. An unreadable one counts as none: the server sends it again.
    pub fn load(&self) -> Result<Option<VoiceConfig>, LinkError> {
        let content = match fs::read(&self.path) {
            Ok(content) => content,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(LinkError::storage("reading", &self.path)(error)),
        };
        match serde_json::from_slice(&content) {
            Ok(config) => Ok(Some(config)),
            Err(error) => {
                tracing::warn!(%error, "cached configuration unreadable, waiting for the server's");
                Ok(None)
            }
        }
    }

    /// Keeps a configuration, durably: the old one or the new one survives a crash, whole. Blocks on the disk.
    pub fn store(&self, config: &VoiceConfig) -> Result<(), LinkError> {
        let content = serde_json::to_vec(config).map_err(|error| LinkError::Identity(error.to_string()))?;
        atomic::write(&self.path, &content).map_err(LinkError::storage("writing", &self.path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_configuration_is_found_again_and_private() {
        let dir = tempfile::tempdir().unwrap();
        let cache = ConfigCache::open(&dir.path().join("sip-server")).unwrap();
        assert_eq!(cache.load().unwrap(), None);
        for version in [1, 2] {
            cache.store(&VoiceConfig { version, ..VoiceConfig::default() }).unwrap();
        }
        assert_eq!(cache.load().unwrap().unwrap().version, 2);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(fs::metadata(&cache.path).unwrap().permissions().mode() & 0o777, 0o600);
        }
        fs::write(&cache.path, b"{\"version\":").unwrap();
        assert_eq!(cache.load().unwrap(), None);
    }
}
