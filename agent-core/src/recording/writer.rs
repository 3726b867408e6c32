//! The file of one monitor: encode, mux, seal, append.

use super::{RecordingError, Timeline, waiting::Waiting};
use crate::{
    encode::{Encoder, Picture},
    mux::{Muxer, TrackShape},
};
use hindsight_seal::{MIN_FREE_BOX, Recipient, Sealer, mp4_free_box};
use hindsight_spool::{Item, ItemInfo, Spool};
use hindsight_wire::{
    ClockOffset, RecordingId,
    manifest::{Manifest, Signed, TrackQuality},
};
use std::sync::Arc;

/// Signs the JSON of a manifest with the device's key.
pub type Sign = Arc<dyn Fn(&[u8]) -> Result<Signed, String> + Send + Sync>;

/// What a recording starts from.
pub struct WriterJob {
    /// The new recording.
    pub recording: RecordingId,
    /// What its manifest will say.
    pub info: ItemInfo,
    /// Who can open it.
    pub recipients: Arc<Vec<Recipient>>,
    /// Columns and rows of the pictures.
    pub size: (u32, u32),
    /// Pictures a second at most.
    pub frame_rate: u32,
    /// H.264 quantiser.
    pub quantiser: u8,
    /// Signs the manifest.
    pub sign: Sign,
    /// The recorder's clock against the server's, now.
    pub clock: Arc<dyn Fn() -> ClockOffset + Send + Sync>,
}

/// Writes one recording. Dropped without [`Writer::finish`] it is left as a crash would leave it.
pub struct Writer {
    job: WriterJob,
    item: Item,
    sealer: Sealer,
    encoder: Encoder,
    muxer: Option<Muxer>,
    /// MP4 not yet given to the sealer.
    plain: Vec<u8>,
    /// Sealed bytes not yet in the spool.
    sealed: Vec<u8>,
    waiting: Waiting,
    /// Pictures encoded.
    written: u64,
}

impl Writer {
    /// Makes the spool item and writes the envelope.
    pub fn open(spool: &Spool, job: WriterJob) -> Result<Self, RecordingError> {
        let (sealer, start) = Sealer::new(job.recording.0, &job.recipients)?;
        let encoder = Encoder::new(job.size.0, job.size.1, job.frame_rate, job.quantiser)?;
        let mut item = spool.create(job.recording, job.info.clone())?;
        item.append(&start)?;
        Ok(Self {
            job,
            item,
            sealer,
            encoder,
            muxer: None,
            plain: Vec::new(),
            sealed: Vec::new(),
            waiting: Waiting::default(),
            written: 0,
        })
    }

    /// Adds a picture that shows from `at_us` on. `release`: what was shown before it is to leave now.
    pub fn picture(
        &mut self,
        picture: &Picture,
        at_us: u64,
        key: bool,
        release: bool,
    ) -> Result<(), RecordingError> {
        if key {
            self.encoder.want_key_frame();
        }
        self.encoder.encode(picture, at_us)?;
        self.written += 1;
        let muxer = match &mut self.muxer {
            Some(muxer) => muxer,
            none => {
                let (width, height) = self.job.size;
                let shape = TrackShape { width, height, sets: self.encoder.parameter_sets() };
                none.insert(Muxer::new(&shape, &mut self.plain)?)
            }
        };
        if release {
            muxer.cut(at_us, &mut self.plain)?;
            self.waiting.release = Some(self.sealer.plaintext_len() + self.plain.len() as u64);
        }
        let encoded = self.encoder.last();
        muxer.push(at_us, encoded.key, encoded.sample, &mut self.plain)?;
        self.seal(at_us)
    }

    /// When [`Writer::idle`] has something to do, microseconds of media time.
    pub fn idle_due_us(&self) -> Option<u64> {
        self.waiting.due_us()
    }

    /// Time has passed without a picture.
    pub fn idle(&mut self, now_us: u64) -> Result<(), RecordingError> {
        self.seal(now_us)
    }

    /// Keeps the timeline for the manifest, also for the one after a crash.
    pub fn timeline(&mut self, timeline: Timeline) -> Result<(), RecordingError> {
        let clock = (self.job.clock)();
        self.item.update_info(|info| {
            info.interactions = timeline.interactions;
            info.pauses = timeline.pauses;
            info.notes = timeline.notes;
            info.clock = clock;
        })?;
        Ok(())
    }

    /// Closes the file and signs its manifest. `dropped` pictures found no place.
    pub fn finish(
        mut self,
        end_us: u64,
        timeline: Timeline,
        dropped: u64,
    ) -> Result<Manifest, RecordingError> {
        self.timeline(timeline)?;
        let mut index = Vec::new();
        if let Some(muxer) = &mut self.muxer {
            muxer.finish(end_us, &mut self.plain)?;
            index.extend_from_slice(muxer.index());
        }
        self.sealer.write(&self.plain, &mut self.sealed)?;
        self.sealer.finish(&mut self.sealed)?;
        self.item.append(&self.sealed)?;
        let mut manifest = self.item.manifest();
        manifest.duration_ms = Some(end_us / 1000);
        manifest.index = index;
        manifest.quality = vec![TrackQuality {
            track: 1,
            received: self.written,
            expected: self.written + dropped,
            lost: dropped,
            state: "ok".to_owned(),
            ..TrackQuality::default()
        }];
        let document =
            serde_json::to_vec(&manifest).map_err(|error| RecordingError::Sign(error.to_string()))?;
        let signed = (self.job.sign)(&document).map_err(RecordingError::Sign)?;
        self.item.finish(&signed)?;
        Ok(manifest)
    }

    /// Seals what the muxer gave, and fills the open segment with a `free` box when what is in it has to leave. Both
    /// are appended in one piece: a process that is killed leaves all of a fragment or nothing.
    fn seal(&mut self, now_us: u64) -> Result<(), RecordingError> {
        if !self.plain.is_empty() {
            self.sealer.write(&self.plain, &mut self.sealed)?;
            self.plain.clear();
            self.waiting.written(&self.sealer, !self.sealed.is_empty(), now_us);
        }
        if self.waiting.due_us().is_some_and(|due| now_us >= due) {
            // More than needed, so that every byte before the box leaves; what stays behind is padding.
            let padding = mp4_free_box(self.sealer.padding_to_release().max(MIN_FREE_BOX));
            if let Some(muxer) = &mut self.muxer {
                muxer.padded(padding.len());
            }
            self.sealer.write(&padding, &mut self.sealed)?;
            self.waiting.padded(now_us);
        }
        if !self.sealed.is_empty() {
            self.item.append(&self.sealed)?;
            self.sealed.clear();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
