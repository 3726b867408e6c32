//! The loop: new events, with a cursor of its own.

use crate::{ReportError, project};
use hindsight_model::Event;
use hindsight_store::{Connection, Database, StoreError, dns, events, reports};
use hindsight_wire::InteractionId;
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};
use tokio_util::sync::CancellationToken;

/// Name of the cursor. Another way to make rows gets another number: the rows are then made anew from the log.
const CONSUMER: &str = "reporting-server/1";
/// How often other processes' events are looked for.
const POLL: Duration = Duration::from_millis(500);
/// Events taken in one change of the store: it keeps others from writing as long as it lasts.
const BATCH: u32 = 128;
/// After a failure of the store.
const PAUSE: Duration = Duration::from_secs(1);

/// Runs the reporting server until shutdown.
pub async fn run(database: Database, shutdown: CancellationToken) -> Result<(), ReportError> {
    let reporter = Reporter::new(database);
    tracing::info!("reporting server ready");
    tokio::select! {
        () = shutdown.cancelled() => {}
        () = reporter.run() => {}
    }
    Ok(())
}

/// Derives the rows of reports.
pub struct Reporter {
    database: Database,
}

impl Reporter {
    /// Over this database.
    pub fn new(database: Database) -> Self {
        Self { database }
    }

    async fn run(&self) {
        let mut changed = self.database.changed();
        loop {
            match self.step().await {
                Ok(true) => {}
                Ok(false) => {
                    let _ = tokio::time::timeout(POLL, changed.changed()).await;
                }
                Err(error) => {
                    tracing::error!(%error, "reports could not be derived");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    /// Takes one batch; whether there was anything to do.
    pub async fn step(&self) -> Result<bool, StoreError> {
        // Looks without keeping others from writing.
        if pending(&mut *self.database.read().await?).await? == 0 {
            return Ok(false);
        }
        let mut write = self.database.write().await?;
        let position = events::cursor(&mut write, CONSUMER).await?;
        if position == 0 {
            reports::forget(&mut write).await?;
        }
        let new = events::after(&mut write, position, BATCH).await?;
        let Some(last) = new.last() else { return Ok(false) };
        events::advance(&mut write, CONSUMER, last.position).await?;
        let concerned: BTreeSet<InteractionId> =
            new.iter().filter_map(|entry| Some(entry.event.as_ref()?.interaction)).collect();
        let mut known = BTreeMap::new();
        for interaction in &concerned {
            refresh(&mut write, *interaction, &mut known).await?;
        }
        write.commit().await?;
        metrics::counter!("hindsight_report_events_total").increment(new.len() as u64);
        tracing::debug!(events = new.len(), interactions = concerned.len(), "reported");
        Ok(true)
    }
}

/// Events of the log that the reports do not show yet.
pub async fn pending(db: &mut Connection) -> Result<u64, StoreError> {
    let last = events::last_position(db).await?;
    Ok(last.saturating_sub(events::cursor(db, CONSUMER).await?))
}

async fn refresh(
    db: &mut Connection,
    interaction: InteractionId,
    known: &mut BTreeMap<String, bool>,
) -> Result<(), StoreError> {
    let log = events::of_interaction(db, interaction).await?;
    let log: Vec<Event> = log.into_iter().filter_map(|entry| entry.event).collect();
    let mut of_site = BTreeSet::new();
    for number in project::numbers(&log) {
        let is_dn = match known.get(number) {
            Some(is_dn) => *is_dn,
            None => {
                let is_dn = dns::by_number(db, number).await?.is_some();
                known.insert(number.to_owned(), is_dn);
                is_dn
            }
        };
        if is_dn {
            of_site.insert(number.to_owned());
        }
    }
    let rows = project::project(interaction, &log, &of_site);
    reports::replace(db, interaction, rows.call.as_ref(), &rows.sessions).await
}
