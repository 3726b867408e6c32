//! A screen recording as an MP4 that exists only as byte ranges, made of the recorder's own fragments.
//!
//! ```text
//! recorded:  ftyp moov  moof mdat  moof mdat (free)  moof mdat  …      a fragment: 2 s, a key frame: 60 s
//! replayed:  ftyp moov sidx   moof mdat─────────────────────┐  …      one fragment from key frame to key frame
//! ```
//!
//! A player may start at a key frame only, and those that jump by a `sidx` (all that are built on libavformat) know
//! one `moof` for each of its references, with one `trun`: with more they leave pictures out, or read them twice, and
//! what is built on them is wrong. So the pictures from one key frame to the next are described by one `moof` and lie
//! one behind the other. The index says how many pictures a fragment has and how many bytes; so the place of each
//! byte is known at the start, and any range gives the same bytes.

mod moof;
mod window;

use crate::{
    PlaybackError,
    fragments::{self, malformed},
    plaintext::{Payload, Plaintext},
};
use hindsight_wire::manifest::{IndexEntry, Pictures};
use moof::{BOX_HEADER, MOST_RUN, Run, moof_len, sidx, write_moof};
use mp4_atom::{Encode, Mehd, Moov};
use std::{
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
};
use window::Window;

/// Most bytes handed out at once, and read ahead.
const CHUNK: u64 = 256 * 1024;
/// Read ahead while looking for one `moof` after the other.
const MOOF_AHEAD: u64 = 16 * 1024;

/// A recording that can be seen.
pub struct Screen<P> {
    plaintext: Plaintext<P>,
    /// `ftyp`, `moov`, `sidx`: stand for everything before the first fragment.
    head: Vec<u8>,
    fragments: Vec<Recorded>,
    runs: Vec<Run>,
    /// End of the last fragment in the plaintext.
    end: u64,
    /// The `moof` and `mdat` header made last, and of which run: a player reads a run from its start.
    made: Mutex<Option<(usize, Arc<Vec<u8>>)>>,
}

/// A fragment as it was recorded.
#[derive(Clone, Copy)]
struct Recorded {
    position: u64,
    pictures: Pictures,
}

impl<P: Payload> Screen<P> {
    /// Reads the head. `index`: every fragment, in order; `duration_ms`: length of the media.
    pub async fn open(
        plaintext: Plaintext<P>,
        index: &[IndexEntry],
        duration_ms: u64,
    ) -> Result<Self, PlaybackError> {
        let (moov, at) = fragments::head(&plaintext).await?;
        let (first, last) = index.first().zip(index.last()).ok_or(PlaybackError::Empty)?;
        let end = end_of_fragment(&plaintext, last.position).await?;
        let grows = index.is_sorted_by(|a, b| a.position < b.position && a.time_ms <= b.time_ms);
        if first.position < at.range.end || !grows {
            return Err(malformed(first.position, "the index points before the first fragment, or back"));
        }
        let mut fragments = Vec::with_capacity(index.len());
        let mut window = Window::new(&plaintext);
        for entry in index {
            let pictures = match entry.pictures {
                Some(pictures) => pictures,
                None => pictures_at(&mut window, entry.position, end).await?,
            };
            fragments.push(Recorded { position: entry.position, pictures });
        }
        let mut runs = runs(index, &fragments);
        if runs.iter().any(|run| run.len() >= MOST_RUN) {
            return Err(malformed(first.position, "more between two key frames than a player takes"));
        }
        let head = plaintext.read(0..at.range.start).await?;
        let head = make_head(head, moov, duration_ms, &runs)
            .ok_or_else(|| malformed(at.range.start, "a moov that cannot be written"))?;
        let mut place = head.len() as u64;
        for run in &mut runs {
            run.place = place;
            place += run.len();
        }
        Ok(Self { plaintext, head, fragments, runs, end, made: Mutex::default() })
    }

    /// Bytes of the MP4 file.
    pub fn len(&self) -> u64 {
        self.runs.last().map_or(self.head.len() as u64, |run| run.place + run.len())
    }

