//! What the recorder does and why, as a pure state machine: no clock, no threads, no sockets.
//!
//! It compares what is wanted (reasons: interactions that the server named, or the offline policy) with what runs, and
//! gives the actions that bring the second to the first. These always hold, and are tested with random inputs:
//! **nothing is captured without a reason, no pixel is captured while anything is paused, nothing is captured that would
//! be sealed for nobody.** Deleting is not among its actions: only the spool's uploader deletes, on a receipt.
//!
//! | a capture | begins when | goes on until |
//! |---|---|---|
//! | for interactions | the server names the first | the server ends the last |
//! | between them | policy says so and the link is open | that changes |
//! | offline | policy says so and the link is lost | the limit, or 5 s after the link is back |
//!
//! None of them without somebody signed in, nor with no room on the spool's disk.

mod capture;
mod offline;
mod pauses;
mod reasons;
mod vocabulary;

#[cfg(test)]
mod model_tests;
#[cfg(test)]
mod tests;

pub use capture::{Continuation, StartCapture};
pub use pauses::{KeptPause, Pause};
pub use vocabulary::{Action, Input, Message, Moment};

use crate::recording::Mark;
use capture::{Capture, Running};
use hindsight_wire::{
    CaptureId, InteractionId, RecordingId, Timestamp, local::CaptureState, policy::CapturePolicy,
};
use offline::Offline;
use pauses::{Around, Pauses};
use reasons::{Reasons, limit};
use std::{collections::VecDeque, time::Duration};

/// Messages kept while there is no link; what is older falls out. The manifests say the same.
const UNSENT_MAX: usize = 64;

/// What the server is told when the disk is full.
const NO_ROOM: &str = "there is no room for recordings on the disk of this machine";

/// A capture between interactions goes on so long after the link is lost.
const BETWEEN_OUTLIVES_LINK: Duration = Duration::from_secs(30);

/// Limits are looked at this often.
const TICK: Duration = Duration::from_secs(1);

/// The state machine.
#[derive(Default)]
pub struct Controller {
    signed_in: bool,
    shutting_down: bool,
    quitting: bool,
    link_up: bool,
    /// The server takes an agent's requests.
    requests: bool,
    /// No capture may begin on the spool's disk.
    no_room: bool,
    /// Not even one that runs may go on.
    room_ends: bool,
    /// A capture is wanted and there is no room for it.
    no_room_blocks: bool,
    /// For whom the server was told so.
    no_room_told: Vec<InteractionId>,
    reasons: Reasons,
    pauses: Pauses,
    /// Pressed pauses as they were last kept.
    kept_pauses: Vec<KeptPause>,
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

    /// The same, with the pauses that were pressed when the recorder ended.
    pub fn with_pauses(mut self, kept: Vec<KeptPause>) -> Self {
        self.kept_pauses.clone_from(&kept);
        self.pauses.restore(kept);
        self
    }

    /// Takes an input; gives what is to be done. `new_capture` makes the id of a new capture.
    pub fn handle(
        &mut self,
        input: Input,
        now: Moment,
        new_capture: &mut dyn FnMut() -> CaptureId,
    ) -> Vec<Action> {
        // A pause stops the pixels first, and then is talked about.
        let mut later = Vec::new();
        match input {
            Input::SignedIn => self.signed_in = true,
            Input::SignedOut => {
                self.signed_in = false;
                self.reasons.forget_all();
                self.pauses.forget_all();
                self.offline.signed_out();
                self.continuations.clear();
            }
            Input::Recovered(continuation) => self.continuations.push(continuation),
            Input::LinkUp { policy, recipients, requests } => {
                self.requests = requests;
                self.link_is_up(policy, recipients, now);
            }
            Input::Policy { policy, recipients } => self.keep(policy, recipients),
            Input::LinkLost => {
                self.link_up = false;
                if self.signed_in {
                    self.offline.link_lost(now);
                }
                self.around(now, Pauses::link_lost);
            }
            Input::Start { interaction, recipients, policy } => {
                self.reasons.start(interaction, recipients, policy, now.up);
            }
            Input::Stop(interaction) => self.reasons.stop(interaction),
            Input::Pause { interaction, by, reason } => {
                self.reasons.pause(interaction, by, reason);
                self.pauses.server_paused(interaction);
            }
            Input::Resume(interaction) => {
                self.reasons.resume(interaction);
                self.pauses.server_resumed(interaction);
            }
            Input::Asked { ask, by, action } => {
                self.around(now, |pauses, around| pauses.ask(ask, &by, action, around));
                later = std::mem::take(&mut self.actions);
            }
            Input::Answered { request, error } => {
                self.around(now, |pauses, around| pauses.answered(request, error, around));
            }
            Input::Known(interactions) => self.pauses.set_known(&interactions),
            Input::Rule(rule) => self.pauses.set_rule(rule),
            Input::Locked(locked) => self.pauses.set_locked(locked),
            Input::Room { takes_new, ends_running } => {
                (self.no_room, self.room_ends) = (!takes_new, ends_running);
            }
            Input::QuitWhenIdle => self.quitting = true,
            Input::PartStarted { part, recordings, at } => self.part_started(part, recordings, at),
            Input::Ended { error } => self.ended(error, now),
            Input::Tick => {}
            Input::Shutdown => self.shutting_down = true,
        }
        self.settle(now, new_capture);
        self.actions.append(&mut later);
        self.around(now, Pauses::settle);
        self.keep_pauses();
        std::mem::take(&mut self.actions)
    }

