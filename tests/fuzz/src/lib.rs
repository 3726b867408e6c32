//! Hostile bytes for every format that comes from the network.
//!
//! - [`targets`]: what is fed, one function for each format, with the inputs that mutations start from.
//! - [`mutate`]: changes to an input.
//! - [`coverage`]: which branches an input reached, where the programs were built with counters (`run.sh`).
//! - [`run`]: the loop: mutate, feed, keep what reached something new; counts, and the memory in use.
//!
//! It works on a stable toolchain. `cargo nextest run -p hindsight-fuzz` feeds every target for a moment, blindly;
//! `tests/fuzz/run.sh [seconds] [target …]` builds with counters and feeds them for as long as it is told. A panic prints
//! the seed and leaves the input in a file; such an input becomes a named case of its crate's tests.

pub mod coverage;
pub mod mutate;
pub mod run;
pub mod targets;
