//! The state of a call's recording: changes only when the media server confirmed, one change at a time.

mod cut;

use super::Action;
use crate::kept::KeptRecording;
use hindsight_model::event::What;
use hindsight_wire::{
    CaptureId, Timestamp,
    component::{RecordingAction, RecordingControl},
};
use rand::{Rng, rngs::StdRng};
use std::{collections::VecDeque, time::Instant};

pub(super) use cut::Cut;

/// Who starts a recording that policy asks for.
pub const FULL_TIME: &str = "full-time";

/// A command to the media server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// To tell its answer from that of another one.
    pub serial: u32,
    /// What.
    pub action: RecordingAction,
    /// Which run.
    pub capture: CaptureId,
    /// Login, or `full-time`; of a start in a pause, who paused.
    pub by: String,
    /// Why.
    pub reason: String,
    /// Of a start: the part of the run that begins with it, from 1.
    pub part: u32,
    /// Of a start: silence from the beginning.
    pub paused: bool,
    /// Of a start: what was said just before it belongs to it.
    pub whole: bool,
    /// Of a start: whose voices they are.
    pub whose: Option<Whose>,
}

/// Who is recorded.
#[derive(Clone, PartialEq, Eq)]
pub struct Whose {
    /// Number at the agent's side.
    pub agent: String,
    /// At the customer's.
    pub customer: String,
    /// The agent speaks at the leg that was opened as the customer's.
    pub swapped: bool,
}

impl std::fmt::Debug for Whose {
    /// Numbers reach no log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Whose").field("swapped", &self.swapped).finish_non_exhaustive()
    }
}

/// Why an order was not carried out, for people.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The media server knows no such recording: it broke, or has ended already.
    #[error("{0}")]
    NoRecording(String),
    /// Any other reason; what was confirmed before still holds.
    #[error("{0}")]
    Refused(String),
}

/// What the media server last confirmed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Confirmed {
    /// Nothing is recorded.
    #[default]
    Off,
    /// Recording.
    On(CaptureId),
    /// Silence is recorded.
    Paused(CaptureId),
}

/// Why a command is refused without asking the media server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Another command waits for its confirmation.
    #[error("another change of this recording is not confirmed yet")]
    Busy,
    /// Start while it runs.
    #[error("the call is being recorded already")]
    AlreadyRecording,
    /// Pause, resume or stop without a recording.
    #[error("the call is not being recorded")]
    NotRecording,
    /// Pause in a pause.
    #[error("the recording is paused already")]
    AlreadyPaused,
    /// Resume without a pause.
    #[error("the recording is not paused")]
    NotPaused,
}

struct Pending {
    order: Order,
    /// Whom to answer; `None`: policy.
    request: Option<u64>,
    /// What is true beside the order when it is confirmed.
    also: Option<What>,
    /// Of a stop because the parties change.
    cut: Option<Cut>,
    until: Instant,
}

/// What runs, or is to run: enough to go on with it elsewhere.
#[derive(Clone)]
struct Running {
    capture: CaptureId,
    /// Who started it.
    by: String,
    reason: String,
    part: u32,
    /// By whom and why.
    paused: Option<(String, String)>,
}

/// A recording that broke off and goes on as its next part as soon as it can.
struct Waiting {
    running: Running,
    request: Option<u64>,
    also: Option<What>,
}

/// Parts after which a recording that breaks again and again is left alone.
const MOST_PARTS: u32 = 20;

/// One call's recording.
#[derive(Default)]
pub struct Recorder {
    confirmed: Confirmed,
    pending: Option<Pending>,
    /// What the last confirmed orders come to.
    running: Option<Running>,
    /// Broken off, to go on.
    waiting: Option<Waiting>,
    /// The order last given up; its confirmation may still come and then says what is.
    given_up: Option<Order>,
    serial: u32,
    out: VecDeque<Action>,
}

impl Recorder {
    /// What runs, to be kept.
    pub(super) fn kept(&self) -> Option<KeptRecording> {
        let Running { capture, by, reason, part, paused } = self.running.clone()?;
        Some(KeptRecording { capture, by, reason, part, paused })
    }

