//! A voice recording as a WAV file that exists only as byte ranges: PCM 16-bit at the highest sample rate of its tracks, left
//! the agent, right the customer.
//!
//! Rendered in fixed blocks of one second, so that any range of it gives the same bytes. Where no packet was recorded
//! (hold, a pause) there is silence, and time goes on; also where a segment was changed and does not open any more.
//! A gap of a few packets between two others is loss, and concealed. [`Voice::peaks`] says where that is, before anybody listens.

use crate::{
    PlaybackError, codec,
    matroska::{self, Head},
    plaintext::{Payload, Plaintext},
    wav::{self, FRAME, HEADER},
};
use hindsight_seal::SealError;
use hindsight_wire::manifest::{IndexEntry, Party, VoiceTrack};
use render::LONGEST_LOSS;
use std::ops::Range;

mod render;

const CHANNELS: usize = 2;
/// A packet may be this long, milliseconds.
const LONGEST_PACKET: u64 = 120;
/// Most pairs of peaks that are given per track.
const MOST_PEAKS: u64 = 8000;

/// A recording that can be heard.
pub struct Voice<P> {
    plaintext: Plaintext<P>,
    head: Head,
    /// Of each track of the head; `None`: not heard.
    channels: Vec<Option<usize>>,
    index: Vec<IndexEntry>,
    /// Hz.
    sample_rate: u64,
    frames: u64,
}

/// Extremes of the wave for drawing it.
#[derive(Clone, Debug, PartialEq)]
pub struct Peaks {
    /// One list per track: min, max, min, max … in [-1, 1].
    pub tracks: Vec<Vec<f32>>,
    /// Pairs per second.
    pub per_second: f64,
    /// Where segments do not open: silence instead of what was said, milliseconds.
    pub damaged: Vec<Range<u64>>,
}

/// One second of both channels, and what of the media does not open.
struct Block {
    samples: Vec<[i16; 2]>,
    damaged: Vec<Range<u64>>,
}

impl<P: Payload> Voice<P> {
    /// Reads the head. `index`: every cluster, in order; `duration_ms`: length of the media. The first track is the left
    /// channel, the second the right one, until [`Voice::with_tracks`] says whose each is.
    pub async fn open(
        plaintext: Plaintext<P>,
        index: Vec<IndexEntry>,
        duration_ms: u64,
    ) -> Result<Self, PlaybackError> {
        let first = index.first().map_or(plaintext.len(), |entry| entry.position);
        let head = matroska::head(&plaintext.read(0..first.min(64 * 1024)).await?)?;
        let channels = (0..head.tracks.len()).map(|at| (at < CHANNELS).then_some(at)).collect();
        let rates = head.tracks.iter().map(|track| u64::from(track.codec.sample_rate()));
        let sample_rate = rates.max().unwrap_or(8_000);
        let frames = duration_ms * sample_rate / 1000;
        Ok(Self { plaintext, head, channels, index, sample_rate, frames })
    }

    /// Puts each track on its party's channel, as the manifest names them: a party that changes its codec in mid-call goes
    /// on in another track.
    pub fn with_tracks(mut self, tracks: &[VoiceTrack]) -> Self {
        let channel = |number| {
            let track = tracks.iter().find(|track| track.number == number)?;
            Some(match track.party {
                Party::Agent => 0,
                Party::Customer => 1,
            })
        };
        self.channels = self.head.tracks.iter().map(|track| channel(track.number)).collect();
        self
    }

    /// Bytes of the WAV file.
    pub fn len(&self) -> u64 {
        HEADER + self.frames * FRAME
    }

    /// Whether there is no sample at all.
    pub fn is_empty(&self) -> bool {
        self.frames == 0
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
        if range.start < HEADER {
            let head = wav::header(self.sample_rate, self.frames * FRAME);
            return Ok(head[range.start as usize..range.end.min(HEADER) as usize].to_vec());
        }
        let (from, to) = (range.start - HEADER, range.end - HEADER);
        let length = self.sample_rate * FRAME;
        let block = from / length;
        let samples = self.block(block).await?.samples;
        let mut bytes = Vec::with_capacity(length as usize);
        for frame in &samples {
            bytes.extend(frame[0].to_le_bytes());
            bytes.extend(frame[1].to_le_bytes());
        }
        let start = block * length;
        Ok(bytes[(from - start) as usize..(to - start).min(length) as usize].to_vec())
    }

