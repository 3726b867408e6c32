//! The uploader's loop around the [`Queue`]: takes what the spool offers, gives out jobs, tells how it stands.

use super::{
    config::UploadConfig,
    http::Http,
    queue::{Job, Offer, Queue, Turn},
    rules::{Allowance, Conditions},
    state::{Local, Outcome, Pace},
    status::UploadStatus,
    throttle::Throttle,
    work::Work,
};
use crate::{ItemSummary, Phase, Spool, entry::locked, error::SpoolError};
use hindsight_wire::RecordingId;
use rand::{SeedableRng as _, rngs::StdRng};
use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};
use tokio::{sync::watch, task::JoinSet};

/// Uploads a spool for as long as it runs.
pub struct Uploader {
    work: Arc<Work>,
    pace: Pace,
    parallel: usize,
    backlog: Duration,
    status: watch::Sender<UploadStatus>,
    conditions: watch::Sender<Conditions>,
    throttle: Arc<Mutex<Throttle>>,
}

/// Tells an uploader what it has to mind; cheap to clone.
#[derive(Clone)]
pub struct UploadControl(watch::Sender<Conditions>);

impl UploadControl {
    /// Changes the conditions; they hold at once, also for what is under way.
    pub fn change(&self, change: impl FnOnce(&mut Conditions)) {
        self.0.send_if_modified(|conditions| {
            let before = conditions.clone();
            change(conditions);
            *conditions != before
        });
    }
}

struct Done {
    recording: RecordingId,
    job: Job,
    outcome: Outcome,
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
        let throttle = Arc::new(Mutex::new(Throttle::new(Instant::now())));
        let http = Http::new(client, config, throttle.clone())?;
        let pace = Pace {
            chunk: config.chunk.max(1),
            growing_chunk: config.growing_chunk,
            growing_wait: Duration::from_millis(config.growing_wait_ms),
            backoff: config.backoff(),
        };
        let (status, _) = watch::channel(UploadStatus::default());
        let (conditions, _) = watch::channel(Conditions::default());
        let work = Arc::new(Work { spool, http, ca_pem: ca_pem.into() });
        let (parallel, backlog) = (config.parallel.max(1), Duration::from_secs(60 * config.backlog_minutes));
        Ok(Self { work, pace, parallel, backlog, status, conditions, throttle })
    }

    /// How the spool stands, from now on.
    pub fn status(&self) -> watch::Receiver<UploadStatus> {
        self.status.subscribe()
    }

    /// What tells it of policy, calls and networks.
    pub fn control(&self) -> UploadControl {
        UploadControl(self.conditions.clone())
    }

    /// Uploads until it is dropped, which is safe at any time.
    pub async fn run(self) {
        let spool = &self.work.spool;
        let (mut changed, mut room) = (spool.changed(), spool.room());
        let mut conditions = self.conditions.subscribe();
        let (mut asking, mut run) = (JoinSet::new(), Run::new(&self));
        run.take_conditions();
        run.take_items(Instant::now());
        loop {
            run.start_jobs(&mut asking);
            let timer = run.queue.next_timer();
            tokio::select! {
                Some(done) = asking.join_next() => match done {
                    Ok(done) => run.finish_job(done, Instant::now()),
                    Err(error) => run.revive(&error, Instant::now()),
                },
                Ok(()) = changed.changed() => run.take_items(Instant::now()),
                Ok(()) = conditions.changed() => run.take_conditions(),
                Ok(()) = room.changed() => run.take_conditions(),
                () = sleep_until(timer) => run.expire(Instant::now()),
                () = tokio::time::sleep(STATUS_EVERY) => run.publish(),
            }
        }
    }
}

/// The free space and the age of what waits are told this often when nothing happens.
const STATUS_EVERY: Duration = Duration::from_secs(10);

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

/// The loop's own books.
struct Run<'a> {
    uploader: &'a Uploader,
    queue: Queue,
    underway: HashMap<tokio::task::Id, RecordingId>,
    waits: Option<&'static str>,
    rng: StdRng,
}

impl<'a> Run<'a> {
    fn new(uploader: &'a Uploader) -> Self {
        let queue = Queue::new(uploader.pace, uploader.parallel);
        Self { uploader, queue, underway: HashMap::new(), waits: None, rng: StdRng::from_os_rng() }
    }

