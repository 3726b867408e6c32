//! Reading our own live Matroska (RFC 9559): the head, then clusters of known size; EBML Void between them is skipped.

use crate::PlaybackError;
use hindsight_sip::sdp::Codec;

const EBML: u32 = 0x1a45_dfa3;
const SEGMENT: u32 = 0x1853_8067;
const INFO: u32 = 0x1549_a966;
const TIMESTAMP_SCALE: u32 = 0x2a_d7b1;
const TRACKS: u32 = 0x1654_ae6b;
const TRACK_ENTRY: u32 = 0xae;
const TRACK_NUMBER: u32 = 0xd7;
const CODEC_ID: u32 = 0x86;
const CODEC_PRIVATE: u32 = 0x63a2;
pub const CLUSTER: u32 = 0x1f43_b675;
const TIMESTAMP: u32 = 0xe7;
const SIMPLE_BLOCK: u32 = 0xa3;
const BLOCK_GROUP: u32 = 0xa0;
const BLOCK: u32 = 0xa1;

/// `wFormatTag` of WAVEFORMATEX.
const WAVE_FORMAT_ALAW: u16 = 6;
const WAVE_FORMAT_MULAW: u16 = 7;
const WAVE_FORMAT_G722: u16 = 0x028f;

/// The longest EBML element header: 4 octets of id, 8 of size.
pub const MAX_HEADER: u64 = 12;

/// One element's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    pub id: u32,
    /// Octets of the header itself.
    pub len: usize,
    /// Octets of the body; `None`: unknown (a live segment).
    pub size: Option<u64>,
}

/// What stands before the first cluster.
#[derive(Clone, Debug, PartialEq)]
pub struct Head {
    /// Nanoseconds per tick.
    pub timestamp_scale: u64,
    pub tracks: Vec<Track>,
}

/// One track.
#[derive(Clone, Debug, PartialEq)]
pub struct Track {
    pub number: u64,
    pub codec: Codec,
}

/// One packet's payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block<'a> {
    pub track: u64,
    /// Ticks from the start of the recording.
    pub ticks: i64,
    pub payload: &'a [u8],
}

fn malformed(position: usize, reason: &'static str) -> PlaybackError {
    PlaybackError::Voice { position: position as u64, reason }
}

/// Reads the header of the element at the start of `bytes`; `None` when it is cut off or no EBML.
pub fn header(bytes: &[u8]) -> Option<Header> {
    let first = *bytes.first()?;
    let id_len = first.leading_zeros() as usize + 1;
    if id_len > 4 {
        return None;
    }
    let id = bytes.get(..id_len)?.iter().fold(0u32, |id, &octet| (id << 8) | u32::from(octet));
    let (size, size_len) = vint(bytes.get(id_len..)?)?;
    let unknown = size == (1 << (7 * size_len)) - 1;
    Some(Header { id, len: id_len + size_len, size: (!unknown).then_some(size) })
}

/// A variable-size integer (RFC 8794 4) without its marker, and its length.
fn vint(bytes: &[u8]) -> Option<(u64, usize)> {
    let first = *bytes.first()?;
    let len = first.leading_zeros() as usize + 1;
    if len > 8 {
        return None;
    }
    let marked = bytes.get(..len)?.iter().fold(0u64, |value, &octet| (value << 8) | u64::from(octet));
    Some((marked & !(1 << (7 * len)), len))
}

fn unsigned(bytes: &[u8]) -> Option<u64> {
    (bytes.len() <= 8).then(|| bytes.iter().fold(0u64, |value, &octet| (value << 8) | u64::from(octet)))
}

/// The children of a body, as far as they are whole.
fn children(body: &[u8]) -> impl Iterator<Item = (u32, &[u8])> {
    let mut rest = body;
    std::iter::from_fn(move || {
        let head = header(rest)?;
        let size = usize::try_from(head.size?).ok()?;
        let end = head.len.checked_add(size)?;
        let child = rest.get(head.len..end)?;
        rest = &rest[end..];
        Some((head.id, child))
    })
}

