//! Events that survive a crash: appended here first, delivered over the link until the server has them.
//!
//! [`Journal::append`] enqueues and returns; a thread of the journal's own writes and syncs everything that waits in one
//! go (group commit). Only durable entries are delivered, so a sequence that the server has seen is never used again. The
//! delivered part of the file is cut off now and then.

mod line;
mod store;

use crate::atomic;
use hindsight_wire::link::JournalEntry;
use serde::Serialize;
use std::{
    fs::File,
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    thread::JoinHandle,
    time::Duration,
};
use store::Position;
use tokio::sync::watch;

/// Events that may wait for the disk; what comes when the queue is full is refused and counted.
const QUEUE: usize = 16_384;
/// Longest event, bytes of JSON.
const MAX_EVENT: usize = 256 << 10;
/// Most events written in one go.
const GROUP: usize = 1_024;
/// The delivered part of the file is cut off from this size on, bytes,
const COMPACT_FROM: u64 = 1 << 20;
/// or from this one when nothing else is left.
const COMPACT_EMPTY_FROM: u64 = 64 << 10;
/// Between attempts to write to a disk that refuses.
const RETRY: Duration = Duration::from_secs(1);

/// Why an event is not in the journal.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// Storage: the disk does not keep up, or refuses; the queue is full.
    #[error("journal queue full")]
    Full,
    /// Bug: the event has no JSON form.
    #[error("event without a JSON form: {0}")]
    Form(#[from] serde_json::Error),
    /// Bug: an event that no message could carry.
    #[error("event of {0} bytes")]
    TooLarge(usize),
    /// Storage: the journal's directory.
    #[error("journal {path}: {source}")]
    Storage {
        /// Which directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another process has the journal open.
    #[error("journal {0} is locked by another process")]
    Locked(PathBuf),
}

/// A component's journal; cheap to clone. Dropping the last clone writes what is queued.
#[derive(Clone)]
pub struct Journal {
    inner: Arc<Inner>,
}

struct Inner {
    shared: Arc<Shared>,
    queue: Option<SyncSender<Job>>,
    refused: AtomicU64,
    /// Sequence of the newest event taken.
    newest: AtomicU64,
    damaged: u64,
    thread: Mutex<Option<JoinHandle<()>>>,
    /// Locked while the journal is open.
    _lock: File,
}

struct Shared {
    dir: PathBuf,
    position: Mutex<Position>,
    durable: watch::Sender<u64>,
    /// Something was accepted that the thread has not noted yet.
    accepted: AtomicBool,
    /// The last handle is gone: a disk that refuses is not waited for any more.
    closing: AtomicBool,
}

enum Job {
    Append(serde_json::Value),
    /// Answered when everything before it is durable.
    Flush(SyncSender<()>),
    /// The server has had everything up to this sequence: what waits is numbered after it. Answered with how far the
    /// numbers moved.
    ContinueAfter(u64, SyncSender<io::Result<u64>>),
    /// Something was accepted.
    Note,
}

impl Journal {
    /// Opens the journal in `dir` (made when there is none); repairs what a crash left. Blocks on the disk.
    pub fn open(dir: &Path) -> Result<Self, JournalError> {
        let storage = |source| JournalError::Storage { path: dir.to_owned(), source };
        atomic::create_dir(dir).map_err(storage)?;
        let lock = store::append_to(&dir.join("journal.lock")).map_err(storage)?;
        lock.try_lock().map_err(|error| match error {
            std::fs::TryLockError::WouldBlock => JournalError::Locked(dir.to_owned()),
            std::fs::TryLockError::Error(source) => storage(source),
        })?;
        let opened = store::open(dir).map_err(storage)?;
        if opened.damaged > 0 {
            tracing::error!(lines = opened.damaged, "journal lines unreadable, set aside");
        }
        let (durable, _) = watch::channel(opened.position.durable);
        let shared = Arc::new(Shared {
            dir: dir.to_owned(),
            position: Mutex::new(opened.position),
            durable,
            accepted: AtomicBool::new(false),
            closing: AtomicBool::new(false),
        });
        let newest = opened.next - 1;
        let (queue, jobs) = sync_channel(QUEUE);
        let mut writer = Writer { shared: shared.clone(), file: opened.file, next: opened.next };
        let thread = std::thread::Builder::new().name("journal".to_owned());
        let thread = thread.spawn(move || writer.run(&jobs)).map_err(storage)?;
        Ok(Self {
            inner: Arc::new(Inner {
                shared,
                queue: Some(queue),
                refused: AtomicU64::new(0),
                newest: AtomicU64::new(newest),
                damaged: opened.damaged,
                thread: Mutex::new(Some(thread)),
                _lock: lock,
            }),
        })
    }

    /// Takes an event; never waits. It is durable some milliseconds later and then delivered. Events of one caller keep
    /// their order.
    pub fn append(&self, event: &impl Serialize) -> Result<(), JournalError> {
        let event = serde_json::to_value(event)?;
        let size = event.to_string().len();
        if size > MAX_EVENT {
            return Err(JournalError::TooLarge(size));
        }
        let Some(queue) = &self.inner.queue else { return Err(JournalError::Full) };
        queue.try_send(Job::Append(event)).map_err(|error| {
            let refused = self.inner.refused.fetch_add(1, Ordering::Relaxed) + 1;
            let full = matches!(error, TrySendError::Full(_));
            tracing::error!(refused, full, "journal refuses an event");
            JournalError::Full
        })?;
        self.inner.newest.fetch_add(1, Ordering::AcqRel);
        Ok(())
    }

    /// The sequence of the newest event taken, durable or not; for whoever appends alone.
    pub fn newest(&self) -> u64 {
        self.inner.newest.load(Ordering::Acquire)
    }

    /// The server has had events of this component up to `sequence`. Where this journal has not come so far it is not the
    /// one that they came from: what waits in it is numbered anew, after that. Waits for the disk.
    pub fn continue_after(&self, sequence: u64) -> Result<(), JournalError> {
        let Some(queue) = &self.inner.queue else { return Err(JournalError::Full) };
        let (done, wait) = sync_channel(1);
        queue.send(Job::ContinueAfter(sequence, done)).map_err(|_| JournalError::Full)?;
        let moved = wait.recv().map_err(|_| JournalError::Full)?;
        let moved = moved.map_err(|source| self.inner.shared.failed(source))?;
        self.inner.newest.fetch_add(moved, Ordering::AcqRel);
        Ok(())
    }

    /// Waits until every event appended before is durable. For shut-down and tests.
    pub fn flush(&self) {
        let (done, wait) = sync_channel(1);
        if let Some(queue) = &self.inner.queue
            && queue.send(Job::Flush(done)).is_ok()
        {
            // An error means that the thread is gone; nothing is left to wait for.
            let _ = wait.recv();
        }
    }

    /// Highest durable sequence; changes with every group.
    pub fn durable(&self) -> watch::Receiver<u64> {
        self.inner.shared.durable.subscribe()
    }

    /// Durable entries that the server has not accepted, oldest first. Reads the disk.
    pub fn batch(&self, most: usize) -> Result<Vec<JournalEntry>, JournalError> {
        let shared = &self.inner.shared;
        let position = shared.position();
        store::batch(&shared.log(), &position, most).map_err(|source| shared.failed(source))
    }

    /// The server has everything up to `sequence`. Reads the disk.
    pub fn accept(&self, sequence: u64) -> Result<(), JournalError> {
        let shared = &self.inner.shared;
        let mut position = shared.position();
        if sequence <= position.accepted {
            return Ok(());
        }
        store::accept(&shared.log(), &mut position, sequence).map_err(|source| shared.failed(source))?;
        drop(position);
        shared.accepted.store(true, Ordering::Release);
        if let Some(queue) = &self.inner.queue {
            // With a full queue the thread is awake anyway.
            let _ = queue.try_send(Job::Note);
        }
        Ok(())
    }

    /// Durable events that wait for the server.
    pub fn waiting(&self) -> u64 {
        let position = self.inner.shared.position();
        position.durable.saturating_sub(position.accepted)
    }

    /// Events refused since the start because the queue was full.
    pub fn refused(&self) -> u64 {
        self.inner.refused.load(Ordering::Relaxed)
    }

    /// Unreadable lines found at the start and kept in `journal.damaged`.
    pub fn damaged(&self) -> u64 {
        self.inner.damaged
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.shared.closing.store(true, Ordering::Release);
        drop(self.queue.take());
        let thread = self.thread.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the journal's thread panicked");
        }
    }
}

