//! Settings of the local API.

use serde::{Deserialize, Serialize};

/// Settings of the local API.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LocalApiConfig {
    /// Whether it listens at all.
    pub enabled: bool,
    /// On this port of 127.0.0.1 and ::1.
    pub port: u16,
    /// Web pages of these origins may use it (`https://crm.example`); programs that are no browser need none.
    pub origins: Vec<String>,
}

impl Default for LocalApiConfig {
    fn default() -> Self {
        Self { enabled: false, port: 8083, origins: Vec::new() }
    }
}
