//! Index and length of a recording that a crash cut off, read from its plaintext in one pass and constant memory.

use crate::{
    PlaybackError, codec,
    fragments::{self, Sample},
    matroska,
    plaintext::{Payload, Plaintext},
};
use hindsight_wire::manifest::IndexEntry;

/// The longest cluster that is believed: a second of two tracks of G.711 is 17 KB, of Opus at its highest rate 130 KB.
const MOST_CLUSTER: u64 = 1 << 20;

/// What a cut recording still holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Rebuilt {
    /// Every whole cluster or fragment (the last cluster may be cut: its whole blocks count).
    pub index: Vec<IndexEntry>,
    /// Length of the media that can be replayed, milliseconds.
    pub duration_ms: u64,
}

/// Of a voice recording.
pub async fn rebuild_voice<P: Payload>(plain: &Plaintext<P>) -> Result<Rebuilt, PlaybackError> {
    let mut position = first_cluster(plain).await?;
    let head = matroska::head(&plain.read(0..position).await?)?;
    let ms = |ticks: u64| {
        u64::try_from(u128::from(ticks) * u128::from(head.timestamp_scale) / 1_000_000).unwrap_or(0)
    };
    let mut rebuilt = Rebuilt { index: Vec::new(), duration_ms: 0 };
    loop {
        let start = plain.read(position..position + matroska::MAX_HEADER).await?;
        let Some(found) = matroska::header(&start) else { break };
        let size = found.size.filter(|&size| size <= MOST_CLUSTER);
        let size =
            size.ok_or(PlaybackError::Voice { position, reason: "an element of unknown or absurd size" })?;
        let end = position + found.len as u64 + size;
        if found.id == matroska::CLUSTER {
            let bytes = plain.read(position..end).await?;
            let (mut first, mut last) = (u64::MAX, 0);
            for block in matroska::blocks(&bytes) {
                let time = ms(block.ticks.max(0) as u64);
                let track = head.tracks.iter().find(|track| track.number == block.track);
                let length = track.map_or(0, |track| codec::duration_ms(track.codec, block.payload));
                rebuilt.duration_ms = rebuilt.duration_ms.max(time + length);
                (first, last) = (first.min(time), last.max(time));
            }
            if first <= last {
                IndexEntry::enter(&mut rebuilt.index, first, last, position);
            }
        }
        position = end;
    }
    Ok(rebuilt)
}

/// The head ends where the first cluster begins; both are found by walking the elements.
async fn first_cluster<P: Payload>(plain: &Plaintext<P>) -> Result<u64, PlaybackError> {
    let mut position = 0;
    loop {
        let start = plain.read(position..position + matroska::MAX_HEADER).await?;
        let Some(found) = matroska::header(&start) else { return Ok(position) };
        match (found.id, found.size) {
            (matroska::CLUSTER, _) => return Ok(position),
            // The live segment: step inside.
            (_, None) => position += found.len as u64,
            (_, Some(size)) if size <= MOST_CLUSTER => position += found.len as u64 + size,
            _ => return Err(PlaybackError::Voice { position, reason: "an element of absurd size" }),
        }
    }
}

/// Of a screen recording: whole fragments only.
pub async fn rebuild_screen<P: Payload>(plain: &Plaintext<P>) -> Result<Rebuilt, PlaybackError> {
    let (moov, head) = fragments::head(plain).await?;
    let track =
        moov.trak.first().ok_or(PlaybackError::Screen { position: head.range.start, reason: "no track" })?;
    let timescale = u64::from(track.mdia.mdhd.timescale.max(1));
    let mut rebuilt = Rebuilt { index: Vec::new(), duration_ms: 0 };
    let mut position = head.range.end;
    let mut open = None;
    while let Some(found) = fragments::box_at(plain, position).await? {
        if found.range.end > plain.len() {
            break;
        }
        match &found.kind {
            b"moof" => open = Some((found.range.start, fragments::fragment(plain, &found).await?)),
            b"mdat" => {
                if let Some((position, fragment)) = open.take() {
                    rebuilt.index.push(IndexEntry {
                        time_ms: fragment.start * 1000 / timescale,
                        position,
                        key: fragment.samples.first().is_some_and(Sample::key),
                        span_ms: None,
                        pictures: fragment.pictures(),
                    });
                    rebuilt.duration_ms = (fragment.start + fragment.duration()) * 1000 / timescale;
                }
            }
            _ => {}
        }
        position = found.range.end;
    }
    Ok(rebuilt)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Voice, matroska::sample, plaintext::tests::sealed};

    #[tokio::test]
    async fn a_cut_voice_keeps_its_whole_blocks_and_can_be_replayed() {
        let mut plain = sample::head();
        for second in 0..5u32 {
            let packets: Vec<_> = (0..50).map(|n| (1, n * 20, vec![0u8; 160])).collect();
            plain.extend(sample::cluster(second * 1000, &packets));
            plain.extend(sample::void(30));
        }
        let whole = rebuild_voice(&sealed(&plain).await).await.unwrap();
        assert_eq!((whole.index.len(), whole.duration_ms), (5, 5000));
        let cut = plain.len() - 30 - 4000;
        let torn = rebuild_voice(&sealed(&plain[..cut]).await).await.unwrap();
        assert_eq!(torn.index, whole.index);
        assert!((4400..4600).contains(&torn.duration_ms), "{}", torn.duration_ms);
        let voice = Voice::open(sealed(&plain[..cut]).await, torn.index, torn.duration_ms).await.unwrap();
        let last = voice.read(44 + 4 * 32_000..44 + 4 * 32_000 + 4).await.unwrap();
        assert_eq!(i16::from_le_bytes([last[0], last[1]]), -32124);
    }

    #[tokio::test]
    async fn foreign_bytes_are_refused_with_their_place() {
        let noise = sealed(&[0x42; 5000]).await;
        assert!(rebuild_voice(&noise).await.is_err());
        assert!(rebuild_screen(&noise).await.is_err());
    }
}
