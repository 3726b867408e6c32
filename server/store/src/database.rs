//! SQLite in one file: write-ahead log, foreign keys, one writer and several readers per process.
//!
//! Several processes of a site may open the same file. `synchronous = FULL`: what is committed survives a power cut,
//! because receipts and acknowledgements are given on the strength of it.

use crate::StoreError;
use sqlx::{
    Connection as _, Sqlite, SqlitePool,
    pool::PoolConnection,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};
use std::{
    ops::{Deref, DerefMut},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::sync::watch;

/// What repositories work on.
pub type Connection = sqlx::SqliteConnection;

/// How long a process waits for another one's transaction.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a task waits for a free connection.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(20);
/// Readers per process.
const READERS: u32 = 8;
/// Name of the file in the store's directory.
pub const DATABASE_FILE: &str = "hindsight.db";

static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!();

/// The site's database. Cheap to clone.
#[derive(Clone)]
pub struct Database {
    writer: SqlitePool,
    readers: SqlitePool,
    changed: watch::Sender<u64>,
    file: OpenedFile,
}

/// Which file was opened: its path may come to name another one.
#[derive(Clone)]
struct OpenedFile {
    path: PathBuf,
    /// Device and inode.
    is: (u64, u64),
}

impl OpenedFile {
    fn at(path: &Path) -> Result<Self, StoreError> {
        Ok(Self { path: path.to_owned(), is: Self::named(path)? })
    }

    fn named(path: &Path) -> Result<(u64, u64), StoreError> {
        let file = std::fs::metadata(path).map_err(|error| StoreError::file(path, error))?;
        Ok((file.dev(), file.ino()))
    }
}

impl Database {
    /// Makes a new database in `directory` (made too when missing), with the schema of this version; refused where there
    /// is one already. Only a new site does this: what is lost must be restored, never begun anew in silence.
    pub async fn create(directory: &Path) -> Result<Self, StoreError> {
        std::fs::create_dir_all(directory).map_err(|error| StoreError::file(directory, error))?;
        let path = directory.join(DATABASE_FILE);
        std::fs::File::create_new(&path).map_err(|error| StoreError::file(&path, error))?;
        Self::connect(&path).await
    }

    /// Opens the site's database in `directory` and brings its schema to this version. One that is missing or empty is
    /// an error: a new one in its place would be another site without its persons, keys and recordings.
    pub async fn open(directory: &Path) -> Result<Self, StoreError> {
        let path = directory.join(DATABASE_FILE);
        match std::fs::metadata(&path) {
            Ok(file) if file.is_file() && file.len() > 0 => {}
            Ok(_) => return Err(StoreError::NoDatabase { path, what: "is empty" }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(StoreError::NoDatabase { path, what: "is missing" });
            }
            Err(error) => return Err(StoreError::file(&path, error)),
        }
        let plain =
            SqliteConnectOptions::new().filename(&path).create_if_missing(false).busy_timeout(BUSY_TIMEOUT);
        let mut probe = Connection::connect_with(&plain).await?;
        let known: i64 = sqlx::query_scalar(
            "SELECT COUNT(*) FROM sqlite_schema WHERE type = 'table' AND name IN ('_sqlx_migrations', 'persons')",
        )
        .fetch_one(&mut probe)
        .await?;
        probe.close().await?;
        if known < 2 {
            return Err(StoreError::NoDatabase { path, what: "holds no site" });
        }
        Self::connect(&path).await
    }

    fn options(path: &Path) -> SqliteConnectOptions {
        SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(false)
            .foreign_keys(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(BUSY_TIMEOUT)
    }

    async fn connect(path: &Path) -> Result<Self, StoreError> {
        let pool = |connections: u32| {
            SqlitePoolOptions::new().max_connections(connections).acquire_timeout(ACQUIRE_TIMEOUT)
        };
        let writer = pool(1).connect_with(Self::options(path)).await?;
        MIGRATIONS.run(&writer).await?;
        let readers = pool(READERS).connect_with(Self::options(path)).await?;
        let file = OpenedFile::at(path)?;
        Ok(Self { writer, readers, changed: watch::Sender::new(0), file })
    }

    /// Fails where the file that is open is no longer the one that its path names: moved away or replaced under the
    /// running server. What would be written now were lost with the process.
    pub fn in_place(&self) -> Result<(), StoreError> {
        let OpenedFile { path, is } = &self.file;
        match OpenedFile::named(path) {
            Ok(named) if named == *is => Ok(()),
            Ok(_) => Err(StoreError::Displaced { path: path.clone(), what: "was replaced by another file" }),
            Err(_) => Err(StoreError::Displaced { path: path.clone(), what: "was moved away or deleted" }),
        }
    }

    /// A connection for queries. Never write with it: use [`Database::write`].
    pub async fn read(&self) -> Result<PoolConnection<Sqlite>, StoreError> {
        Ok(self.readers.acquire().await?)
    }

    /// Begins a change. It takes the write lock at once, so that it never fails half-way for another writer. Refused where
    /// the file is not in its place: nobody is told that something is kept which will be lost.
    pub async fn write(&self) -> Result<Write, StoreError> {
        self.in_place()?;
        let transaction = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        Ok(Write { transaction, changed: self.changed.clone() })
    }

    /// Changes after every commit of this process; other processes' commits are seen by polling.
    pub fn changed(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Version of the schema: the number of the last migration applied.
    pub async fn schema_version(&self) -> Result<i64, StoreError> {
        let version = sqlx::query_scalar("SELECT MAX(version) FROM _sqlx_migrations WHERE success")
            .fetch_one(&mut *self.read().await?)
            .await?;
        Ok(version)
    }

    /// SQLite's own check of the file; the findings, empty when it is sound.
    pub async fn verify(&self) -> Result<Vec<String>, StoreError> {
        let findings: Vec<String> =
            sqlx::query_scalar("PRAGMA quick_check").fetch_all(&mut *self.read().await?).await?;
        Ok(findings.into_iter().filter(|line| line != "ok").collect())
    }

    /// Finishes running statements and closes the file.
    pub async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}

/// A change that has begun; undone when dropped without [`Write::commit`].
pub struct Write {
    transaction: sqlx::Transaction<'static, Sqlite>,
    changed: watch::Sender<u64>,
}

impl Write {
    /// Makes the change durable and wakes who waits for changes.
    pub async fn commit(self) -> Result<(), StoreError> {
        self.transaction.commit().await?;
        self.changed.send_modify(|count| *count += 1);
        Ok(())
    }
}

impl Deref for Write {
    type Target = Connection;
    fn deref(&self) -> &Connection {
        &self.transaction
    }
}

impl DerefMut for Write {
    fn deref_mut(&mut self) -> &mut Connection {
        &mut self.transaction
    }
}
