//! A screen recording as an MP4 that exists only as byte ranges: the recorder's own fragments behind a head that
//! also says how long it is.
//!
//! There is no `sidx`: key frames are up to a minute apart and fragments two seconds, and players that jump by a `sidx`
//! (all that are built on libavformat) leave out the fragments between the key frame and the place asked for, or read
//! them twice; either way the picture is wrong. Without it they read on from the last key frame they know, and it is right.

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
    /// `ftyp`, `moov`: stands for everything before the first fragment.
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
        let movie_duration = duration_ms * u64::from(moov.mvhd.timescale) / 1000;
        moov.mvhd.duration = movie_duration;
        if let Some(mvex) = &mut moov.mvex {
            mvex.mehd = Some(Mehd { fragment_duration: movie_duration });
        }
        let mut head = plaintext.read(0..at.range.start).await?;
        moov.encode(&mut head).map_err(|_| malformed(at.range.start, "a moov that cannot be written"))?;
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
