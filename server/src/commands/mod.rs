//! The commands, a file each.

pub mod check;
pub mod config;
mod damage;
pub mod enrol;
mod export;
pub mod init;
pub mod join;
pub mod key;
pub mod migrate;
pub mod openapi;
pub mod recording;
pub mod token;

use crate::data_directory::DataDirectory;
use anyhow::Context;
use hindsight_store::Database;

/// Who does what a command does, in records of changes and audit logs.
pub const COMMAND_LINE: &str = "command line";

/// Opens the site's database; a command never makes one.
pub async fn database(data: &DataDirectory) -> anyhow::Result<Database> {
    let directory = data.store();
    let file = directory.join(hindsight_store::database::DATABASE_FILE);
    anyhow::ensure!(file.is_file(), "{} is missing: is this the data directory?", file.display());
    Database::open(&directory).await.with_context(|| format!("database in {}", directory.display()))
}
