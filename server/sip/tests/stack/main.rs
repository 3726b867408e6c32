//! The crate from outside: torture messages, simulated networks, hostile input, real sockets.

mod torture;
