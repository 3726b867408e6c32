//! Gives up uploads that nobody touches (expiration extension of tus).

use crate::state::App;
use hindsight_store::{StoreError, uploads};
use hindsight_wire::Timestamp;
use std::time::Duration;

const EVERY: Duration = Duration::from_secs(600);
const AT_A_TIME: u32 = 100;

/// Looks again and again until the service ends.
pub async fn run(app: App) {
    loop {
        if let Err(error) = sweep(&app, Timestamp::now()).await {
            tracing::warn!(%error, "expired uploads could not be removed");
        }
        tokio::time::sleep(EVERY).await;
    }
}

/// Removes what has expired; how many.
pub async fn sweep(app: &App, now: Timestamp) -> Result<usize, StoreError> {
    let before = now.plus_ms(-i64::from(app.config.upload_hours) * 3_600_000);
    let expired = uploads::untouched(&mut *app.database.read().await?, before, AT_A_TIME).await?;
    for id in &expired {
        app.area.discard(*id).await?;
        let mut write = app.database.write().await?;
        uploads::remove(&mut write, *id).await?;
        write.commit().await?;
        tracing::warn!(recording = %id, "gave up an upload that nobody touched");
    }
    Ok(expired.len())
}
