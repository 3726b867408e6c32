//! Live Matroska (RFC 9559): a segment of unknown size, its tracks declared at the start, clusters of known size.
//!
//! Pure: packets in, bytes out. A cluster holds at most one second. An entry of the index stands for the clusters up to
//! the next entry: their blocks start at most `INDEX_STEP_MS` after its time and never before it.

use crate::ebml;
use hindsight_sip::sdp::Codec;
use hindsight_wire::{
    RecordingId, Timestamp,
    manifest::{IndexEntry, Party, VoiceTrack},
};

/// Longest span of a cluster, milliseconds.
pub const MAX_CLUSTER_MS: i64 = 1_000;
/// A block may come in a cluster that starts this much later than the block, milliseconds: its packet was waited for.
const MAX_LATENESS_MS: i64 = 30_000;

const EBML: u32 = 0x1a45_dfa3;
const SEGMENT: u32 = 0x1853_8067;
const INFO: u32 = 0x1549_a966;
const TRACKS: u32 = 0x1654_ae6b;
const TRACK_ENTRY: u32 = 0xae;
const AUDIO: u32 = 0xe1;
const CLUSTER: u32 = 0x1f43_b675;
const CLUSTER_TIMESTAMP: u32 = 0xe7;
const SIMPLE_BLOCK: u32 = 0xa3;
/// Matroska dates count nanoseconds from 2001-01-01T00:00:00Z.
const MATROSKA_EPOCH_US: i64 = 978_307_200_000_000;

/// WAVEFORMATEX of a track in a codec of the Windows world, little-endian: one channel.
fn wave_format(codec: Codec) -> [u8; 18] {
    let (tag, octets_a_second, bits): (u16, u32, u8) = match codec {
        Codec::Pcmu => (0x0007, 8_000, 8),
        Codec::Pcma => (0x0006, 8_000, 8),
        Codec::G722 | Codec::Opus => (0x028f, 8_000, 4),
    };
    let mut format = [0; 18];
    format[0..2].copy_from_slice(&tag.to_le_bytes());
    format[2] = 1; // channels
    format[4..8].copy_from_slice(&codec.sample_rate().to_le_bytes());
    format[8..12].copy_from_slice(&octets_a_second.to_le_bytes());
    format[12] = 1; // block align
    format[14] = bits; // a sample
    format
}

/// `OpusHead` (RFC 7845 5.1): two channels (a packet with one is heard on both), nothing to skip at the start.
fn opus_head() -> [u8; 19] {
    let mut head = *b"OpusHead\x01\x02\0\0\0\0\0\0\0\0\0";
    head[12..16].copy_from_slice(&Codec::Opus.sample_rate().to_le_bytes());
    head
}

/// Writes one recording.
#[derive(Debug)]
pub struct Writer {
    /// Plaintext bytes written.
    position: u64,
    index: Vec<IndexEntry>,
    /// Blocks of the open cluster: (time, track, position of the payload in `payloads`).
    blocks: Vec<Block>,
    payloads: Vec<u8>,
    scratch: Vec<u8>,
    last_cluster_ms: i64,
}

#[derive(Clone, Copy, Debug)]
struct Block {
    at_ms: i64,
    track: u8,
    start: usize,
    end: usize,
}

impl Writer {
    /// Begins a recording: header, segment, info and tracks are appended to `out`.
    pub fn start(recording: RecordingId, at: Timestamp, tracks: &[VoiceTrack], out: &mut Vec<u8>) -> Self {
        let before = out.len();
        let mut header = Vec::new();
        ebml::uint(&mut header, 0x4286, 1); // EBMLVersion
        ebml::uint(&mut header, 0x42f7, 1); // EBMLReadVersion
        ebml::uint(&mut header, 0x42f2, 4); // EBMLMaxIDLength
        ebml::uint(&mut header, 0x42f3, 8); // EBMLMaxSizeLength
        ebml::string(&mut header, 0x4282, "matroska");
        ebml::uint(&mut header, 0x4287, 4); // DocTypeVersion
        ebml::uint(&mut header, 0x4285, 2); // DocTypeReadVersion
        ebml::master(out, EBML, &header);
        ebml::id(out, SEGMENT);
        out.extend_from_slice(&[0x01, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]); // unknown size

        let mut info = Vec::new();
        ebml::master(&mut info, 0x73a4, recording.0.as_bytes()); // SegmentUUID
        ebml::uint(&mut info, 0x2a_d7b1, 1_000_000); // TimestampScale: milliseconds
        ebml::int(&mut info, 0x4461, at.0.saturating_sub(MATROSKA_EPOCH_US).saturating_mul(1000)); // DateUTC
        ebml::string(&mut info, 0x4d80, "hindsight"); // MuxingApp
        ebml::string(&mut info, 0x5741, concat!("hindsight media-server ", env!("CARGO_PKG_VERSION"))); // WritingApp
        ebml::master(out, INFO, &info);

        let mut entries = Vec::new();
        for track in tracks {
            ebml::master(&mut entries, TRACK_ENTRY, &track_entry(track));
        }
        ebml::master(out, TRACKS, &entries);
        Self { position: (out.len() - before) as u64, ..Self::idle() }
    }

    /// A writer of nothing, between two parts.
    pub fn idle() -> Self {
        Self {
            position: 0,
            index: Vec::new(),
            blocks: Vec::new(),
            payloads: Vec::new(),
            scratch: Vec::new(),
            last_cluster_ms: 0,
        }
    }

