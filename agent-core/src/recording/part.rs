//! One part of a capture: a file per monitor, one timeline for all.

use super::{
    Mark, RecordingError, RunJob, Schedule, Timeline, WriterJob, media_clock_us,
    queue::Message,
    view::{View, media},
    worker::Worker,
};
use crate::{
    capture::{Frame, Region, Screens, mask::Mask},
    encode::{Canvas, Picture, Scale},
};
use hindsight_seal::Recipient;
use hindsight_spool::ItemInfo;
use hindsight_wire::{InteractionId, RecordingId, Timestamp};
use std::{sync::Arc, time::Duration};

/// What holds across parts.
pub struct Standing {
    interactions: Vec<InteractionId>,
    paused: Option<(String, String)>,
    pub recipients: Arc<Vec<Recipient>>,
}

impl Standing {
    pub fn is_paused(&self) -> bool {
        self.paused.is_some()
    }

    pub fn apply(&mut self, mark: &Mark) {
        match mark {
            Mark::Begin(interaction) if self.interactions.contains(interaction) => {}
            Mark::Begin(interaction) => self.interactions.push(*interaction),
            Mark::End(interaction) => self.interactions.retain(|other| other != interaction),
            Mark::Pause { by, reason } => self.paused = Some((by.clone(), reason.clone())),
            Mark::Resume => self.paused = None,
        }
    }

    /// The timeline of a part that begins now.
    fn timeline(&self) -> Timeline {
        let mut timeline = Timeline::default();
        for interaction in &self.interactions {
            timeline.begin(*interaction, 0);
        }
        if let Some((by, reason)) = &self.paused {
            timeline.pause(by, reason, 0);
        }
        timeline
    }
}

impl From<&RunJob> for Standing {
    fn from(job: &RunJob) -> Self {
        Self {
            interactions: job.interactions.clone(),
            paused: job.paused.clone(),
            recipients: job.recipients.clone(),
        }
    }
}

/// A part being recorded.
pub struct Part {
    zero_us: u64,
    started_at: Timestamp,
    interval_us: u64,
    next_tick_us: u64,
    timeline: Timeline,
    views: Vec<View>,
}

impl Part {
    /// Starts a thread per monitor; time 0 is now.
    pub fn open(
        job: &RunJob,
        standing: &Standing,
        screens: &mut dyn Screens,
        number: u32,
        previous: &[Option<RecordingId>],
    ) -> Result<Self, RecordingError> {
        let (zero_us, started_at) = (media_clock_us(), Timestamp::now());
        let interval_us = 1_000_000 / u64::from(job.policy.frame_rate.max(1));
        let mut part = Self {
            zero_us,
            started_at,
            interval_us,
            next_tick_us: zero_us + interval_us,
            timeline: standing.timeline(),
            views: Vec::new(),
        };
        for remark in screens.remarks() {
            part.timeline.note(remark.clone(), 0);
        }
        let monitors = screens.monitors().to_vec();
        for (index, monitor) in monitors.iter().enumerate() {
            let mut frame = Frame::new(monitor.area.width, monitor.area.height);
            let (width, height) = frame.padded_size();
            let scale = Scale::for_size(width, height, job.policy.scale_percent)?;
            let size = scale.size();
            let recording = RecordingId::new();
            let info = ItemInfo {
                capture: job.origin.capture,
                part: number,
                previous: previous.get(index).copied().flatten(),
                device: job.device,
                person: job.person,
                dn: job.dn.clone(),
                media: media(index, monitor, size, monitors.len()),
                interactions: part.timeline.interactions.clone(),
                started_at,
                clock: (job.clock)(),
                pauses: part.timeline.pauses.clone(),
                notes: part.timeline.notes.clone(),
            };
            let writer = WriterJob {
                recording,
                info,
                recipients: standing.recipients.clone(),
                size,
                frame_rate: job.policy.frame_rate,
                quantiser: job.policy.quantiser,
                sign: job.sign.clone(),
                clock: job.clock.clone(),
            };
            let worker = Worker::start(&job.spool, writer, zero_us)?;
            frame.blank();
            part.views.push(View {
                recording,
                frame,
                changed: Vec::new(),
                canvas: Canvas::new(width, height, scale, job.policy.greyscale),
                neutral: Picture::neutral(size.0, size.1),
                schedule: Schedule::default(),
                last_us: None,
                key: true,
                worker,
                dropped: 0,
            });
        }
        Ok(part)
    }

    /// One per monitor.
    pub fn recordings(&self) -> Vec<RecordingId> {
        self.views.iter().map(|view| view.recording).collect()
    }

    /// Time 0 of the media, recorder clock.
    pub fn started_at(&self) -> Timestamp {
        self.started_at
    }

    /// Fails when a monitor's thread has.
    pub fn check_workers(&mut self) -> Result<(), RecordingError> {
        match self.views.iter().position(|view| view.worker.has_failed()) {
            None => Ok(()),
            Some(index) => {
                let view = self.views.swap_remove(index);
                Err(view
                    .worker
                    .join()
                    .err()
                    .unwrap_or_else(|| RecordingError::Thread("ended early".to_owned())))
            }
        }
    }