    /// The recording that was kept, taken to run as it did.
    pub(super) fn restored(kept: &KeptRecording) -> Self {
        let KeptRecording { capture, by, reason, part, paused } = kept.clone();
        let confirmed = if paused.is_some() { Confirmed::Paused(capture) } else { Confirmed::On(capture) };
        let running = Some(Running { capture, by, reason, part, paused });
        Self { confirmed, running, ..Self::default() }
    }

    /// What the media server last confirmed.
    pub fn confirmed(&self) -> Confirmed {
        self.confirmed
    }

    pub(super) fn poll(&mut self) -> Option<Action> {
        self.out.pop_front()
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.pending.as_ref().map(|pending| pending.until)
    }

    /// Whether a command is under way.
    pub(super) fn is_busy(&self) -> bool {
        self.pending.is_some()
    }

    /// Whether policy began what runs.
    pub(super) fn runs_by_policy(&self) -> bool {
        self.running.as_ref().is_some_and(|running| running.by == FULL_TIME)
    }

    /// Policy starts the recording. `whole`: with what was said just before.
    pub(super) fn start_full_time(
        &mut self,
        whole: bool,
        until: Instant,
        wall: Timestamp,
        rng: &mut StdRng,
    ) -> Order {
        let order = Order {
            serial: self.next_serial(),
            action: RecordingAction::Start,
            capture: new_capture(wall, rng),
            by: FULL_TIME.to_owned(),
            reason: "policy of the DN".to_owned(),
            part: 1,
            paused: false,
            whole,
            whose: None,
        };
        self.pending = Some(Pending { order: order.clone(), request: None, also: None, cut: None, until });
        order
    }

    /// A person or program asks.
    pub(super) fn command(
        &mut self,
        control: RecordingControl,
        request: u64,
        until: Instant,
        wall: Timestamp,
        rng: &mut StdRng,
    ) -> Result<Order, Refusal> {
        if self.pending.is_some() || self.waiting.is_some() {
            return Err(Refusal::Busy);
        }
        let RecordingControl { action, by, reason, interaction: _ } = control;
        let capture = match (action, self.confirmed) {
            (RecordingAction::Start, Confirmed::Off) => new_capture(wall, rng),
            (RecordingAction::Start, Confirmed::On(_) | Confirmed::Paused(_)) => {
                return Err(Refusal::AlreadyRecording);
            }
            (RecordingAction::Pause, Confirmed::On(capture)) => capture,
            (RecordingAction::Pause, Confirmed::Paused(_)) => return Err(Refusal::AlreadyPaused),
            (RecordingAction::Resume, Confirmed::Paused(capture)) => capture,
            (RecordingAction::Resume, Confirmed::On(_)) => return Err(Refusal::NotPaused),
            (RecordingAction::Stop, Confirmed::On(capture) | Confirmed::Paused(capture)) => capture,
            (RecordingAction::Pause | RecordingAction::Resume | RecordingAction::Stop, Confirmed::Off) => {
                return Err(Refusal::NotRecording);
            }
        };
        let serial = self.next_serial();
        let (part, paused, whole, whose) = (1, false, false, None);
        let order = Order { serial, action, capture, by, reason, part, paused, whole, whose };
        let (order_sent, request) = (order.clone(), Some(request));
        self.pending = Some(Pending { order: order_sent, request, also: None, cut: None, until });
        Ok(order)
    }

    fn next_serial(&mut self) -> u32 {
        self.serial = self.serial.wrapping_add(1);
        self.serial
    }

