//! The spool directory.

use crate::{
    EmptyItem, InterruptedItem, Item, ItemInfo, Limits,
    disk::Disk,
    entry::{Entry, EntryState, locked},
    error::SpoolError,
    layout::{LOCK, REFUSED, SEALED, TRASH, sendable_while_growing},
    recovery::{self, Found},
    storage::{LockGuard, Storage},
    sync::Syncer,
};
use hindsight_wire::RecordingId;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, atomic::Ordering},
    thread::JoinHandle,
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
    empty: Mutex<Vec<EmptyItem>>,
    damaged: u64,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.syncer.close();
        if let Some(thread) = locked(&self.thread).take()
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
        storage.create_dir(&root).map_err(SpoolError::storage("making", &root))?;
        if let Some(parent) = root.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            storage.sync_dir(parent).map_err(SpoolError::storage("syncing", parent))?;
        }
        let found = recovery::recover(storage.as_ref(), &root)?;
        let syncer = Arc::new(Syncer::new(storage, root, limits));
        let mut inner = Inner {
            syncer: syncer.clone(),
            items: Mutex::default(),
            interrupted: Mutex::default(),
            empty: Mutex::default(),
            damaged: 0,
            thread: Mutex::default(),
        };
        for found in found {
            match found {
                Found::Item(entry) => {
                    if entry.phase() == Phase::Interrupted {
                        locked(&inner.interrupted).push(entry.recording);
                    }
                    locked(&inner.items).insert(entry.recording, Arc::new(*entry));
                }
                Found::Empty(empty) => locked(&inner.empty).push(*empty),
                Found::Damaged => inner.damaged += 1,
            }
        }
        let thread = std::thread::Builder::new()
            .name("spool-sync".to_owned())
            .spawn(move || syncer.run())
            .map_err(SpoolError::storage("starting the sync thread of", inner.root()))?;
        locked(&inner.thread).replace(thread);
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Opens a new item. Writes only to the page cache; it is durable after the next group sync.
    pub fn create(&self, recording: RecordingId, info: ItemInfo) -> Result<Item, SpoolError> {
        let inner = &self.inner;
        let storage = inner.storage();
        let (free, limit) = (self.free_bytes()?, inner.syncer.limits.min_free_bytes);
        if free < limit {
            return Err(SpoolError::Full { free, limit });
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
        entry.write_state(storage, &mut locked(&entry.state))?;
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
        self.inner.damaged
    }

    /// Free bytes on the spool's disk.
    pub fn free_bytes(&self) -> Result<u64, SpoolError> {
        let root = self.inner.root();
        self.inner.storage().free_bytes(root).map_err(SpoolError::storage("measuring", root))
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

    /// Deletes an item in one step: a crash leaves it whole or as trash, never half.
    pub fn delete(&self, entry: &Entry) -> Result<(), SpoolError> {
        let trash = self.root().join(format!("{TRASH}{}", entry.recording));
        let storage = self.storage();
        storage.rename(&entry.dir, &trash).map_err(SpoolError::storage("deleting", &entry.dir))?;
        locked(&self.items).remove(&entry.recording);
        entry.gone.store(true, Ordering::Release);
        // Closed by whoever deletes: freeing a deleted file takes a disk long, and the group sync has no time.
        let file = locked(&entry.state).file.take();
        drop(file);
        storage.remove_dir(&trash).map_err(SpoolError::storage("deleting", &trash))?;
        self.syncer.notify_changed();
        Ok(())
    }
}

pub(crate) fn take_lock(storage: &dyn Storage, dir: &Path) -> Result<Option<LockGuard>, SpoolError> {
    let path = dir.join(LOCK);
    storage.lock(&path).map_err(SpoolError::storage("locking", path))
}

fn summary(entry: &Entry) -> ItemSummary {
    let phase = entry.phase();
    let bytes = entry.written();
    let total = matches!(phase, Phase::Finished | Phase::Refused(_)).then_some(bytes);
    let sendable = total.unwrap_or_else(|| sendable_while_growing(entry.durable()));
    ItemSummary { recording: entry.recording, phase, bytes, sendable, total }
}

#[cfg(test)]
mod tests;
