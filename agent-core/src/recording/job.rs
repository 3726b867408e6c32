//! What a capture is told and what it tells.

use super::{RecordingError, Sign, run};
use crate::capture::Backend;
use hindsight_seal::Recipient;
use hindsight_spool::Spool;
use hindsight_wire::{
    CaptureId, ClockOffset, DeviceId, InteractionId, PersonId, RecordingId, Timestamp, policy::CapturePolicy,
};
use std::{sync::Arc, sync::mpsc, thread::JoinHandle};

/// Everything a capture needs.
#[derive(Clone)]
pub struct RunJob {
    /// Which backend takes the pictures.
    pub backend: Backend,
    /// Name of the display; `None`: the environment's.
    pub display: Option<String>,
    /// How.
    pub policy: CapturePolicy,
    /// Who can open the recordings.
    pub recipients: Arc<Vec<Recipient>>,
    /// Where they go.
    pub spool: Spool,
    /// Signs their manifests.
    pub sign: Sign,
    /// The recorder's clock against the server's, now.
    pub clock: Arc<dyn Fn() -> ClockOffset + Send + Sync>,
    /// Which device records.
    pub device: DeviceId,
    /// Who sits at it.
    pub person: Option<PersonId>,
    /// The DN they signed in at.
    pub dn: Option<String>,
    /// Which capture it is, and what came before.
    pub origin: Origin,
    /// Who it is for from its first picture on.
    pub interactions: Vec<InteractionId>,
    /// Whether it begins paused: who asked and why.
    pub paused: Option<(String, String)>,
}

/// Where a run stands in its capture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The capture.
    pub capture: CaptureId,
    /// Number of the first part of this run: 1, unless it goes on after a crash.
    pub part: u32,
    /// Recordings of the part before, by monitor.
    pub previous: Vec<Option<RecordingId>>,
}

impl Origin {
    /// A new capture.
    pub fn new(capture: CaptureId) -> Self {
        Self { capture, part: 1, previous: Vec::new() }
    }
}

/// What a running capture can be told.
#[derive(Clone)]
pub enum Command {
    /// A mark on the timeline.
    Mark(Mark),
    /// Close the part, begin the next.
    NextPart,
    /// The same, sealed for other recipients.
    Recipients(Arc<Vec<Recipient>>),
    /// End the capture.
    Finish,
}

/// A mark on the timeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mark {
    /// The interaction owns what follows.
    Begin(InteractionId),
    /// The interaction owns nothing of what follows.
    End(InteractionId),
    /// No pixel of what follows is kept.
    Pause {
        /// Who asked.
        by: String,
        /// Why.
        reason: String,
    },
    /// Ends the pause.
    Resume,
}

/// What a running capture tells.
#[derive(Debug)]
pub enum RunEvent {
    /// The first pictures of a part were taken.
    PartStarted {
        /// Its number in the capture.
        part: u32,
        /// One per monitor.
        recordings: Vec<RecordingId>,
        /// Time of the first picture, recorder clock.
        at: Timestamp,
    },
    /// The capture is over; all its files are closed.
    Ended(Result<(), RecordingError>),
}

/// A running capture.
pub struct Run {
    commands: mpsc::Sender<Command>,
    thread: JoinHandle<()>,
}

impl Run {
    /// Starts it. `tell` is called on the capture's thread and must not block it.
    pub fn start(job: RunJob, tell: impl Fn(RunEvent) + Send + 'static) -> Result<Self, RecordingError> {
        let (commands, receiver) = mpsc::channel();
        let thread = std::thread::Builder::new()
            .name("screen-capture".to_owned())
            .spawn(move || {
                let ended = run::run(job, &receiver, &tell);
                tell(RunEvent::Ended(ended));
            })
            .map_err(|error| RecordingError::Thread(error.to_string()))?;
        Ok(Self { commands, thread })
    }

    /// Tells it something; nothing happens when it is over already.
    pub fn command(&self, command: Command) {
        if self.commands.send(command).is_err() {
            tracing::debug!("a command came after the end of its capture");
        }
    }

    /// Waits until it is over.
    pub fn join(self) -> Result<(), RecordingError> {
        drop(self.commands);
        self.thread.join().map_err(|_| RecordingError::Thread("the capture's thread panicked".to_owned()))
    }
}
