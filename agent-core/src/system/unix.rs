//! What POSIX systems have in common.

use std::{fs::DirBuilder, io, os::unix::fs::DirBuilderExt as _, path::Path};
use tokio::signal::unix::{SignalKind, signal};

/// Makes a directory and those above it, for this user only; one that exists is left as it is.
pub fn create_private_dir(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// What this machine is called.
pub fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// Takes the signals that end a program; the future is ready when one came. Call within a tokio runtime.
pub fn told_to_stop() -> io::Result<impl Future<Output = ()> + Send + 'static> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// Microseconds of a clock.
pub(super) fn clock_us(clock: rustix::time::ClockId) -> u64 {
    let now = rustix::time::clock_gettime(clock);
    now.tv_sec as u64 * 1_000_000 + now.tv_nsec as u64 / 1_000
}
