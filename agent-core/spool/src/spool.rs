//! The spool directory.

use crate::{
    EmptyItem, InterruptedItem, Item, ItemInfo, Limits, Room,
    disk::Disk,
    entry::{Entry, EntryState, locked},
    error::SpoolError,
    layout::{LOCK, REFUSED, SEALED, TRASH, sendable_while_growing},
    recovery::{self, Found},
    storage::{LockGuard, Storage, is_unwritable},
    sync::Syncer,
};
use hindsight_wire::RecordingId;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{JoinHandle, current},
};
use tokio::sync::watch;

/// Where an item stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Being written.
    Growing,
    /// Cut by a crash (or dropped unfinished) and trimmed; waits for its owner's manifest.
    Interrupted,
    /// Has its manifest; waits to be durable.
    Finishing,
    /// Complete and durable; waits for its receipt.
    Finished,
    /// The server will not have it; kept until a person decides.
    Refused(String),
}

/// One item of the spool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ItemSummary {
    /// Which recording.
    pub recording: RecordingId,
    /// Where it stands.
    pub phase: Phase,
    /// Bytes of its file.
    pub bytes: u64,
    /// Bytes that may be sent now.
    pub sendable: u64,
    /// Bytes in all, once it is finished.
    pub total: Option<u64>,
}

/// A spool directory; cheap to clone.
#[derive(Clone)]
pub struct Spool {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub syncer: Arc<Syncer>,
    pub items: Mutex<BTreeMap<RecordingId, Arc<Entry>>>,
    pub interrupted: Mutex<Vec<RecordingId>>,
    /// Their writers gave up, and the trimming failed: tried again at every look.
    pub given_up: Mutex<Vec<RecordingId>>,
    empty: Mutex<Vec<EmptyItem>>,
    damaged: AtomicU64,
    /// What a crash left is recovered. Not so while the directory cannot be written.
    recovered: AtomicBool,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.syncer.close();
        // The sync thread itself may be the last that used it.
        if let Some(thread) =
            locked(&self.thread).take().filter(|thread| thread.thread().id() != current().id())
            && thread.join().is_err()
        {
            tracing::error!("the spool's sync thread panicked");
        }
    }
}

impl Spool {
    /// Opens a spool directory (makes it when there is none) and recovers what a crash left. Blocks on the disk.
    pub fn open(dir: impl Into<PathBuf>, limits: Limits) -> Result<Self, SpoolError> {
        Self::open_on(Arc::new(Disk), dir, limits)
    }

    /// [`Spool::open`] on any storage.
    pub fn open_on(
        storage: Arc<dyn Storage>,
        dir: impl Into<PathBuf>,
        limits: Limits,
    ) -> Result<Self, SpoolError> {
        let root = dir.into();
        let writable = match make(storage.as_ref(), &root) {
            Err(error) if error.is_unwritable() => {
                tracing::error!(%error, "the spool cannot be written; what is finished in it is sent");
                false
            }
            made => made.map(|()| true)?,
        };
        let syncer = Arc::new(Syncer::new(storage, root, limits));
        let inner = Arc::new(Inner {
            syncer: syncer.clone(),
            items: Mutex::default(),
            interrupted: Mutex::default(),
            given_up: Mutex::default(),
            empty: Mutex::default(),
            damaged: AtomicU64::new(0),
            recovered: AtomicBool::new(false),
            thread: Mutex::default(),
        });
        if writable {
            inner.recover()?;
        } else {
            inner.take_finished();
        }
        syncer.look();
        let looking = Arc::downgrade(&inner);
        let looked = move || {
            if let Some(inner) = looking.upgrade() {
                inner.looked();
            }
        };
        let thread = std::thread::Builder::new()
            .name("spool-sync".to_owned())
            .spawn(move || syncer.run(looked))
            .map_err(SpoolError::storage("starting the sync thread of", inner.root()))?;
        locked(&inner.thread).replace(thread);
        Ok(Self { inner })
    }