impl Shared {
    fn position(&self) -> MutexGuard<'_, Position> {
        self.position.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn log(&self) -> PathBuf {
        self.dir.join(store::LOG)
    }

    fn failed(&self, source: io::Error) -> JournalError {
        JournalError::Storage { path: self.dir.clone(), source }
    }
}

/// The journal's thread.
struct Writer {
    shared: Arc<Shared>,
    file: File,
    next: u64,
}

impl Writer {
    fn run(&mut self, jobs: &Receiver<Job>) {
        while let Ok(first) = jobs.recv() {
            let (mut events, mut waiting, mut continued) = (Vec::new(), Vec::new(), None);
            for job in std::iter::once(first).chain(jobs.try_iter().take(GROUP)) {
                match job {
                    Job::Append(event) => events.push(event),
                    Job::Flush(done) => waiting.push(done),
                    Job::ContinueAfter(sequence, done) => continued = Some((sequence, done)),
                    Job::Note => {}
                }
            }
            self.commit(events);
            if let Some((sequence, done)) = continued {
                // Whoever asked may have gone.
                let _ = done.send(self.continue_after(sequence));
            }
            if self.shared.accepted.swap(false, Ordering::AcqRel)
                && let Err(error) = self.note_accepted()
            {
                tracing::warn!(%error, "journal could not be shortened");
            }
            for done in waiting {
                // Whoever asked may have gone.
                let _ = done.send(());
            }
        }
    }