/// Reads everything before the first cluster.
pub fn head(bytes: &[u8]) -> Result<Head, PlaybackError> {
    let ebml = header(bytes).filter(|h| h.id == EBML).ok_or_else(|| malformed(0, "no EBML header"))?;
    let after = ebml
        .size
        .and_then(|size| usize::try_from(size).ok()?.checked_add(ebml.len))
        .filter(|&at| at < bytes.len())
        .ok_or_else(|| malformed(0, "EBML header cut off"))?;
    let segment =
        header(&bytes[after..]).filter(|h| h.id == SEGMENT).ok_or_else(|| malformed(after, "no segment"))?;
    let mut scale = 1_000_000;
    let mut tracks = Vec::new();
    for (id, body) in children(&bytes[after + segment.len..]) {
        match id {
            INFO => {
                if let Some((_, value)) = children(body).find(|(id, _)| *id == TIMESTAMP_SCALE) {
                    scale = unsigned(value)
                        .filter(|&ns| ns > 0)
                        .ok_or_else(|| malformed(after, "TimestampScale"))?;
                }
            }
            TRACKS => {
                for (_, entry) in children(body).filter(|(id, _)| *id == TRACK_ENTRY) {
                    tracks.push(
                        track(entry)
                            .ok_or_else(|| malformed(after, "a track in a codec that is not known"))?,
                    );
                }
            }
            CLUSTER => break,
            _ => {}
        }
    }
    if tracks.is_empty() {
        return Err(malformed(after, "no tracks"));
    }
    Ok(Head { timestamp_scale: scale, tracks })
}

fn track(entry: &[u8]) -> Option<Track> {
    let number =
        children(entry).find(|(id, _)| *id == TRACK_NUMBER).and_then(|(_, value)| unsigned(value))?;
    if children(entry).any(|(id, name)| id == CODEC_ID && name == b"A_OPUS") {
        return Some(Track { number, codec: Codec::Opus });
    }
    let (_, format) = children(entry).find(|(id, _)| *id == CODEC_PRIVATE)?;
    let codec = match u16::from_le_bytes(format.get(..2)?.try_into().ok()?) {
        WAVE_FORMAT_ALAW => Codec::Pcma,
        WAVE_FORMAT_MULAW => Codec::Pcmu,
        WAVE_FORMAT_G722 => Codec::G722,
        _ => return None,
    };
    Some(Track { number, codec })
}

/// The blocks of all clusters in `bytes`, which starts at an element and may be cut off anywhere.
pub fn blocks(bytes: &[u8]) -> Vec<Block<'_>> {
    let mut out = Vec::new();
    let mut rest = bytes;
    while let Some(head) = header(rest) {
        let Some(size) = head.size.and_then(|size| usize::try_from(size).ok()) else { break };
        let end = head.len.saturating_add(size).min(rest.len());
        if head.id == CLUSTER {
            cluster_blocks(&rest[head.len..end], &mut out);
        }
        rest = &rest[end..];
    }
    out
}

fn cluster_blocks<'a>(body: &'a [u8], out: &mut Vec<Block<'a>>) {
    let mut time = 0i64;
    for (id, element) in children(body) {
        match id {
            TIMESTAMP => time = unsigned(element).and_then(|t| i64::try_from(t).ok()).unwrap_or(0),
            SIMPLE_BLOCK => out.extend(block(element, time)),
            BLOCK_GROUP => {
                out.extend(
                    children(element).filter(|(id, _)| *id == BLOCK).filter_map(|(_, b)| block(b, time)),
                );
            }
            _ => {}
        }
    }
}

fn block(element: &[u8], cluster_time: i64) -> Option<Block<'_>> {
    let (track, len) = vint(element)?;
    let relative = i16::from_be_bytes(element.get(len..len + 2)?.try_into().ok()?);
    Some(Block { track, ticks: cluster_time + i64::from(relative), payload: element.get(len + 3..)? })
}

