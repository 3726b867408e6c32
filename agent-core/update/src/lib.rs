//! Updates of the desktop. A site's server offers the packages that it was given; who signed them is checked twice, by the
//! recorder that fetches and by root that installs, with keys that the server does not have.
//!
//! - [`manifest`]: what an update is, as signed.
//! - [`signature`]: whether one of the known keys signed it (minisign).
//! - [`decision`]: whether it fits what is installed; never an older one.
//! - [`schedule`]: when to ask, fetch, hand over and start anew; pure, time and busyness are inputs.
//! - [`handover`]: the files with which a recorder hands an update to root.
//! - [`recording_lock`]: who records on this machine, known to the kernel.
//!
//! The site's own authority does not sign updates: its key lies on the server, and whoever takes over the server must not
//! become root on every workstation. Deliberately absent: network, deltas, channels, automatic downgrade.

pub mod decision;
pub mod handover;
pub mod manifest;
pub mod recording_lock;
pub mod schedule;
pub mod signature;

pub use decision::{Installed, Refused, decide};
pub use manifest::{Manifest, ManifestError, Package};
pub use schedule::{Action, Input, Updater};
pub use signature::{Keys, SignatureError};
