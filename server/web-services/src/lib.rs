//! The HTTPS front: sign-in, devices, uploads, search, recording control, the link, the console.
//!
//! - [`server`], [`tls`], [`peer`], [`stall`]: connections, and who is at their other end.
//! - [`router`], [`state`], [`error`], [`input`], [`headers`]: what lies around every request.
//! - [`session`]: persons at the console; [`desktop`], [`single_sign_on`], [`history`]: persons at desktops; [`callers`]: other systems; [`devices`]: enrolment; [`throttle`]: guessers.
//! - [`link`]: the live WebSocket of devices; which desktop captures for which call.
//! - [`updates`]: updates of desktops.
//! - [`uploads`], [`manifests`]: how an upload becomes a recording, and its receipt.
//! - [`interactions`], [`event_history`], [`control`], [`media`], [`desktops`]: what the console shows and does; [`rights`]: who may.
//! - [`traces`]: the signalling of calls.
//! - [`reports`]: what the reporting server counted.
//! - [`announce`]: interactions that other systems announce.
//! - [`console`], [`openapi`], [`telemetry`]: pages, description, figures.

pub mod announce;
pub mod callers;
pub mod config;
pub mod console;
pub mod control;
pub mod desktop;
pub mod desktops;
pub mod devices;
pub mod error;
pub mod event_history;
pub mod headers;
pub mod history;
pub mod input;
pub mod interactions;
pub mod link;
pub mod manifests;
pub mod media;
pub mod openapi;
pub mod peer;
pub mod presence;
pub mod reports;
pub mod rights;
pub mod router;
pub mod server;
pub mod service;
pub mod session;
pub mod single_sign_on;
pub mod stall;
pub mod state;
pub mod telemetry;
pub mod throttle;
pub mod tls;
pub mod traces;
pub mod updates;
pub mod uploads;

pub use config::Config;
pub use error::WebError;
pub use service::{Service, run};
