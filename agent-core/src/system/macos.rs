//! macOS. Built, not run.

pub use super::unix::{create_private_dir, host_name, told_to_stop};

use rustix::{
    process::{Resource, Rlimit, setrlimit},
    time::ClockId,
};
use std::io;

/// Forbids core dumps, and debuggers to attach.
pub fn keep_memory_private() -> io::Result<()> {
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    // SAFETY: PT_DENY_ATTACH takes no address and no data; it only sets a flag of this process.
    let done = unsafe { libc::ptrace(libc::PT_DENY_ATTACH, 0, std::ptr::null_mut(), 0) };
    if done == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Microseconds since the machine started, also while it sleeps: here the monotonic clock does not stop then.
pub fn boot_clock_us() -> u64 {
    super::unix::clock_us(ClockId::Monotonic)
}
