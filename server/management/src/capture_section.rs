//! `[capture]` of a configuration file: the policy of screen captures in the words of people who write files.

use hindsight_wire::{
    agent::Medium,
    policy::{CapturePolicy, LinkRule, OfflinePolicy, UploadPolicy, WindowMatch},
};
use serde::{Deserialize, Serialize};

/// `[capture]`: fields left out take their default.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CaptureSection {
    /// Frames a second, 1 to 15.
    pub frame_rate: u32,
    /// H.264 quantiser, 18 (fine) to 40 (coarse).
    pub quantiser: u8,
    /// Longest part of a capture, minutes.
    pub max_minutes: u32,
    /// Size of the pictures, percent of the screen's, 25 to 100.
    pub scale_percent: u8,
    /// Without colour.
    pub greyscale: bool,
    /// Capture goes on for after-call work, seconds.
    pub after_call_seconds: u32,
    /// Capture between interactions too, while somebody is signed in.
    pub between_calls: bool,
    /// The agent may end the program.
    pub may_quit: bool,
    /// Which interactions are captured at DNs whose screens are recorded.
    pub media: Vec<Medium>,
    /// What a desktop does while it cannot reach the server.
    pub offline: Offline,
    /// Sealed recordings on their way to the server.
    pub upload: Upload,
    /// Windows, programs and monitors that are never in a picture.
    pub masks: Vec<Window>,
    /// When there are any, only these are in a picture.
    pub only: Vec<Window>,
    /// While one of these is in front, voice and screens are paused.
    pub pause_while: Vec<Window>,
}

/// `offline = "none"` or `offline = { keep_minutes = 60 }`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Offline {
    /// No capture; the gap is listed.
    #[default]
    None,
    /// Capture all the time, up to this many minutes per loss of the link.
    #[serde(untagged)]
    Keep(Keep),
}

/// `{ keep_minutes = 60 }`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Keep {
    /// Limit.
    pub keep_minutes: u32,
}

/// `upload = { bytes_per_second = 500000, metered = "wait" }`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Upload {
    /// Most bytes a second; 0: no limit.
    pub bytes_per_second: u64,
    /// Most bytes a second while the agent is in a call; 0: as otherwise.
    pub bytes_per_second_in_call: u64,
    /// On a metered link: `send` or `wait`.
    pub metered: LinkRule,
    /// On a VPN: `send` or `wait`.
    pub vpn: LinkRule,
}

/// `{ title = "Card details", program = "payment", monitor = "DP-1" }`: every field that is there must match.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Window {
    /// Part of the window's title, letter case ignored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// The program's name, letter case ignored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub program: Option<String>,
    /// The monitor's name, whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub monitor: Option<String>,
}

impl CaptureSection {
    /// What is wrong with it.
    pub fn fault(&self) -> Option<&'static str> {
        let windows = || self.masks.iter().chain(&self.only).chain(&self.pause_while);
        let given = |window: &Window| {
            let fields = [&window.title, &window.program, &window.monitor];
            fields.into_iter().flatten().any(|text| !text.trim().is_empty())
        };
        if !(1..=15).contains(&self.frame_rate) {
            return Some("frame_rate is from 1 to 15");
        }
        if !(18..=40).contains(&self.quantiser) {
            return Some("quantiser is from 18 to 40");
        }
        if self.max_minutes == 0 {
            return Some("max_minutes is at least 1");
        }
        if !(25..=100).contains(&self.scale_percent) {
            return Some("scale_percent is from 25 to 100");
        }
        if self.after_call_seconds > LONGEST_AFTER_CALL {
            return Some("after_call_seconds is at most 3600");
        }
        if self.offline == Offline::Keep(Keep { keep_minutes: 0 }) {
            return Some("offline: keep_minutes is at least 1; to keep nothing say offline = \"none\"");
        }
        if !windows().all(given) {
            return Some("an entry of masks, only or pause_while names no title, program or monitor");
        }
        None
    }

    /// The section that says this.
    pub fn of(policy: &CapturePolicy, media: &[Medium]) -> Self {
        let windows = |list: &[WindowMatch]| list.iter().cloned().map(Window::from).collect();
        Self {
            frame_rate: policy.frame_rate,
            quantiser: policy.quantiser,
            max_minutes: policy.max_minutes,
            scale_percent: policy.scale_percent,
            greyscale: policy.greyscale,
            after_call_seconds: policy.after_call_seconds,
            between_calls: policy.between_calls,
            may_quit: policy.may_quit,
            media: media.to_vec(),
            offline: match policy.offline {
                OfflinePolicy::None => Offline::None,
                OfflinePolicy::Keep { max_minutes } => Offline::Keep(Keep { keep_minutes: max_minutes }),
            },
            upload: Upload::from(&policy.upload),
            masks: windows(&policy.masks),
            only: windows(&policy.only),
            pause_while: windows(&policy.pause_while),
        }
    }

    /// The policy, without the media.
    pub fn policy(&self) -> CapturePolicy {
        let windows = |list: &[Window]| list.iter().cloned().map(WindowMatch::from).collect();
        CapturePolicy {
            frame_rate: self.frame_rate,
            quantiser: self.quantiser,
            max_minutes: self.max_minutes,
            offline: match &self.offline {
                Offline::None => OfflinePolicy::None,
                Offline::Keep(keep) => OfflinePolicy::Keep { max_minutes: keep.keep_minutes },
            },
            scale_percent: self.scale_percent,
            greyscale: self.greyscale,
            masks: windows(&self.masks),
            only: windows(&self.only),
            pause_while: windows(&self.pause_while),
            after_call_seconds: self.after_call_seconds,
            between_calls: self.between_calls,
            upload: UploadPolicy::from(&self.upload),
            may_quit: self.may_quit,
        }
    }
}

