//! What each operating system does in its own way, under one set of names.
//!
//! | | Linux | macOS | Windows |
//! |---|---|---|---|
//! | [`keep_memory_private`] | not dumpable: no core, no debugger of the same user | no core, no debugger | no crash dump by Windows Error Reporting; a program of the same user can still read it |
//! | [`told_to_stop`] | SIGTERM, SIGINT | as Linux | Ctrl-C, closed console, log-off, shutdown |
//! | [`boot_clock_us`] | CLOCK_BOOTTIME | CLOCK_MONOTONIC | interrupt time |
//! | [`create_private_dir`] | mode 0700 | as Linux | the access control list of the parent |

#[cfg(target_os = "linux")]
#[path = "linux.rs"]
mod this;
#[cfg(target_os = "macos")]
#[path = "macos.rs"]
mod this;
#[cfg(windows)]
#[path = "windows.rs"]
mod this;
#[cfg(unix)]
mod unix;

pub use this::{boot_clock_us, create_private_dir, host_name, keep_memory_private, told_to_stop};
