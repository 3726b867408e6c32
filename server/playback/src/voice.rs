//! A voice recording as a WAV file that exists only as byte ranges: PCM 16-bit at the highest sample rate of its tracks, left
//! the agent, right the customer.
//!
//! Rendered in fixed blocks of one second, so that any range of it gives the same bytes. Where no packet was recorded
//! (hold, a pause) there is silence, and time goes on; also where a segment was changed and does not open any more.
//! A gap of a few packets between two others is loss, and concealed. [`Voice::peaks`] says where that is, before anybody listens.

use crate::{
    PlaybackError,
    codec::{self, Decoder},
    conceal::Concealer,
    matroska::{self, Head},
    plaintext::{Payload, Plaintext},
};
use hindsight_seal::SealError;
use hindsight_wire::manifest::{IndexEntry, Party, VoiceTrack};
use std::ops::Range;

const CHANNELS: u64 = 2;
const FRAME: u64 = CHANNELS * 2;
const HEADER: u64 = 44;
/// A packet may be this long, milliseconds.
const LONGEST_PACKET: u64 = 120;
/// A longer gap is no loss, milliseconds.
const LONGEST_LOSS: u64 = 100;
/// A shorter one is a step of the timeline: no packet is missing, milliseconds.
const SHORTEST_LOSS: u64 = 10;
/// Over so much a concealed loss passes into what is heard after it, milliseconds.
const PASSAGE: u64 = 4;
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
        let channels = (0..head.tracks.len()).map(|at| (at < CHANNELS as usize).then_some(at)).collect();
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
            let head = wav_header(self.sample_rate, self.frames * FRAME);
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
        let mut tracks = vec![Vec::new(); CHANNELS as usize];
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

    /// Whether a track that is heard in a block is not heard to its end.
    fn ends_early(&self, clusters: &[Vec<u8>], block: u64) -> bool {
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

    /// Puts the packets of some clusters where they belong in a block.
    fn render(&self, clusters: &[Vec<u8>], block: u64, samples: &mut [[i16; 2]]) {
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

/// Adds a span behind the others; together with the last one where they touch.
fn add_span(spans: &mut Vec<Range<u64>>, span: Range<u64>) {
    match spans.last_mut() {
        Some(last) if span.start <= last.end => last.end = last.end.max(span.end),
        _ => spans.push(span),
    }
}

/// RIFF, `fmt ` (PCM) and the head of `data`. A file over 4 GiB says so by the largest size, as live WAVs do.
fn wav_header(sample_rate: u64, data: u64) -> [u8; HEADER as usize] {
    let short = |value: u64| u32::try_from(value).unwrap_or(u32::MAX).to_le_bytes();
    let mut out = [0u8; HEADER as usize];
    out[0..4].copy_from_slice(b"RIFF");
    out[4..8].copy_from_slice(&short(data + HEADER - 8));
    out[8..16].copy_from_slice(b"WAVEfmt ");
    out[16..20].copy_from_slice(&16u32.to_le_bytes());
    out[20..22].copy_from_slice(&1u16.to_le_bytes());
    out[22..24].copy_from_slice(&(CHANNELS as u16).to_le_bytes());
    out[24..28].copy_from_slice(&(sample_rate as u32).to_le_bytes());
    out[28..32].copy_from_slice(&((sample_rate * FRAME) as u32).to_le_bytes());
    out[32..34].copy_from_slice(&(FRAME as u16).to_le_bytes());
    out[34..36].copy_from_slice(&16u16.to_le_bytes());
    out[36..40].copy_from_slice(b"data");
    out[40..44].copy_from_slice(&short(data));
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        matroska::sample,
        plaintext::tests::{damage, sealed},
    };
    use hindsight_sip::sdp::Codec;

    /// One second of 8 kHz, bytes.
    const BLOCK: u64 = 8_000 * FRAME;

    /// `seconds` clusters of 50 packets a track: the agent's octet is the second, the customer's is silent.
    async fn recording(seconds: u32) -> Voice<Vec<u8>> {
        let mut plain = sample::head();
        let mut index = Vec::new();
        for second in 0..seconds {
            let time_ms = u64::from(second) * 1000;
            index.push(IndexEntry {
                time_ms,
                position: plain.len() as u64,
                key: true,
                span_ms: None,
                pictures: None,
            });
            let packets: Vec<_> = (0..50)
                .flat_map(|n| [(1, n * 20, vec![second as u8; 160]), (2, n * 20, vec![0xd5; 160])])
                .collect();
            plain.extend(sample::cluster(second * 1000, &packets));
        }
        let duration = u64::from(seconds) * 1000;
        Voice::open(sealed(&plain).await, index, duration).await.unwrap()
    }

    async fn all(voice: &Voice<Vec<u8>>, mut range: Range<u64>) -> Vec<u8> {
        let mut out = Vec::new();
        while range.start < range.end.min(voice.len()) {
            let part = voice.read(range.clone()).await.unwrap();
            assert!(!part.is_empty());
            range.start += part.len() as u64;
            out.extend(part);
        }
        out
    }

    #[tokio::test]
    async fn every_range_gives_the_bytes_of_the_whole() {
        let voice = recording(4).await;
        let whole = all(&voice, 0..u64::MAX).await;
        assert_eq!(whole.len() as u64, voice.len());
        assert_eq!(&whole[..4], b"RIFF");
        assert_eq!(i16::from_le_bytes([whole[44 + 32000], whole[44 + 32001]]), crate::g711::MU_LAW[1]);
        assert_eq!(i16::from_le_bytes([whole[46], whole[47]]), 8);
        for range in [0..44, 10..50, 43..45, 44..45, 31_990..64_100, 100_000..128_044, 128_043..200_000] {
            let end = (range.end as usize).min(whole.len());
            assert_eq!(all(&voice, range.clone()).await, whole[range.start as usize..end], "{range:?}");
        }
    }

    #[tokio::test]
    async fn a_seek_opens_only_the_segments_of_its_second() {
        let (short, long) = (recording(20).await, recording(7200).await);
        let mut costs = Vec::new();
        for voice in [&short, &long] {
            let before = voice.segments_opened();
            voice.read(44 + 10 * BLOCK..44 + 10 * BLOCK + 1).await.unwrap();
            costs.push(voice.segments_opened() - before);
        }
        assert_eq!(costs[0], costs[1]);
        assert!(costs[0] <= 12, "{costs:?}");
    }

    #[tokio::test]
    async fn packets_that_the_network_held_back_are_heard_at_their_own_time() {
        let mut plain = sample::head();
        let mut index = Vec::new();
        for second in 0..10u32 {
            IndexEntry::enter(
                &mut index,
                u64::from(second) * 1000,
                u64::from(second) * 1000 + 980,
                plain.len() as u64,
            );
            plain.extend(sample::cluster(second * 1000, &[(2, 0, vec![0xd5; 160])]));
        }
        // Four seconds of the agent come at once, in a cluster of the eleventh second.
        IndexEntry::enter(&mut index, 6000, 10_000, plain.len() as u64);
        plain.extend(sample::cluster(10_000, &[(1, -4000, vec![0x00; 160]), (1, -10, vec![0x00; 160])]));
        let voice = Voice::open(sealed(&plain).await, index, 11_000).await.unwrap();
        let at = |ms: u64| 44 + ms * 32;
        for (ms, sample) in [(6000, -32124), (9990, -32124), (5000, 0), (7000, 0)] {
            let bytes = voice.read(at(ms)..at(ms) + 2).await.unwrap();
            assert_eq!(i16::from_le_bytes([bytes[0], bytes[1]]), sample, "at {ms} ms");
        }
    }

    #[tokio::test]
    async fn a_gap_is_silence_and_peaks_show_the_voice() {
        let mut plain = sample::head();
        let position = plain.len() as u64;
        plain.extend(sample::cluster(2000, &[(1, 0, vec![0x00; 160])]));
        let index = vec![IndexEntry { time_ms: 2000, position, key: true, span_ms: None, pictures: None }];
        let voice = Voice::open(sealed(&plain).await, index, 3000).await.unwrap();
        let whole = all(&voice, 0..u64::MAX).await;
        assert!(whole[44..44 + 64_000].iter().all(|&b| b == 0));
        assert_eq!(i16::from_le_bytes([whole[44 + 64_000], whole[44 + 64_001]]), -32124);
        let peaks = voice.peaks().await.unwrap();
        assert_eq!(peaks.per_second, 50.0);
        assert_eq!(peaks.tracks[0].len(), 300);
        assert!(peaks.tracks[0][200] < -0.9 && peaks.tracks[0][199] == 0.0);
        assert!(peaks.tracks[1].iter().all(|&v| v == 0.0));
    }

    #[tokio::test]
    async fn what_does_not_open_is_silence_and_is_told_and_the_rest_is_heard() {
        let mut voice = recording(10).await;
        let sound = all(&voice, 0..u64::MAX).await;
        assert_eq!(voice.peaks().await.unwrap().damaged, []);
        // In the middle of the cluster of the fifth second: one segment, that no other cluster touches.
        let place = voice.span(4).start + 8_000;
        damage(&mut voice.plaintext, place);
        let heard = all(&voice, 0..u64::MAX).await;
        let second = |n: usize| 44 + n * 32_000..44 + (n + 1) * 32_000;
        assert!(heard[second(4)].iter().all(|byte| *byte == 0));
        assert!(heard[..second(4).start] == sound[..second(4).start]);
        assert!(heard[second(4).end..] == sound[second(4).end..]);
        let damaged = voice.peaks().await.unwrap().damaged;
        assert_eq!((damaged.len(), damaged[0].clone()), (1, 4000..5000));
    }

    #[tokio::test]
    async fn a_party_that_changes_its_codec_stays_on_its_channel() {
        // Agent: PCMU then PCMA; customer: PCMA then PCMU. Each second one of the four tracks speaks.
        let mut plain =
            sample::head_of(&[(1, Codec::Pcmu), (2, Codec::Pcma), (3, Codec::Pcma), (4, Codec::Pcmu)]);
        let mut index = Vec::new();
        for second in 0..4u8 {
            let (time_ms, position) = (u64::from(second) * 1000, plain.len() as u64);
            index.push(IndexEntry { time_ms, position, key: true, span_ms: None, pictures: None });
            plain.extend(sample::cluster(u32::from(second) * 1000, &[(second + 1, 0, vec![0x00; 160])]));
        }
        let track = |number, party| VoiceTrack {
            number,
            party,
            number_or_dn: String::new(),
            codec: String::new(),
            clock_rate: 8000,
        };
        let parties = [Party::Agent, Party::Customer, Party::Agent, Party::Customer];
        let tracks: Vec<VoiceTrack> = (1..).zip(parties).map(|(n, party)| track(n, party)).collect();
        let voice = Voice::open(sealed(&plain).await, index, 4000).await.unwrap().with_tracks(&tracks);
        let (mu, a) = (crate::g711::MU_LAW[0], crate::g711::A_LAW[0]);
        for (second, expected) in [[mu, 0], [0, a], [a, 0], [0, mu]].into_iter().enumerate() {
            let at = 44 + second as u64 * 32_000;
            let bytes = voice.read(at..at + 4).await.unwrap();
            let heard = [0, 2].map(|i| i16::from_le_bytes([bytes[i], bytes[i + 1]]));
            assert_eq!(heard, expected, "second {second}");
        }
    }

    /// 20 ms packets of a tone that slides from 300 Hz to 3 kHz, encoded; and the tone itself, at the codec's rate.
    fn encoded(codec: Codec, seconds: usize) -> (Vec<Vec<u8>>, Vec<i16>) {
        let rate = codec.sample_rate() as usize;
        let sound: Vec<i16> = (0..seconds * rate)
            .map(|n| {
                let t = n as f64 / rate as f64;
                let phase = std::f64::consts::TAU * (300.0 * t + 2700.0 * t * t / (2.0 * seconds as f64));
                (phase.sin() * 8000.0) as i16
            })
            .collect();
        let mut g722 =
            ezk_g722::libg722::encoder::Encoder::new(ezk_g722::libg722::Bitrate::Mode1_64000, false, false);
        let (channels, application) = (opusic_c::Channels::Mono, opusic_c::Application::Voip);
        let mut opus = opusic_c::Encoder::new(channels, opusic_c::SampleRate::Hz48000, application).unwrap();
        let packets = sound.chunks(rate / 50).map(|frame| match codec {
            Codec::G722 => g722.encode(frame),
            _ => {
                let frame: Vec<u16> = frame.iter().map(|sample| sample.cast_unsigned()).collect();
                let mut packet = vec![0; 1500];
                let length = opus.encode_to_slice(&frame, &mut packet).unwrap();
                packet.truncate(length);
                packet
            }
        });
        (packets.collect(), sound)
    }

    /// Best correlation of two sounds within 20 ms, and where.
    fn correlation(a: &[i16], b: &[i16], most: usize) -> (f64, usize) {
        let at = |lag: usize| {
            let pairs = a.iter().zip(&b[lag..]).map(|(a, b)| (f64::from(*a), f64::from(*b)));
            let (ab, aa, bb) =
                pairs.fold((0.0, 0.0, 0.0), |(ab, aa, bb), (a, b)| (ab + a * b, aa + a * a, bb + b * b));
            ab / (aa * bb).sqrt()
        };
        (0..most)
            .map(|lag| (at(lag), lag))
            .fold((-1.0, 0), |best, next| if next.0 > best.0 { next } else { best })
    }

    #[tokio::test]
    async fn wideband_voices_are_heard_at_their_rate_and_every_range_gives_the_bytes_of_the_whole() {
        for codec in [Codec::G722, Codec::Opus] {
            let (packets, sound) = encoded(codec, 4);
            let mut plain = sample::head_of(&[(1, codec), (2, Codec::Pcma)]);
            let mut index = Vec::new();
            for (second, packets) in (0u32..).zip(packets.chunks(50)) {
                let (time_ms, position) = (u64::from(second) * 1000, plain.len() as u64);
                index.push(IndexEntry { time_ms, position, key: true, span_ms: None, pictures: None });
                let blocks: Vec<_> = (0i16..)
                    .zip(packets)
                    .flat_map(|(n, packet)| [(1, n * 20, packet.clone()), (2, n * 20, vec![0x2a; 160])])
                    .collect();
                plain.extend(sample::cluster(second * 1000, &blocks));
            }
            let voice = Voice::open(sealed(&plain).await, index, 4000).await.unwrap();
            let whole = all(&voice, 0..u64::MAX).await;
            let rate = codec.sample_rate();
            assert_eq!(whole[24..28], rate.to_le_bytes());
            assert_eq!(whole.len(), 44 + rate as usize * 4 * 4);
            for range in [0..44, 40..100, 31_990..200_003, 100_000..400_000] {
                let end = (range.end as usize).min(whole.len());
                assert_eq!(all(&voice, range.clone()).await, whole[range.start as usize..end], "{range:?}");
            }
            let channel = |at: usize| -> Vec<i16> {
                whole[44..].chunks_exact(4).map(|f| i16::from_le_bytes([f[at], f[at + 1]])).collect()
            };
            let heard = channel(0);
            let (best, lag) = correlation(&sound[..heard.len() - 2_000], &heard, rate as usize / 50);
            println!("{codec:?}: correlation {best:.4} at {lag} samples");
            assert!(best >= 0.95, "{codec:?}: {best} at {lag}");
            // Where two blocks meet the sound goes on: no step that the tone itself does not have.
            for second in 1..4 {
                let at = rate as usize * second;
                let step = |at: usize| (i32::from(heard[at]) - i32::from(heard[at - 1])).abs();
                let usual = (at - 400..at - 50).map(step).max().unwrap();
                assert!(step(at) <= usual * 2 + 200, "{codec:?}: a step of {} at {second} s", step(at));
            }
            // A narrow-band track beside it keeps its level.
            let expected = crate::g711::A_LAW[0x2a];
            assert!(channel(2)[100..rate as usize].iter().all(|sample| *sample == expected));
        }
    }
}
