//! When the configuration changes: at once for changes of this process, within a second for those of others.

use hindsight_store::{Database, changes};
use std::time::Duration;
use tokio::sync::watch;

/// How often another process's changes are looked for.
const POLL: Duration = Duration::from_secs(1);

/// Follows the version of the configuration until nobody listens any more.
pub fn follow_version(database: Database) -> watch::Receiver<u64> {
    let (sender, receiver) = watch::channel(0);
    tokio::spawn(async move {
        let mut changed = database.changed();
        loop {
            match version(&database).await {
                Ok(version) => {
                    sender.send_if_modified(|known| std::mem::replace(known, version) != version);
                }
                Err(error) => tracing::warn!(%error, "the version of the configuration cannot be read"),
            }
            tokio::select! {
                () = sender.closed() => return,
                _ = tokio::time::timeout(POLL, changed.changed()) => {}
            }
        }
    });
    receiver
}

async fn version(database: &Database) -> Result<u64, hindsight_store::StoreError> {
    changes::version(&mut *database.read().await?).await
}
