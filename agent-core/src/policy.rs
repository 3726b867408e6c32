//! The policy that the server sent: kept within sense, and on disk for a start without the server.

use crate::controller::KeptPause;
use hindsight_wire::{
    PersonId,
    policy::{CapturePolicy, OfflinePolicy},
};
use serde::{Deserialize, Serialize};
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// What is kept: no secret in it, recipients are certificates.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KeptPolicy {
    /// How to capture.
    pub policy: CapturePolicy,
    /// For whom to seal, PEM.
    pub recipients: Vec<String>,
    /// Who was signed in when it came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seat: Option<Seat>,
}

/// Who sits where, as the server said at a sign-in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Seat {
    /// Login name of the person.
    pub login: String,
    /// Who.
    pub person: PersonId,
    /// Where.
    pub dn: String,
}

impl KeptPolicy {
    /// The seat to capture at from a start on that finds no server: policy must keep captures, and whoever is to be signed in
    /// must be who was signed in last, at the same DN. Their password is proved when the server is back.
    pub fn seat_without_server(&self, login: &str, dn: Option<&str>) -> Option<&Seat> {
        let keeps = matches!(self.policy.offline, OfflinePolicy::Keep { .. }) && !self.recipients.is_empty();
        let same = |seat: &&Seat| {
            seat.login.to_lowercase() == login.to_lowercase() && dn.is_none_or(|dn| dn == seat.dn)
        };
        self.seat.as_ref().filter(|_| keeps).filter(same)
    }
}

/// Values that the encoder and the machine can bear, whatever was sent.
pub fn within_sense(policy: &CapturePolicy) -> CapturePolicy {
    CapturePolicy {
        frame_rate: policy.frame_rate.clamp(1, 15),
        quantiser: policy.quantiser.clamp(18, 40),
        max_minutes: policy.max_minutes.clamp(1, 24 * 60),
        scale_percent: policy.scale_percent.clamp(25, 100),
        ..policy.clone()
    }
}

/// The file that keeps it.
pub struct PolicyFile {
    path: PathBuf,
}

impl PolicyFile {
    /// `policy.json` in the data directory.
    pub fn new(data_dir: &Path) -> Self {
        Self { path: data_dir.join("policy.json") }
    }

    /// What was kept; nothing when there is no file or it cannot be read.
    pub fn load(&self) -> Option<KeptPolicy> {
        serde_json::from_slice(&fs::read(&self.path).ok()?).ok()
    }

    /// Replaces what is kept, whole or not at all.
    pub fn store(&self, kept: &KeptPolicy) -> io::Result<()> {
        let new = self.path.with_extension("new");
        fs::write(&new, serde_json::to_vec(kept)?)?;
        fs::File::open(&new)?.sync_all()?;
        fs::rename(&new, &self.path)
    }
}

/// The file that keeps the pauses pressed here: a recorder that is started again shows no pixel before they are lifted.
pub struct PausesFile {
    path: PathBuf,
}

impl PausesFile {
    /// `pauses.json` in the data directory.
    pub fn new(data_dir: &Path) -> Self {
        Self { path: data_dir.join("pauses.json") }
    }

    /// What was kept; nothing when there is no file or it cannot be read.
    pub fn load(&self) -> Vec<KeptPause> {
        let kept = fs::read(&self.path).ok().and_then(|text| serde_json::from_slice(&text).ok());
        kept.unwrap_or_default()
    }

    /// Replaces what is kept. Not made durable: it outlives the recorder, a machine that stops ends the call as well.
    pub fn store(&self, pauses: &[KeptPause]) -> io::Result<()> {
        let new = self.path.with_extension("new");
        fs::write(&new, serde_json::to_vec(pauses)?)?;
        fs::rename(&new, &self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_is_kept_and_brought_within_sense() {
        let directory = tempfile::tempdir().unwrap();
        let file = PolicyFile::new(directory.path());
        assert_eq!(file.load(), None);
        let wild = CapturePolicy { frame_rate: 0, quantiser: 99, max_minutes: 0, ..CapturePolicy::default() };
        let kept = KeptPolicy { policy: within_sense(&wild), recipients: vec!["A".to_owned()], seat: None };
        file.store(&kept).unwrap();
        assert_eq!(file.load(), Some(kept.clone()));
        assert_eq!((kept.policy.frame_rate, kept.policy.quantiser, kept.policy.max_minutes), (1, 40, 1));
    }

    #[test]
    fn only_who_was_signed_in_last_is_captured_without_the_server_and_only_by_policy() {
        let seat = Seat { login: "ann".to_owned(), person: PersonId::new(), dn: "1001".to_owned() };
        let offline = OfflinePolicy::Keep { max_minutes: 10 };
        let kept = KeptPolicy {
            policy: CapturePolicy { offline, ..CapturePolicy::default() },
            recipients: vec!["A".to_owned()],
            seat: Some(seat.clone()),
        };
        assert_eq!(kept.seat_without_server("Ann", None), Some(&seat));
        assert_eq!(kept.seat_without_server("ann", Some("1001")), Some(&seat));
        assert_eq!(kept.seat_without_server("ann", Some("1002")), None);
        assert_eq!(kept.seat_without_server("bob", None), None);
        let never = KeptPolicy { policy: CapturePolicy::default(), ..kept.clone() };
        assert_eq!(never.seat_without_server("ann", None), None);
        let sealed_for_nobody = KeptPolicy { recipients: Vec::new(), ..kept };
        assert_eq!(sealed_for_nobody.seat_without_server("ann", None), None);
    }

    #[test]
    fn a_file_of_before_seats_were_kept_is_read() {
        let directory = tempfile::tempdir().unwrap();
        let file = PolicyFile::new(directory.path());
        let kept = KeptPolicy { policy: CapturePolicy::default(), recipients: Vec::new(), seat: None };
        file.store(&kept).unwrap();
        let text = fs::read_to_string(directory.path().join("policy.json")).unwrap();
        assert!(!text.contains("seat"), "{text}");
        assert_eq!(file.load(), Some(kept));
    }
}
