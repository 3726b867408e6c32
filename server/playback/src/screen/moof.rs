//! The boxes of the MP4 that is replayed: one `moof` for each run, and the `sidx` that finds them. Written by hand,
//! because their sizes are promised before their contents are known.

use crate::fragments::Sample;
use std::ops::Range;

/// A run is smaller than this: what the fields of its boxes can say.
pub const MOST_RUN: u64 = 1 << 31;
/// Bytes of a box header.
pub const BOX_HEADER: u64 = 8;
/// `moof` of no pictures: `moof` 8, `mfhd` 16, `traf` 8, `tfhd` 16, `tfdt` 20, `trun` 20.
const MOOF_OF_NONE: u64 = 88;
/// Duration, size, flags.
const SAMPLE: u64 = 12;
/// The only track of a recording.
const TRACK: u32 = 1;

/// The pictures from one key frame to the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    pub time_ms: u64,
    /// False only for the first run of a recording that lacks its start.
    pub key: bool,
    /// Numbers of its fragments.
    pub fragments: Range<usize>,
    pub pictures: u64,
    pub bytes: u64,
    /// Where it is in the MP4.
    pub place: u64,
}

impl Run {
    /// Bytes in the MP4.
    pub fn len(&self) -> u64 {
        moof_len(self.pictures) + BOX_HEADER + self.bytes
    }
}

/// Bytes of the `moof` of so many pictures.
pub fn moof_len(pictures: u64) -> u64 {
    MOOF_OF_NONE + SAMPLE * pictures
}

/// The `moof` of a run that starts at `start` ticks, and the header of the `mdat` behind it (8.8, 8.16.3 of ISO/IEC
/// 14496-12).
pub fn write_moof(number: usize, start: u64, samples: &[Sample], bytes: u64) -> Vec<u8> {
    let len = moof_len(samples.len() as u64) as u32;
    let mut words = vec![len, kind(b"moof")];
    words.extend([16, kind(b"mfhd"), 0, number as u32 + 1]);
    words.extend([len - 24, kind(b"traf")]);
    // Version 0, default-base-is-moof.
    words.extend([16, kind(b"tfhd"), 0x02_0000, TRACK]);
    words.extend([20, kind(b"tfdt"), 1 << 24, (start >> 32) as u32, start as u32]);
    // Version 0: data offset; duration, size and flags of each sample.
    words.extend([len - 68, kind(b"trun"), 0x00_0701, samples.len() as u32, len + BOX_HEADER as u32]);
    words.extend(samples.iter().flat_map(|sample| [sample.duration, sample.size, sample.flags]));
    words.extend([(bytes + BOX_HEADER) as u32, kind(b"mdat")]);
    to_bytes(&words)
}

/// The table of the runs (8.16.3). Empty when there are more than it can hold, 65,535 minutes: players find their way
/// without it, slowly.
pub fn sidx(runs: &[Run], duration_ms: u64, timescale: u32) -> Vec<u8> {
    let Ok(count) = u16::try_from(runs.len()) else { return Vec::new() };
    let ticks = |ms: u64| ms * u64::from(timescale) / 1000;
    let first = runs.first().map_or(0, |run| ticks(run.time_ms));
    let len = 40 + 12 * u32::from(count);
    let mut words = vec![len, kind(b"sidx"), 1 << 24, TRACK, timescale, (first >> 32) as u32, first as u32];
    // The first run follows at once.
    words.extend([0, 0, count.into()]);
    let ends = runs.iter().skip(1).map(|next| next.time_ms).chain([duration_ms]);
    for (run, end_ms) in runs.iter().zip(ends) {
        let duration = ticks(end_ms).saturating_sub(ticks(run.time_ms));
        // Whether it starts with a stream access point, and that of type 1.
        words.extend([run.len() as u32, duration as u32, if run.key { 0x9000_0000 } else { 0 }]);
    }
    to_bytes(&words)
}

const fn kind(code: &[u8; 4]) -> u32 {
    u32::from_be_bytes(*code)
}

fn to_bytes(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_be_bytes()).collect()
}
