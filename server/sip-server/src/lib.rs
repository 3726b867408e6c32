//! Registrar, B2BUA and recording control.
//!
//! | module | what |
//! |---|---|
//! | [`config`] | process settings; what is configured for the site arrives over the link and is looked up in [`directory`] |
//! | [`call`] | pure: one call over abstract legs, its recording, the watch over its far ends |
//! | [`registrar`], [`auth`], [`lockout`], [`guard`] | pure: who is registered where, who sends a request, who guesses passwords, what is understood at all |
//! | [`state`] | pure: all of it between events and commands of the SIP stack |
//! | [`tls`] | the listener for phones that speak TLS: certificate and key |
//! | [`trace`] | the signalling of calls, masked, for the web services |
//! | [`kept`], [`ledger`] | what outlives the process: calls with their dialogs, registrations; the file they are in |
//! | [`service`] | the loop: sockets, link, journal, clock |
//!
//! Deliberately absent: media (RTP goes by the media server only), forwarding to other domains, early media.

pub mod auth;
pub mod call;
pub mod config;
pub mod directory;
pub mod error;
pub mod guard;
mod keeper;
pub mod kept;
pub mod ledger;
mod leg;
pub mod lockout;
mod reconnect;
pub mod registrar;
pub mod service;
mod session;
pub mod state;
mod tally;
pub mod tls;
pub mod trace;
mod wires;

pub use config::Config;
pub use error::SipServerError;
pub use service::run;