    /// Takes what changed on each monitor, and queues the pictures that are due. What is masked is looked up before and
    /// after: see [`Mask`].
    pub fn pictures(
        &mut self,
        screens: &mut dyn Screens,
        mut mask: Option<&mut Mask>,
        now_us: u64,
    ) -> Result<(), RecordingError> {
        let at_us = now_us.saturating_sub(self.zero_us);
        if let Some(mask) = &mut mask {
            mask.look(screens.monitors(), now_us);
        }
        for (index, view) in self.views.iter_mut().enumerate() {
            screens.grab(index, &mut view.frame, &mut view.changed)?;
        }
        if let Some(mask) = &mut mask {
            mask.look(screens.monitors(), now_us);
            if let Some(failure) = mask.failure() {
                self.note(format!("masked for want of a list of windows: {failure}"), at_us / 1000);
            }
        }
        let nothing = Region::default();
        for (index, view) in self.views.iter_mut().enumerate() {
            let masked = mask.as_ref().map_or(&nothing, |mask| mask.region(index));
            let changed = view.canvas.update(&view.frame, &view.changed, masked)?;
            view.changed.clear();
            if let Some(shot) = view.schedule.look(now_us, changed) {
                view.offer(false, at_us, now_us, shot);
            }
        }
        Ok(())
    }

    /// Puts something worth knowing on the timeline, and has it kept for a manifest after a crash.
    pub fn note(&mut self, text: String, at_ms: u64) {
        self.timeline.note(text, at_ms);
        for view in &self.views {
            view.worker.queue.tell(Message::Timeline(self.timeline.clone()));
        }
    }

    /// The same, of this moment.
    pub fn note_now(&mut self, text: &str) {
        let at_us = media_clock_us().saturating_sub(self.zero_us);
        self.note(text.to_owned(), at_us / 1000);
    }

    /// Queues the neutral picture where it is due: at the start of a pause, then as seldom as any still picture.
    pub fn neutral(&mut self, now_us: u64) {
        let at_us = now_us.saturating_sub(self.zero_us);
        for view in &mut self.views {
            if let Some(shot) = view.schedule.look(now_us, false) {
                view.offer(true, at_us, now_us, shot);
            }
        }
    }

    /// A pause began or ended: what is on the screen leaves the memory, the next picture stands on its own.
    pub fn pause_changed(&mut self) {
        for view in &mut self.views {
            view.frame.blank();
            view.changed.clear();
            view.canvas.clear();
            view.schedule = Schedule::default();
            view.key = true;
        }
    }

    /// Puts a mark on the timeline, and has it kept for a manifest after a crash.
    pub fn mark(&mut self, mark: &Mark, now_us: u64) {
        let at_ms = now_us.saturating_sub(self.zero_us) / 1000;
        match mark {
            Mark::Begin(interaction) => self.timeline.begin(*interaction, at_ms),
            Mark::End(interaction) => self.timeline.end(*interaction, at_ms),
            Mark::Pause { by, reason } => self.timeline.pause(by, reason, at_ms),
            Mark::Resume => self.timeline.resume(at_ms),
        }
        for view in &self.views {
            view.worker.queue.tell(Message::Timeline(self.timeline.clone()));
        }
    }

    /// How long to wait for the next look at the screens. A tick that is over is left out; a first picture leaves in
    /// time at any frame rate.
    pub fn until_next_tick(&mut self, now_us: u64) -> Duration {
        if self.next_tick_us <= now_us {
            let late = (now_us - self.next_tick_us) / self.interval_us;
            self.next_tick_us += (late + 1) * self.interval_us;
        }
        let due =
            self.views.iter().filter_map(|view| view.schedule.due_us()).filter(|due| *due > now_us).min();
        Duration::from_micros(due.unwrap_or(u64::MAX).min(self.next_tick_us) - now_us)
    }

    /// Closes every file. All are closed even if one fails; the first failure is told.
    pub fn close(mut self) -> Result<(), RecordingError> {
        let end_us = media_clock_us().saturating_sub(self.zero_us);
        let dropped: u64 = self.views.iter().map(|view| view.dropped).sum();
        if dropped > 0 {
            tracing::warn!(dropped, "pictures were dropped: encoding is slower than the frame rate");
            let text = format!("{dropped} pictures dropped: encoding was slower than the frame rate");
            self.timeline.note(text, end_us / 1000);
        }
        for view in &self.views {
            let end_us = view.last_us.map_or(end_us, |last_us| end_us.max(last_us + 1_000));
            view.worker.queue.tell(Message::Finish {
                end_us,
                timeline: self.timeline.clone(),
                dropped: view.dropped,
            });
        }
        let mut result = Ok(());
        for view in self.views {
            let recording = view.recording;
            match view.worker.join() {
                Ok(manifest) => tracing::info!(
                    %recording,
                    bytes = manifest.payload_size,
                    duration_ms = manifest.duration_ms,
                    "a screen recording is closed"
                ),
                Err(error) => {
                    tracing::error!(%recording, %error, "a screen recording could not be closed");
                    result = result.and(Err(error));
                }
            }
        }
        result
    }
}
