//! The control side: SIP dialogs of the legs, conferences, MSML.
//!
//! | file | what |
//! |---|---|
//! | `target` | pure: the conference URI |
//! | `state` | pure: what a conference's recording may do next |
//! | `conference` | one task per conference: carries out MSML commands one after another |
//! | `siprec` | pure: what the INVITE of a recording session says |
//! | `recording_session` | one recording session (SIPREC): its dialog, its streams, the task that records them |
//! | `leg` | one dialog and its media |
//! | `presence` | pure: which conferences were abandoned |
//! | `service` | the loop over SIP events |
//!
//! # Load
//! The answer to OPTIONS outside of a dialog carries `X-Load: <thousandths of the capacity in use>`; it is 503 until
//! a first configuration told whom to seal for. OPTIONS inside a dialog asks whether the leg is still there: 200 or 481.

pub mod conference;
pub mod leg;
pub mod presence;
pub mod recording_session;
pub mod service;
pub mod siprec;
pub mod state;
pub mod target;

/// Header of the answer to OPTIONS: legs in use per thousand of those possible.
pub const LOAD_HEADER: &str = "X-Load";
