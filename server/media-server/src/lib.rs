//! The media server: relays the media of a conference's two legs and records it, sealed, into the spool.
//!
//! ```text
//! SIP ──► control (tokio) ──► relay threads (epoll) ──tap──► recorder threads ──► sealed spool ──► uploader
//! ```
//!
//! | module | what |
//! |---|---|
//! | [`config`] | settings |
//! | [`service`] | starts, runs and ends everything |
//! | [`control`], [`sdp`] | SIP dialogs, conferences, MSML; offer and answer |
//! | [`relay`] | RTP and RTCP between two legs; never waits |
//! | [`recorder`] | packets to sealed Matroska; never makes the relay wait |
//! | [`matroska`], [`ebml`] | the container |
//! | [`error`], [`clock`], [`limits`] | failures by whose fault they are; the one monotonic clock; file descriptors |
//!
//! Deliberately absent: transcoding, mixing, playing, ICE; SRTP is passed on as it comes and opened only to record it.

pub mod clock;
pub mod config;
pub mod control;
pub mod ebml;
pub mod error;
pub mod limits;
pub mod matroska;
pub mod recorder;
pub mod relay;
pub mod sdp;
pub mod service;

pub use config::Config;
pub use error::ServerError;
pub use service::run;
