//! Where things are in a sealed file. Arithmetic only.

use crate::SealError;
use std::ops::Range;

/// Bytes of ciphertext per segment (Tink's AES256_GCM_HKDF_4KB). Segment k ends at `(k + 1) * SEGMENT_LEN` of the
/// payload, so that whole segments are whole pages.
pub const SEGMENT_LEN: usize = 4096;
/// Bytes of the Tink stream header at the start of the payload.
pub const HEADER_LEN: usize = 40;
/// Bytes of the authentication tag at the end of each segment.
pub const TAG_LEN: usize = 16;
/// Sizes an envelope may have; the smallest that holds the recipients is written.
pub const ENVELOPE_SIZES: [usize; 2] = [4096, 8192];

/// Plaintext bytes of a full segment.
pub(crate) const fn capacity(segment: u32) -> usize {
    if segment == 0 { SEGMENT_LEN - HEADER_LEN - TAG_LEN } else { SEGMENT_LEN - TAG_LEN }
}

/// Size of the envelope at the start of a sealed file, from its first four bytes (`30 82 hi lo`): the payload
/// follows it at once.
pub fn envelope_len(start: &[u8]) -> Result<usize, SealError> {
    match start {
        [0x30, 0x82, high, low, ..] => {
            let len = 4 + usize::from(u16::from_be_bytes([*high, *low]));
            if ENVELOPE_SIZES.contains(&len) {
                Ok(len)
            } else {
                Err(SealError::MalformedEnvelope("its size is neither 4096 nor 8192"))
            }
        }
        _ => Err(SealError::MalformedEnvelope("a sealed file begins with a DER sequence")),
    }
}

/// Envelope and payload of a sealed file.
pub fn split(sealed: &[u8]) -> Result<(&[u8], &[u8]), SealError> {
    let len = envelope_len(sealed)?;
    sealed.split_at_checked(len).ok_or(SealError::MalformedEnvelope("shorter than it says"))
}

/// The single file of an envelope and a payload kept apart. Refuses an envelope of another size than the format's.
pub fn join(envelope: &[u8], payload: &[u8]) -> Result<Vec<u8>, SealError> {
    if envelope_len(envelope)? != envelope.len() {
        return Err(SealError::MalformedEnvelope("not the size it says"));
    }
    Ok([envelope, payload].concat())
}

/// Length of the whole segments in a payload that a crash has cut; 0 when not even one is whole.
pub const fn trim_len(payload_len: u64) -> u64 {
    payload_len - payload_len % SEGMENT_LEN as u64
}

/// Segments and plaintext of a payload, by its length alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PayloadShape {
    payload_len: u64,
    last: u32,
}

impl PayloadShape {
    /// Refuses lengths that no writer produces: less than a header and a tag, or a last segment without plaintext
    /// (only segment 0 may be empty).
    pub fn new(payload_len: u64) -> Result<Self, SealError> {
        if payload_len < (HEADER_LEN + TAG_LEN) as u64 {
            return Err(SealError::MalformedPayload);
        }
        let last = u32::try_from((payload_len - 1) / SEGMENT_LEN as u64).map_err(|_| SealError::TooLong)?;
        let shape = Self { payload_len, last };
        let tail = shape.segment(last).end - shape.segment(last).start;
        if last > 0 && tail <= TAG_LEN as u64 {
            return Err(SealError::TailDamaged { segment: last });
        }
        Ok(shape)
    }

    /// Bytes of the payload.
    pub const fn payload_len(&self) -> u64 {
        self.payload_len
    }

    /// Number of the last segment.
    pub const fn last(&self) -> u32 {
        self.last
    }

    /// Bytes of the plaintext.
    pub const fn plaintext_len(&self) -> u64 {
        self.payload_len - HEADER_LEN as u64 - (self.last as u64 + 1) * TAG_LEN as u64
    }

    /// Where the segment's bytes are in the payload.
    pub fn segment(&self, segment: u32) -> Range<u64> {
        let start = if segment == 0 { HEADER_LEN as u64 } else { u64::from(segment) * SEGMENT_LEN as u64 };
        start..((u64::from(segment) + 1) * SEGMENT_LEN as u64).min(self.payload_len)
    }

    /// Position in the plaintext of the segment's first byte.
    pub fn plaintext_start(segment: u32) -> u64 {
        (u64::from(segment) * capacity(1) as u64).saturating_sub(HEADER_LEN as u64)
    }

    /// The segments that hold a range of the plaintext; none for an empty range.
    pub fn segments_of(&self, plaintext: &Range<u64>) -> Result<Range<u32>, SealError> {
        if plaintext.start > plaintext.end || plaintext.end > self.plaintext_len() {
            return Err(SealError::OutOfRange);
        }
        let holding = |position: u64| ((position + HEADER_LEN as u64) / capacity(1) as u64) as u32;
        if plaintext.is_empty() {
            let at = holding(plaintext.start).min(self.last);
            return Ok(at..at);
        }
        Ok(holding(plaintext.start)..holding(plaintext.end - 1) + 1)
    }
}
