//! The signalling of calls, told to the web services: every SIP message of a call, masked, for people who look for a fault.
//!
//! | module | what |
//! |---|---|
//! | [`mask`] | pure: a message without anything secret |
//! | [`collector`] | pure: which message is of which call, how many are kept, what is told next |
//!
//! This is the task between them, the stack and the link. Nobody waits for it: the stack passes over what it has no place
//! for, one batch at a time is on the link, and what is not stored when the process ends is gone. Masking comes before
//! everything else: what has not been masked is in the queue of the stack only.

pub mod collector;
pub mod mask;

use collector::Collector;
use hindsight_link::LinkHandle;
use hindsight_sip::{Observed, Observer};
use hindsight_wire::link::Up;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};

/// Messages that may wait to be masked.
const QUEUE: usize = 8192;
/// How long what is new may wait to be told.
const TELL: Duration = Duration::from_secs(1);
/// A batch that nobody stored in this time is told again.
const AGAIN: Duration = Duration::from_secs(30);

/// What the link said last.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Told {
    /// Grows with every link.
    links: u64,
    wanted: bool,
    stored: u64,
}

/// The owner's end of the task; the task ends with it.
pub struct Tracing {
    observer: Observer,
    told: watch::Sender<Told>,
    /// Given to the task.
    observed: Option<(mpsc::Receiver<Observed>, watch::Receiver<Told>)>,
}

impl Tracing {
    /// Before the stack is bound.
    pub fn new() -> Self {
        let (observer, observed) = Observer::new(QUEUE);
        let (told, receiver) = watch::channel(Told::default());
        Self { observer, told, observed: Some((observed, receiver)) }
    }

    /// For the stack.
    pub fn observer(&self) -> Observer {
        self.observer.clone()
    }

    /// Starts the task.
    pub fn start(&mut self, link: LinkHandle) {
        if let Some((observed, told)) = self.observed.take() {
            let observer = self.observer.clone();
            let task = Task { observer, observed, told, link, collector: Collector::default(), sent: None };
            tokio::spawn(task.run());
        }
    }

    /// A link is open; `wanted`: its server stores traces.
    pub fn linked(&self, wanted: bool) {
        self.observer.want(wanted);
        self.told.send_modify(|told| (told.links, told.wanted) = (told.links + 1, wanted));
    }

    /// The server changed its mind.
    pub fn want(&self, wanted: bool) {
        if self.told.borrow().wanted != wanted {
            tracing::info!("traces are {} from now on", if wanted { "wanted" } else { "not wanted" });
        }
        self.observer.want(wanted);
        self.told.send_modify(|told| told.wanted = wanted);
    }

    /// A batch is stored.
    pub fn stored(&self, batch: u64) {
        self.told.send_modify(|told| told.stored = batch);
    }
}

impl Default for Tracing {
    fn default() -> Self {
        Self::new()
    }
}

struct Task {
    observer: Observer,
    observed: mpsc::Receiver<Observed>,
    told: watch::Receiver<Told>,
    link: LinkHandle,
    collector: Collector,
    /// Which batch went over which link, when.
    sent: Option<(u64, u64, Instant)>,
}

impl Task {
    /// Priorities: what the link says, then what is to be told, then messages.
    async fn run(mut self) {
        let mut tell = tokio::time::interval(TELL);
        tell.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                changed = self.told.changed() => match changed {
                    Ok(()) => self.heard(),
                    Err(_) => return,
                },
                _ = tell.tick() => {
                    self.collector.overlooked(self.observer.overlooked(), Instant::now());
                    self.tell();
                }
                observed = self.observed.recv() => match observed {
                    Some(observed) => self.collector.observe(&observed, Instant::now()),
                    None => return,
                },
            }
        }
    }

    fn heard(&mut self) {
        let told = *self.told.borrow_and_update();
        if !told.wanted {
            self.collector.clear();
        }
        if told.stored > 0 {
            self.collector.stored(told.stored);
        }
        // A full batch is followed by the next one at once.
        if self.sent.is_some_and(|(batch, ..)| batch == told.stored) {
            self.sent = None;
            self.tell();
        }
    }

    fn tell(&mut self) {
        let Told { links, wanted, .. } = *self.told.borrow();
        if !wanted || !self.link.is_up() {
            return;
        }
        let now = Instant::now();
        let Some(batch) = self.collector.batch() else { return };
        let under_way = |(number, link, at): (u64, u64, Instant)| {
            number == batch.number && link == links && now.saturating_duration_since(at) < AGAIN
        };
        if self.sent.is_some_and(under_way) {
            return;
        }
        let message = Up::Trace { batch: batch.number, calls: batch.calls.clone() };
        match self.link.send(message) {
            Ok(()) => self.sent = Some((batch.number, links, now)),
            Err(error) => tracing::debug!(%error, "a trace waits"),
        }
    }
}
