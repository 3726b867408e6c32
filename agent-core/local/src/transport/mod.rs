//! How the two ends meet, by operating system.

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(unix)]
pub use unix::{Connection, Listener, connect, socket_path};
#[cfg(windows)]
pub use windows::{Connection, Listener, connect, socket_path};
