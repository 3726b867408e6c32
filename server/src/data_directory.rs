//! Where things are in the data directory.

use hindsight_model::Role;
use std::path::{Path, PathBuf};

/// The data directory.
#[derive(Clone, Debug)]
pub struct DataDirectory(PathBuf);

impl DataDirectory {
    pub fn new(path: PathBuf) -> Self {
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Process settings.
    pub fn settings(&self) -> PathBuf {
        self.0.join("hindsight.toml")
    }

    /// The site's authority.
    pub fn authority(&self) -> PathBuf {
        self.0.join("ca")
    }

    pub fn https_certificate(&self) -> PathBuf {
        self.0.join("tls/web.pem")
    }

    pub fn https_key(&self) -> PathBuf {
        self.0.join("tls/web.key")
    }

    /// Identity of a role: `device.pem`, `device.key`, `ca.pem`, `address`.
    pub fn identity(&self, role: Role) -> PathBuf {
        self.0.join("components").join(role.as_str())
    }

    /// A role's own files: journal, cache, spool.
    pub fn of_role(&self, role: Role) -> PathBuf {
        self.0.join(role.as_str())
    }

    /// Recording keys and their audit log.
    pub fn crypto(&self) -> PathBuf {
        self.0.join("crypto")
    }

    /// The database.
    pub fn store(&self) -> PathBuf {
        self.0.join("store")
    }

    /// Sealed recordings, and uploads that still arrive.
    pub fn objects(&self) -> PathBuf {
        self.0.join("objects")
    }

    /// Locked by the process that runs a role.
    pub fn lock(&self, role: Role) -> PathBuf {
        self.0.join("run").join(format!("{}.lock", role.as_str()))
    }
}
