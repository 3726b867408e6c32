//! Programs that end with their owner.

use anyhow::{Context, Result, bail, ensure};
use std::{
    fs::File,
    io::Write,
    net::{TcpListener, UdpSocket},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

/// How often a condition is looked at again.
const POLL: Duration = Duration::from_millis(50);

/// A started program whose output goes to a file; killed when dropped.
pub struct Program {
    name: String,
    child: Child,
    pub log: PathBuf,
}

impl Program {
    pub fn spawn(name: &str, command: &mut Command, log: &Path) -> Result<Self> {
        let output =
            File::options().create(true).append(true).open(log).with_context(|| format!("log {log:?}"))?;
        Self::spawn_with_output(name, command, output, log)
    }

    /// As [`Program::spawn`], with standard output in a file of its own.
    pub fn spawn_with_output(name: &str, command: &mut Command, output: File, log: &Path) -> Result<Self> {
        let errors =
            File::options().create(true).append(true).open(log).with_context(|| format!("log {log:?}"))?;
        let child = command
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .spawn()
            .with_context(|| format!("starting {name} ({:?})", command.get_program()))?;
        Ok(Self { name: name.to_owned(), child, log: log.to_owned() })
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// SIGTERM, then up to `limit` for an orderly end.
    pub async fn terminate(&mut self, limit: Duration) -> Result<ExitStatus> {
        self.signal(libc::SIGTERM);
        let end = Instant::now() + limit;
        let mut tick = tokio::time::interval(POLL);
        while Instant::now() < end {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            tick.tick().await;
        }
        self.kill();
        bail!("{} did not end within {limit:?} of SIGTERM; its log: {:?}", self.name, self.log)
    }

    /// Waits for the end that the program comes to by itself.
    pub async fn wait(&mut self, limit: Duration) -> Result<ExitStatus> {
        let end = Instant::now() + limit;
        let mut tick = tokio::time::interval(POLL);
        while Instant::now() < end {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            tick.tick().await;
        }
        bail!("{} did not end within {limit:?}:\n{}", self.name, tail(&self.log_text()))
    }

    /// SIGKILL, and waits for the end.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    pub fn signal(&self, signal: libc::c_int) {
        // SAFETY: the child has not been waited for (it is owned here), so the id is still its own.
        unsafe { libc::kill(self.child.id() as libc::pid_t, signal) };
    }

    pub fn log_text(&self) -> String {
        std::fs::read(&self.log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// Waits until the log holds `text`.
    pub async fn wait_for_log(&mut self, text: &str, limit: Duration) -> Result<()> {
        let end = Instant::now() + limit;
        let mut tick = tokio::time::interval(POLL);
        loop {
            if self.log_text().contains(text) {
                return Ok(());
            }
            ensure!(self.is_running(), "{} ended early; its log:\n{}", self.name, tail(&self.log_text()));
            ensure!(
                Instant::now() < end,
                "{} did not print {text:?} within {limit:?}:\n{}",
                self.name,
                tail(&self.log_text())
            );
            tick.tick().await;
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.kill();
    }
}

pub fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(30)..].join("\n")
}

/// Asks `probe` again and again until it gives a value or the limit is over; the last error is told.
pub async fn eventually<T, F>(what: &str, limit: Duration, mut probe: impl FnMut() -> F) -> Result<T>
where
    F: Future<Output = Result<T>>,
{
    let end = Instant::now() + limit;
    let mut tick = tokio::time::interval(POLL);
    loop {
        match probe().await {
            Ok(value) => return Ok(value),
            Err(error) if Instant::now() >= end => {
                return Err(error.context(format!("{what}: not within {limit:?}")));
            }
            Err(_) => drop(tick.tick().await),
        }
    }
}

/// A port that is free for UDP and TCP on loopback now.
pub fn free_port() -> Result<u16> {
    for _ in 0..100 {
        let tcp = TcpListener::bind("127.0.0.1:0")?;
        let port = tcp.local_addr()?.port();
        if UdpSocket::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("no free port")
}

/// Where the built programs are: beside this one.
pub fn built(program: &str) -> Result<PathBuf> {
    let here = std::env::current_exe()?;
    here.ancestors()
        .flat_map(|dir| [dir.join(program), dir.join("examples").join(program)])
        .find(|path| path.is_file())
        .with_context(|| format!("{program} is not built beside {here:?}; `make build` builds it"))
}

/// The root of the source tree in which a test runs (in its package's folder), or a program (in the root itself). Not where
/// it was built: that tree may have been another one.
pub fn project_root() -> PathBuf {
    let here = std::env::current_dir().unwrap_or_default();
    let root = here.ancestors().find(|folder| folder.join("packaging/setup.sh").is_file());
    root.map_or_else(|| here.clone(), Path::to_owned)
}

/// Runs a foreign tool to its end; its output on failure.
pub fn run(command: &mut Command) -> Result<Vec<u8>> {
    let output = command.output().with_context(|| format!("starting {:?}", command.get_program()))?;
    ensure!(
        output.status.success(),
        "{:?} ended with {}: {}",
        command.get_program(),
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(output.stdout)
}

/// The same, with bytes on its standard input.
pub fn run_with_input(command: &mut Command, input: &[u8]) -> Result<Vec<u8>> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("starting {:?}", command.get_program()))?;
    let mut pipe = child.stdin.take().context("no pipe")?;
    let input = input.to_vec();
    // A program that has seen enough closes its end: what it says by its status decides.
    let writer = std::thread::spawn(move || drop(pipe.write_all(&input)));
    let output = child.wait_with_output()?;
    let _ = writer.join();
    ensure!(
        output.status.success(),
        "{:?} ended with {}: {}",
        command.get_program(),
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(output.stdout)
}
