//! Configuration and commands for the voice components, sent over the link and cached by them on disk.

use crate::{
    InteractionId,
    agent::CallAction,
    policy::VoicePolicy,
    trunk::{Outside, Trunk},
};
use serde::{Deserialize, Serialize};

/// A SIP server's answer to a command for a call that it does not serve.
pub const NO_SUCH_CALL: &str = "no such call";

/// What the voice components work from. Cached: they start and record with the server unreachable.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VoiceConfig {
    /// Grows with every change.
    pub version: u64,
    /// SIP domain (realm of digest authentication).
    pub realm: String,
    /// Every DN.
    pub dns: Vec<Dn>,
    /// Certificates (PEM) of the recipients of new voice recordings; recording is refused when there is none.
    pub recipients: Vec<String>,
    /// How numbers outside are dialled and written; `None`: nobody calls out. For SIP servers only, as the trunks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outside: Option<Outside>,
    /// Lines to the world outside.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub trunks: Vec<Trunk>,
}

/// A directory number: what a phone registers as.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Dn {
    /// The number: user part of the address of record.
    pub number: String,
    /// H(A1) for MD5: hex of MD5(number:realm:password) (RFC 7616 3.4.2).
    pub ha1_md5: String,
    /// H(A1) for SHA-256.
    pub ha1_sha256: String,
    /// When its voice is recorded.
    pub record_voice: VoicePolicy,
    /// Whether its agent's screens are recorded while its calls are established.
    pub record_screen: bool,
}

impl std::fmt::Debug for Dn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dn").field("record_voice", &self.record_voice).finish_non_exhaustive()
    }
}

/// What can be asked of a recording in mid-call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RecordingAction {
    /// Begin, or begin again after a stop.
    Start,
    /// Silence from here; the timeline goes on.
    Pause,
    /// Go on in the same recording.
    Resume,
    /// End it; the call goes on.
    Stop,
}

/// A request to the SIP server for one call's recording.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RecordingControl {
    /// Which call.
    pub interaction: InteractionId,
    /// What to do.
    pub action: RecordingAction,
    /// Who asks (login).
    pub by: String,
    /// Why.
    pub reason: String,
}

/// A request to the SIP server for one party of a call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CallControl {
    /// Which call.
    pub interaction: InteractionId,
    /// The party that asks: a DN that takes part in the call.
    pub dn: String,
    /// What to do.
    pub action: CallAction,
    /// Of a transfer: the number to call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// Who asks (login).
    pub by: String,
}
