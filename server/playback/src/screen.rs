//! A screen recording as an MP4 that exists only as byte ranges: the recorder's own fragments behind a head that
//! also says how long it is and, in a `sidx` (ISO/IEC 14496-12 8.16.3), where each run of frames can be entered.

use crate::{
    PlaybackError,
    fragments::{self, malformed},
    plaintext::{Payload, Plaintext},
};
use hindsight_wire::manifest::IndexEntry;
use mp4_atom::{Encode, Mehd};
use std::ops::Range;

/// Most bytes handed out at once.
const CHUNK: u64 = 256 * 1024;

/// A recording that can be seen.
pub struct Screen<P> {
    plaintext: Plaintext<P>,
    /// `ftyp`, `moov`, `sidx`: stands for everything before the first fragment.
    head: Vec<u8>,
    /// Plaintext of the fragments.
    fragments: Range<u64>,
}

impl<P: Payload> Screen<P> {
    /// Reads the head. `index`: every fragment, in order; `duration_ms`: length of the media.
    pub async fn open(
        plaintext: Plaintext<P>,
        index: &[IndexEntry],
        duration_ms: u64,
    ) -> Result<Self, PlaybackError> {
        let (mut moov, at) = fragments::head(&plaintext).await?;
        let (first, last) = index.first().zip(index.last()).ok_or(PlaybackError::Empty)?;
        let end = end_of_fragment(&plaintext, last.position).await?;
        if first.position < at.range.end || end < last.position {
            return Err(malformed(first.position, "the index points before the first fragment"));
        }
        let track = moov.trak.first().ok_or_else(|| malformed(at.range.start, "no track"))?;
        let (timescale, track_id) = (track.mdia.mdhd.timescale, track.tkhd.track_id);
        let movie_duration = duration_ms * u64::from(moov.mvhd.timescale) / 1000;
        moov.mvhd.duration = movie_duration;
        if let Some(mvex) = &mut moov.mvex {
            mvex.mehd = Some(Mehd { fragment_duration: movie_duration });
        }
        let mut head = plaintext.read(0..at.range.start).await?;
        moov.encode(&mut head).map_err(|_| malformed(at.range.start, "a moov that cannot be written"))?;
        head.extend(sidx(index, end, duration_ms, track_id, timescale));
        Ok(Self { plaintext, head, fragments: first.position..end })
    }

    /// Bytes of the MP4 file.
    pub fn len(&self) -> u64 {
        self.head.len() as u64 + self.fragments.end - self.fragments.start
    }

    /// Whether there is no fragment.
    pub fn is_empty(&self) -> bool {
        self.fragments.is_empty()
    }

    /// Segments opened so far.
    pub fn segments_opened(&self) -> u64 {
        self.plaintext.segments_opened()
    }

    /// Some bytes from the start of `range`: at least one, at most to its end; call again for the rest.
    pub async fn read(&self, range: Range<u64>) -> Result<Vec<u8>, PlaybackError> {
        let range = range.start..range.end.min(self.len());
        if range.is_empty() {
            return Ok(Vec::new());
        }
        let head = self.head.len() as u64;
        if range.start < head {
            return Ok(self.head[range.start as usize..range.end.min(head) as usize].to_vec());
        }
        let from = self.fragments.start + range.start - head;
        let to = (self.fragments.start + range.end - head).min(from + CHUNK);
        self.plaintext.read(from..to).await
    }
}

/// End of the `mdat` (and of padding behind it) of the fragment at `position`.
async fn end_of_fragment<P: Payload>(plain: &Plaintext<P>, position: u64) -> Result<u64, PlaybackError> {
    let (mut at, mut end) = (position, position);
    while let Some(found) = fragments::box_at(plain, at).await? {
        if found.range.end > plain.len() || (&found.kind == b"moof" && at != position) {
            break;
        }
        at = found.range.end;
        end = at;
    }
    if end == position { Err(malformed(position, "the last fragment is cut off")) } else { Ok(end) }
}

/// A `sidx` box, version 1: one reference for each fragment. Players take each reference for one `moof`: one that stood
/// for several would have them read the later ones twice, and out of order, after a seek.
fn sidx(index: &[IndexEntry], end: u64, duration_ms: u64, track_id: u32, timescale: u32) -> Vec<u8> {
    let ticks = |ms: u64| ms * u64::from(timescale) / 1000;
    // `reference_count` has 16 bits: more fragments than that (36 hours of them) stay outside the index.
    let entries = &index[..index.len().min(usize::from(u16::MAX))];
    let mut body = Vec::with_capacity(32 + 12 * entries.len());
    body.extend(0x0100_0000u32.to_be_bytes());
    body.extend(track_id.to_be_bytes());
    body.extend(timescale.to_be_bytes());
    body.extend(ticks(entries.first().map_or(0, |entry| entry.time_ms)).to_be_bytes());
    body.extend(0u64.to_be_bytes());
    body.extend([0, 0]);
    body.extend((entries.len() as u16).to_be_bytes());
    for (i, entry) in entries.iter().enumerate() {
        let next = entries.get(i + 1);
        let size = next.map_or(end, |next| next.position) - entry.position;
        let until = ticks(next.map_or(duration_ms.max(entry.time_ms), |next| next.time_ms));
        body.extend((u32::try_from(size).unwrap_or(u32::MAX) & 0x7fff_ffff).to_be_bytes());
        body.extend(u32::try_from(until - ticks(entry.time_ms)).unwrap_or(u32::MAX).to_be_bytes());
        // starts_with_SAP, SAP_type 1: decoding begins at the first sample.
        body.extend((u32::from(entry.key) << 31 | 1 << 28).to_be_bytes());
    }
    let mut out = (body.len() as u32 + 8).to_be_bytes().to_vec();
    out.extend(b"sidx");
    out.extend(body);
    out
}
