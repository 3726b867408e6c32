//! Signs of life in the store: they tell later why a screen is missing.

use hindsight_store::{Database, StoreError, presence};
use hindsight_wire::Timestamp;
use std::time::Duration;

/// Name of this service in the store.
pub const SERVICE: &str = "web-services";
/// How exactly the end of a killed server is known.
const EVERY: Duration = Duration::from_secs(5);

/// Notes the start, and ends the desktops' links that a killed server left open.
pub async fn begin(database: &Database, now: Timestamp) -> Result<(), StoreError> {
    let mut write = database.write().await?;
    if let Some(last) = presence::last_run(&mut write, SERVICE).await? {
        presence::close_left_open(&mut write, last.seen).await?;
    }
    presence::alive(&mut write, SERVICE, now, now).await?;
    write.commit().await
}

/// Notes again and again that the service lives.
pub async fn run(database: Database, began: Timestamp) {
    loop {
        tokio::time::sleep(EVERY).await;
        if let Err(error) = note(&database, began).await {
            tracing::warn!(%error, "a sign of life could not be written");
        }
    }
}

/// Notes that the service lives now.
pub async fn note(database: &Database, began: Timestamp) -> Result<(), StoreError> {
    let mut write = database.write().await?;
    presence::alive(&mut write, SERVICE, began, Timestamp::now()).await?;
    write.commit().await
}
