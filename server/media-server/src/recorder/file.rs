//! One recording's file: plaintext in memory, sealed, appended to the spool. No plaintext leaves this process.

use crate::{error::RecordError, recorder::site::Site};
use hindsight_seal::{MIN_VOID, Recipient, Sealer, ebml_void};
use hindsight_spool::{Item, ItemInfo, Spool};
use hindsight_wire::{
    RecordingId,
    manifest::{Manifest, Pause},
};

/// No byte waits longer than this for its segment to fill, microseconds.
pub const MAX_WAIT_US: i64 = 10_000_000;

/// A recording that grows.
pub struct File {
    sealer: Sealer,
    item: Item,
    sealed: Vec<u8>,
    /// Since when the oldest byte waits that is in no sealed segment.
    waiting_since_us: Option<i64>,
}

impl File {
    /// Creates the file in the spool, with a key of its own for the recipients configured now.
    pub fn create(
        spool: &Spool,
        site: &dyn Site,
        recording: RecordingId,
        info: ItemInfo,
    ) -> Result<Self, RecordError> {
        let certificates = site.recipients();
        if certificates.is_empty() {
            return Err(RecordError::NoRecipients);
        }
        let recipients =
            certificates.iter().map(|pem| Recipient::from_pem(pem)).collect::<Result<Vec<_>, _>>()?;
        let (sealer, head) = Sealer::new(recording.0, &recipients)?;
        let mut item = spool.create(recording, info)?;
        if let Err(error) = item.append(&head) {
            item.discard()?;
            return Err(error.into());
        }
        Ok(Self { sealer, item, sealed: Vec::new(), waiting_since_us: None })
    }

    /// Which recording this is.
    pub fn recording(&self) -> RecordingId {
        self.item.recording()
    }

    /// Appends plaintext.
    pub fn write(&mut self, plaintext: &[u8], now_us: i64) -> Result<(), RecordError> {
        if plaintext.is_empty() {
            return Ok(());
        }
        self.sealer.write(plaintext, &mut self.sealed)?;
        let released = !self.sealed.is_empty();
        if released || self.waiting_since_us.is_none() {
            self.waiting_since_us = Some(now_us);
        }
        self.flush()
    }

    /// Pads with EBML Void when a byte has waited too long; returns the bytes of padding.
    pub fn pad(&mut self, now_us: i64) -> Result<usize, RecordError> {
        let overdue = self.waiting_since_us.is_some_and(|since| now_us - since >= MAX_WAIT_US);
        if !overdue {
            return Ok(0);
        }
        let void = ebml_void(self.sealer.padding_to_release().max(MIN_VOID));
        self.sealer.write(&void, &mut self.sealed)?;
        // What is still held back is padding.
        self.waiting_since_us = None;
        self.flush()?;
        Ok(void.len())
    }

    /// Keeps the pauses for a manifest after a crash.
    pub fn set_pauses(&mut self, pauses: Vec<Pause>) -> Result<(), RecordError> {
        Ok(self.item.update_info(|info| info.pauses = pauses)?)
    }

    /// Seals the end and closes the item with its signed manifest, which `complete` fills in.
    pub fn finish(
        mut self,
        site: &dyn Site,
        complete: impl FnOnce(&mut Manifest),
    ) -> Result<Manifest, RecordError> {
        self.sealer.finish(&mut self.sealed)?;
        self.item.append(&self.sealed)?;
        let mut manifest = self.item.manifest();
        complete(&mut manifest);
        let document = serde_json::to_vec(&manifest).map_err(|error| RecordError::Sign(error.to_string()))?;
        let signed = site.sign(&document).map_err(RecordError::Sign)?;
        self.item.finish(&signed)?;
        Ok(manifest)
    }

    /// Hands sealed segments to the spool; on an error they wait for the next call.
    fn flush(&mut self) -> Result<(), RecordError> {
        if !self.sealed.is_empty() {
            self.item.append(&self.sealed)?;
            self.sealed.clear();
        }
        Ok(())
    }
}
