//! The task that owns [`Captures`]: feeds it, sends its commands, writes its events to the log.

use super::{
    captures::{Captures, Desktop, Output, Terms},
    hub::Hub,
};
use hindsight_management::{ManagementError, capture_policy, voice::recipients, watch::follow_version};
use hindsight_model::Event;
use hindsight_store::{Connection, Database, StoreError, events};
use hindsight_wire::{CaptureId, DeviceId, InteractionId, RecordingId, Timestamp};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Messages that may wait; links wait for room, so that what floods is the one that waits.
const QUEUE: usize = 1024;
/// Calls that began before are not looked for at the start.
const LOOK_BACK_MS: i64 = 4 * 3600 * 1000;
/// Events read at a time.
const PAGE: u32 = 1000;

/// What the director is told.
pub enum Message {
    /// New in the log, in its order.
    Events(Vec<Event>),
    /// A desktop's link is open.
    Up(DeviceId, Desktop),
    /// It is gone.
    Down(DeviceId),
    /// A desktop took its first frame.
    Started {
        /// Which.
        device: DeviceId,
        /// For these.
        interactions: Vec<InteractionId>,
        /// The run.
        capture: CaptureId,
        /// One per monitor.
        recordings: Vec<RecordingId>,
    },
    /// A desktop could not capture.
    Failed {
        /// Which.
        device: DeviceId,
        /// For these.
        interactions: Vec<InteractionId>,
        /// Why.
        error: String,
    },
}

/// How the director is reached. Cheap to clone.
#[derive(Clone)]
pub struct Director {
    queue: mpsc::Sender<Message>,
}

impl Director {
    /// Starts the task; it ends at shutdown.
    pub fn spawn(database: Database, hub: Hub, shutdown: CancellationToken) -> Self {
        let (queue, inbox) = mpsc::channel(QUEUE);
        tokio::spawn(async move {
            let run = Run { database, hub, captures: Captures::default() };
            shutdown.run_until_cancelled(run.run(inbox)).await;
        });
        Self { queue }
    }

    /// Tells the director; waits for room.
    pub async fn tell(&self, message: Message) {
        // A director that is gone: the process ends.
        let _ = self.queue.send(message).await;
    }
}

struct Run {
    database: Database,
    hub: Hub,
    captures: Captures,
}

impl Run {
    async fn run(mut self, mut inbox: mpsc::Receiver<Message>) {
        if let Err(error) = self.recall().await {
            tracing::error!(%error, "calls that were active before the start are not known");
        }
        let mut version = follow_version(self.database.clone());
        self.learn_terms().await;
        loop {
            tokio::select! {
                // Terms first: a capture is never started on old ones when new ones are known.
                biased;
                changed = version.changed() => match changed {
                    Ok(()) => self.learn_terms().await,
                    Err(_) => return,
                },
                message = inbox.recv() => match message {
                    Some(message) => self.take(message).await,
                    None => return,
                },
            }
        }
    }

    /// Takes in the calls of the last hours: the server may have been restarted in the middle of them.
    async fn recall(&mut self) -> Result<(), StoreError> {
        let now = Timestamp::now();
        let mut db = self.database.read().await?;
        let mut position = position_at(&mut db, now.plus_ms(-LOOK_BACK_MS)).await?;
        loop {
            let page = events::after(&mut db, position, PAGE).await?;
            let Some(last) = page.last() else { break };
            position = last.position;
            let events: Vec<Event> = page.into_iter().filter_map(|entry| entry.event).collect();
            self.captures.events(&events, now);
        }
        tracing::info!(calls = self.captures.calls(), "recalled the calls that are active");
        Ok(())
    }

    async fn learn_terms(&mut self) {
        match terms(&self.database).await {
            Ok(terms) => self.captures.set_terms(terms),
            Err(error) => tracing::warn!(%error, "policy and recipients of captures cannot be read"),
        }
    }

    async fn take(&mut self, message: Message) {
        let now = Timestamp::now();
        let outputs = match message {
            Message::Events(events) => self.captures.events(&events, now),
            Message::Up(device, desktop) => self.captures.desktop_up(device, desktop),
            Message::Down(device) => self.captures.desktop_down(device),
            Message::Started { device, interactions, capture, recordings } => {
                self.captures.started(device, &interactions, capture, &recordings, now)
            }
            Message::Failed { device, interactions, error } => {
                self.captures.failed(device, &interactions, &error, now)
            }
        };
        metrics::gauge!("hindsight_calls_active").set(self.captures.calls() as f64);
        for output in outputs {
            match output {
                Output::Send(device, down) => {
                    tracing::debug!(%device, command = name(&down), "capture command");
                    self.hub.send(device, down);
                }
                Output::Log(event) => self.log(&event, now).await,
            }
        }
    }

    async fn log(&self, event: &Event, now: Timestamp) {
        let append = async {
            let mut write = self.database.write().await?;
            events::append(&mut write, event, now).await?;
            write.commit().await
        };
        if let Err(error) = append.await {
            tracing::error!(%error, interaction = %event.interaction, "an event could not be logged");
        }
    }
}

fn name(down: &hindsight_wire::link::Down) -> &'static str {
    use hindsight_wire::link::Down;
    match down {
        Down::StartCapture { .. } => "start",
        Down::StopCapture { .. } => "stop",
        Down::PauseCapture { .. } => "pause",
        Down::ResumeCapture { .. } => "resume",
        _ => "other",
    }
}

/// How captures are made now.
pub async fn terms(database: &Database) -> Result<Terms, ManagementError> {
    let mut db = database.read().await?;
    Ok(Terms { policy: capture_policy(&mut db).await?, recipients: recipients(&mut db).await? })
}

/// The last position of the log that was received before `at`, by bisection: positions grow with the time of receipt.
async fn position_at(db: &mut Connection, at: Timestamp) -> Result<u64, StoreError> {
    let (mut before, mut after) = (0, events::last_position(db).await?);
    while before < after {
        let middle = before + (after - before) / 2;
        let next = events::after(db, middle, 1).await?;
        match next.first() {
            Some(entry) if entry.received_at < at => before = entry.position,
            _ => after = middle,
        }
    }
    Ok(before)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hindsight_model::event::What;

    #[tokio::test]
    async fn the_log_is_entered_at_the_time_asked_for() {
        let directory = tempfile::tempdir().unwrap();
        let database = Database::open(directory.path()).await.unwrap();
        let mut write = database.write().await.unwrap();
        for n in 0..57 {
            let event = Event {
                interaction: InteractionId::new(),
                at: Timestamp(n * 10),
                what: What::CallHeld { by: "1001".into() },
            };
            events::append(&mut write, &event, Timestamp(n * 10)).await.unwrap();
        }
        write.commit().await.unwrap();
        let mut db = database.read().await.unwrap();
        for at in [-5, 0, 1, 10, 285, 560, 561, 9999] {
            let position = position_at(&mut db, Timestamp(at)).await.unwrap();
            let expected = (0..57).filter(|n| n * 10 < at).count() as u64;
            assert_eq!(position, expected, "at {at}");
        }
    }
}
