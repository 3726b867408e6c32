//! One item as the whole process sees it: shared by its writer, the group sync and the uploader.

use crate::{
    ItemInfo, Phase,
    error::SpoolError,
    info::StateFile,
    layout::{STATE_NEW, whole_segments},
    storage::{AppendFile, LockGuard},
    sync::Syncer,
    upload::saved::SavedUpload,
};
use hindsight_wire::RecordingId;
use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

/// Locks; a panic elsewhere does not stop recordings.
pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) struct Entry {
    pub recording: RecordingId,
    pub dir: PathBuf,
    /// Bytes appended to `sealed`.
    pub written: AtomicU64,
    /// Bytes of `sealed` that survive a power cut.
    pub durable: AtomicU64,
    /// In the queue of the group sync.
    pub queued: AtomicBool,
    /// Deleted: there is nothing left to sync.
    pub gone: AtomicBool,
    /// A sync failed; the reason is in the state.
    pub broken: AtomicBool,
    pub state: Mutex<EntryState>,
}

pub(crate) struct EntryState {
    pub info: ItemInfo,
    pub phase: Phase,
    /// Grows with every `state.json` written.
    pub serial: u64,
    /// Open while something may still have to be synced.
    pub file: Option<Arc<dyn AppendFile>>,
    /// Held by the writer and by recovery; the uploader of a finished item takes the lock for each step.
    pub lock: Option<LockGuard>,
    /// `state.json.new` waits for the group sync.
    pub state_new: bool,
    /// `state.json.sync` waits to become `state.json`.
    pub state_sync: bool,
    /// The item's directory is not yet known to be durable in the spool's.
    pub fresh: bool,
    pub broken: Option<String>,
    /// What the uploader knew last.
    pub upload: Option<SavedUpload>,
}

impl Entry {
    pub fn new(recording: RecordingId, dir: PathBuf, len: u64, state: EntryState) -> Self {
        Self {
            recording,
            dir,
            written: AtomicU64::new(len),
            durable: AtomicU64::new(if state.fresh { 0 } else { len }),
            queued: AtomicBool::new(false),
            gone: AtomicBool::new(false),
            broken: AtomicBool::new(false),
            state: Mutex::new(state),
        }
    }

    pub fn written(&self) -> u64 {
        self.written.load(Ordering::Acquire)
    }

    pub fn durable(&self) -> u64 {
        self.durable.load(Ordering::Acquire)
    }

    pub fn unsynced_segments(&self) -> u64 {
        whole_segments(self.written()).saturating_sub(whole_segments(self.durable()))
    }

    pub fn phase(&self) -> Phase {
        locked(&self.state).phase.clone()
    }

    /// Refuses when an earlier sync failed.
    pub fn check(&self) -> Result<(), SpoolError> {
        if !self.broken.load(Ordering::Acquire) {
            return Ok(());
        }
        let reason = locked(&self.state).broken.clone().unwrap_or_default();
        Err(SpoolError::Broken { recording: self.recording, reason })
    }

    pub fn mark_broken(&self, reason: String) {
        tracing::error!(recording = %self.recording, reason, "recording is not safe on disk any more");
        locked(&self.state).broken.get_or_insert(reason);
        self.broken.store(true, Ordering::Release);
    }

    /// Writes the next `state.json` beside the old one: complete for whoever survives a killed process, and
    /// put in place by the group sync.
    pub fn write_state(&self, syncer: &Syncer, state: &mut EntryState) -> Result<(), SpoolError> {
        state.serial += 1;
        let path = self.dir.join(STATE_NEW);
        syncer.write_small(&path, &state.file(false)).map_err(SpoolError::storage("writing", path))?;
        state.state_new = true;
        Ok(())
    }
}

impl EntryState {
    pub fn file(&self, finished: bool) -> Vec<u8> {
        StateFile { version: 1, serial: self.serial, finished, info: self.info.clone() }.to_bytes()
    }
}
