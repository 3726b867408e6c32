//! One recording being written.

use crate::{
    InterruptedItem, ItemInfo, Payload, Phase,
    entry::{Entry, locked},
    error::SpoolError,
    layout::{ENVELOPE, MANIFEST},
    recovery,
    spool::Inner,
    storage::AppendFile,
};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use hindsight_wire::{
    RecordingId,
    manifest::{Ending, Manifest, Signed},
};
use ring::digest::{Context, SHA256};
use std::sync::{Arc, atomic::Ordering};

/// The writer of one item. Dropped without [`Item::finish`] it becomes an interrupted item of the same process.
pub struct Item {
    spool: Arc<Inner>,
    entry: Arc<Entry>,
    file: Arc<dyn AppendFile>,
    hashes: Hashes,
    closed: bool,
}

/// Running hashes of the two objects that a sealed file is made of.
pub(crate) struct Hashes {
    len: u64,
    envelope: Context,
    payload: Context,
}

impl Hashes {
    pub fn new() -> Self {
        Self { len: 0, envelope: Context::new(&SHA256), payload: Context::new(&SHA256) }
    }

    pub fn update(&mut self, bytes: &[u8]) {
        let left = ENVELOPE.saturating_sub(self.len).min(bytes.len() as u64) as usize;
        let (envelope, payload) = bytes.split_at(left);
        self.envelope.update(envelope);
        self.payload.update(payload);
        self.len += bytes.len() as u64;
    }

    pub fn payload(&self) -> Payload {
        Payload {
            size: self.len.saturating_sub(ENVELOPE),
            sha256: hex::encode(self.payload.clone().finish()),
            envelope_sha256: hex::encode(self.envelope.clone().finish()),
        }
    }
}

impl Item {
    pub(crate) fn new(spool: Arc<Inner>, entry: Arc<Entry>, file: Arc<dyn AppendFile>) -> Self {
        Self { spool, entry, file, hashes: Hashes::new(), closed: false }
    }

    /// Which recording this is.
    pub fn recording(&self) -> RecordingId {
        self.entry.recording
    }

    /// Appends what a sealer put out. All of it or, on an error, nothing: the same bytes may be tried again unless the
    /// error is [`SpoolError::Broken`]. Does not wait for the disk.
    pub fn append(&mut self, sealed: &[u8]) -> Result<(), SpoolError> {
        self.entry.check()?;
        if let Err(source) = self.file.append(sealed) {
            self.spool.syncer.look_soon();
            if let Err(error) = self.file.truncate(self.hashes.len) {
                self.entry.mark_broken(format!("a failed write could not be taken back: {error}"));
            }
            return Err(SpoolError::storage("appending to", &self.entry.dir)(source));
        }
        self.hashes.update(sealed);
        self.entry.written.store(self.hashes.len, Ordering::Release);
        self.spool.syncer.enqueue(&self.entry);
        Ok(())
    }

    /// Waits until everything appended so far is durable. For tests and shut-down: the group sync does it anyway.
    pub fn sync(&self) -> Result<(), SpoolError> {
        self.spool.syncer.commit(std::slice::from_ref(&self.entry));
        self.entry.check()
    }

    /// What is kept for a manifest after a crash.
    pub fn info(&self) -> ItemInfo {
        locked(&self.entry.state).info.clone()
    }

    /// Changes what is kept for a manifest after a crash; a killed process keeps it at once, a power cut after the
    /// next group sync.
    pub fn update_info(&mut self, change: impl FnOnce(&mut ItemInfo)) -> Result<(), SpoolError> {
        let mut state = locked(&self.entry.state);
        let before = state.info.clone();
        change(&mut state.info);
        if state.info == before {
            return Ok(());
        }
        self.entry.write_state(&self.spool.syncer, &mut state)?;
        drop(state);
        self.spool.syncer.enqueue(&self.entry);
        Ok(())
    }

    /// Bytes of the payload so far.
    pub fn payload_size(&self) -> u64 {
        self.hashes.len.saturating_sub(ENVELOPE)
    }

    /// Sizes and hashes of everything appended so far.
    pub fn payload(&self) -> Payload {
        self.hashes.payload()
    }

    /// The manifest of a recording that ends here: what [`Item::info`] and [`Item::payload`] say. Duration, quality and
    /// index are the caller's to add before signing.
    pub fn manifest(&self) -> Manifest {
        self.info().manifest(self.recording(), self.payload(), Ending::Complete)
    }

    /// Ends the item with its signed manifest; refused when the manifest is not about these bytes. Does not wait for
    /// the disk: the uploader goes on once all of it is durable.
    pub fn finish(mut self, manifest: &Signed) -> Result<(), SpoolError> {
        self.entry.check()?;
        finish(&self.spool, &self.entry, &self.payload(), manifest)?;
        self.closed = true;
        Ok(())
    }

    /// Deletes the item and everything of it: for a recording that turned out to hold nothing.
    pub fn discard(mut self) -> Result<(), SpoolError> {
        self.closed = true;
        self.spool.delete(&self.entry)
    }

    /// Gives the writing up: trimmed to whole segments, as after a crash. `None` when not one segment was whole; the
    /// item is deleted then.
    pub fn interrupt(mut self) -> Result<Option<InterruptedItem>, SpoolError> {
        self.closed = true;
        let kept = recovery::interrupt(&self.spool, &self.entry)?;
        Ok(kept.then(|| InterruptedItem::new(self.spool.clone(), self.entry.clone())))
    }
}

impl Drop for Item {
    fn drop(&mut self) {
        if self.closed {
            return;
        }
        match recovery::interrupt(&self.spool, &self.entry) {
            Ok(true) => locked(&self.spool.interrupted).push(self.entry.recording),
            Ok(false) => {}
            Err(error) => {
                tracing::error!(recording = %self.entry.recording, %error, "giving up a recording failed, tried again");
                locked(&self.spool.given_up).push(self.entry.recording);
            }
        }
    }
}

/// Puts the manifest beside the bytes it is about and asks for both to be made durable.
pub(crate) fn finish(
    spool: &Inner,
    entry: &Arc<Entry>,
    payload: &Payload,
    manifest: &Signed,
) -> Result<(), SpoolError> {
    let recording = entry.recording;
    let parsed = parse_manifest(manifest).map_err(|reason| SpoolError::Manifest { recording, reason })?;
    let fits = parsed.recording == recording
        && parsed.payload_size == payload.size
        && parsed.payload_sha256 == payload.sha256
        && parsed.envelope_sha256 == payload.envelope_sha256;
    if !fits {
        return Err(SpoolError::Manifest { recording, reason: "id, size or hash differs".to_owned() });
    }
    let path = entry.dir.join(MANIFEST);
    let content = serde_json::to_vec(manifest).expect("two strings have a JSON form");
    spool.syncer.write_small(&path, &content).map_err(SpoolError::storage("writing", path))?;
    locked(&entry.state).phase = Phase::Finishing;
    spool.syncer.enqueue(entry);
    Ok(())
}

/// The manifest inside its signed form.
pub(crate) fn parse_manifest(signed: &Signed) -> Result<Manifest, String> {
    let document = BASE64.decode(&signed.document).map_err(|error| error.to_string())?;
    serde_json::from_slice(&document).map_err(|error| error.to_string())
}
