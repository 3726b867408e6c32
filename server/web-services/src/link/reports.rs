//! What a desktop says of itself, kept for the list that IT looks at.

use crate::state::App;
use hindsight_store::{
    StoreError,
    desktops::{self, Offline, SpoolState},
};
use hindsight_wire::{DeviceId, Timestamp, agent::Problem};
use std::time::{Duration, Instant};

/// The state of a spool changes with every piece that is sent; it is written at most so often.
const SPOOL_EVERY: Duration = Duration::from_secs(2);
/// Problems of one desktop that are kept.
const MOST_PROBLEMS: usize = 32;
/// Longest text that is kept.
const LONGEST_TEXT: usize = 500;

/// What was reported on one link and is not written yet.
#[derive(Default)]
pub(super) struct Reports {
    spool: Option<SpoolState>,
    written: Option<Instant>,
}

impl Reports {
    /// Notes the state of the spool; writes it when the last time is long enough ago, or it refuses or is done.
    pub(super) async fn spool(
        &mut self,
        app: &App,
        device: DeviceId,
        state: SpoolState,
    ) -> Result<(), StoreError> {
        let urgent = state.waiting == 0 || state.refused > 0;
        self.spool = Some(state);
        let recent = self.written.is_some_and(|at| at.elapsed() < SPOOL_EVERY);
        if recent && !urgent { Ok(()) } else { self.flush(app, device).await }
    }

    /// Writes what waits.
    pub(super) async fn flush(&mut self, app: &App, device: DeviceId) -> Result<(), StoreError> {
        let Some(state) = self.spool.take() else { return Ok(()) };
        self.written = Some(Instant::now());
        let mut write = app.database.write().await?;
        desktops::spool(&mut write, device, state, Timestamp::now()).await?;
        write.commit().await
    }
}

/// All that is wrong with a desktop now.
pub(super) async fn problems(
    app: &App,
    device: DeviceId,
    mut problems: Vec<Problem>,
) -> Result<(), StoreError> {
    problems.truncate(MOST_PROBLEMS);
    for problem in &mut problems {
        problem.detail = shortened(&problem.detail);
        let kind = serde_json::to_value(problem.kind).unwrap_or_default();
        let kind = kind.as_str().unwrap_or("other").to_owned();
        metrics::counter!("hindsight_desktop_problems_total", "kind" => kind).increment(1);
    }
    let mut write = app.database.write().await?;
    desktops::problems(&mut write, device, &problems, Timestamp::now()).await?;
    write.commit().await
}

/// A capture failed there.
pub(super) async fn failed(app: &App, device: DeviceId, reason: &str) -> Result<(), StoreError> {
    metrics::counter!("hindsight_captures_failed_total").increment(1);
    let mut write = app.database.write().await?;
    desktops::failed(&mut write, device, &shortened(reason), Timestamp::now()).await?;
    write.commit().await
}

/// It had no link for a while.
pub(super) async fn offline(app: &App, device: DeviceId, offline: Offline) -> Result<(), StoreError> {
    metrics::counter!("hindsight_desktop_offline_total").increment(1);
    let mut write = app.database.write().await?;
    desktops::offline(&mut write, device, offline, Timestamp::now()).await?;
    write.commit().await
}

fn shortened(text: &str) -> String {
    text.chars().take(LONGEST_TEXT).collect()
}
