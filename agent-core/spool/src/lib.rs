//! The spool: where sealed recordings live from their first byte until the server has signed for them.
//!
//! One directory per recording, `<spool>/<recording id>/`:
//!
//! | file | what |
//! |---|---|
//! | `sealed` | 4096-byte envelope, then the Tink stream; append-only, what has been sent is never rewritten |
//! | `state.json` | what a manifest needs after a crash ([`ItemInfo`]), and whether the item is finished |
//! | `state.json.new`, `state.json.sync` | the next `state.json`, on its way to the disk |
//! | `manifest.json` | the signed manifest, as it is sent |
//! | `upload.json` | where the server keeps the upload |
//! | `refused.json` | why the server will not have it; such an item is kept until a person decides |
//! | `lock` | locked by the process that owns the item |
//!
//! and `<spool>/.reserve`, bytes held back for closing recordings on a disk that others filled.
//!
//! # What is synced when
//!
//! Callers append to the page cache and never wait for the disk's cache to be flushed or for the network; one thread
//! per spool makes everything durable in groups. A killed process therefore loses nothing that was appended. A power
//! cut loses only what was not synced yet:
//!
//! 1. A group is synced at most [`Limits::sync_interval_ms`] (0.5 s) after the first unsynced write, at once when an
//!    item has [`Limits::sync_segments`] unsynced segments. With the sync itself this stays within about one second.
//! 2. Order inside a group: contents of `sealed`, the next `state.json` and `manifest.json`; then renames; then the item's
//!    directory; then, for new items, the spool directory.
//! 3. A file is never replaced by one whose content is not synced.
//! 4. An item counts as finished, in `state.json`, only after its last byte and its manifest are durable.
//! 5. Only durable bytes are sent, and never the newest whole segment of a file that still grows: the server can
//!    never hold a byte that recovery would take back.
//!
//! # Recovery
//!
//! At [`Spool::open`] an item that is not finished is trimmed to whole segments (trailing segments of zeros, which some
//! file systems leave after a power cut, are no segments) and handed out by [`Spool::interrupted`], to be given a
//! manifest that says so. Items locked by another process are left alone.
//!
//! A directory that cannot be written ([`Room::Unwritable`]) is opened all the same: what is finished is sent, the rest
//! is left as it is until the directory can be written, and is recovered then.
//!
//! # Map
//!
//! [`spool`] the directory, [`item`] one recording being written, [`recovery`] what a crash left, `sync` the group
//! sync, [`guard`] the judgement of the disk's room, `watch` its looks, [`storage`] the file system behind a trait,
//! [`upload`] the tus 1.0 client.

pub mod config;
pub mod error;
pub mod guard;
pub mod info;
pub mod item;
pub mod layout;
pub mod recovery;
pub mod spool;
pub mod storage;
pub mod upload;

mod disk;
mod entry;
mod receipt;
#[cfg(test)]
mod sim;
mod sync;
mod watch;

pub use config::Limits;
pub use error::SpoolError;
pub use guard::Room;
pub use info::{ItemInfo, Payload};
pub use item::Item;
pub use recovery::{EmptyItem, InterruptedItem};
pub use spool::{ItemSummary, Phase, Spool};
pub use upload::{Conditions, Network, UploadConfig, UploadControl, UploadStatus, Uploader};