    /// Takes one packet's payload for the open cluster. `track` is 1 to 126.
    pub fn block(&mut self, track: u8, at_ms: i64, payload: &[u8]) {
        let start = self.payloads.len();
        self.payloads.extend_from_slice(payload);
        self.blocks.push(Block { at_ms: at_ms.max(0), track, start, end: self.payloads.len() });
    }

    /// Whether blocks wait for [`Self::flush`].
    pub fn is_waiting(&self) -> bool {
        !self.blocks.is_empty()
    }

    /// Appends all blocks taken so far as clusters, in order of time.
    pub fn flush(&mut self, out: &mut Vec<u8>) {
        self.flush_before(i64::MAX, out);
    }

    /// The same for the blocks before this time; the others wait, because earlier ones may still come.
    pub fn flush_before(&mut self, limit_ms: i64, out: &mut Vec<u8>) {
        let mut blocks = std::mem::take(&mut self.blocks);
        blocks.sort_by_key(|block| block.at_ms);
        let ready = blocks.partition_point(|block| block.at_ms < limit_ms);
        let mut rest = &blocks[..ready];
        while let Some(first) = rest.first() {
            // Clusters never go back in time: blocks that were waited for get a negative offset in the next cluster.
            let base = first.at_ms.max(self.last_cluster_ms);
            let base = if base - first.at_ms > MAX_LATENESS_MS { first.at_ms } else { base };
            let count = rest.iter().take_while(|block| block.at_ms - base < MAX_CLUSTER_MS).count().max(1);
            let (now, later) = rest.split_at(count);
            self.cluster(base, now, out);
            rest = later;
        }
        self.keep(&mut blocks, ready);
        self.blocks = blocks;
    }

    /// Forgets the first blocks, and moves the payloads of the others together.
    fn keep(&mut self, blocks: &mut Vec<Block>, from: usize) {
        blocks.drain(..from);
        let mut payloads = std::mem::take(&mut self.scratch);
        payloads.clear();
        for block in blocks {
            let start = payloads.len();
            payloads.extend_from_slice(&self.payloads[block.start..block.end]);
            (block.start, block.end) = (start, payloads.len());
        }
        self.scratch = std::mem::replace(&mut self.payloads, payloads);
    }

    /// Counts bytes that were appended by others, such as padding.
    pub fn skip(&mut self, bytes: usize) {
        self.position += bytes as u64;
    }

    /// Where clusters start, about one a second.
    pub fn into_index(self) -> Vec<IndexEntry> {
        self.index
    }

    fn cluster(&mut self, base_ms: i64, blocks: &[Block], out: &mut Vec<u8>) {
        let content = &mut self.scratch;
        content.clear();
        ebml::uint(content, CLUSTER_TIMESTAMP, base_ms as u64);
        for block in blocks {
            let payload = &self.payloads[block.start..block.end];
            ebml::id(content, SIMPLE_BLOCK);
            ebml::size(content, 4 + payload.len() as u64);
            content.push(0x80 | block.track);
            content.extend_from_slice(&((block.at_ms - base_ms) as i16).to_be_bytes());
            content.push(0x80); // key frame, no lacing
            content.extend_from_slice(payload);
        }
        let before = out.len();
        ebml::master(out, CLUSTER, content);
        let times = |blocks: &[Block]| Some((blocks.first()?.at_ms as u64, blocks.last()?.at_ms as u64));
        if let Some((first, last)) = times(blocks) {
            IndexEntry::enter(&mut self.index, first, last, self.position);
        }
        self.position += (out.len() - before) as u64;
        self.last_cluster_ms = base_ms;
    }
}

fn track_entry(track: &VoiceTrack) -> Vec<u8> {
    let mut entry = Vec::new();
    ebml::uint(&mut entry, 0xd7, track.number); // TrackNumber
    ebml::uint(&mut entry, 0x73c5, track.number); // TrackUID
    ebml::uint(&mut entry, 0x83, 2); // TrackType: audio
    ebml::uint(&mut entry, 0x9c, 0); // FlagLacing
    let name = match track.party {
        Party::Agent => "agent",
        Party::Customer => "customer",
    };
    ebml::string(&mut entry, 0x536e, name);
    ebml::string(&mut entry, 0x22_b59c, "und"); // Language
    let codec = Codec::from_name(&track.codec).unwrap_or(Codec::Pcmu);
    let mut audio = Vec::new();
    ebml::float(&mut audio, 0xb5, f64::from(codec.sample_rate())); // SamplingFrequency
    match codec {
        Codec::Opus => {
            ebml::string(&mut entry, 0x86, "A_OPUS"); // CodecID
            ebml::master(&mut entry, 0x63a2, &opus_head()); // CodecPrivate
            ebml::uint(&mut entry, 0x56bb, 80_000_000); // SeekPreRoll, nanoseconds (RFC 9559 5.1.4.1.26)
            ebml::uint(&mut audio, 0x9f, 2); // Channels
        }
        Codec::Pcmu | Codec::Pcma | Codec::G722 => {
            let format = wave_format(codec);
            ebml::string(&mut entry, 0x86, "A_MS/ACM"); // CodecID
            ebml::master(&mut entry, 0x63a2, &format); // CodecPrivate
            ebml::uint(&mut audio, 0x9f, 1); // Channels
            ebml::uint(&mut audio, 0x6264, u64::from(format[14])); // BitDepth
        }
    }
    ebml::master(&mut entry, AUDIO, &audio);
    entry
}

#[cfg(test)]
mod tests;