    fn commit(&mut self, events: Vec<serde_json::Value>) {
        if events.is_empty() {
            return;
        }
        let mut lines = Vec::new();
        for event in events {
            lines.extend(line::Line::Entry(JournalEntry { sequence: self.next, event }).encode());
            self.next += 1;
        }
        // Until it is written: callers are not held up, their queue is bounded.
        while let Err(error) = self.write(&lines) {
            if self.shared.closing.load(Ordering::Acquire) {
                tracing::error!(%error, bytes = lines.len(), "journal cannot be written, events are lost");
                return;
            }
            tracing::error!(%error, "journal cannot be written, trying again");
            std::thread::sleep(RETRY);
        }
        let durable = self.next - 1;
        let mut position = self.shared.position();
        position.end += lines.len() as u64;
        position.durable = durable;
        drop(position);
        self.shared.durable.send_replace(durable);
    }

    /// Writes all of it or leaves nothing. What failed to sync is written again, not only synced again: the system
    /// may have dropped it.
    fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        let end = self.shared.position().end;
        let written = self.file.write_all(lines).and_then(|()| self.file.sync_data());
        if written.is_err() {
            self.file.set_len(end)?;
        }
        written
    }

    /// How far the numbers moved.
    fn continue_after(&mut self, sequence: u64) -> io::Result<u64> {
        let mut position = self.shared.position();
        if sequence <= position.durable {
            return Ok(0);
        }
        tracing::warn!(sequence, "the journal was lost or is an old one: what waits in it is numbered anew");
        let next = store::renumber(&self.shared.dir, &position, sequence)?;
        self.file = store::append_to(&self.shared.log())?;
        store::write_accepted(&self.shared.dir, sequence)?;
        *position = next;
        let durable = position.durable;
        drop(position);
        let moved = durable + 1 - self.next;
        self.next = durable + 1;
        self.shared.durable.send_replace(durable);
        Ok(moved)
    }

    fn note_accepted(&mut self) -> io::Result<()> {
        let mut position = self.shared.position();
        store::write_accepted(&self.shared.dir, position.accepted)?;
        let empty = position.cursor == position.end;
        if position.cursor < COMPACT_FROM && !(empty && position.cursor >= COMPACT_EMPTY_FROM) {
            return Ok(());
        }
        let span = (position.cursor, position.end);
        let head = store::rewrite(&self.shared.dir, &[span], position.durable)?;
        (position.cursor, position.end) = (head, head + span.1 - span.0);
        self.file = store::append_to(&self.shared.log())?;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
