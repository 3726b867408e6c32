//! The sealed format from outside: real peers, damage of every kind, and hostile input.

// A helper of tests that fails should panic there; clippy exempts only the tests themselves.
#![allow(clippy::unwrap_used)]

mod damage;
mod fuzz;
mod openssl;
mod pki;
mod secrets;
mod signatures;
mod stream;
mod tink;