    /// Opens a new item. Writes only to the page cache; it is durable after the next group sync.
    pub fn create(&self, recording: RecordingId, info: ItemInfo) -> Result<Item, SpoolError> {
        let inner = &self.inner;
        let storage = inner.storage();
        match inner.syncer.judge() {
            Room::Enough | Room::Low => {}
            Room::Full | Room::Exhausted => {
                let (free, limit) = (self.free_bytes()?, inner.syncer.limits.min_free_bytes);
                return Err(SpoolError::Full { free, limit });
            }
            Room::Unwritable(reason) => return Err(SpoolError::Unwritable(reason)),
        }
        if locked(&inner.items).contains_key(&recording) {
            return Err(SpoolError::Exists(recording));
        }
        let dir = inner.root().join(recording.to_string());
        storage.create_dir(&dir).map_err(SpoolError::storage("making", &dir))?;
        let lock = take_lock(storage, &dir)?.ok_or(SpoolError::Locked(recording))?;
        let sealed = dir.join(SEALED);
        let file = storage.create(&sealed).map_err(SpoolError::storage("making", sealed))?;
        let state = EntryState {
            info,
            phase: Phase::Growing,
            serial: 0,
            file: Some(file.clone()),
            lock: Some(lock),
            state_new: false,
            state_sync: false,
            fresh: true,
            broken: None,
            upload: None,
        };
        let entry = Arc::new(Entry::new(recording, dir, 0, state));
        entry.write_state(&inner.syncer, &mut locked(&entry.state))?;
        locked(&inner.items).insert(recording, entry.clone());
        inner.syncer.enqueue(&entry);
        Ok(Item::new(inner.clone(), entry, file))
    }

    /// Items that wait for an `interrupted` manifest. Each is handed out to one caller at a time.
    pub fn interrupted(&self) -> Vec<InterruptedItem> {
        let ids = std::mem::take(&mut *locked(&self.inner.interrupted));
        let items = locked(&self.inner.items);
        let entries = ids.iter().filter_map(|id| items.get(id));
        entries.map(|entry| InterruptedItem::new(self.inner.clone(), entry.clone())).collect()
    }

    /// Items that a crash left without one whole segment: nothing of them can be kept, their directories are gone.
    /// Each is handed out once, for its owner to report.
    pub fn empty(&self) -> Vec<EmptyItem> {
        std::mem::take(&mut *locked(&self.inner.empty))
    }

    /// Every item of this process.
    pub fn items(&self) -> Vec<ItemSummary> {
        locked(&self.inner.items).values().map(|entry| summary(entry)).collect()
    }

    /// One item.
    pub fn item(&self, recording: RecordingId) -> Option<ItemSummary> {
        locked(&self.inner.items).get(&recording).map(|entry| summary(entry))
    }

    pub(crate) fn entry(&self, recording: RecordingId) -> Option<Arc<Entry>> {
        locked(&self.inner.items).get(&recording).cloned()
    }

    /// Directories found at the start that were no items any more (kept as `.damaged-<id>`).
    pub fn damaged(&self) -> u64 {
        self.inner.damaged.load(Ordering::Relaxed)
    }

    /// Free bytes on the spool's disk.
    pub fn free_bytes(&self) -> Result<u64, SpoolError> {
        let root = self.inner.root();
        self.inner.storage().free_bytes(root).map_err(SpoolError::storage("measuring", root))
    }

    /// How much room there is, as it changes. At [`Room::Exhausted`] the owner ends what it records; when the directory
    /// can be written again, [`Spool::interrupted`] may have more.
    pub fn room(&self) -> watch::Receiver<Room> {
        self.inner.syncer.room.subscribe()
    }

    /// Makes everything written so far durable; waits for the disk. For ordered shut-down.
    pub fn sync(&self) {
        self.inner.syncer.commit_queued();
    }

    /// Changes whenever an item is made, grows durably or changes its phase.
    pub fn changed(&self) -> watch::Receiver<u64> {
        self.inner.syncer.changed.subscribe()
    }

    /// Offers a refused item to the server again; false when it is not refused.
    pub fn retry_refused(&self, recording: RecordingId) -> Result<bool, SpoolError> {
        let Some(entry) = locked(&self.inner.items).get(&recording).cloned() else { return Ok(false) };
        let mut state = locked(&entry.state);
        if !matches!(state.phase, Phase::Refused(_)) {
            return Ok(false);
        }
        let path = entry.dir.join(REFUSED);
        self.inner.storage().remove_file(&path).map_err(SpoolError::storage("removing", path))?;
        state.phase = Phase::Finished;
        drop(state);
        self.inner.syncer.notify_changed();
        Ok(true)
    }
}

impl Inner {
    pub fn storage(&self) -> &dyn Storage {
        self.syncer.storage.as_ref()
    }

    pub fn root(&self) -> &Path {
        &self.syncer.root
    }

