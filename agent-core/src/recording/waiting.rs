//! When bytes that wait in an open segment are pushed out by padding. Pure: times are microseconds of media time.

use hindsight_seal::Sealer;

/// No byte waits longer than this for its segment to fill.
const UNSEALED_MAX_US: u64 = 10_000_000;
/// What is asked to leave does so at once, unless padding was written less than this ago: a screen that changes and
/// settles all the time costs one segment per this long.
const RELEASE_EVERY_US: u64 = 5_000_000;

/// What waits in the open segment of one recording.
#[derive(Debug, Default)]
pub struct Waiting {
    /// Since when the oldest byte waits.
    since_us: Option<u64>,
    /// Everything before this position of the plaintext was asked to leave.
    pub release: Option<u64>,
    /// When padding was written last.
    padded_us: Option<u64>,
}

impl Waiting {
    /// Something was written; `left`: at least one segment left.
    pub fn written(&mut self, sealer: &Sealer, left: bool, now_us: u64) {
        let open = sealer.unsealed_len() as u64;
        if open == 0 {
            self.since_us = None;
        } else if left || self.since_us.is_none() {
            self.since_us = Some(now_us);
        }
        if self.release.is_some_and(|position| position <= sealer.plaintext_len() - open) {
            self.release = None;
        }
    }

    /// Padding was written: nothing waits that matters.
    pub fn padded(&mut self, now_us: u64) {
        *self = Self { padded_us: Some(now_us), ..Self::default() };
    }

    /// When padding is to be written.
    pub fn due_us(&self) -> Option<u64> {
        let full = self.since_us.map(|since_us| since_us + UNSEALED_MAX_US);
        let released = self.release.map(|_| self.padded_us.map_or(0, |at_us| at_us + RELEASE_EVERY_US));
        [full, released].into_iter().flatten().min()
    }
}
