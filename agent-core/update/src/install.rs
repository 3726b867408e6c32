//! Root's half of an update: believe nothing, wait for the end of every recording, install, and go back if it fails.

use crate::{
    package_tool::{self, PackageTool},
    taking::{self, Taken},
};
use anyhow::Context as _;
use hindsight_update::{
    Installed, Keys, Manifest, decide,
    decision::PACKAGE_FILE,
    handover::{Outcome, SPOOL, STATE_FILE, State},
    recording_lock::{Installing, RECORDING_LOCK},
    signature::KEY_DIRECTORIES,
};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Installs what was handed over, one after the other; status 0 also when something was refused: that is in the state.
pub fn all() -> anyhow::Result<()> {
    anyhow::ensure!(rustix::process::geteuid().is_root(), "only root can install");
    let installed: Installed = serde_json::from_slice(&fs::read(PACKAGE_FILE).context(PACKAGE_FILE)?)?;
    let machine = Machine {
        tool: package_tool::of(&installed.format)?,
        keys: Keys::load(&KEY_DIRECTORIES.map(Path::new))?,
        lock: RECORDING_LOCK.into(),
        state: STATE_FILE.into(),
    };
    for taken in taking::take_all(Path::new(SPOOL)).context(SPOOL)? {
        machine.handle(taken)?;
    }
    Ok(())
}

struct Machine {
    tool: Box<dyn PackageTool>,
    keys: Keys,
    lock: PathBuf,
    state: PathBuf,
}

/// Verified and copied to where only root writes.
struct Verified {
    version: semver::Version,
    file: PathBuf,
}

impl Machine {
    fn handle(&self, taken: Result<Taken, String>) -> anyhow::Result<()> {
        let verified = match taken {
            Ok(taken) => self.verify(&taken).map_err(|(version, error)| (version, format!("{error:#}"))),
            Err(reason) => Err((None, reason)),
        };
        match verified {
            Ok(Some(verified)) => {
                let result = self.install(&verified);
                let _ = fs::remove_file(&verified.file);
                result
            }
            Ok(None) => Ok(()),
            Err((version, reason)) => self.tell(Outcome::Refused, version, &reason),
        }
    }

    /// `None`: it is installed already.
    fn verify(&self, taken: &Taken) -> Result<Option<Verified>, (Option<semver::Version>, anyhow::Error)> {
        let bytes = taken.request.manifest.as_bytes();
        self.keys.verify(bytes, &taken.request.signature).map_err(|error| (None, error.into()))?;
        let manifest = Manifest::parse(bytes).map_err(|error| (None, error.into()))?;
        let version = manifest.version.clone();
        self.fits(taken, &manifest).map_err(|error| (Some(version), error))
    }

    fn fits(&self, taken: &Taken, manifest: &Manifest) -> anyhow::Result<Option<Verified>> {
        let installed = self.tool.installed()?;
        let Some(package) = decide(manifest, &installed, None)? else { return Ok(None) };
        let directory = self.work()?;
        let file = directory.join(&package.file);
        let verified = taken.copy_package(package, &file).context("the package").and_then(|same| {
            anyhow::ensure!(same, "the package is not what was signed");
            self.tool.is_ours(&file, &manifest.version)
        });
        match verified {
            Ok(()) => Ok(Some(Verified { version: manifest.version.clone(), file })),
            Err(error) => {
                let _ = fs::remove_file(&file);
                Err(error)
            }
        }
    }

    fn work(&self) -> anyhow::Result<PathBuf> {
        let directory = self.state.parent().context("no directory")?.join("work");
        fs::create_dir_all(&directory)?;
        Ok(directory)
    }

    fn install(&self, verified: &Verified) -> anyhow::Result<()> {
        let version = || Some(verified.version.clone());
        if Installing::would_wait(&self.lock)? {
            self.tell(Outcome::Waiting, version(), "somebody on this machine is being recorded")?;
        }
        let _nobody_records = Installing::wait(&self.lock)?;
        let before = self.tool.keep(&self.work()?);
        let installed = self.tool.install(&verified.file).and_then(|()| {
            let found = self.tool.installed()?.version;
            anyhow::ensure!(found == verified.version, "{found} is installed");
            self.tool.starts()
        });
        let Err(error) = installed else {
            // As large as the programs, and of no use any more.
            let _ = before.map(fs::remove_file);
            return self.tell(Outcome::Installed, version(), "");
        };
        let reason = format!("{error:#}");
        match self.go_back(before) {
            Ok(stands) => self.tell(Outcome::Failed, version(), &format!("{reason}; {stands} stands")),
            Err(back) => {
                self.tell(Outcome::Broken, version(), &format!("{reason}; and going back failed: {back:#}"))
            }
        }
    }

    /// The version that stands afterwards.
    fn go_back(&self, before: anyhow::Result<PathBuf>) -> anyhow::Result<semver::Version> {
        let before = before.context("nothing was kept to go back to")?;
        let untouched = self.tool.installed().is_ok_and(|installed| {
            self.tool.is_ours(&before, &installed.version).is_ok() && self.tool.starts().is_ok()
        });
        if !untouched {
            self.tool.install(&before)?;
            self.tool.starts()?;
        }
        Ok(self.tool.installed()?.version)
    }

    fn tell(&self, outcome: Outcome, version: Option<semver::Version>, reason: &str) -> anyhow::Result<()> {
        let named =
            version.as_ref().map_or("an update".to_owned(), |version| format!("the update {version}"));
        let reason_after = if reason.is_empty() { String::new() } else { format!(": {reason}") };
        eprintln!("hindsight-update: {named}: {outcome:?}{reason_after}");
        let new = self.state.with_extension("new");
        if let Some(directory) = self.state.parent() {
            fs::create_dir_all(directory)?;
        }
        fs::write(&new, serde_json::to_vec(&State { outcome, version, reason: reason.to_owned() })?)?;
        fs::rename(new, &self.state).context("state")
    }
}

#[cfg(test)]
mod tests;