    /// Takes what a crash left, but for what this process has already.
    fn recover(&self) -> Result<(), SpoolError> {
        let known: BTreeSet<_> = locked(&self.items).keys().copied().collect();
        let found = recovery::recover(self.storage(), self.root(), &known)?;
        self.syncer.leftovers.store(found.leftovers, Ordering::Release);
        let mut damaged = 0;
        for found in found.items {
            match found {
                Found::Item(entry) => self.take(*entry),
                Found::Empty(empty) => locked(&self.empty).push(*empty),
                Found::Damaged => damaged += 1,
            }
        }
        self.damaged.store(damaged, Ordering::Relaxed);
        self.recovered.store(true, Ordering::Release);
        Ok(())
    }

    fn take(&self, entry: Entry) {
        if entry.phase() == Phase::Interrupted {
            locked(&self.interrupted).push(entry.recording);
        }
        locked(&self.items).insert(entry.recording, Arc::new(entry));
    }

    /// What can be sent of a directory that cannot be written.
    fn take_finished(&self) {
        for entry in recovery::finished(self.storage(), self.root()) {
            self.take(entry);
        }
    }

    /// After a look at the disk: what could not be done before may be possible now.
    fn looked(&self) {
        if matches!(*self.syncer.room.borrow(), Room::Unwritable(_)) {
            return;
        }
        let mut more = false;
        if !self.recovered.load(Ordering::Acquire) {
            match self.recover() {
                Ok(()) => more = true,
                Err(error) => tracing::warn!(%error, "the spool could not be recovered yet"),
            }
        }
        for recording in std::mem::take(&mut *locked(&self.given_up)) {
            let Some(entry) = locked(&self.items).get(&recording).cloned() else { continue };
            match recovery::interrupt(self, &entry) {
                Ok(true) => {
                    locked(&self.interrupted).push(recording);
                    more = true;
                }
                Ok(false) => {}
                Err(error) => {
                    tracing::debug!(%recording, %error, "giving up a recording failed again");
                    locked(&self.given_up).push(recording);
                }
            }
        }
        if more {
            self.syncer.notify_changed();
            // Whoever watches the room looks for interrupted items.
            self.syncer.room.send_modify(|_| {});
        }
    }

    /// Deletes an item in one step: a crash leaves it whole or as trash, never half. Trash that stays goes at the next
    /// look.
    pub fn delete(&self, entry: &Entry) -> Result<(), SpoolError> {
        let trash = self.root().join(format!("{TRASH}{}", entry.recording));
        let storage = self.storage();
        storage.rename(&entry.dir, &trash).map_err(SpoolError::storage("deleting", &entry.dir))?;
        locked(&self.items).remove(&entry.recording);
        entry.gone.store(true, Ordering::Release);
        // Closed by whoever deletes: freeing a deleted file takes a disk long, and the group sync has no time.
        let file = locked(&entry.state).file.take();
        drop(file);
        if let Err(error) = storage.remove_dir(&trash) {
            tracing::warn!(recording = %entry.recording, %error, "removing a deleted recording failed, tried again");
            self.syncer.leftovers.store(true, Ordering::Release);
        }
        self.syncer.notify_changed();
        Ok(())
    }
}

/// Makes the spool's directory, durably.
fn make(storage: &dyn Storage, root: &Path) -> Result<(), SpoolError> {
    storage.create_dir(root).map_err(SpoolError::storage("making", root))?;
    storage.writable(root).map_err(SpoolError::storage("writing in", root))?;
    if let Some(parent) = root.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        storage.sync_dir(parent).map_err(SpoolError::storage("syncing", parent))?;
    }
    Ok(())
}

/// `None`: another process has it. Where nothing can be changed there is nobody to be kept out.
pub(crate) fn take_lock(storage: &dyn Storage, dir: &Path) -> Result<Option<LockGuard>, SpoolError> {
    let path = dir.join(LOCK);
    match storage.lock(&path) {
        Err(error) if is_unwritable(&error) => Ok(Some(Box::new(()))),
        lock => lock.map_err(SpoolError::storage("locking", path)),
    }
}

fn summary(entry: &Entry) -> ItemSummary {
    let phase = entry.phase();
    let bytes = entry.written();
    let total = matches!(phase, Phase::Finished | Phase::Refused(_)).then_some(bytes);
    let sendable = total.unwrap_or_else(|| sendable_while_growing(entry.durable()));
    ItemSummary { recording: entry.recording, phase, bytes, sendable, total }
}

#[cfg(test)]
mod room_tests;
#[cfg(test)]
mod tests;
