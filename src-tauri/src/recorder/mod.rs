//! The recorder's process: attached to when it runs, started when it does not, started again when it ends. It is not a
//! child in any sense but the first: its own session, its own log, and it lives on when the shell ends.

mod process;
#[cfg(test)]
mod tests;
mod watchdog;

pub use process::Start;

use crate::controller::Event;
use hindsight_local::{Client, ConnectError};
use hindsight_wire::local::{Ask, DesktopStatus};
use process::Process;
use serde_json::Value;
use std::{
    path::PathBuf,
    time::{Duration, Instant},
};
use tokio::sync::{mpsc, watch};
use watchdog::Watchdog;

/// A recorder that was started listens within this time, or is started anew.
const LISTENS: Duration = Duration::from_secs(30);
/// How often a recorder that starts is looked for.
const LOOK: Duration = Duration::from_millis(100);
/// A recorder whose connection ended is gone within this time, or was only let go.
const ENDS: Duration = Duration::from_secs(2);

/// What a request is told while there is no recorder.
const NOT_THERE: &str = "the recorder is not running";

/// The way to whatever recorder is connected now; cheap to clone.
#[derive(Clone)]
pub struct Recorder(watch::Receiver<Option<Client>>);

impl Recorder {
    /// Asks the recorder; the error is for people.
    pub async fn ask(&self, ask: Ask) -> Result<Value, String> {
        let client = self.0.borrow().clone();
        client.ok_or_else(|| NOT_THERE.to_owned())?.request(ask).await
    }
}

/// Keeps a recorder running, and tells `events` how it is.
pub struct Supervisor {
    start: Start,
    socket: PathBuf,
    events: mpsc::Sender<Event>,
    client: watch::Sender<Option<Client>>,
    watchdog: Watchdog,
    child: Option<Process>,
    /// How the recorder before this one ended, until the next is told.
    cause: Option<String>,
}

impl Supervisor {
    /// A supervisor, and the way to its recorder.
    pub fn new(start: Start, socket: PathBuf, events: mpsc::Sender<Event>) -> (Self, Recorder) {
        let (client, watched) = watch::channel(None);
        let supervisor =
            Self { start, socket, events, client, watchdog: Watchdog::default(), child: None, cause: None };
        (supervisor, Recorder(watched))
    }

    /// For ever; ends with the receiver of the events.
    pub async fn run(mut self) {
        let events = self.events.clone();
        tokio::select! {
            () = self.keep() => {}
            () = events.closed() => {}
        }
    }

    async fn keep(&mut self) {
        loop {
            let client = self.connect().await;
            if self.follow(client).await.is_err() {
                return;
            }
        }
    }

    /// Attaches to the recorder that listens, and starts one where none does.
    async fn connect(&mut self) -> Client {
        loop {
            match Client::connect(&self.socket).await {
                Ok(client) => return client,
                Err(ConnectError::Silent(reason)) => self.silent(reason).await,
                Err(ConnectError::Socket(error)) => {
                    tracing::debug!(%error, "no recorder listens");
                    self.absent().await;
                }
            }
        }
    }

    /// Somebody listens and does not speak: ours is ended, another's is waited for.
    async fn silent(&mut self, reason: String) {
        match self.child.take() {
            Some(child) => {
                child.kill().await;
                self.ended(format!("it did not answer ({reason}) and was ended")).await;
            }
            None => {
                let _ = self.events.send(Event::Down { reason }).await;
                tokio::time::sleep(self.watchdog.ended(Instant::now())).await;
            }
        }
    }

    /// Nobody listens: ours may be starting, has ended, or was never there.
    async fn absent(&mut self) {
        match &mut self.child {
            None => self.begin().await,
            Some(child) => match child.has_ended() {
                Some(how) => {
                    self.child = None;
                    self.ended(how).await;
                }
                None if child.started.elapsed() > LISTENS => {
                    if let Some(child) = self.child.take() {
                        child.kill().await;
                    }
                    self.ended("it did not listen and was ended".to_owned()).await;
                }
                None => tokio::time::sleep(LOOK).await,
            },
        }
    }

    async fn begin(&mut self) {
        match Process::start(&self.start) {
            Ok(child) => {
                tracing::info!(pid = child.pid(), "the recorder is started");
                self.child = Some(child);
            }
            Err(error) => {
                let reason = format!("{}: {error}", self.start.program.display());
                tracing::error!(reason, "the recorder cannot be started");
                let _ = self.events.send(Event::Down { reason }).await;
                tokio::time::sleep(self.watchdog.ended(Instant::now())).await;
            }
        }
    }

    /// Waits until it may be started again.
    async fn ended(&mut self, how: String) {
        let wait = self.watchdog.ended(Instant::now());
        tracing::warn!(how, ?wait, "the recorder ended; it is started again");
        if self.watchdog.is_hopeless() {
            let _ = self.events.send(Event::Down { reason: how.clone() }).await;
        }
        self.cause.get_or_insert(how);
        tokio::time::sleep(wait).await;
    }

    /// Passes on what the recorder says until it is gone; an error when nobody listens.
    async fn follow(&mut self, client: Client) -> Result<(), mpsc::error::SendError<Event>> {
        let mut status = client.status();
        self.client.send_replace(Some(client));
        self.watchdog.connected(Instant::now());
        self.events.send(told(&mut status)).await?;
        if let Some(cause) = self.cause.take() {
            self.events.send(Event::Restarted { cause }).await?;
        }
        while status.changed().await.is_ok() {
            self.events.send(told(&mut status)).await?;
        }
        self.client.send_replace(None);
        self.events.send(Event::Gone).await?;
        match &mut self.child {
            Some(child) => {
                if let Some(how) = child.ends_within(ENDS).await {
                    self.child = None;
                    self.ended(how).await;
                }
            }
            None => self.ended("it ended; another program had started it".to_owned()).await,
        }
        Ok(())
    }
}

fn told(status: &mut watch::Receiver<DesktopStatus>) -> Event {
    Event::Status(Box::new(status.borrow_and_update().clone()))
}
