//! Registrar, B2BUA and recording control.
//!
//! - [`config`]: process settings. What is configured centrally arrives as `VoiceConfig` and is looked up in [`directory`].
//! - [`call`]: one call as a pure state machine over abstract legs; [`sdp`]: its offers and answers.

pub mod call;
pub mod config;
pub mod directory;
pub mod sdp;