    /// Peaks of the whole recording, in one pass and constant memory but for the result.
    pub async fn peaks(&self) -> Result<Peaks, PlaybackError> {
        let seconds = self.frames.div_ceil(self.sample_rate).max(1);
        let per_second = (MOST_PEAKS / seconds).clamp(1, 50);
        let window = self.sample_rate.div_ceil(per_second);
        let mut tracks = vec![Vec::new(); CHANNELS];
        let mut left = self.frames;
        let mut damaged: Vec<Range<u64>> = Vec::new();
        for block in 0..self.frames.div_ceil(self.sample_rate) {
            let Block { samples, damaged: here } = self.block(block).await?;
            here.into_iter().for_each(|span| add_span(&mut damaged, span));
            let whole = &samples[..left.min(self.sample_rate) as usize];
            left -= whole.len() as u64;
            for part in whole.chunks(window as usize) {
                for (channel, track) in tracks.iter_mut().enumerate() {
                    let values = part.iter().map(|frame| f32::from(frame[channel]) / 32768.0);
                    let (low, high) = values.fold((0f32, 0f32), |(low, high), v| (low.min(v), high.max(v)));
                    track.extend([low, high]);
                }
            }
        }
        Ok(Peaks { tracks, per_second: self.sample_rate as f64 / window as f64, damaged })
    }

    async fn block(&self, block: u64) -> Result<Block, PlaybackError> {
        let mut samples = vec![[0i16; 2]; self.sample_rate as usize];
        let Some(clusters) = self.clusters(block * 1000) else {
            return Ok(Block { samples, damaged: Vec::new() });
        };
        let next = clusters.end;
        let (mut opened, damaged) = self.open_clusters(clusters).await?;
        let follows = self.index.get(next).is_some_and(|n| n.time_ms < (block + 1) * 1000 + LONGEST_LOSS);
        if follows && self.ends_early(&opened, block) {
            // Loss, if it goes on soon.
            opened.extend(self.open_clusters(next..next + 1).await?.0);
        }
        self.render(&opened, block, &mut samples);
        Ok(Block { samples, damaged })
    }

    async fn open_clusters(
        &self,
        clusters: Range<usize>,
    ) -> Result<(Vec<Vec<u8>>, Vec<Range<u64>>), PlaybackError> {
        let whole = self.span(clusters.start).start..self.span(clusters.end - 1).end;
        match self.plaintext.read(whole).await {
            Ok(bytes) => Ok((vec![bytes], Vec::new())),
            // What is left of it is heard; the length was proved when it was opened, so nothing is out of place.
            Err(PlaybackError::Sealed(SealError::SegmentDamaged { .. })) => self.what_opens(clusters).await,
            Err(error) => Err(error),
        }
    }

    /// Cluster by cluster; with the times of those that do not open.
    async fn what_opens(
        &self,
        clusters: Range<usize>,
    ) -> Result<(Vec<Vec<u8>>, Vec<Range<u64>>), PlaybackError> {
        let (mut opened, mut damaged) = (Vec::new(), Vec::new());
        for cluster in clusters {
            match self.plaintext.read(self.span(cluster)).await {
                Ok(bytes) => opened.push(bytes),
                Err(PlaybackError::Sealed(SealError::SegmentDamaged { .. })) => {
                    let begin = self.index[cluster].time_ms;
                    let end = self.index.get(cluster + 1).map(|next| next.time_ms);
                    let end = end.unwrap_or(self.frames * 1000 / self.sample_rate);
                    add_span(&mut damaged, begin..end.max(begin));
                }
                Err(error) => return Err(error),
            }
        }
        Ok((opened, damaged))
    }

    /// Numbers of the clusters that may hold samples of the second that starts at `ms`.
    fn clusters(&self, ms: u64) -> Option<Range<usize>> {
        let remembers = self.head.tracks.iter().any(|track| codec::remembers(track.codec));
        let from = if remembers { ms.saturating_sub(codec::PREROLL_MS) } else { ms };
        let may_hold = |entry: &IndexEntry| {
            entry.time_ms < ms + 1000 && entry.time_ms + entry.span() + LONGEST_PACKET > from
        };
        let first = self.index.iter().position(may_hold)?;
        let last = self.index.iter().rposition(may_hold)?;
        Some(first..last + 1)
    }

    /// Plaintext of a cluster, up to the next.
    fn span(&self, cluster: usize) -> Range<u64> {
        let end = self.index.get(cluster + 1).map_or(self.plaintext.len(), |entry| entry.position);
        self.index[cluster].position..end
    }
}

/// Adds a span behind the others; together with the last one where they touch.
fn add_span(spans: &mut Vec<Range<u64>>, span: Range<u64>) {
    match spans.last_mut() {
        Some(last) if span.start <= last.end => last.end = last.end.max(span.end),
        _ => spans.push(span),
    }
}

#[cfg(test)]
mod tests;
