//! What the recorder does and why, as a pure state machine: no clock, no threads, no sockets.
//!
//! It compares what is wanted (reasons: interactions that the server named, or the offline policy) with what runs, and
//! gives the actions that bring the second to the first. Two things always hold, and are tested with random inputs:
//! **nothing is captured without a reason, and no pixel is captured while any of the reasons is paused.**

mod capture;
mod offline;
mod reasons;

#[cfg(test)]
mod model_tests;
#[cfg(test)]
mod tests;

pub use capture::{Continuation, StartCapture};

use crate::recording::Mark;
use capture::{Capture, Running};
use hindsight_wire::{CaptureId, InteractionId, RecordingId, Timestamp, link::Up, policy::CapturePolicy};
use offline::Offline;
use reasons::{Reasons, limit};
use std::{collections::VecDeque, time::Duration};

/// Messages kept while there is no link; what is older falls out. The manifests say the same.
const UNSENT_MAX: usize = 64;

/// Limits are looked at this often.
const TICK: Duration = Duration::from_secs(1);

/// A moment: the time of day for people, and a clock that only goes forward for limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Recorder clock.
    pub at: Timestamp,
    /// Since some fixed point.
    pub up: Duration,
}

/// What happens to the recorder.
#[derive(Clone, Debug)]
pub enum Input {
    /// Somebody signed in at this desktop; before that nothing is captured.
    SignedIn,
    /// A capture that a crash cut may be gone on with.
    Recovered(Continuation),
    /// The link is open.
    LinkUp {
        /// This desktop's policy, if the server sent one.
        policy: Option<CapturePolicy>,
        /// Recipients (PEM) for the offline policy.
        recipients: Vec<String>,
    },
    /// The server changed the policy or the recipients, for the time without it.
    Policy {
        /// This desktop's policy.
        policy: CapturePolicy,
        /// Recipients (PEM) for the offline policy.
        recipients: Vec<String>,
    },
    /// The link is lost.
    LinkLost,
    /// The server wants the screens of an interaction.
    Start {
        /// Whose.
        interaction: InteractionId,
        /// Recipients, PEM.
        recipients: Vec<String>,
        /// How.
        policy: CapturePolicy,
    },
    /// The interaction needs no capture any more.
    Stop(InteractionId),
    /// No pixel may be kept for now.
    Pause {
        /// Of whom.
        interaction: InteractionId,
        /// Who asked.
        by: String,
        /// Why.
        reason: String,
    },
    /// Ends the pause.
    Resume(InteractionId),
    /// The running capture took the first pictures of a part.
    PartStarted {
        /// Its number.
        part: u32,
        /// One per monitor.
        recordings: Vec<RecordingId>,
        /// When.
        at: Timestamp,
    },
    /// The running capture is over.
    Ended {
        /// Why, unless it was told to end.
        error: Option<String>,
    },
    /// Time passed.
    Tick,
    /// The program is to end.
    Shutdown,
}

/// What the recorder is to do, in this order.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Begin a capture; none is running.
    Start(StartCapture),
    /// Put a mark on the running capture.
    Mark(Mark),
    /// The running capture goes on in a new part.
    NextPart,
    /// The same, sealed for these (PEM) from now on.
    Recipients(Vec<String>),
    /// End the running capture.
    Finish,
    /// Tell the server.
    Send(Message),
    /// Keep for a start without the server.
    Keep {
        /// This desktop's policy.
        policy: CapturePolicy,
        /// Recipients, PEM.
        recipients: Vec<String>,
    },
}

/// What the server is told; becomes an [`Up`].
#[derive(Clone, Debug, PartialEq)]
pub enum Message {
    /// [`Up::CaptureStarted`].
    Started {
        /// For whom.
        interactions: Vec<InteractionId>,
        /// The run.
        capture: CaptureId,
        /// One per monitor.
        recordings: Vec<RecordingId>,
        /// Since when.
        at: Timestamp,
    },
    /// [`Up::CaptureEnded`].
    Ended {
        /// For whom.
        interactions: Vec<InteractionId>,
        /// The run, when there was one.
        capture: Option<CaptureId>,
        /// Why, unless as commanded.
        error: Option<String>,
        /// When.
        at: Timestamp,
    },
    /// [`Up::WasOffline`].
    WasOffline {
        /// From.
        from: Timestamp,
        /// To.
        to: Timestamp,
        /// Taken by the offline policy.
        captures: Vec<CaptureId>,
    },
}

impl From<Message> for Up {
    fn from(message: Message) -> Self {
        match message {
            Message::Started { interactions, capture, recordings, at } => {
                Up::CaptureStarted { interactions, capture, recordings, at }
            }
            Message::Ended { interactions, capture, error, at } => {
                Up::CaptureEnded { interactions, capture, error, at }
            }
            Message::WasOffline { from, to, captures } => Up::WasOffline { from, to, captures },
        }
    }
}

