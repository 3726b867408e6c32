//! The sealed format from outside: real peers, damage of every kind, and hostile input.

mod pki;
mod stream;
