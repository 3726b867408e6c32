//! One capture with its files: parts, manifests, events.

use crate::{
    error::RecordError,
    recorder::{
        capture::{Capture, PartySetup, Taken},
        file::File,
        site::Site,
    },
    relay::LegCounters,
};
use hindsight_model::{CaptureId, Event, InteractionId, RecordingId, Timestamp, event::What};
use hindsight_spool::{ItemInfo, Spool};
use hindsight_wire::manifest::{InteractionRange, Media, VoiceTrack};
use std::sync::{Arc, atomic::Ordering::Relaxed};
use tokio::sync::mpsc;

/// After this long without a successful write to the spool a recording is given up, microseconds.
const GIVE_UP_US: i64 = 30_000_000;

/// What a recording is of.
#[derive(Clone, Debug)]
pub struct Subject {
    /// The call.
    pub interaction: InteractionId,
    /// The run.
    pub capture: CaptureId,
    /// Its first part here: more than 1 where another media server began the run.
    pub part: u32,
    /// Agent, customer.
    pub parties: [PartySetup; 2],
    /// Counters of the legs, for packets that the queue could not hold.
    pub counters: Vec<Arc<LegCounters>>,
    /// Who passes it on when the recording breaks; absent: the journal is told.
    pub broken: Option<mpsc::Sender<Broken>>,
}

/// A recording broke without being told to stop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// Its name at the recorder.
    pub token: u32,
    /// For people.
    pub reason: String,
}

/// A capture that runs.
pub struct Run {
    capture: Capture,
    file: File,
    interaction: InteractionId,
    id: CaptureId,
    part: u32,
    counters: Vec<Arc<LegCounters>>,
    broken: Option<mpsc::Sender<Broken>>,
    dropped_before: u64,
    /// Start of the capture on the monotonic clock, microseconds.
    origin_us: i64,
    started_at: Timestamp,
    plaintext: Vec<u8>,
    failing_since_us: Option<i64>,
}

impl Run {
    /// Opens the first part. `now_us` is time 0.
    pub fn start(
        spool: &Spool,
        site: &dyn Site,
        subject: Subject,
        now_us: i64,
        now: Timestamp,
    ) -> Result<Self, RecordError> {
        let mut plaintext = Vec::new();
        let recording = RecordingId::new();
        let (capture, tracks) = Capture::start(subject.parties, recording, now, &mut plaintext);
        let mut run = Opening { spool, site, interaction: subject.interaction, id: subject.capture }
            .open(recording, subject.part, None, tracks, now)
            .map(|file| Self {
                capture,
                file,
                interaction: subject.interaction,
                id: subject.capture,
                part: subject.part,
                dropped_before: dropped(&subject.counters),
                counters: subject.counters,
                broken: subject.broken,
                origin_us: now_us,
                started_at: now,
                plaintext,
                failing_since_us: None,
            })?;
        run.write(now_us)?;
        Ok(run)
    }

    /// The recording (part) that runs.
    pub fn recording(&self) -> RecordingId {
        self.file.recording()
    }

    /// Time 0 of the capture.
    pub fn started_at(&self) -> Timestamp {
        self.started_at
    }

    /// Takes a packet that arrived at `at_us`.
    pub fn packet(
        &mut self,
        spool: &Spool,
        site: &dyn Site,
        side: usize,
        at_us: i64,
        bytes: &[u8],
    ) -> Result<(), RecordError> {
        let at = at_us - self.origin_us;
        match self.capture.packet(side, at, bytes) {
            Taken::Done => Ok(()),
            Taken::NeedsPart => {
                self.next_part(spool, site, at_us)?;
                // Declared now; a second refusal would be a bug and only loses the packet.
                let _ = self.capture.packet(side, at, bytes);
                Ok(())
            }
        }
    }

    /// Takes RTCP that arrived at `at_us`.
    pub fn control(&mut self, side: usize, at_us: i64, bytes: &[u8]) {
        self.capture.control(side, at_us - self.origin_us, bytes);
    }

