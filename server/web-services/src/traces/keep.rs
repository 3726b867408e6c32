//! Stores what SIP servers tell of signalling, and lets go of what is old.

use crate::state::App;
use hindsight_management::{ManagementError, trace_terms};
use hindsight_store::{StoreError, traces};
use hindsight_wire::{
    DeviceId, Timestamp,
    trace::{CallTrace, MOST_IN_BATCH},
};
use std::time::Duration;

/// How often what is old is looked for.
const EVERY: Duration = Duration::from_secs(3600);
/// Calls in one transaction: others write between them.
const AT_A_TIME: u32 = 200;
const DAY_MS: i64 = 24 * 3_600_000;

/// Whether the site wants traces.
pub async fn wanted(app: &App) -> Result<bool, ManagementError> {
    Ok(trace_terms(&mut *app.database.read().await?).await?.keep_days > 0)
}

/// Stores a batch; whether the SIP server may forget it. What cannot be stored now is told again: a trace is worth no link.
pub async fn store(app: &App, device: DeviceId, calls: &[CallTrace]) -> bool {
    let stored = try_store(app, device, calls).await;
    if let Err(error) = &stored {
        tracing::warn!(%error, %device, "a trace could not be stored");
    }
    stored.is_ok()
}

/// Unless none is wanted any more. A batch that no SIP server makes is dropped.
async fn try_store(app: &App, device: DeviceId, calls: &[CallTrace]) -> Result<(), ManagementError> {
    let messages: usize = calls.iter().map(|call| call.messages.len()).sum();
    if messages > MOST_IN_BATCH || calls.len() > MOST_IN_BATCH {
        tracing::warn!(%device, messages, "too much of a trace at a time: dropped");
        return Ok(());
    }
    if !wanted(app).await? {
        return Ok(());
    }
    let mut write = app.database.write().await?;
    match traces::put(&mut write, device, calls, Timestamp::now()).await {
        Ok(()) => Ok(write.commit().await?),
        Err(StoreError::Conflict(reason)) => {
            tracing::warn!(%device, reason, "a trace was dropped");
            Ok(())
        }
        Err(error) => Err(error.into()),
    }
}

/// Looks again and again until the service ends.
pub async fn run(app: App) {
    loop {
        match sweep(&app, Timestamp::now()).await {
            Ok(0) => {}
            Ok(count) => tracing::info!(count, "traces of calls have reached their age"),
            Err(error) => tracing::warn!(%error, "old traces of calls could not be removed"),
        }
        tokio::time::sleep(EVERY).await;
    }
}

/// Removes what is older than the site keeps; of how many calls.
pub async fn sweep(app: &App, now: Timestamp) -> Result<u64, ManagementError> {
    let days = trace_terms(&mut *app.database.read().await?).await?.keep_days;
    let before = now.plus_ms(-i64::from(days) * DAY_MS);
    let mut all = 0;
    loop {
        let mut write = app.database.write().await?;
        let count = traces::expire(&mut write, before, AT_A_TIME).await?;
        write.commit().await?;
        all += count;
        if count < u64::from(AT_A_TIME) {
            return Ok(all);
        }
    }
}
