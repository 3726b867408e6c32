//! `token`: other systems that may use the API, each with a token of its own.

use crate::{
    cli::TokenCommand,
    commands::{COMMAND_LINE, database},
    data_directory::DataDirectory,
    output::{complain, say},
};
use hindsight_store::{
    Connection, StoreError,
    api_tokens::{self, Right, System},
    audit,
};
use hindsight_wire::Timestamp;

/// Longest name of a system.
const LONGEST_NAME: usize = 60;

pub async fn token(data: &DataDirectory, command: TokenCommand) -> anyhow::Result<()> {
    let database = database(data).await?;
    match command {
        TokenCommand::New { name, rights } => {
            let allowed = |c: char| c.is_alphanumeric() || "-_.".contains(c);
            anyhow::ensure!(
                !name.is_empty() && name.len() <= LONGEST_NAME && name.chars().all(allowed),
                "the name of a system has letters, digits, - _ and . only, at most {LONGEST_NAME}"
            );
            let now = Timestamp::now();
            let rights = rights.into_iter().collect();
            let mut write = database.write().await?;
            let token = api_tokens::make(&mut write, &name, &rights, now).await?;
            note(&mut write, "token.new", &name, serde_json::json!({ "rights": rights })).await?;
            write.commit().await?;
            say(&token);
            complain("This token is shown once. Send it as: Authorization: Bearer <token>");
        }
        TokenCommand::List => {
            for system in api_tokens::all(&mut *database.read().await?).await? {
                say(&line(&system));
            }
        }
        TokenCommand::Revoke { name } => {
            let mut write = database.write().await?;
            let was_good = api_tokens::revoke(&mut write, &name, Timestamp::now()).await?;
            anyhow::ensure!(was_good, "no system `{name}` has a token that is good");
            note(&mut write, "token.revoke", &name, serde_json::Value::Null).await?;
            write.commit().await?;
            say(&format!("the token of {name} is refused from now on"));
        }
    }
    database.close().await;
    Ok(())
}

fn line(System { name, rights, made_at, revoked_at }: &System) -> String {
    let rights: Vec<&str> = rights.iter().copied().map(Right::as_str).collect();
    let state = revoked_at.map_or_else(|| "good".to_owned(), |at| format!("revoked {at}"));
    format!("{name}  {}  made {made_at}  {state}", rights.join(","))
}

async fn note(
    db: &mut Connection,
    action: &str,
    object: &str,
    details: serde_json::Value,
) -> Result<(), StoreError> {
    let at = Timestamp::now();
    audit::append(db, &audit::Record { at, actor: COMMAND_LINE, action, object, details }).await
}
