//! Database, event log and object storage of the site.
//!
//! - [`database`]: opening, migrations, readers and the one writer. The only file that names the database engine: another
//!   one enters there and in `migrations/`; repositories speak in the types of this crate.
//! - [`persons`], [`sessions`], [`dns`], [`devices`], [`enrolment_codes`], [`settings`], [`changes`], [`audit`]: repositories.
//! - [`events`]: the one log of domain events, with consumers and their cursors.
//! - [`uploads`], [`recordings`], [`repairs`], [`interactions`], [`presence`]: what arrives, what is committed, what is derived.
//! - [`traces`]: the signalling of calls, masked.
//! - [`reports`]: calls and sessions, as reports count them.
//! - [`agent_states`], [`desktops`], [`announced`], [`api_tokens`]: agents, their desktops, and other systems.
//! - [`objects`]: sealed payloads, envelopes and manifests; [`upload_area`]: payloads that still arrive.
//!
//! A repository is a set of functions over a [`Connection`]: from [`Database::read`] for a query, from
//! [`Database::write`] for a change. What must happen together happens in one [`Write`].

pub mod agent_states;
pub mod announced;
pub mod api_tokens;
pub mod audit;
pub mod changes;
pub mod database;
pub mod desktops;
pub mod devices;
pub mod dns;
pub mod enrolment_codes;
pub mod error;
pub mod events;
pub mod interactions;
pub mod objects;
pub mod persons;
pub mod presence;
pub mod recordings;
pub mod repairs;
pub mod reports;
pub mod sessions;
pub mod settings;
pub mod token;
pub mod traces;
pub mod upload_area;
pub mod uploads;

pub use database::{Connection, Database, Write};
pub use error::StoreError;
pub use objects::{DirectoryObjects, ObjectKey, ObjectKind, ObjectStore};
pub use upload_area::UploadArea;
