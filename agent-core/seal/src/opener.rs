//! Random access to a sealed recording.

use crate::cipher::{Flag, StreamCipher};
use crate::keyset::Belonging;
use crate::{DataKey, HEADER_LEN, PayloadShape, SEGMENT_LEN, SealError, TAG_LEN};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use uuid::Uuid;
use zeroize::{Zeroize, Zeroizing};

/// Opens any segment of one payload, once its last segment has proved the length. Holds no plaintext; shared
/// between threads by reference.
pub struct Opener {
    cipher: StreamCipher,
    shape: PayloadShape,
    belonging: Belonging,
    length_proven: AtomicBool,
}

impl Opener {
    /// `header` is the first 40 bytes of the payload, `payload_len` its length as found in storage.
    pub fn new(
        recording: Uuid,
        key: &DataKey,
        header: &[u8; HEADER_LEN],
        payload_len: u64,
    ) -> Result<Self, SealError> {
        Ok(Self {
            cipher: StreamCipher::new(&key.secret, recording, header)?,
            shape: PayloadShape::new(payload_len)?,
            belonging: key.belonging(recording, header),
            length_proven: AtomicBool::new(false),
        })
    }

    /// Segments and sizes of the payload.
    pub fn shape(&self) -> PayloadShape {
        self.shape
    }

    /// Bytes of the plaintext; to be believed once the last segment has been opened.
    pub fn plaintext_len(&self) -> u64 {
        self.shape.plaintext_len()
    }

    /// The payload bytes to hand to [`Opener::prove_length`].
    pub fn last_segment(&self) -> Range<u64> {
        self.shape.segment(self.shape.last())
    }

    /// Opens the last segment: its flag proves that nothing is missing or added. Needed once, before any other.
    pub fn prove_length(&self, last_segment: &[u8]) -> Result<(), SealError> {
        let mut plaintext = Zeroizing::new(Vec::with_capacity(SEGMENT_LEN));
        self.open_one(self.shape.last(), last_segment, &mut plaintext)
    }

    /// The payload bytes (whole segments) to read for a range of the plaintext. Empty for an empty range.
    pub fn segments_for(&self, plaintext: Range<u64>) -> Result<Range<u64>, SealError> {
        let segments = self.shape.segments_of(&plaintext)?;
        let start = self.shape.segment(segments.start).start;
        if segments.is_empty() {
            return Ok(start..start);
        }
        Ok(start..self.shape.segment(segments.end - 1).end)
    }

    /// The plaintext range asked for, from exactly the payload bytes that [`Opener::segments_for`] named.
    pub fn open_range(&self, plaintext: Range<u64>, sealed: &[u8]) -> Result<Vec<u8>, SealError> {
        let segments = self.shape.segments_of(&plaintext)?;
        let mut out = Vec::new();
        if segments.is_empty() {
            expect_length(0, sealed)?;
            return Ok(out);
        }
        let bytes = self.segments_for(plaintext.clone())?;
        expect_length(bytes.end - bytes.start, sealed)?;
        self.open_segments(segments.start, sealed, &mut out)?;
        let skipped = plaintext.start - PayloadShape::plaintext_start(segments.start);
        out.drain(..skipped as usize);
        out.truncate((plaintext.end - plaintext.start) as usize);
        Ok(out)
    }

    /// The plaintext of one segment.
    pub fn open_segment(&self, segment: u32, sealed: &[u8]) -> Result<Vec<u8>, SealError> {
        let mut out = Vec::with_capacity(SEGMENT_LEN);
        self.open_one(segment, sealed, &mut out)?;
        Ok(out)
    }

    /// Appends the plaintext of consecutive whole segments, the first of which is `first`, to `out`. On an error
    /// `out` keeps what the segments before it held.
    pub fn open_segments(&self, first: u32, mut sealed: &[u8], out: &mut Vec<u8>) -> Result<(), SealError> {
        out.reserve(sealed.len());
        let mut segment = first;
        while !sealed.is_empty() {
            if segment > self.shape.last() {
                return Err(SealError::OutOfRange);
            }
            let range = self.shape.segment(segment);
            let len = ((range.end - range.start) as usize).min(sealed.len());
            let (now, later) = sealed.split_at(len);
            self.open_one(segment, now, out)?;
            sealed = later;
            segment += 1;
        }
        Ok(())
    }

    fn open_one(&self, segment: u32, sealed: &[u8], out: &mut Vec<u8>) -> Result<(), SealError> {
        let last = self.shape.last();
        if segment > last {
            return Err(SealError::OutOfRange);
        }
        let range = self.shape.segment(segment);
        expect_length(range.end - range.start, sealed)?;
        let flag = if segment == last { Flag::Final } else { Flag::More };
        if segment != last && !self.length_proven.load(Ordering::Acquire) {
            return Err(SealError::LengthNotProven);
        }
        if !append_opened(&self.cipher, segment, flag, sealed, out) {
            return Err(if segment == last {
                why_last(&self.cipher, self.belonging, segment, sealed)
            } else {
                SealError::SegmentDamaged { segment }
            });
        }
        if segment == last {
            self.length_proven.store(true, Ordering::Release);
        }
        Ok(())
    }
}

fn expect_length(expected: u64, sealed: &[u8]) -> Result<(), SealError> {
    let given = sealed.len() as u64;
    if given == expected { Ok(()) } else { Err(SealError::WrongLength { expected, given }) }
}

/// Appends the segment's plaintext; leaves `out` as it was when the segment does not authenticate.
pub(crate) fn append_opened(
    cipher: &StreamCipher,
    segment: u32,
    flag: Flag,
    sealed: &[u8],
    out: &mut Vec<u8>,
) -> bool {
    let start = out.len();
    out.extend_from_slice(sealed);
    let opened = cipher.open(segment, flag, &mut out[start..]).is_some();
    if opened {
        out.truncate(out.len() - TAG_LEN);
    } else {
        out[start..].zeroize();
        out.truncate(start);
    }
    opened
}

/// Why the last segment does not open as the final one.
pub(crate) fn why_last(
    cipher: &StreamCipher,
    belonging: Belonging,
    segment: u32,
    sealed: &[u8],
) -> SealError {
    let mut copy = Zeroizing::new(sealed.to_vec());
    if cipher.open(segment, Flag::More, &mut copy).is_some() {
        return SealError::Truncated { last_present: segment };
    }
    let full = if segment == 0 { SEGMENT_LEN - HEADER_LEN } else { SEGMENT_LEN };
    match belonging.mix_up() {
        Some(mix_up) => mix_up,
        // A cut at a segment's end leaves that segment intact, so a whole one that fails was changed.
        None if sealed.len() == full => SealError::SegmentDamaged { segment },
        None => SealError::TailDamaged { segment },
    }
}
