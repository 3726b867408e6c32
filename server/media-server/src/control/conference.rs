//! One conference: two legs and at most one recording. A task of its own carries out its commands one after another, so
//! that a slow disk holds up nobody else's call.

use crate::{
    control::state::{Dialog, Recording, Step},
    error::RecordError,
    recorder::{AGENT, Broken, CUSTOMER, PartySetup, Recorder, Start},
    relay::{Leg, Tap},
};
use hindsight_model::{CaptureId, InteractionId};
use hindsight_msml::{Command, DialogExit, DialogId, Outcome, Params, Request, ResultCode};
use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};
use tokio::sync::{mpsc, oneshot, watch};

/// Commands that may wait; more are refused.
const QUEUE: usize = 32;

/// A leg's media and what was negotiated for it.
#[derive(Clone)]
pub struct Media {
    /// Its place in the relay.
    pub leg: Arc<Leg>,
    /// Its codecs.
    pub setup: PartySetup,
}

/// An MSML command and the way back of its result.
struct Order {
    request: Request,
    answer: oneshot::Sender<Outcome>,
}

/// The service's end; dropped, the recording is closed and the task ends.
pub struct Conference {
    orders: mpsc::Sender<Order>,
    media: watch::Sender<[Option<Media>; 2]>,
}

impl Conference {
    /// Starts the task of a conference.
    pub fn start(
        id: String,
        interaction: InteractionId,
        recorder: Recorder,
        tokens: Arc<AtomicU32>,
        running: mpsc::Sender<()>,
        exits: mpsc::Sender<DialogExit>,
    ) -> Self {
        let (orders, receiver) = mpsc::channel(QUEUE);
        let (broken, breaks) = mpsc::channel(QUEUE);
        let (media, legs) = watch::channel([None, None]);
        let task = Task {
            id,
            interaction,
            recorder,
            tokens,
            legs: [None, None],
            parties: Parties::default(),
            state: Recording::Off,
            broken,
            exits,
            _running: running,
        };
        tokio::spawn(task.run(receiver, legs, breaks));
        Self { orders, media }
    }

    /// Gives a command; its result comes over the receiver. `None` when too many wait.
    pub fn command(&self, request: Request) -> Option<oneshot::Receiver<Outcome>> {
        let (answer, outcome) = oneshot::channel();
        self.orders.try_send(Order { request, answer }).ok()?;
        Some(outcome)
    }

    /// A leg came, changed its negotiation, or went.
    pub fn set_media(&self, side: usize, media: Option<Media>) {
        self.media.send_modify(|legs| {
            if let Some(place) = legs.get_mut(side) {
                *place = media;
            }
        });
    }

    /// The leg on this side.
    pub fn leg(&self, side: usize) -> Option<Arc<Leg>> {
        self.media.borrow().get(side)?.as_ref().map(|media| media.leg.clone())
    }

    /// Whether no leg is left.
    pub fn is_empty(&self) -> bool {
        self.media.borrow().iter().all(Option::is_none)
    }
}

/// Who is at which leg, as the last order to record said: after a transfer others than the legs were opened for.
#[derive(Default)]
struct Parties {
    /// Agent, customer.
    numbers: [Option<String>; 2],
    /// The agent is at the leg that was opened as the customer's.
    swapped: bool,
}

impl Parties {
    fn of(request: &Request) -> Self {
        let Params { agent, customer, swapped, .. } = &request.params;
        Self { numbers: [agent.clone(), customer.clone()], swapped: *swapped }
    }

    /// The recorder's side of the leg that was opened for this one, and the other way round.
    fn side(&self, leg: usize) -> usize {
        if self.swapped { 1 - leg } else { leg }
    }

    fn setup(&self, leg: usize, media: &Media) -> PartySetup {
        let mut setup = media.setup.clone();
        if let Some(number) = &self.numbers[self.side(leg)] {
            setup.number.clone_from(number);
        }
        setup
    }
}

struct Task {
    id: String,
    interaction: InteractionId,
    recorder: Recorder,
    tokens: Arc<AtomicU32>,
    legs: [Option<Media>; 2],
    parties: Parties,
    state: Recording,
    /// For the recorder: told when a recording breaks.
    broken: mpsc::Sender<Broken>,
    /// Told on to whoever controls the conference.
    exits: mpsc::Sender<DialogExit>,
    /// Held until the recording is closed: a shut-down waits for it.
    _running: mpsc::Sender<()>,
}

impl Task {
    /// Priorities: changes of the legs and broken recordings, so that a command finds all as it is; then commands.
    async fn run(
        mut self,
        mut orders: mpsc::Receiver<Order>,
        mut media: watch::Receiver<[Option<Media>; 2]>,
        mut breaks: mpsc::Receiver<Broken>,
    ) {
        loop {
            tokio::select! {
                biased;
                changed = media.changed() => {
                    if changed.is_err() {
                        break;
                    }
                    let legs = media.borrow_and_update().clone();
                    self.take_legs(legs).await;
                }
                Some(broken) = breaks.recv() => self.broke(broken).await,
                order = orders.recv() => {
                    let Some(Order { request, answer }) = order else { break };
                    let outcome = self.obey(&request).await;
                    let (command, response) = (request.command, outcome.response);
                    tracing::debug!(interaction = %self.interaction, ?command, response, "recording command");
                    let _ = answer.send(outcome);
                }
            }
        }
        if let Some(token) = self.state.token() {
            self.tap(None).await;
            if let Err(error) = self.recorder.stop(token).await {
                tracing::error!(interaction = %self.interaction, %error, "closing a recording failed");
            }
        }
    }

