//! `config`: the site's configuration.

use crate::{
    cli::ConfigCommand,
    commands::{COMMAND_LINE, database},
    data_directory::DataDirectory,
    output::{print, say},
};
use anyhow::Context;
use hindsight_management::{SiteFile, plan::Plan};
use hindsight_wire::Timestamp;
use std::path::Path;

pub async fn config(data: &DataDirectory, command: ConfigCommand) -> anyhow::Result<()> {
    let database = database(data).await?;
    match command {
        ConfigCommand::Export => {
            let file = hindsight_management::export(&mut *database.read().await?).await?;
            print(&file.to_text()?);
        }
        ConfigCommand::Plan { file } => {
            show(&hindsight_management::plan_file(&database, read(&file)?).await?);
        }
        ConfigCommand::Apply { file, reason } => {
            let plan = hindsight_management::plan_file(&database, read(&file)?).await?;
            show(&plan);
            let now = Timestamp::now();
            let version = hindsight_management::apply(&database, &plan, COMMAND_LINE, &reason, now).await?;
            say(&format!("configuration version {version}"));
        }
    }
    database.close().await;
    Ok(())
}

fn read(path: &Path) -> anyhow::Result<SiteFile> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    SiteFile::parse(&text).with_context(|| path.display().to_string())
}

fn show(plan: &Plan) {
    if plan.changes.is_empty() {
        say("nothing changes");
    }
    for change in &plan.changes {
        let sign = match (&change.before, &change.after) {
            (None, _) => "+",
            (_, None) => "-",
            (Some(_), Some(_)) => "~",
        };
        let value =
            |value: &Option<serde_json::Value>| value.as_ref().map_or(String::new(), ToString::to_string);
        let arrow = if change.before.is_some() && change.after.is_some() { " -> " } else { "" };
        say(&format!("{sign} {} {}{arrow}{}", change.object, value(&change.before), value(&change.after)));
    }
}