/// After-call work is over by then.
const LONGEST_AFTER_CALL: u32 = 3600;

impl Default for CaptureSection {
    fn default() -> Self {
        Self::of(&CapturePolicy::default(), &Medium::ALL)
    }
}

impl Default for Upload {
    fn default() -> Self {
        Self::from(&UploadPolicy::default())
    }
}

impl From<&UploadPolicy> for Upload {
    fn from(policy: &UploadPolicy) -> Self {
        Self {
            bytes_per_second: policy.bytes_per_second.unwrap_or(0),
            bytes_per_second_in_call: policy.bytes_per_second_in_call.unwrap_or(0),
            metered: policy.metered,
            vpn: policy.vpn,
        }
    }
}

impl From<&Upload> for UploadPolicy {
    fn from(section: &Upload) -> Self {
        let limit = |bytes: u64| Some(bytes).filter(|bytes| *bytes > 0);
        Self {
            bytes_per_second: limit(section.bytes_per_second),
            bytes_per_second_in_call: limit(section.bytes_per_second_in_call),
            metered: section.metered,
            vpn: section.vpn,
        }
    }
}

impl From<WindowMatch> for Window {
    fn from(WindowMatch { title, program, monitor }: WindowMatch) -> Self {
        Self { title, program, monitor }
    }
}

impl From<Window> for WindowMatch {
    fn from(Window { title, program, monitor }: Window) -> Self {
        Self { title, program, monitor }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SiteFile;

    fn section(text: &str) -> CaptureSection {
        SiteFile::parse(&format!("[capture]\n{text}")).unwrap().capture.unwrap()
    }

    #[test]
    fn the_offline_policy_has_two_forms() {
        let keep = section("offline = { keep_minutes = 30 }");
        assert_eq!(keep.policy().offline, OfflinePolicy::Keep { max_minutes: 30 });
        let none = section("offline = \"none\"");
        assert_eq!((none.policy(), none.media), (CapturePolicy::default(), Medium::ALL.to_vec()));
    }

    #[test]
    fn every_field_of_the_policy_has_its_word_in_the_file() {
        let text = "frame_rate = 3\nquantiser = 30\nmax_minutes = 60\nscale_percent = 50\ngreyscale = true\n\
            after_call_seconds = 20\nbetween_calls = true\nmay_quit = true\nmedia = [\"voice\", \"work-item\"]\n\
            masks = [{ title = \"Bank\" }]\nonly = [{ program = \"crm\", monitor = \"DP-1\" }]\n\
            pause_while = [{ title = \"Card\" }]\n\
            upload = { bytes_per_second = 5, bytes_per_second_in_call = 0, metered = \"send\", vpn = \"wait\" }";
        let this = section(text);
        assert_eq!(this.fault(), None);
        let policy = this.policy();
        assert_eq!(CaptureSection::of(&policy, &this.media), this, "there and back");
        let window = |title: &str| WindowMatch { title: Some(title.into()), ..WindowMatch::default() };
        let expected = CapturePolicy {
            frame_rate: 3,
            quantiser: 30,
            max_minutes: 60,
            offline: OfflinePolicy::None,
            scale_percent: 50,
            greyscale: true,
            masks: vec![window("Bank")],
            only: vec![WindowMatch {
                title: None,
                program: Some("crm".into()),
                monitor: Some("DP-1".into()),
            }],
            pause_while: vec![window("Card")],
            after_call_seconds: 20,
            between_calls: true,
            upload: UploadPolicy {
                bytes_per_second: Some(5),
                bytes_per_second_in_call: None,
                metered: LinkRule::Send,
                vpn: LinkRule::Wait,
            },
            may_quit: true,
        };
        assert_eq!(policy, expected);
        assert_eq!(this.media, [Medium::Voice, Medium::WorkItem]);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for text in [
            "frame_rate = 0",
            "quantiser = 17",
            "max_minutes = 0",
            "scale_percent = 20",
            "masks = [{}]",
            "only = [{ title = \" \" }]",
            "after_call_seconds = 3601",
            "offline = { keep_minutes = 0 }",
        ] {
            assert!(section(text).fault().is_some(), "{text}");
        }
        assert!(SiteFile::parse("[capture]\nmedia = [\"fax\"]").is_err());
    }
}