    /// The recording is over without a command: whoever gave the last one is told.
    async fn broke(&mut self, Broken { token, reason }: Broken) {
        let dialog = match &self.state {
            Recording::On(dialog) | Recording::Paused(dialog) if dialog.token == token => dialog.clone(),
            Recording::On(_) | Recording::Paused(_) | Recording::Off => return,
        };
        self.state = Recording::Off;
        self.tap(None).await;
        let dialog = DialogId { conference: self.id.clone(), name: dialog.name };
        if self.exits.send(DialogExit { dialog, reason }).await.is_err() {
            tracing::debug!(interaction = %self.interaction, "nobody to tell that a recording broke");
        }
    }

    async fn obey(&mut self, request: &Request) -> Outcome {
        if request.dialog.conference != self.id {
            return Outcome::failed(ResultCode::NoSuchObject, "the dialog belongs to another conference");
        }
        let step = match self.state.step(request.command, &request.dialog.name) {
            Ok(step) => step,
            Err((code, reason)) => return Outcome::failed(code, reason),
        };
        match self.take(&step, request).await {
            Ok(opened) => {
                self.state.confirm(&step, opened, request.params.paused);
                let dialog = DialogId { conference: self.id.clone(), name: request.dialog.name.clone() };
                Outcome::ok((request.command == Command::Start).then(|| dialog.to_string()))
            }
            Err(error) => self.failed(&step, &error).await,
        }
    }

    async fn take(&mut self, step: &Step, request: &Request) -> Result<Option<Dialog>, RecordError> {
        match step {
            Step::Open => {
                self.parties = Parties::of(request);
                let token = self.tokens.fetch_add(1, Ordering::Relaxed);
                if request.params.paused || !request.params.whole {
                    // Nothing from before the order reaches it.
                    self.tap(None).await;
                }
                let mut since_us = None;
                if !request.params.paused {
                    self.recorder.expect(token);
                    since_us = self.tap(Some(token)).await.map(|(first_us, _)| first_us);
                }
                self.recorder.open(token, self.subject(request), since_us).await?;
                if request.params.paused {
                    let (by, reason) = pause_of(request);
                    self.recorder.pause(token, None, by, reason).await?;
                }
                return Ok(Some(Dialog { name: request.dialog.name.clone(), token }));
            }
            Step::Pause(token) => {
                let at_us = self.tap(None).await.map(|(_, last_us)| last_us);
                let (by, reason) = pause_of(request);
                self.recorder.pause(*token, at_us, by, reason).await?;
            }
            Step::Resume(token) => {
                self.recorder.resume(*token).await?;
                self.tap(Some(*token)).await;
            }
            Step::Close(token) => {
                self.tap(None).await;
                self.recorder.stop(*token).await?;
            }
            Step::Nothing => {}
        }
        Ok(None)
    }

    /// After a failed step the taps are as the confirmed state says; a recording that the recorder gave up is over.
    async fn failed(&mut self, step: &Step, error: &RecordError) -> Outcome {
        tracing::warn!(interaction = %self.interaction, %error, "a recording command failed");
        if matches!(error, RecordError::Unknown | RecordError::Stopped) || matches!(step, Step::Close(_)) {
            self.state = Recording::Off;
        }
        self.tap(self.state.recording()).await;
        Outcome::failed(error.code(), error.to_string())
    }

    fn subject(&self, request: &Request) -> Start {
        let setup = |side: usize| {
            let leg = self.parties.side(side);
            self.legs[leg].as_ref().map(|media| self.parties.setup(leg, media)).unwrap_or_default()
        };
        let capture = request.params.capture.as_deref().and_then(|text| text.parse().ok());
        Start {
            interaction: self.interaction,
            capture: capture.unwrap_or_else(CaptureId::new),
            part: request.params.part.unwrap_or(1),
            parties: [setup(AGENT), setup(CUSTOMER)],
            counters: self.legs.iter().flatten().map(|media| media.leg.counters().clone()).collect(),
            broken: Some(self.broken.clone()),
        }
    }

    async fn take_legs(&mut self, legs: [Option<Media>; 2]) {
        let mut moved = false;
        for (leg, media) in legs.iter().enumerate() {
            let known = self.legs[leg].as_ref();
            moved |= media.as_ref().map(|media| Arc::as_ptr(&media.leg))
                != known.map(|media| Arc::as_ptr(&media.leg));
            if let (Some(token), Some(media)) = (self.state.token(), media)
                && known.is_none_or(|known| known.setup != media.setup)
            {
                self.recorder.renegotiate(token, self.parties.side(leg), self.parties.setup(leg, media));
            }
        }
        self.legs = legs;
        if moved && let Some(token) = self.state.recording() {
            self.tap(Some(token)).await;
        }
    }

    /// Sets the taps of both legs; the first and the last of the times from which they hold, if there is a leg.
    async fn tap(&self, token: Option<u32>) -> Option<(i64, i64)> {
        let mut held: Option<(i64, i64)> = None;
        for (index, media) in self.legs.iter().enumerate() {
            let Some(Media { leg, .. }) = media else { continue };
            let tap = token.map(|capture| Tap {
                queue: self.recorder.queue().clone(),
                capture,
                party: self.parties.side(index) as u8,
            });
            if let Some(at_us) = leg.tap(tap).await {
                held = Some(held.map_or((at_us, at_us), |(first, last)| (first.min(at_us), last.max(at_us))));
            }
        }
        held
    }
}

/// By whom a recording is paused, and why.
fn pause_of(request: &Request) -> (String, String) {
    let text = |field: &Option<String>| field.clone().unwrap_or_default();
    (text(&request.params.by), text(&request.params.reason))
}