#[cfg(test)]
pub mod sample {
    //! A small writer, only for tests: the real one is the media server's.

    use hindsight_sip::sdp::Codec;

    fn element(id: &[u8], body: &[u8]) -> Vec<u8> {
        let mut out = id.to_vec();
        out.extend((body.len() as u64 | (1 << 56)).to_be_bytes());
        out.extend(body);
        out
    }

    fn track(number: u8, codec: Codec) -> Vec<u8> {
        let tag: u16 = match codec {
            Codec::Pcmu => 7,
            Codec::Pcma => 6,
            Codec::G722 => 0x028f,
            Codec::Opus => 0,
        };
        let mut format = tag.to_le_bytes().to_vec();
        format.extend([1, 0]);
        format.resize(18, 0);
        let name: &[u8] = if codec == Codec::Opus { b"A_OPUS" } else { b"A_MS/ACM" };
        let parts = [element(&[0xd7], &[number]), element(&[0x86], name), element(&[0x63, 0xa2], &format)];
        element(&[0xae], &parts.concat())
    }

    pub fn head() -> Vec<u8> {
        head_of(&[(1, Codec::Pcmu), (2, Codec::Pcma)])
    }

    pub fn head_of(tracks: &[(u8, Codec)]) -> Vec<u8> {
        let tracks: Vec<_> = tracks.iter().map(|&(number, codec)| track(number, codec)).collect();
        let mut out = element(&[0x1a, 0x45, 0xdf, 0xa3], &[]);
        out.extend([0x18, 0x53, 0x80, 0x67, 0x01, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
        out.extend(element(&[0x15, 0x49, 0xa9, 0x66], &element(&[0x2a, 0xd7, 0xb1], &[0x0f, 0x42, 0x40])));
        out.extend(element(&[0x16, 0x54, 0xae, 0x6b], &tracks.concat()));
        out
    }

    /// `blocks`: (track, milliseconds after the cluster's, payload).
    pub fn cluster(time: u32, blocks: &[(u8, i16, Vec<u8>)]) -> Vec<u8> {
        let mut body = element(&[0xe7], &time.to_be_bytes());
        for (track, relative, payload) in blocks {
            let mut block = vec![0x80 | track];
            block.extend(relative.to_be_bytes());
            block.push(0x80);
            block.extend(payload);
            body.extend(element(&[0xa3], &block));
        }
        element(&[0x1f, 0x43, 0xb6, 0x75], &body)
    }

    pub fn void(len: usize) -> Vec<u8> {
        element(&[0xec], &vec![0; len])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn head_and_blocks_are_read_past_voids() {
        let read = head(&sample::head()).unwrap();
        assert_eq!(read.timestamp_scale, 1_000_000);
        assert_eq!(read.tracks.iter().map(|t| t.number).collect::<Vec<_>>(), [1, 2]);
        assert_eq!((read.tracks[0].codec, read.tracks[1].codec), (Codec::Pcmu, Codec::Pcma));
        let mut bytes = sample::cluster(1000, &[(1, 0, vec![1, 2]), (2, 20, vec![3])]);
        bytes.extend(sample::void(5));
        bytes.extend(sample::cluster(2000, &[(1, 0, vec![4])]));
        let got: Vec<_> = blocks(&bytes).iter().map(|b| (b.track, b.ticks, b.payload.to_vec())).collect();
        assert_eq!(got, [(1, 1000, vec![1, 2]), (2, 1020, vec![3]), (1, 2000, vec![4])]);
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = head(&bytes);
            let _ = blocks(&bytes);
            let mut cut = sample::head();
            cut.extend(&bytes);
            let _ = head(&cut);
        }

        #[test]
        fn a_cut_cluster_gives_its_whole_blocks(cut in 0usize..80) {
            let bytes = sample::cluster(0, &[(1, 0, vec![9; 10]), (2, 0, vec![8; 10])]);
            let got = blocks(&bytes[..cut.min(bytes.len())]).len();
            prop_assert!(got <= 2);
        }
    }
}
