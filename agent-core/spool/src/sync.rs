//! The group sync: one thread that makes everything durable, so that no recorder waits for the disk.

use crate::{
    Phase, Room,
    config::Limits,
    entry::{Entry, locked},
    guard::Guard,
    layout::{MANIFEST, SEGMENT, STATE, STATE_NEW, STATE_SYNC},
    storage::{AppendFile, Storage},
};
use std::{
    io,
    path::PathBuf,
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};
use tokio::sync::watch;

/// From this many items on, one sync of the whole file system costs less than one of each file.
const GROUP: usize = 16;

pub(crate) struct Syncer {
    pub storage: Arc<dyn Storage>,
    pub root: PathBuf,
    pub limits: Limits,
    /// Grows whenever an item is created, grows durably, or changes its phase.
    pub changed: watch::Sender<u64>,
    queue: Mutex<Queue>,
    wake: Condvar,
    /// One commit at a time.
    commit: Mutex<()>,
    pub guard: Mutex<Guard>,
    /// The guard's judgement.
    pub room: watch::Sender<Room>,
    /// Directories of received items may still be there.
    pub leftovers: AtomicBool,
}

#[derive(Default)]
struct Queue {
    dirty: Vec<Arc<Entry>>,
    urgent: bool,
    /// A write found the disk full: look at once.
    look: bool,
    closed: bool,
}

/// What one entry needs of one commit.
struct Work {
    entry: Arc<Entry>,
    written: u64,
    file: Option<Arc<dyn AppendFile>>,
    state: bool,
    fresh: bool,
    finishing: bool,
    failed: Option<Failure>,
}

enum Failure {
    /// Appended bytes may be gone: what the system no longer has in its cache cannot be synced again.
    Content(io::Error),
    /// Can be tried again.
    Entry(io::Error),
}

impl Syncer {
    pub fn new(storage: Arc<dyn Storage>, root: PathBuf, limits: Limits) -> Self {
        let (changed, _) = watch::channel(0);
        let (room, _) = watch::channel(Room::default());
        let (queue, commit) = (Mutex::default(), Mutex::default());
        let (guard, leftovers) = (Mutex::new(Guard::new(limits.clone())), AtomicBool::new(false));
        Self { storage, root, limits, changed, queue, wake: Condvar::new(), commit, guard, room, leftovers }
    }

    /// Asks for `entry` to be made durable.
    pub fn enqueue(&self, entry: &Arc<Entry>) {
        let urgent = entry.unsynced_segments() >= self.limits.sync_segments;
        let queued = entry.queued.swap(true, Ordering::AcqRel);
        if queued && !urgent {
            return;
        }
        let mut queue = locked(&self.queue);
        if !queued {
            queue.dirty.push(entry.clone());
        }
        let wake = queue.dirty.len() == 1 || (urgent && !queue.urgent);
        queue.urgent |= urgent;
        drop(queue);
        if wake {
            self.wake.notify_one();
        }
    }

    /// A write failed for want of room, or of leave to write: the disk is looked at without delay.
    pub fn look_soon(&self) {
        locked(&self.queue).look = true;
        self.wake.notify_one();
    }

    pub fn notify_changed(&self) {
        self.changed.send_modify(|version| *version += 1);
    }

    pub fn close(&self) {
        locked(&self.queue).closed = true;
        self.wake.notify_one();
    }

    /// The thread: commits what is dirty, looks at the disk in between, ends after a last commit when the spool is
    /// closed. `looked` is called after every look.
    pub fn run(&self, looked: impl Fn()) {
        let mut next_look = Instant::now();
        while let Some(dirty) = self.next_group(next_look) {
            self.commit(&dirty);
            let asked = std::mem::take(&mut locked(&self.queue).look);
            if asked || Instant::now() >= next_look {
                self.look();
                looked();
                next_look = Instant::now() + self.limits.guard_interval();
            }
        }
        self.commit_queued();
    }

