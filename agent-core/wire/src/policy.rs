//! What a device may capture, and how.

use serde::{Deserialize, Serialize};

/// How screens are captured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct CapturePolicy {
    /// Frames a second, 1 to 15.
    pub frame_rate: u32,
    /// H.264 quantiser, 18 (fine) to 40 (coarse).
    pub quantiser: u8,
    /// Longest capture, minutes; a call longer than that opens a new part.
    pub max_minutes: u32,
    /// What to do while the server cannot be reached.
    pub offline: OfflinePolicy,
}

impl Default for CapturePolicy {
    fn default() -> Self {
        Self { frame_rate: 5, quantiser: 26, max_minutes: 240, offline: OfflinePolicy::None }
    }
}

/// What a desktop does while it has no link to the server and so cannot learn of calls.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "mode", rename_all = "kebab-case", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum OfflinePolicy {
    /// No capture without a command; the gap is reported.
    #[default]
    None,
    /// Capture all the time, up to this many minutes per loss of the link; the server joins what belongs to a call.
    Keep {
        /// Limit.
        max_minutes: u32,
    },
}

/// When the voice of a DN is recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum VoicePolicy {
    /// Every call, from answer to hang-up.
    FullTime,
    /// Only when started by a person or program.
    #[default]
    OnDemand,
}
