//! What a device may capture, and how.

use serde::{Deserialize, Serialize};

/// How screens are captured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CapturePolicy {
    /// Frames a second, 1 to 15.
    pub frame_rate: u32,
    /// H.264 quantiser, 18 (fine) to 40 (coarse).
    pub quantiser: u8,
    /// Longest capture, minutes; a call longer than that opens a new part.
    pub max_minutes: u32,
    /// What to do while the server cannot be reached.
    pub offline: OfflinePolicy,
    /// Size of the pictures, percent of the screen's, 25 to 100.
    pub scale_percent: u8,
    /// Without colour.
    pub greyscale: bool,
    /// What is never in a picture.
    pub masks: Vec<WindowMatch>,
    /// When not empty, only these windows are in a picture; everything else is masked (default deny).
    pub only: Vec<WindowMatch>,
    /// While such a window is in front, voice and screens of the agent's interactions are paused.
    pub pause_while: Vec<WindowMatch>,
    /// Capture goes on for after-call work, seconds.
    pub after_call_seconds: u32,
    /// Capture between interactions too, while somebody is signed in.
    pub between_calls: bool,
    /// Sealed recordings on their way to the server.
    pub upload: UploadPolicy,
    /// The agent may end the program.
    pub may_quit: bool,
}

impl Default for CapturePolicy {
    fn default() -> Self {
        Self {
            frame_rate: 5,
            quantiser: 22,
            max_minutes: 240,
            offline: OfflinePolicy::None,
            scale_percent: 100,
            greyscale: false,
            masks: Vec::new(),
            only: Vec::new(),
            pause_while: Vec::new(),
            after_call_seconds: 0,
            between_calls: false,
            upload: UploadPolicy::default(),
            may_quit: false,
        }
    }
}

/// Windows or monitors; every field that is there must match. One without any field matches nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct WindowMatch {
    /// Part of the window's title, letter case ignored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// The program's name (X11: either string of WM_CLASS; Windows: name of the executable), letter case ignored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub program: Option<String>,
    /// The monitor's name, whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub monitor: Option<String>,
}

/// How much of a desktop's network the uploads take.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct UploadPolicy {
    /// Most bytes a second; absent: no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_per_second: Option<u64>,
    /// Most bytes a second while the agent is in a call; absent: as otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_per_second_in_call: Option<u64>,
    /// On a metered link.
    pub metered: LinkRule,
    /// On a VPN.
    pub vpn: LinkRule,
}

impl Default for UploadPolicy {
    fn default() -> Self {
        Self {
            bytes_per_second: None,
            bytes_per_second_in_call: Some(125_000),
            metered: LinkRule::Wait,
            vpn: LinkRule::Send,
        }
    }
}

/// What uploads do on a kind of link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LinkRule {
    /// As on any other.
    Send,
    /// Wait for another link, but no longer than the spool's disk allows.
    Wait,
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
