//! The state of a call's recording: changes only when the media server confirmed, one change at a time.

use super::Action;
use hindsight_model::event::What;
use hindsight_wire::{
    CaptureId, Timestamp,
    component::{RecordingAction, RecordingControl},
};
use rand::{Rng, rngs::StdRng};
use std::{collections::VecDeque, time::Instant};

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
    /// Login, or `full-time`.
    pub by: String,
    /// Why.
    pub reason: String,
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
    until: Instant,
}

/// One call's recording.
#[derive(Default)]
pub struct Recorder {
    confirmed: Confirmed,
    pending: Option<Pending>,
    /// The order last given up; its confirmation may still come and then says what is.
    given_up: Option<Order>,
    serial: u32,
    out: VecDeque<Action>,
}

impl Recorder {
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

    /// Policy starts the recording.
    pub(super) fn start_full_time(&mut self, until: Instant, wall: Timestamp, rng: &mut StdRng) -> Order {
        let order = Order {
            serial: self.next_serial(),
            action: RecordingAction::Start,
            capture: new_capture(wall, rng),
            by: FULL_TIME.to_owned(),
            reason: "policy of the DN".to_owned(),
        };
        self.pending = Some(Pending { order: order.clone(), request: None, until });
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
        if self.pending.is_some() {
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
        let order = Order { serial: self.next_serial(), action, capture, by, reason };
        self.pending = Some(Pending { order: order.clone(), request: Some(request), until });
        Ok(order)
    }

    fn next_serial(&mut self) -> u32 {
        self.serial = self.serial.wrapping_add(1);
        self.serial
    }

    /// The media server's answer.
    pub(super) fn ordered(&mut self, serial: u32, outcome: Result<(), Failure>) {
        match self.pending.take() {
            Some(Pending { order, request, .. }) if order.serial == serial => match outcome {
                Ok(()) => self.confirm(order, request),
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
        let Order { serial: _, action, capture, by, reason } = order;
        let (confirmed, what) = match action {
            RecordingAction::Start => (Confirmed::On(capture), What::RecordingStarted { capture, by }),
            RecordingAction::Pause => (Confirmed::Paused(capture), What::RecordingPaused { by, reason }),
            RecordingAction::Resume => (Confirmed::On(capture), What::RecordingResumed { by }),
            RecordingAction::Stop => (Confirmed::Off, What::RecordingStopped { by }),
        };
        self.confirmed = confirmed;
        self.out.push_back(Action::Emit(what));
        self.answer(request, None);
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
        if let Some(Pending { order, request, .. }) = self.pending.take() {
            self.refused(&order, request, reason);
        }
    }

    fn lose(&mut self, reason: &str) {
        if std::mem::take(&mut self.confirmed) != Confirmed::Off {
            self.out.push_back(Action::Emit(What::RecordingFailed { reason: reason.to_owned() }));
        }
    }

    /// Whether a command was given up for want of a confirmation.
    pub(super) fn expire(&mut self, now: Instant) -> bool {
        let Some(Pending { order, request, .. }) = self.pending.take_if(|pending| pending.until <= now)
        else {
            return false;
        };
        self.refused(&order, request, "the media server did not confirm in time".to_owned());
        self.given_up = Some(order);
        true
    }

    /// The hang-up ends the recording with the call.
    pub(super) fn call_ended(&mut self) {
        self.confirmed = Confirmed::Off;
        if let Some(Pending { request, .. }) = self.pending.take() {
            self.answer(request, Some("the call ended".to_owned()));
        }
    }
}

/// UUIDv7 from our own clock and randomness, so that a simulation repeats itself.
fn new_capture(wall: Timestamp, rng: &mut StdRng) -> CaptureId {
    let millis = u64::try_from(wall.0 / 1000).unwrap_or_default();
    CaptureId(uuid::Builder::from_unix_timestamp_millis(millis, &rng.random()).into_uuid())
}
