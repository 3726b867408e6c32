//! One monitor of a part: its frame, what the encoder gets of it, and when.

use super::{Schedule, schedule::Shot, worker::Worker};
use crate::{
    capture::{Frame, Monitor, Rect},
    encode::{Canvas, Picture},
};
use hindsight_wire::{RecordingId, manifest::Media};

/// One monitor of it.
pub struct View {
    pub recording: RecordingId,
    pub frame: Frame,
    /// What changed of the frame and is not on the canvas yet.
    pub changed: Vec<Rect>,
    pub canvas: Canvas,
    pub neutral: Picture,
    pub schedule: Schedule,
    /// Media time of the last picture: times must grow.
    pub last_us: Option<u64>,
    /// The next picture must stand on its own: the first, and at both ends of a pause.
    pub key: bool,
    pub worker: Worker,
    /// Pictures that found no place.
    pub dropped: u64,
}

impl View {
    /// Queues a picture; one that finds no place is counted, and its content comes with the next.
    pub fn offer(&mut self, neutral: bool, at_us: u64, now_us: u64, shot: Shot) {
        let at_us = self.last_us.map_or(0, |last_us| at_us.max(last_us + 1_000));
        let picture = if neutral { &self.neutral } else { self.canvas.picture() };
        if !self.worker.queue.offer(picture, at_us, self.key, shot.release) {
            self.dropped += 1;
            return;
        }
        self.last_us = Some(at_us);
        self.key = false;
        self.schedule.taken(now_us, shot);
    }
}

/// What the manifest says of it.
pub fn media(index: usize, monitor: &Monitor, size: (u32, u32), monitors: usize) -> Media {
    Media::Screen {
        monitor: index as u32,
        name: monitor.name.clone(),
        width: size.0,
        height: size.1,
        monitors: monitors as u32,
    }
}
