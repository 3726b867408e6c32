//! Many uploads over a bounded number of requests.
//!
//! Every item is in one of the standings of [`Standing`]. An item gets one request per turn and then goes to the end of
//! the queue: a long backlog does not keep a growing call from being sent.

use super::{
    config::UploadConfig,
    http::{Http, Sending},
    saved::SavedUpload,
    state::{Answer, Local, Next, Outcome, Pace, Request, Upload},
    status::UploadStatus,
};
use crate::{
    ItemSummary, Phase, Spool,
    entry::{Entry, locked},
    error::SpoolError,
    layout::{MANIFEST, REFUSED, REFUSED_NEW, SEALED},
    receipt,
    recovery::RefusedFile,
    spool::take_lock,
};
use hindsight_wire::{
    RecordingId, Timestamp,
    manifest::{Media, Signed},
};
use rand::{SeedableRng as _, rngs::StdRng};
use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap, VecDeque},
    io,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{sync::watch, task::JoinSet};

/// Uploads a spool for as long as it runs.
pub struct Uploader {
    work: Arc<Work>,
    pace: Pace,
    parallel: usize,
    status: watch::Sender<UploadStatus>,
}

/// What a request needs.
struct Work {
    spool: Spool,
    http: Http,
    ca_pem: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// In the queue for a request.
    Ready,
    /// A request is under way.
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

struct Done {
    recording: RecordingId,
    request: Job,
    outcome: Outcome,
}

/// What is done off the driver's own loop.
#[derive(Clone, Debug)]
enum Job {
    Ask(Request),
    Delete,
    Keep(String),
}

impl Uploader {
    /// An uploader of `spool` that believes receipts of web services certified by `ca_pem` only. `client` authenticates
    /// this device.
    pub fn new(
        spool: Spool,
        client: reqwest::Client,
        ca_pem: impl Into<String>,
        config: &UploadConfig,
    ) -> Result<Self, SpoolError> {
        let http = Http::new(client, config)?;
        let pace = Pace {
            chunk: config.chunk.max(1),
            growing_chunk: config.growing_chunk,
            growing_wait: Duration::from_millis(config.growing_wait_ms),
            backoff: config.backoff(),
        };
        let (status, _) = watch::channel(UploadStatus::default());
        let work = Arc::new(Work { spool, http, ca_pem: ca_pem.into() });
        Ok(Self { work, pace, parallel: config.parallel.max(1), status })
    }

    /// How the spool stands, from now on.
    pub fn status(&self) -> watch::Receiver<UploadStatus> {
        self.status.subscribe()
    }

    /// Uploads until it is dropped, which is safe at any time.
    pub async fn run(self) {
        let mut changed = self.work.spool.changed();
        let (mut asking, mut run) = (JoinSet::new(), Run::new(&self));
        run.take_items(Instant::now());
        loop {
            run.start_requests(&mut asking);
            let timer = run.next_timer();
            tokio::select! {
                Some(done) = asking.join_next() => match done {
                    Ok(done) => run.finish_request(done, Instant::now()),
                    Err(error) => run.revive(&error, Instant::now()),
                },
                Ok(()) = changed.changed() => run.take_items(Instant::now()),
                () = sleep_until(timer) => run.expire(Instant::now()),
            }
        }
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

/// The driver's own books.
struct Run<'a> {
    uploader: &'a Uploader,
    slots: HashMap<RecordingId, Slot>,
    ready: VecDeque<RecordingId>,
    jobs: HashMap<RecordingId, Job>,
    timers: BinaryHeap<Reverse<(Instant, RecordingId)>>,
    underway: HashMap<tokio::task::Id, RecordingId>,
    rng: StdRng,
}

impl<'a> Run<'a> {
    fn new(uploader: &'a Uploader) -> Self {
        Self {
            uploader,
            slots: HashMap::new(),
            ready: VecDeque::new(),
            jobs: HashMap::new(),
            timers: BinaryHeap::new(),
            underway: HashMap::new(),
            rng: StdRng::from_os_rng(),
        }
    }

    fn spool(&self) -> &'a Spool {
        &self.uploader.work.spool
    }