    fn spool(&self) -> &'a Spool {
        &self.uploader.work.spool
    }

    /// The spool changed: new items, longer items, items that are gone.
    fn take_items(&mut self, now: Instant) {
        let items = self.spool().items();
        if self.queue.len() > items.len() {
            let here: HashSet<_> = items.iter().map(|item| item.recording).collect();
            self.queue.retain(|recording| here.contains(recording));
        }
        for item in &items {
            self.offer(item, now);
        }
        self.publish();
    }

    fn offer(&mut self, item: &ItemSummary, now: Instant) {
        let saved = self.spool().entry(item.recording).and_then(|entry| locked(&entry.state).upload.clone());
        let offer = Offer {
            recording: item.recording,
            local: Local { sendable: item.sendable, total: item.total },
            refused: matches!(item.phase, Phase::Refused(_)),
            saved: saved.map(|saved| (saved.location, saved.manifest_sent)),
        };
        self.queue.offer(&offer, now);
    }

    fn offer_again(&mut self, recording: RecordingId, now: Instant) {
        match self.spool().item(recording) {
            Some(item) => self.offer(&item, now),
            None => self.queue.retain(|other| *other != recording),
        }
    }

    /// Policy, call, network or disk changed.
    fn take_conditions(&mut self) {
        let room = self.spool().room().borrow().clone();
        let allowance = self.uploader.conditions.borrow().allowance(&room);
        let (limit, waits) = match allowance {
            Allowance::Send(limit) => (limit, None),
            Allowance::Wait(reason) => (None, Some(reason)),
        };
        if waits != self.waits {
            tracing::info!(waits, "uploads");
        }
        self.waits = waits;
        self.queue.hold(waits.is_some());
        if waits.is_none() {
            self.queue.limit(limit);
            locked(&self.uploader.throttle).set_rate(limit, Instant::now());
        }
        self.publish();
    }

    fn expire(&mut self, now: Instant) {
        while let Some(recording) = self.queue.due(now) {
            self.offer_again(recording, now);
        }
    }

    fn start_jobs(&mut self, asking: &mut JoinSet<Done>) {
        while let Some(Turn { recording, job, location }) = self.queue.next(Instant::now()) {
            let entry = self.spool().entry(recording);
            let work = self.uploader.work.clone();
            let task = asking.spawn(async move {
                let outcome = match entry {
                    Some(entry) => work.perform(&entry, &job, location).await,
                    None => Outcome::Local("the recording is gone".to_owned()),
                };
                Done { recording, job, outcome }
            });
            self.underway.insert(task.id(), recording);
        }
    }

    fn finish_job(&mut self, Done { recording, job, outcome }: Done, now: Instant) {
        self.underway.retain(|_, other| *other != recording);
        let deleted = job == Job::Delete && matches!(outcome, Outcome::Answered(_));
        let was_away = self.queue.is_away();
        match self.queue.done(recording, &job, outcome, now, &mut self.rng) {
            Some(reason) if matches!(job, Job::Ask(_)) => self.count_failure(recording, reason),
            Some(reason) => {
                tracing::warn!(%recording, reason, "the spool could not be changed after an answer, tried again");
            }
            None => {}
        }
        if self.queue.is_away() != was_away {
            tracing::info!(away = !was_away, "the server");
            self.publish();
        }
        if deleted {
            self.uploader.status.send_modify(|status| status.received += 1);
            tracing::info!(%recording, "receipt verified, deleted from the spool");
        }
        self.offer_again(recording, now);
        self.expire(now);
    }

    /// A job's task panicked: a bug, but the item is not forgotten.
    fn revive(&mut self, error: &tokio::task::JoinError, now: Instant) {
        tracing::error!(%error, "upload task failed");
        if let Some(recording) = self.underway.remove(&error.id()) {
            self.queue.revive(recording, now);
        }
    }

    fn count_failure(&self, recording: RecordingId, reason: String) {
        tracing::debug!(%recording, reason, "upload in trouble");
        self.uploader.status.send_modify(|status| {
            status.failures += 1;
            status.last_failure = Some(reason);
        });
    }

    fn publish(&self) {
        let items = self.spool().items();
        self.uploader.status.send_if_modified(|status| {
            let before = status.clone();
            status.count(self.spool(), &items, self.uploader.backlog);
            (status.waits, status.away) = (self.waits, self.queue.is_away());
            *status != before
        });
    }
}
