//! The socket between the desktop's window and the recorder on the same machine: both ends of `wire::local`.
//!
//! - [`Client`]: the window's end.
//! - [`serve`]: the recorder's end, for several windows at once. A window that reads slowly is shown the newest status
//!   only; one that reads nothing is let go. Neither makes the recorder wait.
//! - [`transport`]: a Unix socket that only the same user can open; on Windows a named pipe.
//!
//! Deliberately absent: anything but framing. What a request means is the recorder's business.

mod client;
mod lines;
mod server;
pub mod transport;

pub use client::{Client, ConnectError};
pub use server::{Asked, Reply, serve};
pub use transport::{Listener, socket_path};
