//! What of a recording at rest does not open any more, told in the time of its media. Memory does not grow with its length.

use anyhow::Context;
use hindsight_seal::{DataKey, HEADER_LEN, Opener, SEGMENT_LEN, SealError};
use hindsight_store::recordings::Recording;
use hindsight_wire::manifest::IndexEntry;
use std::{
    fs::File,
    io::{Read, Seek, SeekFrom},
    ops::Range,
    path::Path,
};

/// Segments read at a time.
const CHUNK: u64 = 64 * SEGMENT_LEN as u64;

/// What is missing, one line each.
pub fn missing(payload: &Path, recording: &Recording, key: &DataKey) -> anyhow::Result<Vec<String>> {
    let mut file = File::open(payload).with_context(|| payload.display().to_string())?;
    let len = file.metadata()?.len();
    let mut at = |range: Range<u64>| -> anyhow::Result<Vec<u8>> {
        let mut bytes = vec![0; usize::try_from(range.end - range.start)?];
        file.seek(SeekFrom::Start(range.start))?;
        file.read_exact(&mut bytes)?;
        Ok(bytes)
    };
    if len < (HEADER_LEN + SEGMENT_LEN) as u64 && len < recording.payload_size {
        return Ok(vec![format!("all of it: {len} of {} bytes are left", recording.payload_size)]);
    }
    let header = <[u8; HEADER_LEN]>::try_from(at(0..HEADER_LEN as u64)?);
    let header = header.map_err(|_| anyhow::anyhow!("the payload has no header"))?;
    let opened =
        Opener::new(recording.id().0, key, &header, len).map(|opener| (opener.last_segment(), opener));
    let (last, opener) = match opened {
        Ok(opened) => opened,
        Err(error) => return Ok(vec![format!("all of it: {error}")]),
    };
    if let Err(error) = opener.prove_length(&at(last)?) {
        return Ok(vec![format!("all of it, because its end is not what was sealed: {error}")]);
    }
    let mut damaged: Vec<Range<u64>> = Vec::new();
    let mut position = 0;
    while position < opener.plaintext_len() {
        let end = opener.plaintext_len().min(position + CHUNK);
        let segments = opener.segments_for(position..end)?;
        match opener.open_range(position..end, &at(segments)?) {
            Ok(_) => position = end,
            Err(SealError::SegmentDamaged { segment }) => {
                let begin = hindsight_seal::PayloadShape::plaintext_start(segment);
                let after = hindsight_seal::PayloadShape::plaintext_start(segment + 1);
                match damaged.last_mut() {
                    Some(span) if span.end == begin => span.end = after,
                    _ => damaged.push(begin..after),
                }
                position = after;
            }
            Err(error) => return Err(error.into()),
        }
    }
    let index = recording.index();
    let length = recording.duration_ms.unwrap_or_default();
    Ok(damaged.into_iter().map(|bytes| line(bytes, index, length, recording.is_voice())).collect())
}

/// The media that stands in these bytes.
fn line(bytes: Range<u64>, index: &[IndexEntry], length_ms: u64, voice: bool) -> String {
    let (start, end) = (bytes.start, bytes.end);
    let Some(first) = index.first().filter(|first| end > first.position) else {
        return format!("its head (bytes {start} to {end}): what is behind it cannot be played");
    };
    let from = index.iter().rfind(|entry| entry.position <= start).unwrap_or(first).time_ms;
    // Pictures after it are built on what is lost, up to the next key frame.
    let until = index.iter().find(|entry| entry.position >= end && (voice || entry.key));
    let to = until.map_or(length_ms, |entry| entry.time_ms);
    format!("{} to {} of the media (bytes {start} to {end})", clock(from), clock(to))
}

fn clock(ms: u64) -> String {
    format!("{}:{:02}.{:01}", ms / 60_000, ms / 1000 % 60, ms / 100 % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damage_is_told_in_the_time_of_the_media() {
        let entry =
            |time_ms, position, key| IndexEntry { time_ms, position, key, span_ms: None, pictures: None };
        let voice = [entry(0, 100, true), entry(1000, 5000, true), entry(62_000, 9000, true)];
        assert_eq!(
            line(4040..8120, &voice, 63_500, true),
            "0:00.0 to 1:02.0 of the media (bytes 4040 to 8120)"
        );
        assert_eq!(
            line(8120..12200, &voice, 63_500, true),
            "0:01.0 to 1:03.5 of the media (bytes 8120 to 12200)"
        );
        let screen = [entry(0, 700, true), entry(2000, 5000, false), entry(60_000, 9000, true)];
        assert_eq!(
            line(1000..4040, &screen, 61_000, false),
            "0:00.0 to 1:00.0 of the media (bytes 1000 to 4040)"
        );
        assert_eq!(
            line(0..600, &screen, 61_000, false),
            "its head (bytes 0 to 600): what is behind it cannot be played"
        );
    }
}
