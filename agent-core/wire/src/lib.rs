//! Messages and ids that desktops, recorders and the server share; serde only, no I/O.
//!
//! - [`agent`]: what an agent sees and may do.
//! - [`backoff`]: how long to wait between attempts.
//! - [`ids`]: UUIDv7 newtypes.
//! - [`local`]: between the desktop's window and the recorder.
//! - [`timestamp`]: UTC instants and clock offsets.
//! - [`manifest`]: what a recorder signs about one sealed recording, and the server's receipt.
//! - [`enrolment`]: how a device gets its certificate.
//! - [`link`]: the live WebSocket between a device and the web services.
//! - [`policy`]: what a device may capture, and how.
//! - [`single_sign_on`]: signing in at a desktop by the browser.
//! - [`component`]: configuration and commands for the voice components.
//! - [`trace`]: the signalling of a call, masked.

pub mod agent;
pub mod backoff;
pub mod component;
pub mod enrolment;
pub mod ids;
pub mod link;
pub mod local;
pub mod manifest;
pub mod policy;
pub mod single_sign_on;
pub mod timestamp;
pub mod trace;

pub use ids::{CaptureId, DeviceId, InteractionId, PersonId, RecordingId};
pub use timestamp::{ClockOffset, Timestamp};