    /// What is dirty, when it is time; nothing, when the disk is to be looked at first; `None` at the end.
    fn next_group(&self, next_look: Instant) -> Option<Vec<Arc<Entry>>> {
        let until = |at: Instant| at.saturating_duration_since(Instant::now());
        let mut queue = locked(&self.queue);
        while queue.dirty.is_empty() && !queue.closed {
            let left = until(next_look);
            if left.is_zero() || queue.look {
                return Some(Vec::new());
            }
            queue = self.wake.wait_timeout(queue, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        let due = Instant::now() + self.limits.sync_interval();
        while !queue.urgent && !queue.closed {
            let left = until(due);
            if left.is_zero() {
                break;
            }
            queue = self.wake.wait_timeout(queue, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        if queue.closed {
            return None;
        }
        queue.urgent = false;
        Some(std::mem::take(&mut queue.dirty))
    }

    /// Commits what is in the queue, on the caller's thread.
    pub fn commit_queued(&self) {
        let dirty = std::mem::take(&mut locked(&self.queue).dirty);
        self.commit(&dirty);
    }

    /// Makes `entries` durable, in the order that the crate's documentation states.
    pub fn commit(&self, entries: &[Arc<Entry>]) {
        if entries.is_empty() {
            return;
        }
        let _one = locked(&self.commit);
        let here = entries.iter().filter(|entry| !entry.gone.load(Ordering::Acquire));
        let mut work: Vec<Work> = here.map(|entry| self.prepare(entry)).collect();
        let group = work.len() >= GROUP;

        let together = group && self.everything();
        self.each(&mut work, |work| if together { Ok(()) } else { self.sync_content(work) });
        self.each(&mut work, |work| self.place_state(work, false));
        if work.iter().any(|work| work.finishing) {
            self.each(&mut work, |work| self.write_finished(work));
            let together = group && self.everything();
            self.each(&mut work, |work| if together { Ok(()) } else { self.sync_finished(work) });
            self.each(&mut work, |work| self.place_state(work, true));
        }
        let renamed = work.iter().any(|work| work.fresh || work.state || work.finishing);
        let together = group && renamed && self.everything();
        if renamed && !together {
            self.each(&mut work, |work| self.sync_dirs(work));
            if work.iter().any(|work| work.fresh) {
                let root = self.storage.sync_dir(&self.root).err().map(|error| error.to_string());
                self.each(&mut work, |work| match &root {
                    Some(error) if work.fresh => Err(Failure::Entry(io::Error::other(error.clone()))),
                    _ => Ok(()),
                });
            }
        }
        for work in work {
            self.publish(work);
        }
        self.notify_changed();
    }

    fn everything(&self) -> bool {
        match self.storage.sync_everything(&self.root) {
            Ok(done) => done,
            Err(error) => {
                // Each file's own sync then tells whose bytes are lost.
                tracing::warn!(%error, "syncing the spool's file system failed");
                false
            }
        }
    }

    fn each(&self, work: &mut [Work], step: impl Fn(&Work) -> Result<(), Failure>) {
        for work in work.iter_mut().filter(|work| work.failed.is_none()) {
            work.failed = step(work).err();
        }
    }

    fn prepare(&self, entry: &Arc<Entry>) -> Work {
        // In this order: what is written from here on queues the entry again.
        entry.queued.store(false, Ordering::Release);
        let mut state = locked(&entry.state);
        let mut failed = None;
        if state.state_new {
            let renamed = self.storage.rename(&entry.dir.join(STATE_NEW), &entry.dir.join(STATE_SYNC));
            failed = renamed.err().map(Failure::Entry);
            if failed.is_none() {
                (state.state_new, state.state_sync) = (false, true);
            }
        }
        Work {
            entry: entry.clone(),
            written: entry.written(),
            file: state.file.clone(),
            state: state.state_sync,
            fresh: state.fresh,
            finishing: state.phase == Phase::Finishing,
            failed,
        }
    }

    fn sync_content(&self, work: &Work) -> Result<(), Failure> {
        let dir = &work.entry.dir;
        if let Some(file) = &work.file
            && (work.written > work.entry.durable() || work.finishing)
        {
            file.sync().map_err(Failure::Content)?;
        }
        if work.state {
            self.storage.sync_file(&dir.join(STATE_SYNC)).map_err(Failure::Entry)?;
        }
        if work.finishing {
            self.storage.sync_file(&dir.join(MANIFEST)).map_err(Failure::Entry)?;
        }
        Ok(())
    }

    fn place_state(&self, work: &Work, finished: bool) -> Result<(), Failure> {
        let wanted = if finished { work.finishing } else { work.state };
        if wanted {
            let dir = &work.entry.dir;
            if finished {
                // The manifest's own entry, and all before it, first.
                self.storage.sync_dir(dir).map_err(Failure::Entry)?;
            }
            self.storage.rename(&dir.join(STATE_SYNC), &dir.join(STATE)).map_err(Failure::Entry)?;
            locked(&work.entry.state).state_sync = false;
        }
        Ok(())
    }

    fn write_finished(&self, work: &Work) -> Result<(), Failure> {
        if !work.finishing {
            return Ok(());
        }
        let mut state = locked(&work.entry.state);
        state.serial += 1;
        self.write_small(&work.entry.dir.join(STATE_SYNC), &state.file(true)).map_err(Failure::Entry)
    }

    fn sync_finished(&self, work: &Work) -> Result<(), Failure> {
        if !work.finishing {
            return Ok(());
        }
        self.storage.sync_file(&work.entry.dir.join(STATE_SYNC)).map_err(Failure::Entry)
    }

    fn sync_dirs(&self, work: &Work) -> Result<(), Failure> {
        if work.fresh || work.state || work.finishing {
            self.storage.sync_dir(&work.entry.dir).map_err(Failure::Entry)?;
        }
        Ok(())
    }

    fn publish(&self, work: Work) {
        match work.failed {
            Some(_) if work.entry.gone.load(Ordering::Acquire) => {}
            Some(Failure::Content(error)) => work.entry.mark_broken(format!("sync failed: {error}")),
            Some(Failure::Entry(error)) => {
                tracing::warn!(recording = %work.entry.recording, %error, "sync failed, trying again");
                self.enqueue(&work.entry);
            }
            None => {
                let mut state = locked(&work.entry.state);
                state.fresh = false;
                if work.finishing {
                    state.phase = Phase::Finished;
                    (state.file, state.lock) = (None, None);
                }
                work.entry.durable.fetch_max(work.written, Ordering::AcqRel);
                drop(state);
                tracing::trace!(recording = %work.entry.recording, segments = work.written / SEGMENT, "synced");
            }
        }
    }
}
