//! Many uploads over a bounded number of requests, without I/O: whose turn it is.
//!
//! Every item is in one of the standings of [`Standing`]. Finished recordings go oldest first; recordings that grow
//! have every other turn, so that a long backlog does not keep a growing call from being sent. An item in trouble waits
//! by itself: it holds no request while it does.

use super::{
    line::Line,
    state::{Local, Next, Outcome, Pace, Request, Upload},
};
use hindsight_wire::RecordingId;
use rand::Rng;
use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque},
    time::{Duration, Instant},
};

/// What the spool says of an item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Which recording.
    pub recording: RecordingId,
    /// What of it can be sent.
    pub local: Local,
    /// The server refused it, and that is kept.
    pub refused: bool,
    /// Where the server keeps the upload, and whether it has the manifest, when that is known.
    pub saved: Option<(String, bool)>,
}

/// What is to be done for an item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Job {
    /// Ask the server.
    Ask(Request),
    /// Delete it: its receipt is verified.
    Delete,
    /// Keep the server's refusal beside it.
    Keep(String),
}

/// A job whose turn has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turn {
    /// For this recording.
    pub recording: RecordingId,
    /// What.
    pub job: Job,
    /// URL of the upload, once it is created.
    pub location: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Standing {
    /// In the queue.
    Ready(Job),
    /// A job is under way.
    Asking,
    /// Waits for an instant.
    Until(Instant),
    /// Waits for the item to grow or end.
    Growth,
    /// Refused while it grows: the server is asked again when it is finished, and only then is the refusal kept.
    Held,
    /// Refused.
    Kept,
}

struct Slot {
    upload: Upload,
    standing: Standing,
}

/// Whose turn it is.
pub struct Queue {
    pace: Pace,
    parallel: usize,
    slots: BTreeMap<RecordingId, Slot>,
    /// Finished and ready. Ids begin with their time: the oldest is first.
    backlog: BTreeSet<RecordingId>,
    /// Growing and ready, in turn.
    growing: VecDeque<RecordingId>,
    growing_is_next: bool,
    timers: BinaryHeap<Reverse<(Instant, RecordingId)>>,
    asking: usize,
    line: Line,
    /// Uploads wait for another network.
    on_hold: bool,
    chunk: u64,
}

impl Queue {
    /// Nothing to do yet; `parallel` jobs at a time.
    pub fn new(pace: Pace, parallel: usize) -> Self {
        Self {
            pace,
            parallel: parallel.max(1),
            slots: BTreeMap::new(),
            backlog: BTreeSet::new(),
            growing: VecDeque::new(),
            growing_is_next: true,
            timers: BinaryHeap::new(),
            asking: 0,
            line: Line::new(pace.backoff),
            on_hold: false,
            chunk: pace.chunk,
        }
    }

    /// An item is new or changed, or its last job is over.
    pub fn offer(&mut self, offer: &Offer, now: Instant) {
        let chunk = self.chunk;
        let slot = self.slots.entry(offer.recording).or_insert_with(|| Slot::new(self.pace, offer));
        let finished = offer.local.total.is_some();
        match slot.standing {
            Standing::Ready(_) | Standing::Asking => return,
            Standing::Held if !finished => return,
            Standing::Kept if offer.refused => return,
            Standing::Held | Standing::Kept => *slot = Slot::new(self.pace, offer),
            Standing::Until(_) | Standing::Growth => {}
        }
        if offer.refused {
            slot.standing = Standing::Kept;
            return;
        }
        slot.upload.set_most(chunk);
        let job = match slot.upload.poll(now, offer.local) {
            Next::Request(request) => Job::Ask(request),
            Next::Delete => Job::Delete,
            Next::Keep(reason) if !finished => {
                tracing::warn!(recording = %offer.recording, reason, "growing recording refused, held back");
                slot.standing = Standing::Held;
                return;
            }
            Next::Keep(reason) => Job::Keep(reason),
            Next::At(at) => {
                if slot.standing != Standing::Until(at) {
                    slot.standing = Standing::Until(at);
                    self.timers.push(Reverse((at, offer.recording)));
                }
                return;
            }
            Next::Growth => {
                slot.standing = Standing::Growth;
                return;
            }
        };
        slot.standing = Standing::Ready(job);
        if finished {
            self.backlog.insert(offer.recording);
        } else {
            self.growing.push_back(offer.recording);
        }
    }

    /// Forgets items that are gone.
    pub fn retain(&mut self, here: impl Fn(&RecordingId) -> bool) {
        self.slots.retain(|recording, _| here(recording));
        self.backlog.retain(&here);
        self.growing.retain(here);
    }

    /// How many items are known.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether none is known.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// An item whose waiting is over, to be offered again; call until `None`.
    pub fn due(&mut self, now: Instant) -> Option<RecordingId> {
        while let Some(Reverse((at, recording))) =
            self.timers.peek().copied().filter(|Reverse((at, _))| *at <= now)
        {
            self.timers.pop();
            // Older timers of the same item say nothing.
            if self.slots.get(&recording).is_some_and(|slot| slot.standing == Standing::Until(at)) {
                return Some(recording);
            }
        }
        None
    }

