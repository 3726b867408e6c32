//! The uploader: tus 1.0 (core, creation, creation-defer-length, checksum), the signed manifest, the signed receipt.
//!
//! [`state`] decides for one item and does no I/O; `http` speaks; [`service`] runs many items over a bounded number of
//! connections. An item in trouble waits by itself: it holds no connection while it does.

pub mod config;
mod http;
pub(crate) mod saved;
pub mod service;
pub mod state;
pub mod status;

pub use config::UploadConfig;
pub use service::Uploader;
pub use status::UploadStatus;
