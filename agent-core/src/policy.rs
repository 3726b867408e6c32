//! The policy that the server sent: kept within sense, and on disk for a start without the server.

use hindsight_wire::policy::CapturePolicy;
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
}

/// Values that the encoder and the machine can bear, whatever was sent.
pub fn within_sense(policy: &CapturePolicy) -> CapturePolicy {
    CapturePolicy {
        frame_rate: policy.frame_rate.clamp(1, 15),
        quantiser: policy.quantiser.clamp(18, 40),
        max_minutes: policy.max_minutes.clamp(1, 24 * 60),
        offline: policy.offline.clone(),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_is_kept_and_brought_within_sense() {
        let directory = tempfile::tempdir().unwrap();
        let file = PolicyFile::new(directory.path());
        assert_eq!(file.load(), None);
        let wild = CapturePolicy { frame_rate: 0, quantiser: 99, max_minutes: 0, ..CapturePolicy::default() };
        let kept = KeptPolicy { policy: within_sense(&wild), recipients: vec!["A".to_owned()] };
        file.store(&kept).unwrap();
        assert_eq!(file.load(), Some(kept.clone()));
        assert_eq!((kept.policy.frame_rate, kept.policy.quantiser, kept.policy.max_minutes), (1, 40, 1));
    }
}
