//! Starts and steers the one capture that may run.

use super::recovery::sign_interrupted;
use crate::{
    capture::Backend,
    config::RecorderConfig,
    controller::StartCapture,
    policy::Seat,
    recording::{Command, Mark, Origin, RecordingError, Run, RunEvent, RunJob},
};
use hindsight_link::{Identity, LinkHandle};
use hindsight_seal::{Recipient, SealError};
use hindsight_spool::Spool;
use hindsight_wire::policy::CapturePolicy;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::mpsc;

/// A capture tells of its parts and its end: a handful of events.
const EVENTS: usize = 64;

/// The capture, if one runs, and what is needed to start one.
pub struct Captures {
    backend: Backend,
    display: Option<String>,
    spool: Spool,
    identity: Arc<Identity>,
    /// For the clock; none while nobody is signed in.
    link: Arc<Mutex<Option<LinkHandle>>>,
    seat: Option<Seat>,
    run: Option<Run>,
    events: mpsc::Sender<RunEvent>,
    happened: mpsc::Receiver<RunEvent>,
}

impl Captures {
    pub fn new(config: &RecorderConfig, spool: Spool, identity: Arc<Identity>) -> Self {
        let (events, happened) = mpsc::channel(EVENTS);
        Self {
            backend: config.backend,
            display: config.display.clone(),
            spool,
            identity,
            link: Arc::default(),
            seat: None,
            run: None,
            events,
            happened,
        }
    }

    /// Who sits here now.
    pub fn signed_in(&mut self, seat: Seat) {
        self.seat = Some(seat);
    }

    /// The link whose clock counts from now on.
    pub fn linked(&self, link: Option<LinkHandle>) {
        *self.link.lock().unwrap_or_else(PoisonError::into_inner) = link;
    }

    /// What a capture tells next.
    pub async fn next_event(&mut self) -> RunEvent {
        match self.happened.recv().await {
            Some(event) => event,
            // Never: a sender is kept here.
            None => std::future::pending().await,
        }
    }

    /// Starts a capture; a failure is told as its end.
    pub fn start(&mut self, start: StartCapture) {
        match self.try_start(start) {
            Ok(run) => self.run = Some(run),
            Err(error) => self.tell(RunEvent::Ended(Err(error))),
        }
    }

    pub fn mark(&self, mark: Mark) {
        self.command(Command::Mark(mark));
    }

    pub fn next_part(&self) {
        self.command(Command::NextPart);
    }

    /// Other recipients from the next part on. Refused ones end the capture: better none than one that those who must
    /// be able to open it cannot.
    pub fn recipients(&self, pem: &[String]) {
        match parse(pem) {
            Ok(recipients) => self.command(Command::Recipients(recipients)),
            Err(error) => {
                tracing::error!(%error, "the recipients cannot be used");
                self.command(Command::Finish);
            }
        }
    }

    pub fn finish(&self) {
        self.command(Command::Finish);
    }

    /// The capture is over: its thread is let go, and what it could not close is signed as cut.
    pub async fn ended(&mut self) {
        let (run, spool, identity) = (self.run.take(), self.spool.clone(), self.identity.clone());
        let cleared = tokio::task::spawn_blocking(move || {
            if let Some(run) = run {
                run.join()?;
            }
            sign_interrupted(&spool, &identity).map(|_| ())
        });
        if let Ok(Err(error)) = cleared.await {
            tracing::error!(%error, "clearing up after a capture failed");
        }
    }

    fn try_start(&self, start: StartCapture) -> Result<Run, RecordingError> {
        let identity = self.identity.clone();
        let link = self.link.clone();
        let job = RunJob {
            backend: self.backend,
            display: self.display.clone(),
            policy: masked(start.policy),
            recipients: parse(&start.recipients)?,
            spool: self.spool.clone(),
            sign: Arc::new(move |document| identity.sign(document).map_err(|error| error.to_string())),
            clock: Arc::new(move || {
                let link = link.lock().unwrap_or_else(PoisonError::into_inner);
                link.as_ref().map(LinkHandle::clock).unwrap_or_default()
            }),
            device: self.identity.device(),
            person: self.seat.as_ref().map(|seat| seat.person),
            dn: self.seat.as_ref().map(|seat| seat.dn.clone()),
            origin: Origin { capture: start.capture, part: start.part, previous: start.previous },
            interactions: start.interactions,
            paused: start.paused,
        };
        let events = self.events.clone();
        Run::start(job, move |event| {
            if events.blocking_send(event).is_err() {
                tracing::debug!("nobody listens to the capture any more");
            }
        })
    }

    fn tell(&self, event: RunEvent) {
        if self.events.try_send(event).is_err() {
            tracing::error!("too many events of captures wait");
        }
    }

    fn command(&self, command: Command) {
        if let Some(run) = &self.run {
            run.command(command);
        }
    }
}

/// A window that pauses while it is in front is in no picture at all: none shows it in the moment before the pause.
fn masked(mut policy: CapturePolicy) -> CapturePolicy {
    policy.masks.extend(policy.pause_while.iter().cloned());
    policy
}

fn parse(pem: &[String]) -> Result<Arc<Vec<Recipient>>, SealError> {
    if pem.is_empty() {
        return Err(SealError::NoRecipients);
    }
    pem.iter().map(|pem| Recipient::from_pem(pem)).collect::<Result<Vec<_>, _>>().map(Arc::new)
}
