//! A server and a network that do what they please, short of lying about a receipt.

use crate::recorder::Recorder;
use hindsight_spool::upload::state::{Answer, Local, Next, Outcome, Pace, Request, Upload};
use hindsight_wire::{RecordingId, backoff::Backoff};
use proptest::{prop_assert, test_runner::TestCaseError};
use rand::{SeedableRng as _, rngs::StdRng};
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

#[derive(Default)]
pub struct Server {
    uploads: BTreeMap<RecordingId, (Upload, Held)>,
    began: Option<Instant>,
}

/// What the server has of a recording.
#[derive(Default)]
struct Held {
    bytes: u64,
    total: Option<u64>,
    manifest: bool,
    receipt: bool,
    deleted_with: Option<(u64, bool)>,
}

/// How a request fares.
enum Fate {
    Well,
    LostBefore,
    LostAfter,
    Busy,
    Forgotten,
}

impl Fate {
    fn of(random: u8) -> Self {
        match random {
            0..=159 => Self::Well,
            160..=189 => Self::LostBefore,
            190..=219 => Self::LostAfter,
            220..=245 => Self::Busy,
            _ => Self::Forgotten,
        }
    }
}

impl Server {
    /// Each recording's upload takes a step for each of `fates`.
    pub fn exchange(&mut self, recorder: &Recorder, up: Duration, fates: &[u8]) {
        let now = *self.began.get_or_insert_with(Instant::now) + up;
        for item in recorder.items() {
            let pace = pace();
            let (upload, held) =
                self.uploads.entry(item.recording).or_insert_with(|| (Upload::new(pace), Held::default()));
            let mut rng = StdRng::seed_from_u64(fates.len() as u64);
            let mut at = now;
            for fate in fates {
                match upload.poll(at, Local { sendable: item.sendable, total: item.total }) {
                    Next::Request(request) => {
                        let outcome = held.serve(&request, &Fate::of(*fate));
                        upload.handle(&request, outcome, at, &mut rng);
                    }
                    Next::At(later) => at = later,
                    Next::Growth | Next::Keep(_) => break,
                    Next::Delete => {
                        let whole = recorder.whole(item.recording) == Some(held.bytes);
                        held.deleted_with.get_or_insert((held.bytes, held.receipt && held.manifest && whole));
                        break;
                    }
                }
            }
        }
    }

    /// The recorder was started again: every upload begins by asking how far it came.
    pub fn forget_connections(&mut self) {
        let pace = pace();
        for (upload, _) in self.uploads.values_mut() {
            *upload = Upload::resume(pace, upload.location().map(str::to_owned), false);
        }
    }

    /// How many recordings were to be deleted; each had its receipt, and the server all of it.
    pub fn deleted_only_what_it_has(&self, _recorder: &Recorder) -> Result<usize, TestCaseError> {
        let mut deleted = 0;
        for (recording, (_, held)) in &self.uploads {
            if let Some((bytes, had_receipt)) = held.deleted_with {
                prop_assert!(had_receipt, "{recording} deleted without a receipt for its {bytes} bytes");
                deleted += 1;
            }
        }
        Ok(deleted)
    }
}

impl Held {
    fn serve(&mut self, request: &Request, fate: &Fate) -> Outcome {
        match fate {
            Fate::LostBefore => return Outcome::Lost("connection".to_owned()),
            Fate::Busy => return answered(503, None),
            Fate::Forgotten if !self.receipt => {
                *self = Self::default();
                return answered(404, None);
            }
            Fate::Well | Fate::LostAfter | Fate::Forgotten => {}
        }
        let answer = self.obey(request);
        if matches!(fate, Fate::LostAfter) { Outcome::Lost("answer".to_owned()) } else { answer }
    }

    fn obey(&mut self, request: &Request) -> Outcome {
        match *request {
            Request::Create { total } => {
                (self.bytes, self.total) = (0, total);
                Outcome::Answered(Answer {
                    status: 201,
                    location: Some("https://there/1".to_owned()),
                    ..Answer::default()
                })
            }
            Request::Head => Outcome::Answered(Answer {
                status: 200,
                offset: Some(self.bytes),
                length: self.total,
                ..Answer::default()
            }),
            Request::Patch { offset, .. } if offset != self.bytes => answered(409, None),
            Request::Patch { len, declare, .. } => {
                self.bytes += len;
                self.total = self.total.or(declare);
                answered(204, Some(self.bytes))
            }
            Request::Manifest if self.total == Some(self.bytes) => {
                self.manifest = true;
                answered(201, None)
            }
            Request::Manifest => answered(409, None),
            Request::Receipt if self.manifest => {
                self.receipt = true;
                Outcome::Answered(Answer { status: 200, receipt: Some(Ok(())), ..Answer::default() })
            }
            Request::Receipt => answered(404, None),
        }
    }
}

fn pace() -> Pace {
    Pace {
        chunk: 1 << 20,
        growing_chunk: 1 << 10,
        growing_wait: Duration::from_secs(1),
        backoff: Backoff { base: Duration::from_millis(100), cap: Duration::from_secs(5) },
    }
}

fn answered(status: u16, offset: Option<u64>) -> Outcome {
    Outcome::Answered(Answer { status, offset, ..Answer::default() })
}
