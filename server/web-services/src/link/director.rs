//! The task that owns [`Captures`] and [`Agents`]: feeds them, sends what they say, writes events to the log.

use super::{
    agents::{self, Agents, Offer, Seat},
    captures::{Captures, Desktop, Output, Terms},
    hub::Hub,
};
use hindsight_management::{
    ManagementError, agent_terms, capture_policy, voice::recipients, watch::follow_version,
};
use hindsight_model::Event;
use hindsight_store::{Connection, Database, StoreError, agent_states, events, persons};
use hindsight_wire::{
    CaptureId, DeviceId, InteractionId, PersonId, RecordingId, Timestamp,
    agent::{AgentState, InteractionView, Resume},
};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
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
    Up(DeviceId, Desktop, Option<Follow>),
    /// It is gone.
    Down(DeviceId),
    /// The person at a desktop signed out.
    SignedOut(DeviceId),
    /// A person is ready or not; stored already.
    State(PersonId, AgentState),
    /// What the agent at a desktop is shown of an interaction: what they may do to it.
    Shown {
        /// Which desktop.
        device: DeviceId,
        /// Which interaction.
        interaction: InteractionId,
        /// `None`: nothing.
        answer: oneshot::Sender<Option<InteractionView>>,
    },
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

/// A desktop that follows its agent's event stream.
pub struct Follow {
    /// On which link.
    pub link: u64,
    /// From where on.
    pub resume: Option<Resume>,
    /// When the person signed in.
    pub since: Timestamp,
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
            let run = Run { database, hub, captures: Captures::default(), agents: Agents::default() };
            shutdown.run_until_cancelled(run.run(inbox)).await;
        });
        Self { queue }
    }

    /// Tells the director; waits for room.
    pub async fn tell(&self, message: Message) {
        // A director that is gone: the process ends.
        let _ = self.queue.send(message).await;
    }

    /// What the agent at a desktop is shown of an interaction.
    pub async fn shown(&self, device: DeviceId, interaction: InteractionId) -> Option<InteractionView> {
        let (sender, answer) = oneshot::channel();
        self.tell(Message::Shown { device, interaction, answer: sender }).await;
        answer.await.ok().flatten()
    }
}

struct Run {
    database: Database,
    hub: Hub,
    captures: Captures,
    agents: Agents,
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
                () = until(self.captures.deadline()) => {
                    let outputs = self.captures.on_time(Timestamp::now());
                    self.perform(outputs).await;
                }
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
            self.agents.events(&events, now);
        }
        tracing::info!(calls = self.captures.calls(), "recalled the calls that are active");
        Ok(())
    }

    async fn learn_terms(&mut self) {
        match terms(&self.database).await {
            Ok(terms) => self.captures.set_terms(terms),
            Err(error) => tracing::warn!(%error, "policy and recipients of captures cannot be read"),
        }
        match offer(&self.database).await {
            Ok(offer) => {
                let told = self.agents.set_offer(offer);
                self.show(told);
            }
            Err(error) => tracing::warn!(%error, "what agents are offered cannot be read"),
        }
    }

    async fn take(&mut self, message: Message) {
        let now = Timestamp::now();
        let outputs = match message {
            Message::Events(events) => {
                let told = self.agents.events(&events, now);
                self.show(told);
                self.captures.events(&events, now)
            }
            Message::Up(device, desktop, follow) => {
                if let Some(follow) = follow
                    && let Err(error) = self.follow(device, &desktop, follow, now).await
                {
                    tracing::error!(%error, %device, "an agent's event stream could not begin");
                    self.hub.close(device);
                }
                self.captures.desktop_up(device, desktop)
            }
            Message::Down(device) => {
                self.agents.down(device, now);
                self.captures.desktop_down(device)
            }
            Message::SignedOut(device) => {
                self.agents.signed_out(device);
                Vec::new()
            }
            Message::State(person, state) => {
                let told = self.agents.set_state(person, &state);
                self.show(told);
                Vec::new()
            }
            Message::Shown { device, interaction, answer } => {
                // Whoever asked may be gone.
                let _ = answer.send(self.agents.shown(device, interaction).cloned());
                Vec::new()
            }
            Message::Started { device, interactions, capture, recordings } => {
                self.captures.started(device, &interactions, capture, &recordings, now)
            }
            Message::Failed { device, interactions, error } => {
                self.captures.failed(device, &interactions, &error, now)
            }
        };
        metrics::gauge!("hindsight_calls_active").set(self.captures.calls() as f64);
        self.perform(outputs).await;
    }

    /// Name, roles and state are read here, in the order of the messages: what was stored before is not told again as new.
    async fn follow(
        &mut self,
        device: DeviceId,
        desktop: &Desktop,
        Follow { link, resume, since }: Follow,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let mut db = self.database.read().await?;
        let person = persons::by_id(&mut db, desktop.person).await?;
        let person = person.ok_or_else(|| StoreError::NotFound("person".to_owned()))?;
        let state = agent_states::of(&mut db, person.id).await?;
        drop(db);
        let dn = desktop.dn.clone();
        let seat = Seat { person: person.id, name: person.name, roles: person.roles, dn, since };
        let told = self.agents.up(device, (seat, state), link, resume, uuid::Uuid::now_v7(), now);
        self.show(told);
        Ok(())
    }

    fn show(&self, outputs: Vec<agents::Output>) {
        for agents::Output { device, link, down } in outputs {
            self.hub.send_on(device, link, down);
        }
    }

    async fn perform(&mut self, outputs: Vec<Output>) {
        let now = Timestamp::now();
        for output in outputs {
            match output {
                Output::Send(device, down) => {
                    tracing::debug!(%device, command = name(&down), "capture command");
                    self.hub.send(device, down);
                }
                Output::Log(event) => {
                    self.log(&event, now).await;
                    let told = self.agents.events(std::slice::from_ref(&event), now);
                    self.show(told);
                }
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

/// What agents are offered now.
async fn offer(database: &Database) -> Result<Offer, ManagementError> {
    let terms = agent_terms(&mut *database.read().await?).await?;
    Ok(Offer { reasons: terms.reasons, own_recordings: terms.own_recordings })
}

/// Waits until a time of the wall clock; for ever without one.
async fn until(at: Option<Timestamp>) {
    match at {
        Some(at) => {
            let left = u64::try_from(at.ms_since(Timestamp::now())).unwrap_or(0);
            tokio::time::sleep(Duration::from_millis(left)).await;
        }
        None => std::future::pending().await,
    }
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
        let database = Database::create(directory.path()).await.unwrap();
        let mut write = database.write().await.unwrap();
        for n in 0..57 {
            let event = Event {
                interaction: InteractionId::new(),
                at: Timestamp(n * 10),
                what: What::CallHeld { by: "1001".into(), at_phone: false },
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