    /// The media server's answer.
    pub(super) fn ordered(&mut self, serial: u32, outcome: Result<(), Failure>) {
        match self.pending.take() {
            Some(Pending { order, cut: Some(cut), .. }) if order.serial == serial => match outcome {
                Ok(()) | Err(Failure::NoRecording(_)) => self.was_cut(cut),
                Err(Failure::Refused(reason)) => self.cut_failed(cut, &reason),
            },
            Some(Pending { order, request, also, .. }) if order.serial == serial => match outcome {
                Ok(()) => {
                    self.confirm(order, request);
                    self.out.extend(also.map(Action::Emit));
                }
                Err(Failure::NoRecording(reason)) => self.gone(order, request, reason),
                Err(Failure::Refused(reason)) => self.refused(&order, request, reason),
            },
            other => {
                self.pending = other;
                let late = self.given_up.take().filter(|order| order.serial == serial);
                if let (Some(order), Ok(())) = (late, outcome) {
                    self.confirm(order, None);
                }
            }
        }
    }

    fn confirm(&mut self, order: Order, request: Option<u64>) {
        self.note(&order);
        let Order { action, capture, by, reason, paused, .. } = order;
        let (confirmed, what) = match action {
            // Nothing that was paused is said to run, not even for a moment: the screens follow what is said here.
            RecordingAction::Start if paused => {
                (Confirmed::Paused(capture), What::RecordingPaused { by, reason })
            }
            RecordingAction::Start => (Confirmed::On(capture), What::RecordingStarted { capture, by }),
            RecordingAction::Pause => (Confirmed::Paused(capture), What::RecordingPaused { by, reason }),
            RecordingAction::Resume => (Confirmed::On(capture), What::RecordingResumed { by }),
            RecordingAction::Stop => (Confirmed::Off, What::RecordingStopped { by, voice_only: false }),
        };
        self.confirmed = confirmed;
        self.out.push_back(Action::Emit(what));
        self.answer(request, None);
    }

    /// What a confirmed order makes of what runs.
    fn note(&mut self, order: &Order) {
        let Order { action, capture, by, reason, part, paused, .. } = order.clone();
        match action {
            // Who started a run that goes on is known already.
            RecordingAction::Start if self.running.as_ref().is_some_and(|known| known.part == part) => {}
            RecordingAction::Start => {
                let paused = paused.then(|| (by.clone(), reason.clone()));
                self.running = Some(Running { capture, by, reason, part, paused });
            }
            RecordingAction::Pause => {
                if let Some(running) = &mut self.running {
                    running.paused = Some((by, reason));
                }
            }
            RecordingAction::Resume => {
                if let Some(running) = &mut self.running {
                    running.paused = None;
                }
            }
            RecordingAction::Stop => self.running = None,
        }
    }

    /// The recording broke off without being told to stop, and is to go on as its next part. An order that was not
    /// confirmed counts as wanted: a pause is one at the next part's beginning.
    pub(super) fn interrupted(&mut self, reason: &str) {
        let waiting = self.waiting.take();
        let pending = self.pending.take();
        self.given_up = None;
        let running = self.running.take();
        self.lose(reason);
        let mut running = waiting.as_ref().map(|waiting| waiting.running.clone()).or(running);
        let (mut request, mut also) = waiting.map_or((None, None), |w| (w.request, w.also));
        if let Some(Pending { cut: Some(cut), .. }) = pending {
            if cut == Cut::Ends {
                running = None;
            }
        } else if let Some(Pending { order, request: asked, also: beside, .. }) = pending {
            (request, also) = (asked, beside);
            let Order { action, capture, by, reason, part, .. } = order;
            match (action, &mut running) {
                (RecordingAction::Start, Some(_)) => {} // a next part that was not confirmed
                (RecordingAction::Start, none) => {
                    *none = Some(Running { capture, by, reason, part, paused: None });
                }
                (RecordingAction::Pause, Some(running)) => running.paused = Some((by, reason)),
                (RecordingAction::Resume, Some(running)) => {
                    running.paused = None;
                    also = Some(What::RecordingResumed { by });
                }
                // It has ended, as was wanted.
                (RecordingAction::Stop, running) => {
                    *running = None;
                    self.out.push_back(Action::Emit(What::RecordingStopped { by, voice_only: false }));
                    self.answer(request.take(), None);
                }
                (RecordingAction::Pause | RecordingAction::Resume, None) => {}
            }
        }
        match running.filter(|running| running.part < MOST_PARTS) {
            Some(running) => self.waiting = Some(Waiting { running, request, also }),
            None => self.answer(request, Some(reason.to_owned())),
        }
    }

