//! One process of the recorder.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::{Duration, Instant},
};
use tokio::process::{Child, Command};

/// A log that grew so large is put aside before the next start.
const LARGEST_LOG: u64 = 8 << 20;

/// How the recorder is started.
#[derive(Clone, Debug)]
pub struct Start {
    /// Its program.
    pub program: PathBuf,
    /// Its settings, where the site has a file of them.
    pub config: Option<PathBuf>,
    /// Where its identity, spool and log are.
    pub data_dir: PathBuf,
}

impl Start {
    /// The recorder's log.
    pub fn log(&self) -> PathBuf {
        self.data_dir.join("recorder.log")
    }
}

/// A recorder that this shell started.
pub struct Process {
    child: Child,
    /// When.
    pub started: Instant,
}

impl Process {
    /// Starts it, in a session of its own: it gets no signal meant for the shell, and lives on without it.
    pub fn start(start: &Start) -> io::Result<Self> {
        let log = log(&start.log())?;
        let mut command = Command::new(&start.program);
        command
            .env("HINDSIGHT_RECORDER_DATA_DIR", &start.data_dir)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(false);
        if let Some(config) = &start.config {
            command.arg("--config").arg(config);
        }
        own_session(&mut command);
        Ok(Self { child: command.spawn()?, started: Instant::now() })
    }

    /// Its process id, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// How it ended, if it did.
    pub fn has_ended(&mut self) -> Option<String> {
        match self.child.try_wait() {
            Ok(None) => None,
            Ok(Some(status)) => Some(describe(status)),
            Err(error) => Some(format!("it cannot be waited for: {error}")),
        }
    }

    /// How it ended, if it did within `limit`.
    pub async fn ends_within(&mut self, limit: Duration) -> Option<String> {
        match tokio::time::timeout(limit, self.child.wait()).await {
            Err(_) => None,
            Ok(Ok(status)) => Some(describe(status)),
            Ok(Err(error)) => Some(format!("it cannot be waited for: {error}")),
        }
    }

    /// Ends it at once.
    pub async fn kill(mut self) {
        if let Err(error) = self.child.kill().await {
            tracing::warn!(%error, "the recorder could not be ended");
        }
    }
}

fn log(path: &Path) -> io::Result<File> {
    if let Some(dir) = path.parent() {
        private_dir(dir)?;
    }
    if fs::metadata(path).is_ok_and(|log| log.len() > LARGEST_LOG) {
        fs::rename(path, path.with_extension("log.1"))?;
    }
    File::options().create(true).append(true).open(path)
}

#[cfg(unix)]
fn private_dir(dir: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

#[cfg(windows)]
fn private_dir(dir: &Path) -> io::Result<()> {
    fs::create_dir_all(dir)
}

#[cfg(unix)]
fn own_session(command: &mut Command) {
    // SAFETY: setsid is async-signal-safe and touches nothing of this process's memory.
    unsafe {
        command.pre_exec(|| rustix::process::setsid().map(drop).map_err(io::Error::from));
    }
}

#[cfg(windows)]
fn own_session(command: &mut Command) {
    // DETACHED_PROCESS | CREATE_NEW_PROCESS_GROUP
    command.creation_flags(0x0000_0008 | 0x0000_0200);
}

#[cfg(unix)]
fn describe(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt as _;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("it ended with status {code}"),
        (None, Some(signal)) => format!("signal {signal} ended it"),
        (None, None) => "it ended".to_owned(),
    }
}

#[cfg(windows)]
fn describe(status: ExitStatus) -> String {
    format!("it ended with {status}")
}