/// The state machine.
#[derive(Default)]
pub struct Controller {
    signed_in: bool,
    shutting_down: bool,
    link_up: bool,
    reasons: Reasons,
    offline: Offline,
    capture: Capture,
    /// Captures that a crash cut, waiting for a reason to go on.
    continuations: Vec<Continuation>,
    unsent: VecDeque<Message>,
    actions: Vec<Action>,
}

impl Controller {
    /// With the policy and recipients kept from the last link, if any.
    pub fn new(kept: Option<(CapturePolicy, Vec<String>)>) -> Self {
        let mut controller = Self::default();
        if let Some((policy, recipients)) = kept {
            controller.offline.keep(policy, recipients);
        }
        controller
    }

    /// Takes an input; gives what is to be done. `new_capture` makes the id of a new capture.
    pub fn handle(
        &mut self,
        input: Input,
        now: Moment,
        new_capture: &mut dyn FnMut() -> CaptureId,
    ) -> Vec<Action> {
        match input {
            Input::SignedIn => self.signed_in = true,
            Input::Recovered(continuation) => self.continuations.push(continuation),
            Input::LinkUp { policy, recipients } => self.link_is_up(policy, recipients, now),
            Input::Policy { policy, recipients } => self.keep(policy, recipients),
            Input::LinkLost => {
                self.link_up = false;
                self.offline.link_lost(now);
            }
            Input::Start { interaction, recipients, policy } => {
                self.reasons.start(interaction, recipients, policy, now.up);
            }
            Input::Stop(interaction) => self.reasons.stop(interaction),
            Input::Pause { interaction, by, reason } => self.reasons.pause(interaction, by, reason),
            Input::Resume(interaction) => self.reasons.resume(interaction),
            Input::PartStarted { part, recordings, at } => self.part_started(part, recordings, at),
            Input::Ended { error } => self.ended(error, now),
            Input::Tick => {}
            Input::Shutdown => self.shutting_down = true,
        }
        self.settle(now, new_capture);
        std::mem::take(&mut self.actions)
    }

    /// When to call again with [`Input::Tick`] at the latest, on the clock of [`Moment::up`].
    pub fn next_tick(&self, now: Moment) -> Duration {
        let soon = now.up + TICK;
        let changes = [self.reasons.next_change(now.up), self.offline.next_change(now)];
        changes.into_iter().flatten().fold(soon, Duration::min)
    }

    /// Whether the program may end: it was told to, and no capture runs.
    pub fn is_done(&self) -> bool {
        self.shutting_down && matches!(self.capture, Capture::Idle { .. })
    }

    fn link_is_up(&mut self, policy: Option<CapturePolicy>, recipients: Vec<String>, now: Moment) {
        self.link_up = true;
        if let Some(policy) = policy {
            self.keep(policy, recipients);
        }
        if let Some(message) = self.offline.link_up(now) {
            self.actions.push(Action::Send(message));
        }
        self.actions.extend(self.unsent.drain(..).map(Action::Send));
        // The server may have been restarted: it is told again what runs.
        if let Capture::Running(running) = &self.capture
            && let Some(message) = running.started_message(running.told.clone(), running.started_at)
        {
            self.send(message);
        }
    }

    fn keep(&mut self, policy: CapturePolicy, recipients: Vec<String>) {
        self.offline.keep(policy.clone(), recipients.clone());
        self.actions.push(Action::Keep { policy, recipients });
    }

    fn part_started(&mut self, part: u32, recordings: Vec<RecordingId>, at: Timestamp) {
        if let Capture::Running(running) | Capture::Ending(running) = &mut self.capture {
            running.part = part;
            running.recordings = recordings;
            running.started_at = at;
            (running.failures, running.told_error) = (0, None);
            if let Some(message) = running.started_message(running.told.clone(), at) {
                self.send(message);
            }
        }
    }

    fn ended(&mut self, error: Option<String>, now: Moment) {
        let (running, asked) = match std::mem::take(&mut self.capture) {
            idle @ Capture::Idle { .. } => {
                self.capture = idle;
                return;
            }
            Capture::Running(running) => (running, false),
            Capture::Ending(running) => (running, true),
        };
        let by_itself = || (!asked).then(|| "the capture ended by itself".to_owned());
        let error = error.or_else(|| running.end_reason.clone()).or_else(by_itself);
        self.capture = if asked { Capture::default() } else { running.retry(now, error.clone()) };
        if error.is_some() && error == running.told_error {
            return;
        }
        let interactions = running.told;
        self.send(Message::Ended { interactions, capture: Some(running.id), error, at: now.at });
    }

