//! Recording metadata of SIPREC (RFC 7865): who speaks on which stream of a recording session.
//!
//! Liberal in what is read, since clients differ: both namespaces (`…:recording` and `…:recording:1`) and any prefix,
//! `id` or `session_id`/`participant_id`/`stream_id`, associations as elements of their own or inside the participant,
//! parts in any order, extensions left out. What is read is bounded.
//!
//! - [`parse`]: XML to [`Metadata`].
//! - [`metadata`]: what it means, and how an update changes it.
//!
//! Deliberately absent: writing metadata (that is the client's), groups, policy, deciding which party is the agent.

pub mod metadata;
pub mod parse;

pub use metadata::{Metadata, Participant, Stream};
pub use parse::{MetadataError, parse};

/// Content type of metadata (RFC 7865 10.1).
pub const CONTENT_TYPE: &str = "application/rs-metadata+xml";
/// The content type before the RFC, still sent.
pub const CONTENT_TYPE_DRAFT: &str = "application/rs-metadata";
