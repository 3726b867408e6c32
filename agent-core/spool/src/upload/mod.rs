//! The uploader: tus 1.0 (core, creation, creation-defer-length, checksum), the signed manifest, the signed receipt.
//!
//! Without I/O: [`state`] decides for one item in the words of [`exchange`], [`queue`] whose turn it is, [`line`] whether the server can be reached at
//! all, [`rules`] whether the network may be used and how fast, [`throttle`] when the next bytes leave. With it: `http`
//! speaks, `paced` is the body of a request, `work` does one job, [`service`] is the loop.

pub mod config;
pub mod exchange;
mod http;
pub mod line;
mod paced;
pub mod queue;
pub mod rules;
pub(crate) mod saved;
pub mod service;
pub mod state;
pub mod status;
pub mod throttle;
mod work;

pub use config::UploadConfig;
pub use rules::{Allowance, Conditions, Network};
pub use service::{UploadControl, Uploader};
pub use status::UploadStatus;
