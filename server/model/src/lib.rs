//! Where the server's components meet: the domain events and what they carry.
//!
//! - [`event`]: what happened to a call and its recordings. One log; everything else is derived from it.
//! - [`role`]: the components a process may run.

pub mod event;
pub mod role;

pub use event::Event;
pub use hindsight_wire::{CaptureId, DeviceId, InteractionId, PersonId, RecordingId, Timestamp};
pub use role::Role;
