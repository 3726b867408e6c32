//! Settings of the crypto server.

use serde::{Deserialize, Serialize};
use std::net::{Ipv4Addr, SocketAddr};

/// Port unless configured.
pub const DEFAULT_PORT: u16 = 8444;

/// `[crypto-server]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Data keys that one person gets in an hour, on average.
    pub keys_per_person_and_hour: u32,
    /// Data keys that one person gets at once.
    pub keys_at_once: u32,
    /// The same for a recording processor, which opens every recording once.
    pub keys_per_processor_and_hour: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, DEFAULT_PORT)),
            keys_per_person_and_hour: 600,
            keys_at_once: 60,
            keys_per_processor_and_hour: 36_000,
        }
    }
}
