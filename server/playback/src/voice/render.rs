//! The packets of a block of one second, decoded, concealed where some are lost, and put where they belong.

use super::Voice;
use crate::{
    codec::{self, Decoder},
    conceal::Concealer,
    matroska,
};

/// A longer gap is no loss, milliseconds.
pub(super) const LONGEST_LOSS: u64 = 100;
/// A shorter one is a step of the timeline: no packet is missing, milliseconds.
const SHORTEST_LOSS: u64 = 10;
/// Over so much a concealed loss passes into what is heard after it, milliseconds.
const PASSAGE: u64 = 4;

impl<P> Voice<P> {
    /// Whether a track that is heard in a block is not heard to its end.
    pub(super) fn ends_early(&self, clusters: &[Vec<u8>], block: u64) -> bool {
        let end = ((block + 1) * self.sample_rate) as i64;
        let mut ends = vec![None; self.head.tracks.len()];
        for packet in clusters.iter().flat_map(|bytes| matroska::blocks(bytes)) {
            let Some(place) = self.head.tracks.iter().position(|track| track.number == packet.track) else {
                continue;
            };
            let length = codec::duration_ms(self.head.tracks[place].codec, packet.payload);
            let over = self.frame_of(packet.ticks) + (length * self.sample_rate / 1000) as i64;
            ends[place] = ends[place].max(Some(over));
        }
        ends.into_iter().flatten().any(|over| over < end)
    }

    /// Puts the packets of some clusters where they belong in a block.
    pub(super) fn render(&self, clusters: &[Vec<u8>], block: u64, samples: &mut [[i16; 2]]) {
        let start = (block * self.sample_rate) as i64;
        let earliest = start - (codec::PREROLL_MS * self.sample_rate / 1000) as i64;
        let mut packets: Vec<matroska::Block<'_>> =
            clusters.iter().flat_map(|bytes| matroska::blocks(bytes)).collect();
        packets.sort_by_key(|packet| packet.ticks);
        let ms = |ms: u64| (ms * self.sample_rate / 1000) as i64;
        let mut decoded = Vec::new();
        for (track, channel) in self.head.tracks.iter().zip(&self.channels) {
            let Some(channel) = *channel else { continue };
            let mut decoder = Decoder::new(track.codec);
            let mut heard = Concealer::new(track.codec.sample_rate());
            let repeat = (self.sample_rate / u64::from(track.codec.sample_rate())).max(1) as i64;
            let mut over = None;
            for packet in packets.iter().filter(|packet| packet.track == track.number) {
                let at = self.frame_of(packet.ticks);
                // One decoder that begins at one place, whatever clusters were read.
                if at < earliest {
                    continue;
                }
                let gap = over.map_or(0, |over| at - over);
                let mut passage = Vec::new();
                if (1..=ms(LONGEST_LOSS)).contains(&gap) {
                    let count = (gap / repeat) as usize;
                    if gap >= ms(SHORTEST_LOSS) {
                        decoder.conceal(count, &heard, packet.payload, &mut decoded);
                    } else {
                        decoded = heard.go_on(count);
                    }
                    paint(samples, channel, at - gap - start, repeat, &decoded);
                    heard.heard(&decoded);
                    passage = heard.go_on((ms(PASSAGE) / repeat) as usize);
                    heard.fade_from(count, &mut passage);
                }
                decoder.decode(packet.payload, &mut decoded);
                if decoded.is_empty() {
                    continue;
                }
                pass(&passage, &mut decoded);
                paint(samples, channel, at - start, repeat, &decoded);
                heard.heard(&decoded);
                over = Some(at + decoded.len() as i64 * repeat);
            }
        }
    }

    fn frame_of(&self, ticks: i64) -> i64 {
        let nanoseconds = i128::from(ticks) * i128::from(self.head.timestamp_scale);
        let frame = (nanoseconds * i128::from(self.sample_rate) + 500_000_000).div_euclid(1_000_000_000);
        i64::try_from(frame).unwrap_or(i64::MAX / 2)
    }
}

/// Puts samples of a track where they belong, `repeat` of the block's for one of the track's.
fn paint(block: &mut [[i16; 2]], channel: usize, at: i64, repeat: i64, samples: &[i16]) {
    let mut before = samples.first().copied().unwrap_or(0);
    for (i, &sample) in (0..).zip(samples) {
        let step = i64::from(sample) - i64::from(before);
        for k in 0..repeat {
            let place = usize::try_from(at + i * repeat + k).ok();
            if let Some(frame) = place.and_then(|place| block.get_mut(place)) {
                // Between two samples of a track of a lower rate: a straight line.
                frame[channel] = (i64::from(before) + step * (k + 1) / repeat) as i16;
            }
        }
        before = sample;
    }
}

/// From one sound into another, at its start.
fn pass(from: &[i16], into: &mut [i16]) {
    let length = from.len() as i64 + 1;
    for ((n, from), into) in (1..).zip(from).zip(into) {
        *into = ((i64::from(*from) * (length - n) + i64::from(*into) * n) / length) as i16;
    }
}