    /// Whether there is no fragment.
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
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
        // There is a run before any place behind the head.
        let number = self.runs.partition_point(|run| run.place <= range.start) - 1;
        let run = &self.runs[number];
        let (from, to) = (range.start - run.place, range.end - run.place);
        let boxes = moof_len(run.pictures) + BOX_HEADER;
        if from < boxes {
            let made = self.boxes_of(number).await?;
            return Ok(made[from as usize..to.min(boxes) as usize].to_vec());
        }
        let from = from - boxes;
        self.pictures_of(run, from..(to - boxes).min(run.bytes).min(from + CHUNK)).await
    }

    /// `moof` and header of the `mdat` of a run.
    async fn boxes_of(&self, number: usize) -> Result<Arc<Vec<u8>>, PlaybackError> {
        let kept = self.made.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((_, made)) = kept.filter(|(of, _)| *of == number) {
            return Ok(made);
        }
        let run = &self.runs[number];
        let mut window = Window::new(&self.plaintext);
        let (mut start, mut samples) = (None, Vec::new());
        for recorded in &self.fragments[run.fragments.clone()] {
            let fragment = moof_at(&mut window, recorded.position, self.end).await?;
            if fragment.pictures() != Some(recorded.pictures) {
                return Err(malformed(recorded.position, "another fragment than the index says"));
            }
            start.get_or_insert(fragment.start);
            samples.extend(fragment.samples);
        }
        let made = Arc::new(write_moof(number, start.unwrap_or(0), &samples, run.bytes));
        *self.made.lock().unwrap_or_else(PoisonError::into_inner) = Some((number, made.clone()));
        Ok(made)
    }

    /// Bytes of a run's pictures, counted from its first.
    async fn pictures_of(&self, run: &Run, wanted: Range<u64>) -> Result<Vec<u8>, PlaybackError> {
        let mut out = Vec::with_capacity((wanted.end - wanted.start) as usize);
        let mut window = Window::new(&self.plaintext);
        let mut begin = 0;
        for recorded in &self.fragments[run.fragments.clone()] {
            let end = begin + u64::from(recorded.pictures.bytes);
            let part = wanted.start.max(begin)..wanted.end.min(end);
            if !part.is_empty() {
                // What follows is wanted as well, as far as `wanted` goes; boxes between are few bytes.
                let ahead = recorded.position + (wanted.end - begin).min(CHUNK);
                let data = data_at(&mut window, recorded, ahead).await?;
                let bytes = data + part.start - begin..data + part.end - begin;
                out.extend_from_slice(window.get(bytes.clone(), bytes.end).await?);
            }
            begin = end;
            if begin >= wanted.end {
                break;
            }
        }
        Ok(out)
    }
}

/// `ftyp` and `moov` as recorded, with the length, and the table of key frames.
fn make_head(mut head: Vec<u8>, mut moov: Moov, duration_ms: u64, runs: &[Run]) -> Option<Vec<u8>> {
    let movie_duration = duration_ms * u64::from(moov.mvhd.timescale) / 1000;
    moov.mvhd.duration = movie_duration;
    if let Some(mvex) = &mut moov.mvex {
        mvex.mehd = Some(Mehd { fragment_duration: movie_duration });
    }
    let timescale = moov.trak.first()?.mdia.mdhd.timescale;
    moov.encode(&mut head).ok()?;
    head.extend(sidx(runs, duration_ms, timescale));
    Some(head)
}

/// From key frame to key frame.
fn runs(index: &[IndexEntry], fragments: &[Recorded]) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for (number, (entry, recorded)) in index.iter().zip(fragments).enumerate() {
        match runs.last_mut() {
            Some(run) if !entry.key => {
                run.fragments.end = number + 1;
                run.pictures += u64::from(recorded.pictures.count);
                run.bytes += u64::from(recorded.pictures.bytes);
            }
            _ => runs.push(Run {
                time_ms: entry.time_ms,
                key: entry.key,
                fragments: number..number + 1,
                pictures: recorded.pictures.count.into(),
                bytes: recorded.pictures.bytes.into(),
                place: 0,
            }),
        }
    }
    runs
}

/// The fragment whose `moof` is at `position`.
async fn moof_at<P: Payload>(
    window: &mut Window<'_, P>,
    position: u64,
    end: u64,
) -> Result<fragments::Fragment, PlaybackError> {
    let ahead = (position + MOOF_AHEAD).min(end);
    let len = window.box_len(position, b"moof", ahead).await?;
    let bytes = window.get(position..position + len, ahead).await?;
    fragments::parse_moof(bytes, position)
}

/// What a fragment holds whose index entry does not say.
async fn pictures_at<P: Payload>(
    window: &mut Window<'_, P>,
    position: u64,
    end: u64,
) -> Result<Pictures, PlaybackError> {
    let fragment = moof_at(window, position, end).await?;
    fragment.pictures().ok_or_else(|| malformed(position, "a fragment of absurd size"))
}

/// Where the pictures of a fragment begin.
async fn data_at<P: Payload>(
    window: &mut Window<'_, P>,
    recorded: &Recorded,
    ahead: u64,
) -> Result<u64, PlaybackError> {
    let mdat = recorded.position + window.box_len(recorded.position, b"moof", ahead).await?;
    let len = window.box_len(mdat, b"mdat", ahead).await?;
    if len != u64::from(recorded.pictures.bytes) + BOX_HEADER {
        return Err(malformed(mdat, "another fragment than the index says"));
    }
    Ok(mdat + BOX_HEADER)
}

/// End of the `mdat` of the fragment at `position`.
async fn end_of_fragment<P: Payload>(plain: &Plaintext<P>, position: u64) -> Result<u64, PlaybackError> {
    let mut at = position;
    while let Some(found) = fragments::box_at(plain, at).await? {
        at = found.range.end;
        if &found.kind == b"mdat" && at <= plain.len() {
            return Ok(at);
        }
    }
    Err(malformed(position, "the last fragment is cut off"))
}

#[cfg(test)]
mod tests;
