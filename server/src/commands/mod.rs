//! The commands, a file each.

pub mod check;
pub mod config;
mod damage;
pub mod enrol;
mod export;
mod findings;
pub mod init;
pub mod join;
pub mod key;
mod list;
pub mod migrate;
pub mod openapi;
mod reach;
pub mod recording;
pub mod token;

use crate::data_directory::DataDirectory;
use hindsight_store::Database;

/// Who does what a command does, in records of changes and audit logs.
pub const COMMAND_LINE: &str = "command line";

/// Opens the site's database; a command never makes one.
pub async fn database(data: &DataDirectory) -> anyhow::Result<Database> {
    Ok(Database::open(&data.store()).await?)
}
