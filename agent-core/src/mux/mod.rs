//! Fragmented MP4 (ISO/IEC 14496-12) of one H.264 track, written as it comes.
//!
//! A fragment is closed after two seconds at most, at each key frame, and when the writer wants it to leave; always
//! when the last sample's duration becomes known. So every duration is exact, decode times have no gap, and what has
//! been written never changes.

mod header;

pub use header::{TIMESCALE, TrackShape, header};

use hindsight_wire::manifest::{IndexEntry, Pictures};
use mp4_atom::{Encode, FourCC, Mfhd, Moof, Tfdt, Tfhd, Traf, Trun, TrunEntry, TrunSamples};

/// A fragment holds at most this much time.
const FRAGMENT_MAX_US: u64 = 2_000_000;
/// `sample_depends_on = 2`: a key frame (ISO/IEC 14496-12 8.8.3.1).
const KEY_SAMPLE: u32 = 0x0200_0000;
/// `sample_depends_on = 1`, `sample_is_non_sync_sample`.
const DELTA_SAMPLE: u32 = 0x0101_0000;

/// Why a fragment could not be written. None can happen with times that grow; it is not the place to panic.
#[derive(Debug, thiserror::Error)]
pub enum MuxError {
    /// A sample is not later than the one before.
    #[error("a sample at {at_us} µs follows one at {last_us} µs")]
    TimeStoodStill {
        /// The later sample.
        at_us: u64,
        /// The earlier one.
        last_us: u64,
    },
    /// The library refused to encode a box.
    #[error("MP4 box: {0}")]
    Box(String),
}

impl From<mp4_atom::Error> for MuxError {
    fn from(error: mp4_atom::Error) -> Self {
        MuxError::Box(error.to_string())
    }
}

struct Sample {
    at_us: u64,
    key: bool,
    size: usize,
}

/// Writes the fragments of one recording. Times are microseconds from its start.
pub struct Muxer {
    sequence: u32,
    /// Bytes of the file so far, header and padding included.
    position: u64,
    /// Samples not written yet; the last one's duration is unknown.
    samples: Vec<Sample>,
    /// Their bytes.
    data: Vec<u8>,
    index: Vec<IndexEntry>,
}

impl Muxer {
    /// Starts the file: appends `ftyp` and `moov` to `out`.
    pub fn new(shape: &TrackShape<'_>, out: &mut Vec<u8>) -> Result<Self, MuxError> {
        let before = out.len();
        header(shape, out)?;
        let position = (out.len() - before) as u64;
        Ok(Self { sequence: 0, position, samples: Vec::new(), data: Vec::new(), index: Vec::new() })
    }

    /// Adds a sample that shows from `at_us` on. What is complete by now is appended to `out`.
    pub fn push(&mut self, at_us: u64, key: bool, sample: &[u8], out: &mut Vec<u8>) -> Result<(), MuxError> {
        if let (Some(first), Some(last)) = (self.samples.first(), self.samples.last()) {
            if at_us <= last.at_us {
                return Err(MuxError::TimeStoodStill { at_us, last_us: last.at_us });
            }
            if key || at_us - first.at_us >= FRAGMENT_MAX_US {
                self.write_fragment(at_us, out)?;
            }
        }
        self.samples.push(Sample { at_us, key, size: sample.len() });
        self.data.extend_from_slice(sample);
        Ok(())
    }

    /// Writes the open fragment early; its last sample shows until `at_us`, when the next one has to be pushed.
    pub fn cut(&mut self, at_us: u64, out: &mut Vec<u8>) -> Result<(), MuxError> {
        match self.samples.last() {
            Some(last) if at_us <= last.at_us => Err(MuxError::TimeStoodStill { at_us, last_us: last.at_us }),
            _ => self.write_fragment(at_us, out),
        }
    }

    /// Writes the last fragment; its last sample shows until `end_us`.
    pub fn finish(&mut self, end_us: u64, out: &mut Vec<u8>) -> Result<(), MuxError> {
        let Some(last) = self.samples.last() else { return Ok(()) };
        let end_us = end_us.max(last.at_us + 1_000);
        self.write_fragment(end_us, out)
    }

    /// Tells the muxer that `len` bytes of padding were put at the end of the file, between fragments.
    pub fn padded(&mut self, len: usize) {
        self.position += len as u64;
    }

    /// Start of each fragment written so far.
    pub fn index(&self) -> &[IndexEntry] {
        &self.index
    }

    fn write_fragment(&mut self, end_us: u64, out: &mut Vec<u8>) -> Result<(), MuxError> {
        let Some(first) = self.samples.first() else { return Ok(()) };
        let entry = IndexEntry {
            time_ms: first.at_us / 1000,
            position: self.position,
            key: first.key,
            span_ms: None,
            pictures: Some(Pictures { count: self.samples.len() as u32, bytes: self.data.len() as u32 }),
        };
        let base = ticks(first.at_us);
        let ends = self.samples.iter().skip(1).map(|sample| sample.at_us).chain([end_us]);
        let entries: Vec<TrunEntry> =
            self.samples.iter().zip(ends).map(|(sample, end)| run_entry(sample, end)).collect();
        self.sequence += 1;
        let before = out.len();
        write_moof(self.sequence, base, entries, out)?;
        out.extend((self.data.len() as u32 + 8).to_be_bytes());
        out.extend(b"mdat");
        out.extend_from_slice(&self.data);
        self.position += (out.len() - before) as u64;
        self.index.push(entry);
        self.samples.clear();
        self.data.clear();
        Ok(())
    }
}

