//! What a crash left, and what becomes of it.

use crate::{
    ItemInfo, Payload, Phase,
    entry::{Entry, EntryState, locked},
    error::SpoolError,
    info::StateFile,
    item::{self, Hashes, parse_manifest},
    layout::{
        ENVELOPE, MANIFEST, REFUSED, SEALED, SEGMENT, STATE, STATE_NEW, STATE_SYNC, TRASH, len_of,
        whole_segments,
    },
    spool::{Inner, take_lock},
    storage::{LockGuard, Storage},
    upload::saved::SavedUpload,
};
use hindsight_wire::{
    RecordingId,
    manifest::{Ending, Manifest, Signed},
};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeSet,
    io,
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering},
};

/// Bytes read at once while hashing.
const HASH_CHUNK: usize = 1 << 20;

/// An item that its writer never finished, trimmed to whole segments. Dropped without [`InterruptedItem::finish`] it is
/// handed out again.
pub struct InterruptedItem {
    spool: Arc<Inner>,
    entry: Arc<Entry>,
    finished: bool,
}

impl Drop for InterruptedItem {
    fn drop(&mut self) {
        if !self.finished {
            locked(&self.spool.interrupted).push(self.entry.recording);
        }
    }
}

/// An item that a crash left without one whole segment. Its directory is gone.
#[derive(Clone, Debug)]
pub struct EmptyItem {
    /// Which recording is lost.
    pub recording: RecordingId,
    /// What was known of it.
    pub info: ItemInfo,
}

impl InterruptedItem {
    pub(crate) fn new(spool: Arc<Inner>, entry: Arc<Entry>) -> Self {
        Self { spool, entry, finished: false }
    }

    /// Which recording it is.
    pub fn recording(&self) -> RecordingId {
        self.entry.recording
    }

    /// What was known of it before the crash.
    pub fn info(&self) -> ItemInfo {
        locked(&self.entry.state).info.clone()
    }

    /// Sizes and hashes of what is left; reads the file.
    pub fn payload(&self) -> Result<Payload, SpoolError> {
        hash(self.spool.storage(), &self.entry.dir, self.entry.written())
    }

    /// The `interrupted` manifest to be signed; reads the file.
    pub fn manifest(&self) -> Result<Manifest, SpoolError> {
        Ok(self.info().manifest(self.recording(), self.payload()?, Ending::Interrupted))
    }

    /// Ends the item with its signed manifest, as [`crate::Item::finish`].
    pub fn finish(mut self, manifest: &Signed) -> Result<(), SpoolError> {
        let payload = self.payload()?;
        item::finish(&self.spool, &self.entry, &payload, manifest)?;
        self.finished = true;
        Ok(())
    }
}

/// `refused.json`.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RefusedFile {
    pub reason: String,
}

/// One directory of the spool, as found.
pub(crate) enum Found {
    Item(Box<Entry>),
    Empty(Box<EmptyItem>),
    Damaged,
}

/// The directory, as found.
#[derive(Default)]
pub(crate) struct Recovered {
    pub items: Vec<Found>,
    /// Received items are still to be removed.
    pub leftovers: bool,
}

/// Looks at every directory of the spool that no other process owns, but for those in `known`.
pub(crate) fn recover(
    storage: &dyn Storage,
    root: &Path,
    known: &BTreeSet<RecordingId>,
) -> Result<Recovered, SpoolError> {
    let (mut found, mut leftovers) = (Vec::new(), false);
    for name in storage.list(root).map_err(SpoolError::storage("listing", root))? {
        let dir = root.join(&name);
        if name.starts_with(TRASH) {
            leftovers = true;
        } else if name.starts_with(".damaged-") {
            found.push(Found::Damaged);
        } else if let Ok(recording) = name.parse::<RecordingId>()
            && !known.contains(&recording)
        {
            match recover_item(storage, root, recording, dir) {
                Ok(item) => found.extend(item),
                // One bad item does not keep the others from being recorded and sent; it is left as it is.
                Err(error) => {
                    tracing::error!(%recording, %error, "item could not be recovered");
                    found.push(Found::Damaged);
                }
            }
        }
    }
    storage.sync_dir(root).map_err(SpoolError::storage("syncing", root))?;
    Ok(Recovered { items: found, leftovers })
}

