//! How a recorder, which may not install, hands an update to root: two files in a directory that everybody may write into
//! and nobody may list; root believes nothing of them and checks everything again.

use serde::{Deserialize, Serialize};
use std::{fs, io, path::Path};

/// Where (mode 1733).
pub const SPOOL: &str = "/var/spool/hindsight-update";
/// What became of the last one, for everybody to read.
pub const STATE_FILE: &str = "/var/lib/hindsight-update/state.json";
/// Ending of the file that says: everything is there.
pub const REQUEST: &str = "request";
/// Ending of the package beside it.
pub const PACKAGE: &str = "package";
/// Largest request, bytes.
pub const LARGEST_REQUEST: u64 = 256 * 1024;

/// Content of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Request {
    /// The manifest, byte for byte as it was signed.
    pub manifest: String,
    /// Its signature.
    pub signature: String,
}

/// How an update ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Verified; waits until nobody records.
    Waiting,
    /// It is the installed version now.
    Installed,
    /// Not believed, damaged, or not for this machine; nothing was changed.
    Refused,
    /// The installation failed; the version before stands.
    Failed,
    /// The installation failed, and the version before could not be put back: a person is needed.
    Broken,
}

/// What became of the last update.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct State {
    /// How it ended.
    pub outcome: Outcome,
    /// Which version; absent when not even that could be believed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<semver::Version>,
    /// Why, for people.
    pub reason: String,
}

/// Hands over; `name` makes the files' names unlike those of others.
pub fn hand_over(spool: &Path, name: &str, request: &Request, package: &Path) -> io::Result<()> {
    let target = spool.join(format!("{name}.{PACKAGE}"));

    let copied = fs::copy(package, &target).and_then(|_| {
        let part = spool.join(format!("{name}.part"));
        fs::write(&part, serde_json::to_vec(request)?)?;
        fs::rename(part, spool.join(format!("{name}.{REQUEST}")))
    });
    if copied.is_err() {
        let _ = fs::remove_file(&target);
    }
    copied
}

/// What became of the last update, where one was.
pub fn state(file: &Path) -> Option<State> {
    serde_json::from_slice(&fs::read(file).ok()?).ok()
}
