//! The components a process may run.

use serde::{Deserialize, Serialize};
use std::str::FromStr;

/// A component of the server. One process runs any set of them; they meet over sockets all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Keys.
    CryptoServer,
    /// HTTPS.
    WebServices,
    /// Joins uploads and events.
    RecordingProcessor,
    /// Calls and sessions, counted.
    ReportingServer,
    /// Relay and recorder.
    MediaServer,
    /// Proxy before the media servers.
    ResourceManager,
    /// Registrar and call control.
    SipServer,
}

impl Role {
    /// All, in the order in which they start.
    pub const ALL: [Role; 7] = [
        Role::CryptoServer,
        Role::WebServices,
        Role::RecordingProcessor,
        Role::ReportingServer,
        Role::MediaServer,
        Role::ResourceManager,
        Role::SipServer,
    ];

    /// Whether it has a key and a certificate of its own: it speaks to other components over the network. The reporting
    /// server reads the event log of the database and answers nobody.
    pub fn is_device(self) -> bool {
        self != Role::ReportingServer
    }

    /// The name used on the command line, in certificates and directories.
    pub fn as_str(self) -> &'static str {
        match self {
            Role::CryptoServer => "crypto-server",
            Role::WebServices => "web-services",
            Role::RecordingProcessor => "recording-processor",
            Role::ReportingServer => "reporting-server",
            Role::MediaServer => "media-server",
            Role::ResourceManager => "resource-manager",
            Role::SipServer => "sip-server",
        }
    }
}

/// A name that is no role.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "no role `{0}`; roles are crypto-server, web-services, recording-processor, reporting-server, media-server, resource-manager, sip-server"
)]
pub struct UnknownRole(String);

impl FromStr for Role {
    type Err = UnknownRole;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Role::ALL.into_iter().find(|role| role.as_str() == text).ok_or_else(|| UnknownRole(text.to_owned()))
    }
}