    /// The spool changed: new items, longer items, items that are gone.
    fn take_items(&mut self, now: Instant) {
        let items = self.spool().items();
        if self.slots.len() > items.len() {
            let here: std::collections::HashSet<_> = items.iter().map(|item| item.recording).collect();
            self.slots.retain(|id, _| here.contains(id));
        }
        for item in &items {
            let slot = self.slots.get(&item.recording).map(|slot| slot.standing);
            let due = match slot {
                None => {
                    self.take_item(item);
                    true
                }
                Some(Standing::Kept) if !matches!(item.phase, Phase::Refused(_)) => {
                    self.take_item(item);
                    true
                }
                Some(Standing::Held) if item.total.is_some() => {
                    self.take_item(item);
                    true
                }
                Some(Standing::Growth | Standing::Until(_)) => true,
                Some(Standing::Ready | Standing::Asking | Standing::Held | Standing::Kept) => false,
            };
            if due {
                self.evaluate(item, now);
            }
        }
        self.publish(&items);
    }

    fn take_item(&mut self, item: &ItemSummary) {
        let pace = self.uploader.pace;
        let saved = self.spool().entry(item.recording).and_then(|entry| locked(&entry.state).upload.clone());
        let upload = match saved {
            Some(saved) => Upload::resume(pace, Some(saved.location), saved.manifest_sent),
            None if item.total.is_some() => Upload::resume(pace, None, false),
            None => Upload::new(pace),
        };
        self.slots.insert(item.recording, Slot { upload, standing: Standing::Growth });
    }

    fn evaluate(&mut self, item: &ItemSummary, now: Instant) {
        let Some(slot) = self.slots.get_mut(&item.recording) else { return };
        if matches!(item.phase, Phase::Refused(_)) {
            slot.standing = Standing::Kept;
            return;
        }
        let job = match slot.upload.poll(now, Local { sendable: item.sendable, total: item.total }) {
            Next::Request(request) => Job::Ask(request),
            Next::Delete => Job::Delete,
            Next::Keep(reason) if item.total.is_none() => {
                tracing::warn!(recording = %item.recording, reason, "growing recording refused, held back");
                slot.standing = Standing::Held;
                return;
            }
            Next::Keep(reason) => Job::Keep(reason),
            Next::At(at) => {
                if slot.standing != Standing::Until(at) {
                    slot.standing = Standing::Until(at);
                    self.timers.push(Reverse((at, item.recording)));
                }
                return;
            }
            Next::Growth => {
                slot.standing = Standing::Growth;
                return;
            }
        };
        slot.standing = Standing::Ready;
        self.jobs.insert(item.recording, job);
        self.ready.push_back(item.recording);
    }

    fn evaluate_one(&mut self, recording: RecordingId, now: Instant) {
        match self.spool().item(recording) {
            Some(item) => self.evaluate(&item, now),
            None => {
                self.slots.remove(&recording);
            }
        }
    }

    fn next_timer(&self) -> Option<Instant> {
        self.timers.peek().map(|Reverse((at, _))| *at)
    }

    fn expire(&mut self, now: Instant) {
        while let Some(Reverse((at, recording))) =
            self.timers.peek().copied().filter(|entry| entry.0.0 <= now)
        {
            self.timers.pop();
            // Older timers of the same item say nothing.
            if self.slots.get(&recording).is_some_and(|slot| slot.standing == Standing::Until(at)) {
                self.evaluate_one(recording, now);
            }
        }
    }

    fn start_requests(&mut self, asking: &mut JoinSet<Done>) {
        while asking.len() < self.uploader.parallel {
            let Some(recording) = self.ready.pop_front() else { return };
            let Some(job) = self.jobs.remove(&recording) else { continue };
            let (Some(slot), Some(entry)) =
                (self.slots.get_mut(&recording), self.uploader.work.spool.entry(recording))
            else {
                continue;
            };
            slot.standing = Standing::Asking;
            let work = self.uploader.work.clone();
            let location = slot.upload.location().map(str::to_owned);
            let task = asking.spawn(async move {
                let outcome = work.perform(&entry, &job, location).await;
                Done { recording, request: job, outcome }
            });
            self.underway.insert(task.id(), recording);
        }
    }

