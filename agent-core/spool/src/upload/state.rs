//! One upload, without I/O: what to ask the server next, and what its answer means.
//!
//! ```text
//! Create ─► Send ⇄ Locate          Send = PATCH, Locate = HEAD
//!             │       │ 404, 410
//!             ▼       ▼
//!         Manifest  LastLook ─► Create (again, from 0)
//!             ▼       │ 200
//!          Receipt ───┴─► Received ─► delete
//! ```
//! Any doubt about what arrived leads to `Locate`: nothing is sent twice but what the server did not acknowledge.

pub use super::exchange::{Answer, Local, Next, Outcome, Pace, Request};
use rand::Rng;
use std::time::{Duration, Instant};

/// First wait for a receipt that is not ready, when the server does not say how long.
const FIRST_POLL: Duration = Duration::from_millis(250);
/// Longest wait for a receipt that is not ready, when the server does not say how long.
const LAST_POLL: Duration = Duration::from_secs(10);
/// A PATCH is never cut smaller than this for the sake of a bad line.
const SMALLEST_CHUNK: u64 = 16 << 10;
/// Waits for a receipt after which the manifest is handed in again.
const POLLS_PER_MANIFEST: u32 = 10;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Create,
    Locate,
    /// Since when bytes of a growing item have been waiting.
    Send {
        offset: u64,
        declared: bool,
        waiting_since: Option<Instant>,
    },
    /// `gone`: the upload itself is unknown to the server; when it does not take the manifest, begin anew.
    Manifest {
        gone: bool,
    },
    Receipt {
        polls: u32,
    },
    /// The upload is unknown to the server: because it is complete, or lost?
    LastLook,
    Received,
    Refused(String),
}

/// The state of one upload.
#[derive(Clone, Debug)]
pub struct Upload {
    pace: Pace,
    /// Bytes of the next PATCH at most: halved when one is lost, doubled when one is acknowledged. What a bad line
    /// makes us send again is never much.
    chunk: u64,
    location: Option<String>,
    step: Step,
    failures: u32,
    last_failure: Option<String>,
    /// The server held more than the file before, and we began anew.
    rewound: bool,
    not_before: Option<Instant>,
}

impl Upload {
    /// An item that nothing was sent of.
    pub fn new(pace: Pace) -> Self {
        let step = Step::Create;
        Self {
            pace,
            chunk: pace.chunk,
            location: None,
            step,
            failures: 0,
            last_failure: None,
            rewound: false,
            not_before: None,
        }
    }

    /// An item found at the start of the process: with the upload known of, and whether its manifest was accepted.
    pub fn resume(pace: Pace, location: Option<String>, manifest_sent: bool) -> Self {
        let step = match (&location, manifest_sent) {
            (Some(_), true) => Step::Receipt { polls: 0 },
            (Some(_), false) => Step::Locate,
            // What was known may have been lost after the server had all.
            (None, _) => Step::LastLook,
        };
        Self { location, step, ..Self::new(pace) }
    }

    /// URL of the upload.
    pub fn location(&self) -> Option<&str> {
        self.location.as_deref()
    }

    /// What went wrong last, until something goes right.
    pub fn last_failure(&self) -> Option<&str> {
        self.last_failure.as_deref()
    }

    /// Failures since the last progress.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// The server can be reached again: what failed for that is tried without delay.
    pub fn retry_now(&mut self) {
        if self.failures > 0 {
            self.not_before = None;
        }
    }

    /// Changes the most bytes of one PATCH: what a limit lets through in a sensible time.
    pub fn set_most(&mut self, most: u64) {
        self.pace.chunk = most.max(SMALLEST_CHUNK);
    }