    /// Brings what runs to what is wanted.
    fn settle(&mut self, now: Moment, new_capture: &mut dyn FnMut() -> CaptureId) {
        self.reasons.tick(now.up);
        if let Some(lost) = self.offline.lost_for(now) {
            self.reasons.expire(lost);
        }
        let offline = self.offline.wanted(now);
        let asked = !self.reasons.interactions(now.up).is_empty();
        let wanted = self.signed_in && !self.shutting_down && (offline || asked);
        match std::mem::take(&mut self.capture) {
            Capture::Idle { retry } if wanted => self.start(offline, retry, now, new_capture),
            Capture::Running(running) if wanted => self.adjust(running, now),
            Capture::Running(mut running) => {
                running.end_reason = self.end_reason(now);
                self.actions.push(Action::Finish);
                self.capture = Capture::Ending(running);
            }
            Capture::Idle { .. } => {}
            ending @ Capture::Ending(_) => self.capture = ending,
        }
    }

    /// Why a capture ends that nobody told to; `None`: it was told to.
    fn end_reason(&self, now: Moment) -> Option<String> {
        if self.shutting_down {
            return Some("the recorder was shut down".to_owned());
        }
        self.offline
            .lost_for(now)
            .map(|_| "the server could not be reached for longer than a capture may last".to_owned())
    }

    fn start(
        &mut self,
        offline: bool,
        retry: Option<capture::Retry>,
        now: Moment,
        new_capture: &mut dyn FnMut() -> CaptureId,
    ) {
        if let Some(retry) = &retry
            && now.up < retry.not_before
        {
            self.capture = Capture::Idle { retry: Some(retry.clone()) };
            return;
        }
        let failures = retry.as_ref().map_or(0, |retry| retry.failures);
        let told_error = retry.as_ref().and_then(|retry| retry.told_error.clone());
        let told = self.reasons.interactions(now.up);
        let position =
            self.continuations.iter().position(|old| old.interactions.iter().any(|id| told.contains(id)));
        let continuation = retry
            .map(|retry| retry.continuation)
            .or_else(|| position.map(|at| self.continuations.remove(at)));
        let (id, part, previous) = match continuation {
            Some(old) => (old.capture, old.last_part + 1, old.recordings),
            None => (new_capture(), 1, Vec::new()),
        };
        if offline && told.is_empty() {
            self.offline.capture_taken(id);
        }
        let recipients =
            if told.is_empty() { self.offline.recipients() } else { self.reasons.recipients(now.up) };
        let policy = self.reasons.policy(now.up).unwrap_or_else(|| self.offline.policy());
        let paused = self.reasons.paused(now.up);
        self.actions.push(Action::Start(StartCapture {
            capture: id,
            part,
            previous: previous.clone(),
            interactions: told.clone(),
            paused: paused.clone(),
            recipients: recipients.clone(),
            policy: policy.clone(),
        }));
        self.capture = Capture::Running(Running {
            id,
            part,
            previous,
            recordings: Vec::new(),
            started_at: now.at,
            part_since: now.up,
            told,
            paused: paused.is_some(),
            recipients,
            policy,
            failures,
            end_reason: None,
            told_error,
        });
    }

    fn adjust(&mut self, mut running: Running, now: Moment) {
        let wanted = self.reasons.interactions(now.up);
        let pause = self.reasons.paused(now.up);
        // A pause comes before anything else, its end after everything else.
        if let (Some((by, reason)), false) = (&pause, running.paused) {
            self.actions.push(Action::Mark(Mark::Pause { by: by.clone(), reason: reason.clone() }));
        }
        for interaction in running.told.iter().filter(|id| !wanted.contains(id)) {
            self.actions.push(Action::Mark(Mark::End(*interaction)));
            let (interactions, capture) = (vec![*interaction], Some(running.id));
            self.send(Message::Ended { interactions, capture, error: None, at: now.at });
        }
        for interaction in wanted.iter().filter(|id| !running.told.contains(id)) {
            self.actions.push(Action::Mark(Mark::Begin(*interaction)));
            if let Some(message) = running.started_message(vec![*interaction], now.at) {
                self.send(message);
            }
        }
        let recipients = self.reasons.recipients(now.up);
        if recipients.iter().any(|pem| !running.recipients.contains(pem)) {
            self.actions.push(Action::Recipients(recipients.clone()));
            (running.recipients, running.part_since) = (recipients, now.up);
        } else if now.up - running.part_since >= limit(&running.policy) {
            self.actions.push(Action::NextPart);
            running.part_since = now.up;
        }
        if pause.is_none() && running.paused {
            self.actions.push(Action::Mark(Mark::Resume));
        }
        running.told = wanted;
        running.paused = pause.is_some();
        self.capture = Capture::Running(running);
    }

    fn send(&mut self, message: Message) {
        if self.link_up {
            self.actions.push(Action::Send(message));
            return;
        }
        if self.unsent.len() == UNSENT_MAX {
            self.unsent.pop_front();
        }
        self.unsent.push_back(message);
    }
}