    fn finish_request(&mut self, done: Done, now: Instant) {
        self.underway.retain(|_, recording| *recording != done.recording);
        if let Job::Ask(request) = &done.request
            && let Some(slot) = self.slots.get_mut(&done.recording)
        {
            let failures = slot.upload.failures();
            slot.upload.handle(request, done.outcome, now, &mut self.rng);
            if slot.upload.failures() > failures {
                self.count_failure(done.recording);
            }
        } else if let Outcome::Lost(reason) = done.outcome {
            tracing::error!(recording = %done.recording, reason, "spool could not be changed after an answer");
            if let Some(slot) = self.slots.get_mut(&done.recording) {
                let at = now + self.uploader.pace.backoff.cap;
                slot.standing = Standing::Until(at);
                self.timers.push(Reverse((at, done.recording)));
            }
            return;
        }
        if matches!(done.request, Job::Delete) {
            self.slots.remove(&done.recording);
            self.uploader.status.send_modify(|status| status.received += 1);
            tracing::info!(recording = %done.recording, "receipt verified, deleted from the spool");
            return;
        }
        self.evaluate_one(done.recording, now);
    }

    /// A request's task panicked: a bug, but the item is not forgotten.
    fn revive(&mut self, error: &tokio::task::JoinError, now: Instant) {
        tracing::error!(%error, "upload task failed");
        if let Some(recording) = self.underway.remove(&error.id())
            && let Some(slot) = self.slots.get_mut(&recording)
        {
            let at = now + self.uploader.pace.backoff.cap;
            slot.standing = Standing::Until(at);
            self.timers.push(Reverse((at, recording)));
        }
    }

    fn count_failure(&self, recording: RecordingId) {
        let Some(slot) = self.slots.get(&recording) else { return };
        let reason = slot.upload.last_failure().unwrap_or_default().to_owned();
        tracing::debug!(%recording, failures = slot.upload.failures(), reason, "upload in trouble");
        self.uploader.status.send_modify(|status| {
            status.failures += 1;
            status.last_failure = Some(reason);
        });
    }

    fn publish(&self, items: &[ItemSummary]) {
        self.uploader.status.send_if_modified(|status| {
            let before = status.clone();
            status.count(self.spool(), items);
            *status != before
        });
    }
}

impl Work {
    async fn perform(self: &Arc<Self>, entry: &Arc<Entry>, job: &Job, location: Option<String>) -> Outcome {
        let request = match job {
            Job::Ask(request) => request,
            Job::Delete => return self.on_disk(entry, |work, entry| work.spool.inner.delete(entry)).await,
            Job::Keep(reason) => {
                let reason = reason.clone();
                return self.on_disk(entry, move |work, entry| work.keep(entry, reason)).await;
            }
        };
        let (body, _lock) = match self.prepare(entry, request).await {
            Ok(prepared) => prepared,
            Err(reason) => return Outcome::Lost(reason),
        };
        let kind = match locked(&entry.state).info.media {
            Media::Voice { .. } => "voice",
            Media::Screen { .. } => "screen",
        };
        let manifest = (*request == Request::Receipt).then(|| self.manifest(entry));
        let sending = Sending { recording: entry.recording, kind, location: location.as_deref(), body };
        let (mut outcome, answered) = self.http.send(request, sending).await;
        if let Outcome::Answered(answer) = &mut outcome
            && let Err(reason) = self.conclude(entry, request, answer, &answered, location, manifest).await
        {
            return Outcome::Lost(reason);
        }
        outcome
    }

