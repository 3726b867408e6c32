//! The crate from outside: torture messages, simulated networks, hostile input, real sockets.

mod dialogs;
mod hostile;
mod net;
mod sockets;
mod speed;
mod torture;
mod transactions;
