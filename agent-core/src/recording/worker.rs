//! The thread of one monitor.

use super::{
    RecordingError, Writer, WriterJob, media_clock_us,
    queue::{Message, Queue},
};
use hindsight_spool::Spool;
use hindsight_wire::manifest::Manifest;
use std::{sync::Arc, thread::JoinHandle, time::Duration};

/// A running thread and the way to it.
pub struct Worker {
    pub queue: Arc<Queue>,
    thread: JoinHandle<Result<Manifest, RecordingError>>,
}

impl Worker {
    /// Starts it. `zero_us` is the media clock at time 0 of the part.
    pub fn start(spool: &Spool, job: WriterJob, zero_us: u64) -> Result<Self, RecordingError> {
        let queue = Arc::new(Queue::default());
        let (spool, messages) = (spool.clone(), queue.clone());
        let thread = std::thread::Builder::new()
            .name("screen-encode".to_owned())
            .spawn(move || work(&spool, job, &messages, zero_us))
            .map_err(|error| RecordingError::Thread(error.to_string()))?;
        Ok(Self { queue, thread })
    }

    /// Whether it has ended before it was told to: it failed.
    pub fn has_failed(&self) -> bool {
        self.thread.is_finished()
    }

    /// Waits for its end. Tell it to finish first.
    pub fn join(self) -> Result<Manifest, RecordingError> {
        self.thread
            .join()
            .unwrap_or_else(|_| Err(RecordingError::Thread("the encoder's thread panicked".to_owned())))
    }
}

fn work(spool: &Spool, job: WriterJob, queue: &Queue, zero_us: u64) -> Result<Manifest, RecordingError> {
    let mut writer = Writer::open(spool, job)?;
    let now_us = || media_clock_us().saturating_sub(zero_us);
    loop {
        let wait = writer.idle_due_us().map(|due| Duration::from_micros(due.saturating_sub(now_us())));
        match queue.next(wait) {
            Some(Message::Picture { picture, at_us, key, release }) => {
                writer.picture(&picture, at_us, key, release)?;
                queue.recycle(picture);
            }
            Some(Message::Timeline(timeline)) => writer.timeline(timeline)?,
            Some(Message::Finish { end_us, timeline, dropped }) => {
                return writer.finish(end_us, timeline, dropped);
            }
            None => writer.idle(now_us())?,
        }
    }
}
