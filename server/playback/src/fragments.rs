//! Reading our own fragmented MP4 (ISO/IEC 14496-12): top-level boxes, and what a `moof` says about its pictures.

use crate::{
    PlaybackError,
    plaintext::{Payload, Plaintext},
};
use hindsight_wire::manifest::Pictures;
use mp4_atom::{Decode, Moof, Moov};
use std::ops::Range;

/// `sample_is_non_sync_sample` of the sample flags (8.8.3.1).
const NON_SYNC: u32 = 0x0001_0000;
/// A `moov` or `moof` of ours is far smaller; a larger one is damage.
const MOST_BOX: u64 = 1 << 20;

/// A top-level box: where it is and what kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopBox {
    pub kind: [u8; 4],
    pub range: Range<u64>,
}

/// A picture as a `trun` describes it. Duration in ticks of the track's timescale.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    pub duration: u32,
    pub size: u32,
    pub flags: u32,
}

impl Sample {
    /// Whether decoding can start here.
    pub fn key(&self) -> bool {
        self.flags & NON_SYNC == 0
    }
}

/// What a `moof` says: when its first picture shows, in ticks, and its pictures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fragment {
    pub start: u64,
    pub samples: Vec<Sample>,
}

impl Fragment {
    /// Ticks of all pictures.
    pub fn duration(&self) -> u64 {
        self.samples.iter().map(|sample| u64::from(sample.duration)).sum()
    }

    /// Bytes of all pictures.
    pub fn bytes(&self) -> u64 {
        self.samples.iter().map(|sample| u64::from(sample.size)).sum()
    }

    /// For the index.
    pub fn pictures(&self) -> Option<Pictures> {
        let (count, bytes) = (self.samples.len().try_into().ok()?, self.bytes().try_into().ok()?);
        Some(Pictures { count, bytes })
    }
}

pub fn malformed(position: u64, reason: &'static str) -> PlaybackError {
    PlaybackError::Screen { position, reason }
}

/// The box at `position`; `None` at the end. A box that is cut off ends beyond the plaintext.
pub async fn box_at<P: Payload>(
    plain: &Plaintext<P>,
    position: u64,
) -> Result<Option<TopBox>, PlaybackError> {
    let head = plain.read(position..position.saturating_add(16)).await?;
    let Some(kind) = head.get(4..8).and_then(|kind| <[u8; 4]>::try_from(kind).ok()) else { return Ok(None) };
    let short = u32::from_be_bytes([head[0], head[1], head[2], head[3]]);
    let size = match short {
        0 => plain.len() - position,
        1 => match head.get(8..16).and_then(|size| <[u8; 8]>::try_from(size).ok()) {
            Some(size) => u64::from_be_bytes(size),
            None => return Ok(None),
        },
        size => u64::from(size),
    };
    let least = if short == 1 { 16 } else { 8 };
    let end = position.checked_add(size).filter(|_| size >= least);
    let end = end.ok_or_else(|| malformed(position, "a box smaller than its header"))?;
    Ok(Some(TopBox { kind, range: position..end }))
}

/// Decodes one atom of at most [`MOST_BOX`] bytes.
async fn atom<A: Decode, P: Payload>(plain: &Plaintext<P>, at: &TopBox) -> Result<A, PlaybackError> {
    if at.range.end - at.range.start > MOST_BOX || at.range.end > plain.len() {
        return Err(malformed(at.range.start, "a header box that is cut off or too large"));
    }
    let bytes = plain.read(at.range.clone()).await?;
    A::decode(&mut bytes.as_slice())
        .map_err(|_| malformed(at.range.start, "a header box that does not parse"))
}

/// The `moov` before the first fragment, and where the head ends.
pub async fn head<P: Payload>(plain: &Plaintext<P>) -> Result<(Moov, TopBox), PlaybackError> {
    let mut position = 0;
    while let Some(found) = box_at(plain, position).await? {
        match &found.kind {
            b"moov" => return Ok((atom(plain, &found).await?, found)),
            b"moof" | b"mdat" => break,
            _ => position = found.range.end,
        }
    }
    Err(malformed(position, "no moov before the first fragment"))
}

/// The fragment whose `moof` is `at`.
pub async fn fragment<P: Payload>(plain: &Plaintext<P>, at: &TopBox) -> Result<Fragment, PlaybackError> {
    read_moof(&atom::<Moof, P>(plain, at).await?, at.range.start)
}

/// The fragment of a whole `moof` that is at `position`.
pub fn parse_moof(mut bytes: &[u8], position: u64) -> Result<Fragment, PlaybackError> {
    let moof =
        Moof::decode(&mut bytes).map_err(|_| malformed(position, "a header box that does not parse"))?;
    read_moof(&moof, position)
}

fn read_moof(moof: &Moof, position: u64) -> Result<Fragment, PlaybackError> {
    let traf = moof.traf.first().ok_or_else(|| malformed(position, "a fragment without a track"))?;
    let start = traf.tfdt.as_ref().map_or(0, |tfdt| tfdt.base_media_decode_time);
    let samples = traf.trun.iter().flat_map(|run| &run.samples).map(|sample| Sample {
        duration: sample.duration.or(traf.tfhd.default_sample_duration).unwrap_or(0),
        size: sample.size.or(traf.tfhd.default_sample_size).unwrap_or(0),
        flags: sample.flags.or(traf.tfhd.default_sample_flags).unwrap_or(0),
    });
    Ok(Fragment { start, samples: samples.collect() })
}
