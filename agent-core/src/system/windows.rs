//! Windows. Built, not run.

use std::{fs, io, path::Path};
use tokio::signal::windows as signal;
use windows::Win32::System::{
    Diagnostics::Debug::{SEM_FAILCRITICALERRORS, SEM_NOGPFAULTERRORBOX, SetErrorMode},
    WindowsProgramming::QueryInterruptTime,
};

/// Keeps Windows Error Reporting from writing this process's memory to a dump after a crash.
pub fn keep_memory_private() -> io::Result<()> {
    // SAFETY: takes and gives flags only.
    unsafe { SetErrorMode(SEM_FAILCRITICALERRORS | SEM_NOGPFAULTERRORBOX) };
    Ok(())
}

/// Microseconds since the machine started, also while it sleeps.
pub fn boot_clock_us() -> u64 {
    // SAFETY: reads a clock, in units of 100 nanoseconds.
    unsafe { QueryInterruptTime() / 10 }
}

/// What this machine is called.
pub fn host_name() -> String {
    std::env::var("COMPUTERNAME").unwrap_or_else(|_| "windows".to_owned())
}

/// Makes a directory and those above it; the access control list of the parent holds.
pub fn create_private_dir(path: &Path) -> io::Result<()> {
    fs::create_dir_all(path)
}

/// Takes the events that end a program; the future is ready when one came. Call within a tokio runtime.
pub fn told_to_stop() -> io::Result<impl Future<Output = ()> + Send + 'static> {
    let (mut interrupt, mut closed) = (signal::ctrl_c()?, signal::ctrl_close()?);
    let (mut log_off, mut shutdown) = (signal::ctrl_logoff()?, signal::ctrl_shutdown()?);
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = closed.recv() => {}
            _ = log_off.recv() => {}
            _ = shutdown.recv() => {}
        }
    })
}
