//! What can go wrong in the store, and whose fault it is.

use std::path::{Path, PathBuf};

/// Failure of the database or of object storage.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Storage: the database refused or cannot be reached.
    #[error("database: {0}")]
    Database(#[source] sqlx::Error),
    /// Storage or configuration: there is no database where the site's should be.
    #[error(
        "{path} {what}, and no new database is begun in its place: restore it from the backup (together with its -wal file, if there is one), or name the site's data directory with --data; only `init` makes a new site, in an empty directory"
    )]
    NoDatabase {
        /// Where it was looked for.
        path: PathBuf,
        /// What is there instead.
        what: &'static str,
    },
    /// Storage: the path of the open database names it no more.
    #[error(
        "{path} {what} under the running server: nothing is taken in any more; stop the server, put the file back (together with its -wal file) and start again"
    )]
    Displaced {
        /// Where it was opened.
        path: PathBuf,
        /// What became of it.
        what: &'static str,
    },
    /// Caller: the change breaks a rule of the schema (a name taken, an owner unknown).
    #[error("conflict: {0}")]
    Conflict(String),
    /// Storage: the schema could not be brought to this version.
    #[error("migration: {0}")]
    Migration(#[from] sqlx::migrate::MigrateError),
    /// Bug or damage: a stored value has not the form that this version writes.
    #[error("stored {what} cannot be read: {why}")]
    Damaged {
        /// Which value.
        what: &'static str,
        /// Why.
        why: String,
    },
    /// Storage: a file operation failed.
    #[error("{path}: {source}")]
    File {
        /// Of which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Caller: no such object or upload.
    #[error("no {0}")]
    NotFound(String),
    /// Caller: bytes offered for another position than the one that comes next.
    #[error("offset {offered} offered, {expected} is next")]
    Offset {
        /// By the caller.
        offered: u64,
        /// Bytes that are durable.
        expected: u64,
    },
    /// Caller: another request writes this upload.
    #[error("upload is being written by another request")]
    Busy,
}

impl StoreError {
    pub(crate) fn file(path: &Path, source: std::io::Error) -> Self {
        StoreError::File { path: path.to_owned(), source }
    }

    /// Something in the store cannot be read as what it should be.
    pub fn damaged(what: &'static str, why: impl ToString) -> Self {
        StoreError::Damaged { what, why: why.to_string() }
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Database(refused)
                if refused.is_unique_violation()
                    || refused.is_foreign_key_violation()
                    || refused.is_check_violation() =>
            {
                StoreError::Conflict(refused.message().to_owned())
            }
            _ => StoreError::Database(error),
        }
    }
}
