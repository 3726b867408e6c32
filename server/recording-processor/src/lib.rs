//! Joins what was recorded to what happened: events and committed recordings become interactions.
//!
//! An interaction is computed anew from everything known of it whenever something about it changes: the result depends on
//! what is known and not on the order in which it came, and doing it twice changes nothing.
//!
//! - [`timeline`]: what the events of one interaction say (pure).
//! - [`spans`], [`breaks`], [`completeness`], [`reasons`], [`silence`]: what should be there, what is, and why the rest is not (pure).
//! - [`project`]: all of it put together into one interaction (pure).
//! - [`gather`]: reads the facts, writes the result; [`service`]: the loop with its cursors.
//! - [`repair`]: recordings that a crash cut, through the crypto server; [`backoff`]: when to try again.

pub mod backoff;
pub mod breaks;
pub mod completeness;
pub mod error;
pub mod gather;
pub mod project;
pub mod reasons;
pub mod repair;
pub mod service;
pub mod silence;
pub mod spans;
pub mod timeline;

pub use error::ProcessorError;
pub use service::run;
