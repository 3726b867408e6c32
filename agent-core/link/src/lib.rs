//! A device's identity at its site, and its live link to the web services.
//!
//! - [`identity`]: key and certificate of the device; mutual TLS and signatures with them.
//! - [`key_place`]: where its key is kept: a file, or what the owner has.
//! - [`enrol`]: how it gets the certificate, once, from a server that proves to be the site's (`verifier`).
//! - [`link`]: the WebSocket that is opened again for ever; [`session`] is its pure part, [`handle`]
//!   the end of it that its owner has.
//! - [`proxy`]: an HTTP proxy on the way, for the link and for HTTP.
//! - [`clock`]: the device's clock against the server's.
//! - [`journal`]: events that survive a crash and are delivered until the server has them.
//! - [`config_cache`]: the last configuration, for a start without the server.
//!
//! Deliberately absent: trust on first use, certificates of public authorities, proxies that look inside TLS.

pub mod clock;
pub mod config;
pub mod config_cache;
pub mod enrol;
pub mod error;
pub mod handle;
pub mod identity;
pub mod journal;
pub mod key_place;
pub mod link;
pub mod proxy;
pub mod session;

mod atomic;
mod outage;
mod tls;
mod verifier;

pub use clock::ClockEstimator;
pub use config::LinkConfig;
pub use config_cache::ConfigCache;
pub use error::LinkError;
pub use handle::{Hello, LinkEvent, LinkHandle, NotSent, Welcome};
pub use identity::Identity;
pub use journal::{Journal, JournalError};
pub use key_place::{KeyFile, KeyPlace};
pub use link::Link;
pub use proxy::Proxy;