    /// The order that lets a recording that broke off go on, if there is one. `whole`: with what was said just before, unless
    /// it is paused.
    pub(super) fn go_on(&mut self, whole: bool, until: Instant) -> Option<Order> {
        let Waiting { mut running, request, also } = self.waiting.take()?;
        running.part += 1;
        let paused = running.paused.is_some();
        let (by, reason) =
            running.paused.clone().unwrap_or_else(|| (running.by.clone(), running.reason.clone()));
        let order = Order {
            serial: self.next_serial(),
            action: RecordingAction::Start,
            capture: running.capture,
            by,
            reason,
            part: running.part,
            paused,
            whole: whole && !paused,
            whose: None,
        };
        self.running = Some(running);
        self.pending = Some(Pending { order: order.clone(), request, also, cut: None, until });
        Some(order)
    }

    /// There is nothing to pause or stop: another recording may be started. To a stop that is what was wanted.
    fn gone(&mut self, order: Order, request: Option<u64>, reason: String) {
        match order.action {
            RecordingAction::Stop => self.confirm(order, request),
            RecordingAction::Pause | RecordingAction::Resume => {
                self.lose(&reason);
                self.answer(request, Some(reason));
            }
            RecordingAction::Start => self.refused(&order, request, reason),
        }
    }

    /// A recording that was asked for and did not begin is an event; a refused pause only an answer to who asked.
    fn refused(&mut self, order: &Order, request: Option<u64>, reason: String) {
        if order.action == RecordingAction::Start {
            self.running = None;
            self.out.push_back(Action::Emit(What::RecordingFailed { reason: reason.clone() }));
        }
        self.answer(request, Some(reason));
    }

    fn answer(&mut self, request: Option<u64>, error: Option<String>) {
        if let Some(request) = request {
            self.out.push_back(Action::Result { request, error });
        }
    }

    /// The recording broke without being told to stop.
    pub(super) fn broke(&mut self, reason: String) {
        self.lose(&reason);
        if let Some(Waiting { request, .. }) = self.waiting.take() {
            self.answer(request, Some(reason.clone()));
        }
        if let Some(Pending { order, request, .. }) = self.pending.take() {
            self.refused(&order, request, reason);
        }
    }

    fn lose(&mut self, reason: &str) {
        self.running = None;
        if std::mem::take(&mut self.confirmed) != Confirmed::Off {
            self.out.push_back(Action::Emit(What::RecordingFailed { reason: reason.to_owned() }));
        }
    }

    /// Whether a command was given up for want of a confirmation.
    pub(super) fn expire(&mut self, now: Instant) -> bool {
        let Some(Pending { order, request, cut, .. }) = self.pending.take_if(|pending| pending.until <= now)
        else {
            return false;
        };
        if let Some(cut) = cut {
            self.cut_failed(cut, "the media server did not confirm in time that the recording ended");
            return true;
        }
        self.refused(&order, request, "the media server did not confirm in time".to_owned());
        self.given_up = Some(order);
        true
    }

    /// The hang-up ends the recording with the call.
    pub(super) fn call_ended(&mut self) {
        self.confirmed = Confirmed::Off;
        let waiting = self.waiting.take().map(|waiting| waiting.request);
        let pending = self.pending.take().map(|pending| pending.request);
        for request in waiting.into_iter().chain(pending) {
            self.answer(request, Some("the call ended".to_owned()));
        }
    }
}

/// UUIDv7 from our own clock and randomness, so that a simulation repeats itself.
fn new_capture(wall: Timestamp, rng: &mut StdRng) -> CaptureId {
    let millis = u64::try_from(wall.0 / 1000).unwrap_or_default();
    CaptureId(uuid::Builder::from_unix_timestamp_millis(millis, &rng.random()).into_uuid())
}