/// The items that are complete, of a directory in which nothing can be changed.
pub(crate) fn finished(storage: &dyn Storage, root: &Path) -> Vec<Entry> {
    let names = storage.list(root).unwrap_or_default();
    let recordings = names.iter().filter_map(|name| name.parse::<RecordingId>().ok());
    recordings
        .filter_map(|recording| finished_item(storage, recording, root.join(recording.to_string())))
        .collect()
}

fn finished_item(storage: &dyn Storage, recording: RecordingId, dir: PathBuf) -> Option<Entry> {
    let len = storage.len(&dir.join(SEALED)).ok()?;
    let state = newest_state(storage, &dir)?;
    // Without a hash of all bytes: what was not finished before the disk became read-only waits.
    if !state.finished || !has_whole_manifest(storage, &dir, &state, len).ok()? {
        return None;
    }
    let phase = refused(storage, &dir).map_or(Phase::Finished, Phase::Refused);
    let upload = SavedUpload::load(storage, &dir);
    Some(entry(recording, dir, len, state, phase, None, upload))
}

fn recover_item(
    storage: &dyn Storage,
    root: &Path,
    recording: RecordingId,
    dir: PathBuf,
) -> Result<Option<Found>, SpoolError> {
    let Some(lock) = take_lock(storage, &dir)? else {
        tracing::warn!(%recording, "item of another process left alone");
        return Ok(None);
    };
    let sealed = dir.join(SEALED);
    let len = existing(storage.len(&sealed)).map_err(SpoolError::storage("measuring", &sealed))?.unwrap_or(0);
    let Some(state) = newest_state(storage, &dir) else {
        return if whole_segments(len) == 0 {
            // A power cut in the first second: neither bytes nor knowledge.
            remove(storage, root, recording, &dir)?;
            Ok(None)
        } else {
            let aside = root.join(format!(".damaged-{recording}"));
            storage.rename(&dir, &aside).map_err(SpoolError::storage("setting aside", &dir))?;
            tracing::error!(%recording, "item without a readable state set aside");
            Ok(Some(Found::Damaged))
        };
    };
    let upload = SavedUpload::load(storage, &dir);
    if has_whole_manifest(storage, &dir, &state, len)? {
        if !state.finished {
            mark_finished(storage, &dir, &state)?;
        }
        let phase = refused(storage, &dir).map_or(Phase::Finished, Phase::Refused);
        let entry = entry(recording, dir, len, state, phase, None, upload);
        return Ok(Some(Found::Item(Box::new(entry))));
    }
    for name in [MANIFEST, REFUSED] {
        let path = dir.join(name);
        storage.remove_file(&path).map_err(SpoolError::storage("removing", path))?;
    }
    let Some(kept) = trim(storage, &dir, len)? else {
        remove(storage, root, recording, &dir)?;
        return Ok(Some(Found::Empty(Box::new(EmptyItem { recording, info: state.info }))));
    };
    tracing::info!(%recording, segments = whole_segments(kept), torn = len - kept, "interrupted item recovered");
    let entry = entry(recording, dir, kept, state, Phase::Interrupted, Some(lock), upload);
    Ok(Some(Found::Item(Box::new(entry))))
}

fn entry(
    recording: RecordingId,
    dir: PathBuf,
    len: u64,
    state: StateFile,
    phase: Phase,
    lock: Option<LockGuard>,
    upload: Option<SavedUpload>,
) -> Entry {
    let state = EntryState {
        info: state.info,
        phase,
        serial: state.serial,
        file: None,
        lock,
        state_new: false,
        state_sync: false,
        fresh: false,
        broken: None,
        upload,
    };
    Entry::new(recording, dir, len, state)
}

/// Trims an item whose writer gives up; false when nothing was left and it is deleted.
pub(crate) fn interrupt(spool: &Inner, entry: &Arc<Entry>) -> Result<bool, SpoolError> {
    let Some(kept) = trim(spool.storage(), &entry.dir, entry.written())? else {
        spool.delete(entry)?;
        return Ok(false);
    };
    entry.written.store(kept, Ordering::Release);
    entry.durable.fetch_min(kept, Ordering::AcqRel);
    locked(&entry.state).phase = Phase::Interrupted;
    spool.syncer.enqueue(entry);
    Ok(true)
}

/// Cuts the file to whole segments, durably; `None` when there is none.
fn trim(storage: &dyn Storage, dir: &Path, len: u64) -> Result<Option<u64>, SpoolError> {
    let path = dir.join(SEALED);
    let mut segments = whole_segments(len);
    while segments > 0 && is_blank(storage, &path, segments - 1)? {
        segments -= 1;
    }
    if segments == 0 {
        return Ok(None);
    }
    storage.truncate(&path, len_of(segments)).map_err(SpoolError::storage("trimming", &path))?;
    storage.sync_file(&path).map_err(SpoolError::storage("syncing", &path))?;
    Ok(Some(len_of(segments)))
}