    /// When to call [`Queue::due`] or [`Queue::next`] again, if nothing happens before.
    pub fn next_timer(&self) -> Option<Instant> {
        let item = self.timers.peek().map(|Reverse((at, _))| *at);
        let waiting = !self.backlog.is_empty() || !self.growing.is_empty();
        let line = self.line.next().filter(|_| waiting && !self.on_hold);
        item.into_iter().chain(line).min()
    }

    /// The next job; its result is given to [`Queue::done`]. Call until `None`.
    pub fn next(&mut self, now: Instant) -> Option<Turn> {
        while self.asking < self.parallel && !self.on_hold && self.line.may_ask(now) {
            let recording = self.take_turn()?;
            let Some(slot) = self.slots.get_mut(&recording) else { continue };
            let Standing::Ready(job) = std::mem::replace(&mut slot.standing, Standing::Asking) else {
                continue;
            };
            self.asking += 1;
            if matches!(job, Job::Ask(_)) {
                self.line.asked();
            }
            return Some(Turn { recording, job, location: slot.upload.location().map(str::to_owned) });
        }
        None
    }

    fn take_turn(&mut self) -> Option<RecordingId> {
        let growing = self.growing_is_next || self.backlog.is_empty();
        self.growing_is_next = !self.growing_is_next;
        let turn = if growing { self.growing.pop_front() } else { None };
        turn.or_else(|| self.backlog.pop_first()).or_else(|| self.growing.pop_front())
    }

    /// A job is over; the item is to be offered again. Gives the reason when it failed.
    pub fn done(
        &mut self,
        recording: RecordingId,
        job: &Job,
        outcome: Outcome,
        now: Instant,
        rng: &mut impl Rng,
    ) -> Option<String> {
        self.asking = self.asking.saturating_sub(1);
        let request = match job {
            Job::Ask(request) => request,
            Job::Delete | Job::Keep(_) => return self.changed_on_disk(recording, outcome, now),
        };
        match &outcome {
            Outcome::Answered(_) => {
                if self.line.answered() {
                    self.wake(now);
                }
            }
            Outcome::Lost(_) => self.line.lost(now, rng.random_range(0.0..=1.0)),
            Outcome::Local(_) => {}
        }
        let slot = self.slots.get_mut(&recording)?;
        slot.standing = Standing::Growth;
        let failures = slot.upload.failures();
        slot.upload.handle(request, outcome, now, rng);
        let failed = slot.upload.failures() > failures;
        failed.then(|| slot.upload.last_failure().unwrap_or_default().to_owned())
    }

    fn changed_on_disk(&mut self, recording: RecordingId, outcome: Outcome, now: Instant) -> Option<String> {
        match outcome {
            Outcome::Answered(_) => {
                self.slots.entry(recording).and_modify(|slot| slot.standing = Standing::Growth);
                None
            }
            Outcome::Lost(reason) | Outcome::Local(reason) => {
                self.again_at(recording, now + self.pace.backoff.cap);
                Some(reason)
            }
        }
    }

    /// A job was lost without a result: a bug, but the item is not forgotten.
    pub fn revive(&mut self, recording: RecordingId, now: Instant) {
        self.asking = self.asking.saturating_sub(1);
        self.again_at(recording, now + self.pace.backoff.cap);
    }

    fn again_at(&mut self, recording: RecordingId, at: Instant) {
        if let Some(slot) = self.slots.get_mut(&recording) {
            slot.standing = Standing::Until(at);
            self.timers.push(Reverse((at, recording)));
        }
    }

    /// The server answers again: everything that failed is tried now, the oldest first.
    fn wake(&mut self, now: Instant) {
        for (recording, slot) in &mut self.slots {
            if let Standing::Until(_) = slot.standing
                && slot.upload.failures() > 0
            {
                slot.upload.retry_now();
                slot.standing = Standing::Until(now);
                self.timers.push(Reverse((now, *recording)));
            }
        }
    }

    /// Stops or resumes giving out jobs.
    pub fn hold(&mut self, on_hold: bool) {
        self.on_hold = on_hold;
    }

    /// A limit of bytes a second: no PATCH takes more than some seconds of it.
    pub fn limit(&mut self, bytes_per_second: Option<u64>) {
        let seconds = PATCH_WITHIN.as_secs() / self.parallel as u64;
        let most = bytes_per_second.map_or(u64::MAX, |rate| rate.saturating_mul(seconds.max(1)));
        self.chunk = self.pace.chunk.min(most);
    }

    /// Whether the server can be reached, as far as is known.
    pub fn is_away(&self) -> bool {
        self.line.is_away()
    }
}

/// Longest time that all PATCHes under way should take together under a limit.
const PATCH_WITHIN: Duration = Duration::from_secs(16);

impl Slot {
    fn new(pace: Pace, offer: &Offer) -> Self {
        let upload = match &offer.saved {
            Some((location, manifest_sent)) => Upload::resume(pace, Some(location.clone()), *manifest_sent),
            None if offer.local.total.is_some() => Upload::resume(pace, None, false),
            None => Upload::new(pace),
        };
        Self { upload, standing: Standing::Growth }
    }
}

#[cfg(test)]
mod tests;