    /// How the screens are.
    pub fn capture_state(&self) -> CaptureState {
        match &self.capture {
            Capture::Running(running) if running.paused => CaptureState::Paused,
            Capture::Running(_) => CaptureState::Recording,
            Capture::Ending(_) | Capture::Idle { .. } if self.no_room_blocks => CaptureState::Failed,
            Capture::Ending(_) | Capture::Idle { retry: None } => CaptureState::Idle,
            Capture::Idle { retry: Some(_) } => CaptureState::Failed,
        }
    }

    /// Monitors whose pictures are being recorded.
    pub fn monitors(&self) -> usize {
        match &self.capture {
            Capture::Running(running) => running.recordings.len(),
            Capture::Idle { .. } | Capture::Ending(_) => 0,
        }
    }

    /// Why no pixel may be kept now; also while no capture runs.
    pub fn pause(&self, now: Moment) -> Option<Pause> {
        let by_server = || {
            let (by, reason) = self.reasons.paused(now.up)?;
            Some(Pause { by, reason, voice_not: None })
        };
        self.pauses.holds().or_else(by_server)
    }

    /// When to call again with [`Input::Tick`] at the latest, on the clock of [`Moment::up`].
    pub fn next_tick(&self, now: Moment) -> Duration {
        let soon = now.up + TICK;
        let changes =
            [self.reasons.next_change(now.up), self.offline.next_change(now), self.pauses.next_change()];
        changes.into_iter().flatten().fold(soon, Duration::min)
    }

    /// Whether the program may end: it was told to, and no capture runs.
    pub fn is_done(&self) -> bool {
        self.shutting_down && matches!(self.capture, Capture::Idle { .. })
    }

    /// Whether no capture runs, nor is about to end.
    pub fn is_quiet(&self) -> bool {
        matches!(self.capture, Capture::Idle { .. })
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
        if !self.requests {
            self.pauses.know_nothing();
        }
        self.around(now, Pauses::link_up);
        // The server may have been restarted: it is told again what runs.
        if let Capture::Running(running) = &self.capture
            && let Some(message) = running.started_message(running.told.clone(), running.started_at)
        {
            self.send(message);
        }
    }

    fn around(&mut self, now: Moment, act: impl FnOnce(&mut Pauses, &mut Around<'_>)) {
        let Self { pauses, reasons, actions, link_up, requests, .. } = self;
        act(pauses, &mut Around { reasons, asks: *link_up && *requests, up: now.up, actions });
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
        // Ended for want of room, it goes on as the same capture once there is some.
        let goes_on = !asked || running.for_room;
        self.capture = if goes_on { running.retry(now, error.clone()) } else { Capture::default() };
        if running.for_room {
            self.no_room_told.clone_from(&running.told);
        }
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
        if self.quitting && !offline && self.reasons.all().next().is_none() {
            self.shutting_down = true;
        }
        let asked = !self.reasons.interactions(now.up).is_empty();
        let linked =
            self.link_up || self.offline.lost_for(now).is_some_and(|lost| lost < BETWEEN_OUTLIVES_LINK);
        let between = linked && !self.quitting && self.offline.between_calls();
        let wanted = self.signed_in && !self.shutting_down && (offline || between || asked);
        self.no_room_blocks = wanted && self.no_room;
        match std::mem::take(&mut self.capture) {
            // A failure is of the capture that was wanted; another one begins afresh.
            Capture::Idle { .. } if !wanted => {}
            Capture::Idle { retry } if self.no_room => {
                self.capture = Capture::Idle { retry };
                self.tell_no_room(now);
            }
            Capture::Idle { retry } => self.start(offline || between, retry, now, new_capture),
            Capture::Running(running) if wanted && !self.room_ends => self.adjust(running, now),
            Capture::Running(mut running) => {
                running.for_room = wanted;
                running.end_reason = if wanted { Some(NO_ROOM.to_owned()) } else { self.end_reason(now) };
                self.actions.push(Action::Finish);
                self.capture = Capture::Ending(running);
            }
            ending @ Capture::Ending(_) => self.capture = ending,
        }
    }

    /// There is no room for a capture: the server learns for whom there is none.
    fn tell_no_room(&mut self, now: Moment) {
        let waiting = self.reasons.interactions(now.up);
        let interactions: Vec<InteractionId> =
            waiting.iter().filter(|id| !self.no_room_told.contains(id)).copied().collect();
        self.no_room_told = waiting;
        if !interactions.is_empty() {
            let error = Some(NO_ROOM.to_owned());
            self.send(Message::Ended { interactions, capture: None, error, at: now.at });
        }
    }

    fn keep_pauses(&mut self) {
        let kept = self.pauses.kept();
        if kept != self.kept_pauses {
            self.kept_pauses.clone_from(&kept);
            self.actions.push(Action::KeepPauses(kept));
        }
    }

    /// One pause pauses all, whoever asked.
    fn paused(&self, now: Moment) -> Option<(String, String)> {
        self.pause(now).map(|pause| (pause.by, pause.reason))
    }

    /// Why a capture ends that nobody told to; `None`: it was told to.
    fn end_reason(&self, now: Moment) -> Option<String> {
        if self.shutting_down {
            return Some("the recorder was shut down".to_owned());
        }
        if !self.signed_in {
            return Some("the person signed out".to_owned());
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
        self.no_room_told.clear();
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
        let paused = self.paused(now);
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
            for_room: false,
            told_error,
        });
    }

    fn adjust(&mut self, mut running: Running, now: Moment) {
        let wanted = self.reasons.interactions(now.up);
        let pause = self.paused(now);
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