    /// Writes what has waited long enough; pads.
    pub fn poll(&mut self, now_us: i64) -> Result<(), RecordError> {
        self.capture.poll(now_us - self.origin_us, &mut self.plaintext);
        let result = self.write(now_us).and_then(|()| self.pad(now_us));
        match result {
            Ok(()) => self.failing_since_us = None,
            Err(error) => {
                let since = *self.failing_since_us.get_or_insert(now_us);
                if since == now_us {
                    tracing::warn!(recording = %self.recording(), %error, "writing to the spool failed, trying on");
                }
                if now_us - since > GIVE_UP_US {
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// Silence from here. Holds also when it cannot be written down for a manifest after a crash.
    pub fn pause(&mut self, at_us: i64, by: String, reason: String) {
        self.capture.pause(at_us - self.origin_us, by, reason, &mut self.plaintext);
        self.keep_pauses();
    }

    /// Goes on.
    pub fn resume(&mut self, at_us: i64) {
        self.capture.resume(at_us - self.origin_us);
        self.keep_pauses();
    }

    /// A new negotiation with a party.
    pub fn renegotiate(&mut self, side: usize, setup: PartySetup) {
        self.capture.renegotiate(side, setup);
    }

    /// Ends the capture and signs its last manifest.
    pub fn finish(mut self, site: &dyn Site, now_us: i64) -> Result<(), RecordError> {
        let lost = dropped(&self.counters) - self.dropped_before;
        if lost > 0 {
            let text = format!("{lost} packets were lost because the recorder's queue was full");
            self.capture.note(now_us - self.origin_us, text);
        }
        let summary = self.capture.end_part(now_us - self.origin_us, &mut self.plaintext);
        self.write(now_us)?;
        close(self.file, site, summary)
    }

    /// Tells that this recording broke: whoever asked to be told, else the journal.
    pub fn failed(&self, token: u32, site: &dyn Site, error: &RecordError) {
        tracing::error!(recording = %self.recording(), %error, "a recording broke");
        let broken = Broken { token, reason: error.to_string() };
        if self.broken.as_ref().is_some_and(|told| told.try_send(broken).is_ok()) {
            return;
        }
        let what = What::RecordingFailed { reason: error.to_string() };
        site.journal(&Event { interaction: self.interaction, at: Timestamp::now(), what });
    }

    fn next_part(&mut self, spool: &Spool, site: &dyn Site, at_us: i64) -> Result<(), RecordError> {
        let at = at_us - self.origin_us;
        let summary = self.capture.end_part(at, &mut self.plaintext);
        self.write(at_us)?;
        let (recording, previous) = (RecordingId::new(), self.recording());
        let now = Timestamp(self.started_at.0 + at);
        let mut head = Vec::new();
        let tracks = self.capture.start_part(at, recording, now, &mut head);
        self.part += 1;
        let opening = Opening { spool, site, interaction: self.interaction, id: self.id };
        let file = opening.open(recording, self.part, Some(previous), tracks, now)?;
        let ended = std::mem::replace(&mut self.file, file);
        close(ended, site, summary)?;
        self.plaintext.extend_from_slice(&head);
        self.write(at_us)
    }

    fn keep_pauses(&mut self) {
        if let Err(error) = self.file.set_pauses(self.capture.pauses()) {
            tracing::warn!(recording = %self.recording(), %error, "a pause could not be kept for a crash");
        }
    }

    fn write(&mut self, now_us: i64) -> Result<(), RecordError> {
        // The sealer has taken the bytes also when the spool has not: they are never given twice.
        let result = self.file.write(&self.plaintext, now_us);
        self.plaintext.clear();
        result
    }

    fn pad(&mut self, now_us: i64) -> Result<(), RecordError> {
        let padding = self.file.pad(now_us)?;
        self.capture.padded(padding);
        Ok(())
    }
}

struct Opening<'a> {
    spool: &'a Spool,
    site: &'a dyn Site,
    interaction: InteractionId,
    id: CaptureId,
}

impl Opening<'_> {
    /// Creates the file and tells the journal: from here on the recording exists, with or without media.
    fn open(
        &self,
        recording: RecordingId,
        part: u32,
        previous: Option<RecordingId>,
        tracks: Vec<VoiceTrack>,
        at: Timestamp,
    ) -> Result<File, RecordError> {
        let info = ItemInfo {
            capture: self.id,
            part,
            previous,
            device: self.site.device(),
            person: None,
            dn: None,
            media: Media::Voice { tracks },
            interactions: vec![InteractionRange { interaction: self.interaction, from_ms: 0, to_ms: None }],
            started_at: at,
            clock: self.site.clock_offset(),
            pauses: Vec::new(),
            notes: Vec::new(),
        };
        let file = File::create(self.spool, self.site, recording, info)?;
        let what = What::RecordingOpened { recording, capture: self.id };
        self.site.journal(&Event { interaction: self.interaction, at, what });
        Ok(file)
    }
}

fn close(
    file: File,
    site: &dyn Site,
    summary: crate::recorder::capture::PartSummary,
) -> Result<(), RecordError> {
    let clock = site.clock_offset();
    let manifest = file.finish(site, |manifest| {
        manifest.duration_ms = Some(summary.duration_ms);
        manifest.pauses = summary.pauses;
        manifest.quality = summary.quality;
        manifest.index = summary.index;
        manifest.notes = summary.notes;
        manifest.clock = clock;
    })?;
    tracing::info!(
        recording = %manifest.recording,
        duration_ms = manifest.duration_ms,
        bytes = manifest.payload_size,
        "recording closed"
    );
    Ok(())
}

fn dropped(counters: &[Arc<LegCounters>]) -> u64 {
    counters.iter().map(|counters| counters.dropped.load(Relaxed)).sum()
}
