//! The crate from outside: torture messages, simulated networks, hostile input, real sockets.

// Helpers are tests too: a failed unwrap is a failed test.
#![allow(clippy::unwrap_used)]

mod dialogs;
mod hostile;
mod live;
mod net;
mod sockets;
mod speed;
mod torture;
mod transactions;
