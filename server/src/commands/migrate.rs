//! `migrate`: the schema of this version. `run` does it too; this does it at a moment of one's own choice.

use crate::{commands::database, data_directory::DataDirectory, output::say};

pub async fn migrate(data: &DataDirectory) -> anyhow::Result<()> {
    let database = database(data).await?;
    say(&format!("schema version {}", database.schema_version().await?));
    database.close().await;
    Ok(())
}
