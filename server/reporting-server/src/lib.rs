//! Reports of calls and of the sessions that carried them: a consumer of the event log with rows of its own.
//!
//! A row is computed anew from everything known of its interaction whenever something about it comes: what comes late or
//! twice makes the same row, and all of them can be forgotten and derived again.
//!
//! - [`project`]: what the events of one interaction say to a report (pure).
//! - [`service`]: the loop with its cursor.
//! - [`zone`], [`summary`], [`peaks`]: hours and days of the site's time zone, what happened in each, and how much at a time
//!   (pure). Whoever answers questions uses them over [`hindsight_store::reports`].
//!
//! Deliberately absent: a listener of its own (questions come by HTTPS to the web services), sampled figures, sums that
//! cannot be told from the rows.

pub mod error;
pub mod peaks;
pub mod project;
pub mod service;
pub mod summary;
pub mod zone;

pub use error::ReportError;
pub use service::{Reporter, pending, run};
pub use zone::Zone;