/// Durations are differences of rounded absolute times: rounding never adds up.
fn run_entry(sample: &Sample, end_us: u64) -> TrunEntry {
    TrunEntry {
        duration: Some((ticks(end_us) - ticks(sample.at_us)) as u32),
        size: Some(sample.size as u32),
        flags: Some(if sample.key { KEY_SAMPLE } else { DELTA_SAMPLE }),
        cts: None,
    }
}

fn write_moof(sequence: u32, base: u64, entries: Vec<TrunEntry>, out: &mut Vec<u8>) -> Result<(), MuxError> {
    let mut moof = Moof {
        mfhd: Mfhd { sequence_number: sequence },
        traf: vec![Traf {
            tfhd: Tfhd { track_id: header::TRACK, default_base_is_moof: true, ..Tfhd::default() },
            tfdt: Some(Tfdt { base_media_decode_time: base }),
            trun: vec![Trun { data_offset: Some(0), samples: TrunSamples::Explicit(entries) }],
            ..Traf::default()
        }],
    };
    let start = out.len();
    moof.encode(out)?;
    // The data starts behind the `moof` and the 8 bytes of the `mdat` header: known once the length is.
    let offset = (out.len() - start + 8) as i32;
    for run in moof.traf.iter_mut().flat_map(|track| &mut track.trun) {
        run.data_offset = Some(offset);
    }
    out.truncate(start);
    moof.encode(out)?;
    Ok(())
}

fn ticks(us: u64) -> u64 {
    // Exact: 90 000 / 1 000 000 = 9 / 100.
    us * u64::from(TIMESCALE / 10_000) / (1_000_000 / 10_000)
}

/// Four-letter code of a box, for readers of what is written here.
pub const MOOF: FourCC = FourCC::new(b"moof");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encode::ParameterSets;
    use mp4_atom::{Any, DecodeMaybe};

    fn sets() -> ParameterSets {
        ParameterSets { sps: vec![0x67, 66, 0xC0, 31, 1], pps: vec![0x68, 1] }
    }

    fn boxes(mut file: &[u8]) -> Vec<Any> {
        let mut boxes = Vec::new();
        while let Some(atom) = Any::decode_maybe(&mut file).unwrap() {
            boxes.push(atom);
        }
        assert!(file.is_empty());
        boxes
    }

    #[test]
    fn fragments_follow_each_other_without_gap_and_the_index_finds_them() {
        let (sets, mut file) = (sets(), Vec::new());
        let mut muxer = Muxer::new(&TrackShape { width: 64, height: 48, sets: &sets }, &mut file).unwrap();
        let times = [0, 200_000, 400_001, 2_100_000, 12_100_007, 12_300_000, 62_100_000];
        for (number, &at) in times.iter().enumerate() {
            let key = at == 0 || at == 62_100_000;
            muxer.push(at, key, &vec![number as u8; number + 5], &mut file).unwrap();
        }
        muxer.finish(63_000_000, &mut file).unwrap();
        let mut decode_time = 0;
        let mut payload = Vec::new();
        for atom in boxes(&file) {
            match atom {
                Any::Moof(moof) => {
                    let track = &moof.traf[0];
                    assert_eq!(track.tfdt.as_ref().unwrap().base_media_decode_time, decode_time);
                    decode_time +=
                        track.trun[0].samples.iter().map(|s| u64::from(s.duration.unwrap())).sum::<u64>();
                }
                Any::Mdat(mdat) => payload.extend(mdat.data),
                _ => {}
            }
        }
        assert_eq!(decode_time, ticks(63_000_000));
        assert_eq!(payload.len(), (5..12).sum::<usize>());
        for entry in muxer.index() {
            assert_eq!(&file[entry.position as usize + 4..][..4], b"moof");
        }
        let starts: Vec<_> = muxer.index().iter().map(|entry| (entry.time_ms, entry.key)).collect();
        assert_eq!(starts, [(0, true), (2_100, false), (12_100, false), (62_100, true)]);
    }

    #[test]
    fn a_sample_that_is_not_later_is_refused() {
        let (sets, mut file) = (sets(), Vec::new());
        let mut muxer = Muxer::new(&TrackShape { width: 64, height: 48, sets: &sets }, &mut file).unwrap();
        muxer.push(5, true, b"x", &mut file).unwrap();
        assert!(matches!(muxer.push(5, false, b"y", &mut file), Err(MuxError::TimeStoodStill { .. })));
    }
}