/// A segment of zeros was never sealed: the file system lengthened the file and lost the bytes.
fn is_blank(storage: &dyn Storage, path: &Path, segment: u64) -> Result<bool, SpoolError> {
    let bytes = storage.read_at(path, ENVELOPE + segment * SEGMENT, SEGMENT as usize);
    Ok(bytes.map_err(SpoolError::storage("reading", path))?.iter().all(|byte| *byte == 0))
}

fn remove(storage: &dyn Storage, root: &Path, recording: RecordingId, dir: &Path) -> Result<(), SpoolError> {
    let trash = root.join(format!("{TRASH}{recording}"));
    storage.rename(dir, &trash).map_err(SpoolError::storage("removing", dir))?;
    storage.remove_dir(&trash).map_err(SpoolError::storage("removing", trash))
}

/// The state with the highest serial among the files that a crash may have left.
fn newest_state(storage: &dyn Storage, dir: &Path) -> Option<StateFile> {
    let read = |name| serde_json::from_slice::<StateFile>(&storage.read(&dir.join(name)).ok()?).ok();
    [STATE, STATE_SYNC, STATE_NEW].into_iter().filter_map(read).max_by_key(|state| state.serial)
}

fn refused(storage: &dyn Storage, dir: &Path) -> Option<String> {
    let content = existing(storage.read(&dir.join(REFUSED))).ok()??;
    let parsed = serde_json::from_slice::<RefusedFile>(&content);
    Some(parsed.map_or_else(|_| "reason unreadable".to_owned(), |file| file.reason))
}

/// Whether there is a manifest, and it is about the bytes found. Hashes them unless they are known to be durable.
fn has_whole_manifest(
    storage: &dyn Storage,
    dir: &Path,
    state: &StateFile,
    len: u64,
) -> Result<bool, SpoolError> {
    let path = dir.join(MANIFEST);
    let content = existing(storage.read(&path)).map_err(SpoolError::storage("reading", path))?;
    let signed = content.and_then(|content| serde_json::from_slice::<Signed>(&content).ok());
    let Some(manifest) = signed.and_then(|signed| parse_manifest(&signed).ok()) else { return Ok(false) };
    if manifest.payload_size != len.saturating_sub(ENVELOPE) {
        return Ok(false);
    }
    if state.finished {
        return Ok(true);
    }
    let payload = hash(storage, dir, len)?;
    Ok(payload.sha256 == manifest.payload_sha256 && payload.envelope_sha256 == manifest.envelope_sha256)
}

/// Completes what the group sync had begun.
fn mark_finished(storage: &dyn Storage, dir: &Path, state: &StateFile) -> Result<(), SpoolError> {
    let sync = |name| {
        let path = dir.join(name);
        storage.sync_file(&path).map_err(SpoolError::storage("syncing", path))
    };
    sync(SEALED)?;
    sync(MANIFEST)?;
    let content = StateFile { serial: state.serial + 1, finished: true, ..state.clone() }.to_bytes();
    let (next, place) = (dir.join(STATE_SYNC), dir.join(STATE));
    storage.write(&next, &content).map_err(SpoolError::storage("writing", &next))?;
    sync(STATE_SYNC)?;
    storage.rename(&next, &place).map_err(SpoolError::storage("renaming", &next))?;
    storage.sync_dir(dir).map_err(SpoolError::storage("syncing", dir))
}

fn hash(storage: &dyn Storage, dir: &Path, len: u64) -> Result<Payload, SpoolError> {
    let path = dir.join(SEALED);
    let (mut hashes, mut at) = (Hashes::new(), 0);
    while at < len {
        let wanted = (len - at).min(HASH_CHUNK as u64) as usize;
        let bytes = storage.read_at(&path, at, wanted).map_err(SpoolError::storage("reading", &path))?;
        if bytes.is_empty() {
            let short = io::Error::from(io::ErrorKind::UnexpectedEof);
            return Err(SpoolError::storage("reading", path)(short));
        }
        hashes.update(&bytes);
        at += bytes.len() as u64;
    }
    Ok(hashes.payload())
}

/// `None` for a file that is not there.
fn existing<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
