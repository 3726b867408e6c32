//! Finding interactions: who may see which ([`scope`]), what is asked for ([`filter`]), one page at a time ([`find`]);
//! [`heard`]: whose a recording is; [`recordings`]: the same list of recordings, for whoever runs the server.
//!
//! Everything that narrows a list is a key in one index, `(key, start, interaction)`, so that a page costs the same on the
//! first day and after ten million calls: the index is entered at the cursor and read backwards in time.

pub mod filter;
pub mod find;
pub mod heard;
pub mod recordings;
pub mod scope;

pub use filter::{Cursor, CursorError, Filter};
pub use find::{Page, find, may_see, may_see_recording};
pub use scope::Scope;
