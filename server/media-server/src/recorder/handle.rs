//! The control side of a recorder thread.

use crate::{
    clock::MonotonicClock,
    error::RecordError,
    recorder::{
        capture::PartySetup,
        run::Subject,
        site::Site,
        thread::{Command, Loop, Reply},
    },
    relay::TapQueue,
};
use hindsight_model::{RecordingId, Timestamp};
use hindsight_spool::Spool;
use std::{
    collections::HashMap,
    io,
    sync::{Arc, mpsc},
    thread::JoinHandle,
};
use tokio::sync::oneshot;

/// What to record; see [`Subject`].
pub type Start = Subject;

/// A recording that has begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Started {
    /// Its first part.
    pub recording: RecordingId,
    /// Its time 0.
    pub at: Timestamp,
}

/// A running recorder thread.
#[derive(Clone)]
pub struct Recorder {
    commands: mpsc::Sender<Command>,
    queue: Arc<TapQueue>,
}

impl Recorder {
    /// Starts a thread. It closes what is open and ends when every handle is dropped.
    pub fn start(
        name: &str,
        spool: Spool,
        site: Arc<dyn Site>,
        clock: MonotonicClock,
    ) -> io::Result<(Self, JoinHandle<()>)> {
        let (commands, receiver) = mpsc::channel();
        let queue = Arc::new(TapQueue::default());
        let looped = Loop {
            spool,
            site,
            clock,
            queue: queue.clone(),
            commands: receiver,
            runs: HashMap::new(),
            expected: HashMap::new(),
            buffer: Vec::new(),
        };
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || looped.run())?;
        Ok((Self { commands, queue }, thread))
    }

    /// Where the relay puts packets of this recorder's captures.
    pub fn queue(&self) -> &Arc<TapQueue> {
        &self.queue
    }

    /// Keeps the packets of this token until its recording is opened, which must follow: nothing that is said while a slow
    /// disk makes the file is lost.
    pub fn expect(&self, token: u32) {
        let _ = self.commands.send(Command::Expect(token));
    }

    /// Opens a recording under a token of the caller's choice. Its time 0 is `since_us`; absent: when the thread opens it.
    pub async fn open(
        &self,
        token: u32,
        subject: Start,
        since_us: Option<i64>,
    ) -> Result<Started, RecordError> {
        let start = |reply| Command::Start(token, Box::new(subject), since_us, reply);
        let (recording, at) = self.ask(start).await?;
        Ok(Started { recording, at })
    }

    /// Silence from `at_us` on; absent: from now.
    pub async fn pause(
        &self,
        token: u32,
        at_us: Option<i64>,
        by: String,
        reason: String,
    ) -> Result<(), RecordError> {
        self.ask(|reply| Command::Pause(token, at_us, by, reason, reply)).await
    }

    /// Goes on.
    pub async fn resume(&self, token: u32) -> Result<(), RecordError> {
        self.ask(|reply| Command::Resume(token, reply)).await
    }

    /// Closes the recording: its manifest is signed and in the spool afterwards.
    pub async fn stop(&self, token: u32) -> Result<(), RecordError> {
        self.ask(|reply| Command::Stop(token, reply)).await
    }

    /// A new negotiation with a party.
    pub fn renegotiate(&self, token: u32, side: usize, setup: PartySetup) {
        let _ = self.commands.send(Command::Renegotiate(token, side, setup));
    }

    /// Unbounded, but every command answers one SIP request, and those are bounded.
    async fn ask<T>(&self, command: impl FnOnce(Reply<T>) -> Command) -> Result<T, RecordError> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(command(reply)).map_err(|_| RecordError::Stopped)?;
        answer.await.map_err(|_| RecordError::Stopped)?
    }
}
