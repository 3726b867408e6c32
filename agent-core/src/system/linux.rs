//! Linux.

pub use super::unix::{create_private_dir, host_name, told_to_stop};

use rustix::{
    process::{DumpableBehavior, set_dumpable_behavior},
    time::ClockId,
};
use std::io;

/// Forbids core dumps, and reading this process's memory to others of this user.
pub fn keep_memory_private() -> io::Result<()> {
    Ok(set_dumpable_behavior(DumpableBehavior::NotDumpable)?)
}

/// Microseconds since the machine started, also while it sleeps.
pub fn boot_clock_us() -> u64 {
    super::unix::clock_us(ClockId::Boottime)
}