    /// What to do now. Call again after every answer, change of the item, or [`Next::At`].
    pub fn poll(&mut self, now: Instant, local: Local) -> Next {
        if let Some(at) = self.not_before.filter(|at| *at > now) {
            return Next::At(at);
        }
        self.not_before = None;
        match self.step {
            Step::Create => self.poll_create(local),
            Step::Locate => Next::Request(Request::Head),
            Step::Send { offset, declared, waiting_since } => {
                self.poll_send(now, local, offset, declared, waiting_since)
            }
            Step::Manifest { .. } => Next::Request(Request::Manifest),
            Step::Receipt { .. } => Next::Request(Request::Receipt),
            Step::LastLook if local.total.is_some() => Next::Request(Request::Receipt),
            Step::LastLook => {
                // Without a manifest there can be no receipt.
                self.step = Step::Create;
                self.poll_create(local)
            }
            Step::Received => Next::Delete,
            Step::Refused(ref reason) => Next::Keep(reason.clone()),
        }
    }

    fn poll_create(&self, local: Local) -> Next {
        if local.sendable == 0 { Next::Growth } else { Next::Request(Request::Create { total: local.total }) }
    }

    fn poll_send(
        &mut self,
        now: Instant,
        local: Local,
        offset: u64,
        declared: bool,
        waiting_since: Option<Instant>,
    ) -> Next {
        let Some(available) = local.sendable.checked_sub(offset) else { return self.rewind(now, local) };
        let len = available.min(self.chunk).min(self.pace.chunk);
        if let Some(total) = local.total {
            if available == 0 && declared {
                self.step = Step::Manifest { gone: false };
                return Next::Request(Request::Manifest);
            }
            let declare = (!declared && offset + len == total).then_some(total);
            return Next::Request(Request::Patch { offset, len, declare });
        }
        if available == 0 {
            return Next::Growth;
        }
        let due = waiting_since.map(|since| since + self.pace.growing_wait);
        if available < self.pace.growing_chunk && due.is_none_or(|due| due > now) {
            self.step = Step::Send { offset, declared, waiting_since: waiting_since.or(Some(now)) };
            return Next::At(due.unwrap_or(now + self.pace.growing_wait));
        }
        Next::Request(Request::Patch { offset, len, declare: None })
    }

    /// The server holds more than the file: only a new upload can be right, and only once.
    fn rewind(&mut self, now: Instant, local: Local) -> Next {
        if self.rewound {
            self.step = Step::Refused("the server holds more bytes than the file has".to_owned());
        } else {
            (self.rewound, self.location, self.step) = (true, None, Step::Create);
        }
        self.poll(now, local)
    }

    /// Takes how a request ended.
    pub fn handle(&mut self, request: &Request, outcome: Outcome, now: Instant, rng: &mut impl Rng) {
        let answer = match outcome {
            Outcome::Answered(answer) => answer,
            Outcome::Lost(reason) => {
                if let Request::Patch { len, .. } = request {
                    self.step = Step::Locate;
                    self.chunk = (len / 2).max(SMALLEST_CHUNK);
                }
                return self.trouble(reason, None, now, rng);
            }
            Outcome::Local(reason) => {
                if matches!(request, Request::Patch { .. }) {
                    self.step = Step::Locate;
                }
                return self.trouble(reason, None, now, rng);
            }
        };
        if is_refusal(answer.status) {
            self.step = Step::Refused(describe(&answer));
            return;
        }
        let done = match *request {
            Request::Create { total } => self.created(&answer, total),
            Request::Head => self.located(&answer),
            Request::Patch { offset, len, declare } => self.sent(&answer, offset, len, declare),
            Request::Manifest => self.manifest_sent(&answer),
            Request::Receipt => self.receipt(&answer, now),
        };
        if !done {
            let reason = match answer.receipt {
                Some(Err(reason)) => reason,
                Some(Ok(())) | None => describe(&answer),
            };
            self.trouble(reason, answer.retry_after, now, rng);
        }
    }

    fn created(&mut self, answer: &Answer, total: Option<u64>) -> bool {
        let (200 | 201, Some(location)) = (answer.status, &answer.location) else { return false };
        self.location = Some(location.clone());
        self.step = match answer.offset {
            // The server knew the upload: whether it knows the length is for a HEAD to say.
            Some(1..) => Step::Locate,
            Some(0) | None => Step::Send { offset: 0, declared: total.is_some(), waiting_since: None },
        };
        true
    }

