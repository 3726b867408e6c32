//! The capture that runs, or does not.

use super::{Message, Moment};
use hindsight_wire::{CaptureId, InteractionId, RecordingId, Timestamp, policy::CapturePolicy};
use std::time::Duration;

/// Shortest wait before a failed capture is tried again; doubled with each failure.
const RETRY_FIRST: Duration = Duration::from_secs(2);
/// Longest.
const RETRY_LAST: Duration = Duration::from_secs(60);

/// How a capture begins.
#[derive(Clone, Debug, PartialEq)]
pub struct StartCapture {
    /// Its id.
    pub capture: CaptureId,
    /// Number of its first part: 1, unless it goes on after a crash or a failure.
    pub part: u32,
    /// Recordings of the part before, by monitor.
    pub previous: Vec<Option<RecordingId>>,
    /// For whom.
    pub interactions: Vec<InteractionId>,
    /// Begins without pixels: who asked, and why.
    pub paused: Option<(String, String)>,
    /// Recipients, PEM.
    pub recipients: Vec<String>,
    /// How.
    pub policy: CapturePolicy,
}

/// A capture that was cut, and how to go on with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Continuation {
    /// Its id.
    pub capture: CaptureId,
    /// Number of the part that was cut.
    pub last_part: u32,
    /// Recordings of that part, by monitor.
    pub recordings: Vec<Option<RecordingId>>,
    /// For whom it was.
    pub interactions: Vec<InteractionId>,
}

/// When and how to try again after a failure.
#[derive(Clone, Debug)]
pub struct Retry {
    pub continuation: Continuation,
    pub not_before: Duration,
    pub failures: u32,
    /// What the server was told of the failure: the same is not told again.
    pub told_error: Option<String>,
}

#[derive(Debug)]
pub enum Capture {
    /// None runs.
    Idle { retry: Option<Retry> },
    /// One runs.
    Running(Running),
    /// One was told to finish and has not yet.
    Ending(Running),
}

impl Default for Capture {
    fn default() -> Self {
        Capture::Idle { retry: None }
    }
}

/// What is known of the capture that runs.
#[derive(Debug)]
pub struct Running {
    pub id: CaptureId,
    pub part: u32,
    pub previous: Vec<Option<RecordingId>>,
    /// Of the current part; empty until its first picture.
    pub recordings: Vec<RecordingId>,
    pub started_at: Timestamp,
    pub part_since: Duration,
    /// Interactions that it knows of.
    pub told: Vec<InteractionId>,
    /// Whether it is paused.
    pub paused: bool,
    pub recipients: Vec<String>,
    pub policy: CapturePolicy,
    /// Times in a row that it failed before its first picture.
    pub failures: u32,
    /// Why it was told to finish, when no command did.
    pub end_reason: Option<String>,
    /// It was told to finish for want of room, while it still was wanted.
    pub for_room: bool,
    /// The last failure that the server was told of, while no picture came after it.
    pub told_error: Option<String>,
}

impl Running {
    /// What the server is told once pictures are taken; nothing before that.
    pub fn started_message(&self, interactions: Vec<InteractionId>, at: Timestamp) -> Option<Message> {
        let recordings = self.recordings.clone();
        (!recordings.is_empty()).then_some(Message::Started {
            interactions,
            capture: self.id,
            recordings,
            at,
        })
    }

    /// It failed: the same capture goes on in a new part, later.
    pub fn retry(&self, now: Moment, told_error: Option<String>) -> Capture {
        let wait = RETRY_FIRST.saturating_mul(1 << self.failures.min(5)).min(RETRY_LAST);
        let began = !self.recordings.is_empty();
        let continuation = Continuation {
            capture: self.id,
            last_part: if began { self.part } else { self.part - 1 },
            recordings: if began {
                self.recordings.iter().copied().map(Some).collect()
            } else {
                self.previous.clone()
            },
            interactions: self.told.clone(),
        };
        let failures = self.failures + 1;
        Capture::Idle { retry: Some(Retry { continuation, not_before: now.up + wait, failures, told_error }) }
    }
}
