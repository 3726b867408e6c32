//! The HTTPS front: sign-in, devices, uploads, search, recording control, the link, the console.
//!
//! - [`server`], [`tls`], [`peer`], [`stall`]: connections, and who is at their other end.
//! - [`router`], [`state`], [`error`], [`input`], [`headers`]: what lies around every request.
//! - [`session`]: persons at the console; [`desktop`]: persons at desktops; [`devices`]: enrolment; [`throttle`]: guessers.
//! - [`link`]: the live WebSocket of devices; which desktop captures for which call.
//! - [`uploads`], [`manifests`]: how an upload becomes a recording, and its receipt.
//! - [`interactions`], [`control`], [`media`]: what the console shows and does.
//! - [`console`], [`openapi`], [`telemetry`]: pages, description, figures.

pub mod config;
pub mod console;
pub mod control;
pub mod desktop;
pub mod devices;
pub mod error;
pub mod headers;
pub mod input;
pub mod interactions;
pub mod link;
pub mod manifests;
pub mod media;
pub mod openapi;
pub mod peer;
pub mod presence;
pub mod router;
pub mod server;
pub mod service;
pub mod session;
pub mod stall;
pub mod state;
pub mod telemetry;
pub mod throttle;
pub mod tls;
pub mod uploads;

pub use config::Config;
pub use error::WebError;
pub use service::{Service, run};