    /// What the request carries, and the item's lock where this process does not hold it anyway.
    async fn prepare(
        self: &Arc<Self>,
        entry: &Arc<Entry>,
        request: &Request,
    ) -> Result<(Vec<u8>, Option<crate::storage::LockGuard>), String> {
        let (work, entry, request) = (self.clone(), entry.clone(), request.clone());
        let prepared = tokio::task::spawn_blocking(move || {
            let storage = work.spool.inner.storage();
            let held = locked(&entry.state).lock.is_some();
            let lock = if held {
                None
            } else {
                let lock = take_lock(storage, &entry.dir).map_err(|error| error.to_string())?;
                Some(lock.ok_or("another process works on this item")?)
            };
            let read = match request {
                Request::Patch { len: 0, .. } => Ok(Vec::new()),
                Request::Patch { offset, len, .. } => {
                    storage.read_at(&entry.dir.join(SEALED), offset, len as usize).and_then(|bytes| {
                        let whole = bytes.len() as u64 == len;
                        whole.then_some(bytes).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
                    })
                }
                Request::Manifest => storage.read(&entry.dir.join(MANIFEST)),
                Request::Create { .. } | Request::Head | Request::Receipt => Ok(Vec::new()),
            };
            read.map(|body| (body, lock)).map_err(|error| format!("reading the spool: {error}"))
        });
        prepared.await.map_err(|error| error.to_string())?
    }

    fn manifest(&self, entry: &Entry) -> Result<Signed, String> {
        let content = self.spool.inner.storage().read(&entry.dir.join(MANIFEST));
        let content = content.map_err(|error| format!("manifest: {error}"))?;
        serde_json::from_slice(&content).map_err(|error| format!("manifest: {error}"))
    }

    /// What must be on the disk before the answer counts, and what only this side can judge.
    async fn conclude(
        self: &Arc<Self>,
        entry: &Arc<Entry>,
        request: &Request,
        answer: &mut Answer,
        body: &[u8],
        location: Option<String>,
        manifest: Option<Result<Signed, String>>,
    ) -> Result<(), String> {
        let saved = match (request, answer.status) {
            (Request::Create { .. }, 200 | 201) => {
                answer.location.clone().map(|location| SavedUpload { location, manifest_sent: false })
            }
            (Request::Manifest, 200..=299) => {
                location.map(|location| SavedUpload { location, manifest_sent: true })
            }
            (Request::Receipt, 200) => {
                let verified =
                    manifest.unwrap_or_else(|| Err("no manifest".to_owned())).and_then(|manifest| {
                        receipt::verify(body, entry.recording, &manifest, &self.ca_pem, Timestamp::now())
                    });
                answer.receipt = Some(verified);
                None
            }
            _ => None,
        };
        let Some(saved) = saved else { return Ok(()) };
        let stored = self.on_disk(entry, move |work, entry| {
            let stored = saved.store(work.spool.inner.storage(), &entry.dir);
            stored.map_err(SpoolError::storage("writing in", &entry.dir))?;
            locked(&entry.state).upload = Some(saved);
            Ok(())
        });
        match stored.await {
            Outcome::Lost(reason) => Err(reason),
            Outcome::Answered(_) => Ok(()),
        }
    }

    /// Keeps the reason of a refusal beside the item.
    fn keep(&self, entry: &Entry, reason: String) -> Result<(), SpoolError> {
        let storage = self.spool.inner.storage();
        tracing::warn!(recording = %entry.recording, reason, "recording refused by the server, kept");
        let content =
            serde_json::to_vec(&RefusedFile { reason: reason.clone() }).expect("a string has a JSON form");
        let (next, place) = (entry.dir.join(REFUSED_NEW), entry.dir.join(REFUSED));
        let stored = storage
            .write(&next, &content)
            .and_then(|()| storage.sync_file(&next))
            .and_then(|()| storage.rename(&next, &place))
            .and_then(|()| storage.sync_dir(&entry.dir));
        stored.map_err(SpoolError::storage("writing", place))?;
        locked(&entry.state).phase = Phase::Refused(reason);
        self.spool.inner.syncer.notify_changed();
        Ok(())
    }

    async fn on_disk(
        self: &Arc<Self>,
        entry: &Arc<Entry>,
        change: impl FnOnce(&Work, &Entry) -> Result<(), SpoolError> + Send + 'static,
    ) -> Outcome {
        let (work, entry) = (self.clone(), entry.clone());
        match tokio::task::spawn_blocking(move || change(&work, &entry)).await {
            Ok(Ok(())) => Outcome::Answered(Answer::default()),
            Ok(Err(error)) => Outcome::Lost(error.to_string()),
            Err(error) => Outcome::Lost(error.to_string()),
        }
    }
}
