//! SIP proxy before the pool of media servers: every leg of a conference reaches the same living media server.
//!
//! | module | what |
//! |---|---|
//! | [`config`], [`member`] | process settings; a media server of the pool |
//! | [`pool`] | pure: which media servers are alive, how loaded, which one is next |
//! | [`session`] | pure: sessions, which conference is where, one record per session |
//! | [`siprec`] | pure: recording sessions of other systems, and whose are taken |
//! | [`state`] | pure: the stateful proxy between events and commands of the SIP stack |
//! | [`presence`] | whether the processes of the media servers are there |
//! | [`service`] | the loop: sockets, journal, clock |
//!
//! Deliberately absent: media, registrations, authentication (it listens to components, and to recording clients that are
//! named by address), names in Contact (addresses).

pub mod config;
pub mod error;
pub mod member;
pub mod pool;
pub mod presence;
pub mod service;
pub mod session;
pub mod siprec;
pub mod state;

pub use config::Config;
pub use error::ResourceManagerError;
pub use service::run;