    fn located(&mut self, answer: &Answer) -> bool {
        match (answer.status, answer.offset) {
            (200 | 204, Some(offset)) => {
                let declared = answer.length.is_some();
                self.step = Step::Send { offset, declared, waiting_since: None };
                true
            }
            (404 | 410, _) => {
                self.gone();
                false
            }
            _ => false,
        }
    }

    fn sent(&mut self, answer: &Answer, offset: u64, len: u64, declare: Option<u64>) -> bool {
        let declared = declare.is_some() || matches!(self.step, Step::Send { declared: true, .. });
        self.step = Step::Locate;
        match (answer.status, answer.offset) {
            (200 | 204, Some(reached)) if reached == offset + len => {
                self.step = Step::Send { offset: reached, declared, waiting_since: None };
                self.chunk = self.chunk.saturating_mul(2).min(self.pace.chunk);
                self.progress();
                true
            }
            (404 | 410, _) => {
                self.gone();
                false
            }
            _ => false,
        }
    }

    fn manifest_sent(&mut self, answer: &Answer) -> bool {
        let gone = self.step == Step::Manifest { gone: true };
        match answer.status {
            200 | 201 | 202 | 204 => {
                self.step = Step::Receipt { polls: 0 };
                self.progress();
                true
            }
            404 | 409 => {
                self.step = if gone { Step::Create } else { Step::Locate };
                false
            }
            _ => false,
        }
    }

    fn receipt(&mut self, answer: &Answer, now: Instant) -> bool {
        let last_look = self.step == Step::LastLook;
        match answer.status {
            200 if answer.receipt == Some(Ok(())) => {
                self.step = Step::Received;
                self.progress();
                true
            }
            202 if last_look => {
                self.step = Step::Manifest { gone: true };
                true
            }
            202 => {
                let Step::Receipt { polls } = self.step else { return false };
                let usual = FIRST_POLL.saturating_mul(2u32.saturating_pow(polls.min(10))).min(LAST_POLL);
                let wait = answer.retry_after.unwrap_or(usual).min(self.pace.backoff.cap);
                self.not_before = Some(now + wait.max(FIRST_POLL));
                // The server may have lost what it was working on; a manifest handed in twice does no harm.
                let again = polls % POLLS_PER_MANIFEST == POLLS_PER_MANIFEST - 1;
                self.step =
                    if again { Step::Manifest { gone: false } } else { Step::Receipt { polls: polls + 1 } };
                true
            }
            404 | 410 if last_look => {
                self.step = Step::Create;
                true
            }
            404 | 410 => {
                self.step = Step::Locate;
                false
            }
            _ => false,
        }
    }

    fn gone(&mut self) {
        (self.location, self.step) = (None, Step::LastLook);
    }

    fn progress(&mut self) {
        (self.failures, self.last_failure) = (0, None);
    }

    fn trouble(&mut self, reason: String, retry_after: Option<Duration>, now: Instant, rng: &mut impl Rng) {
        self.failures = self.failures.saturating_add(1);
        self.last_failure = Some(reason);
        let delay = self.pace.backoff.delay(self.failures, rng.random_range(0.0..=1.0));
        let asked = retry_after.unwrap_or_default().min(self.pace.backoff.cap);
        self.not_before = Some(now + delay.max(asked));
    }
}

/// Whether a status is the server's last word on this item. Not so: what a repetition, a HEAD or a new upload can mend
/// (460 is tus' checksum mismatch).
fn is_refusal(status: u16) -> bool {
    (400..500).contains(&status) && !matches!(status, 404 | 408 | 409 | 410 | 423 | 425 | 429 | 460)
}

fn describe(answer: &Answer) -> String {
    if answer.reason.is_empty() {
        format!("status {}", answer.status)
    } else {
        format!("status {}: {}", answer.status, answer.reason)
    }
}

#[cfg(test)]
mod tests;
