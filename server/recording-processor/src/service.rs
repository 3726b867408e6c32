//! The loop: events and changed recordings, each with its own cursor, and interactions whose time has come.

use crate::{ProcessorError, completeness::Patience, gather, repair::Repairs};
use hindsight_crypto_server::CryptoClient;
use hindsight_link::Identity;
use hindsight_store::{Database, ObjectStore, StoreError, UploadArea, events, interactions, recordings};
use hindsight_wire::Timestamp;
use std::{collections::BTreeSet, sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;

/// Name of the cursor over changed recordings.
const RECORDINGS: &str = "recording-processor/recordings";
/// How often other processes' changes are looked for.
const POLL: Duration = Duration::from_millis(200);
/// Events, changes and interactions taken in one change of the store: it keeps others from writing as long as it lasts.
const BATCH: u32 = 64;
/// After a failure of the store.
const PAUSE: Duration = Duration::from_secs(1);

/// Runs the recording processor until shutdown.
pub async fn run(
    identity: Identity,
    database: Database,
    objects: Arc<dyn ObjectStore>,
    area: UploadArea,
    crypto: CryptoClient,
    shutdown: CancellationToken,
) -> Result<(), ProcessorError> {
    let repairs = Repairs::new(identity, database.clone(), objects, area, crypto);
    let joining = Joiner { database, patience: Patience::default() };
    tokio::select! {
        () = shutdown.cancelled() => {}
        () = joining.run() => {}
        () = repairs.run() => {}
    }
    Ok(())
}

/// Derives interactions.
pub struct Joiner {
    database: Database,
    patience: Patience,
}

impl Joiner {
    /// A joiner with its own patience.
    pub fn new(database: Database, patience: Patience) -> Self {
        Self { database, patience }
    }

    async fn run(&self) {
        let mut changed = self.database.changed();
        loop {
            match self.step(Timestamp::now()).await {
                Ok(true) => {}
                Ok(false) => {
                    let _ = tokio::time::timeout(POLL, changed.changed()).await;
                }
                Err(error) => {
                    tracing::error!(%error, "interactions could not be derived");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    /// Takes one batch; whether there was anything to do.
    pub async fn step(&self, now: Timestamp) -> Result<bool, StoreError> {
        if !self.anything(now).await? {
            return Ok(false);
        }
        let mut write = self.database.write().await?;
        let mut concerned = BTreeSet::new();
        let position = events::cursor(&mut write, events::INTERACTIONS).await?;
        let new = events::after(&mut write, position, BATCH).await?;
        if let Some(last) = new.last() {
            events::advance(&mut write, events::INTERACTIONS, last.position).await?;
        }
        concerned.extend(new.iter().filter_map(|entry| Some(entry.event.as_ref()?.interaction)));
        let position = events::cursor(&mut write, RECORDINGS).await?;
        let changes = recordings::changes_after(&mut write, position, BATCH).await?;
        if let Some(last) = changes.last() {
            events::advance(&mut write, RECORDINGS, last.position).await?;
        }
        for change in &changes {
            concerned.extend(gather::concerned(&mut write, change.recording).await?);
        }
        concerned.extend(interactions::recheck_due(&mut write, now, BATCH).await?);
        for interaction in &concerned {
            gather::refresh(&mut write, *interaction, self.patience, now).await?;
        }
        write.commit().await?;
        metrics::counter!("hindsight_interactions_derived_total").increment(concerned.len() as u64);
        tracing::debug!(
            events = new.len(),
            recordings = changes.len(),
            interactions = concerned.len(),
            "joined"
        );
        Ok(true)
    }

    /// Looks without keeping others from writing.
    async fn anything(&self, now: Timestamp) -> Result<bool, StoreError> {
        let mut db = self.database.read().await?;
        let events =
            events::last_position(&mut db).await? > events::cursor(&mut db, events::INTERACTIONS).await?;
        let position = events::cursor(&mut db, RECORDINGS).await?;
        Ok(events
            || !recordings::changes_after(&mut db, position, 1).await?.is_empty()
            || !interactions::recheck_due(&mut db, now, 1).await?.is_empty())
    }
}
