//! Checking, or opening, a whole sealed recording from its first byte to its last.

use crate::cipher::{Flag, StreamCipher};
use crate::opener::why_last;
use crate::{
    DataKey, HEADER_LEN, Opener, PayloadShape, PrivateKey, SEGMENT_LEN, SealError, open_envelope, split,
};
use uuid::Uuid;
use zeroize::Zeroizing;

/// What a payload that verifies holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verified {
    /// Bytes of the payload.
    pub payload_len: u64,
    /// Bytes of the plaintext.
    pub plaintext_len: u64,
    /// Segments, the final one included.
    pub segments: u32,
}

/// Authenticates every segment of a payload that is pushed through it in pieces of any size. Goes on after a
/// failure, so that the reason given at the end tells one damaged segment from a payload that does not belong.
pub struct Verifier {
    recording: Uuid,
    key: DataKey,
    header: Vec<u8>,
    cipher: Option<StreamCipher>,
    payload_len: u64,
    segment: u32,
    /// The segment that has begun: held until another byte follows, as the last one is judged by its own flag.
    held: Zeroizing<Vec<u8>>,
    found: Found,
}

#[derive(Default)]
struct Found {
    opened: u32,
    first_damaged: Option<u32>,
    final_before_end: Option<u32>,
}

impl Verifier {
    /// Expects the payload's bytes from its first.
    pub fn new(recording: Uuid, key: &DataKey) -> Self {
        Self {
            recording,
            key: key.clone(),
            header: Vec::with_capacity(HEADER_LEN),
            cipher: None,
            payload_len: 0,
            segment: 0,
            held: Zeroizing::new(Vec::with_capacity(SEGMENT_LEN)),
            found: Found::default(),
        }
    }

    /// The next bytes of the payload. Fails only where nothing after it could be judged.
    pub fn write(&mut self, mut sealed: &[u8]) -> Result<(), SealError> {
        self.payload_len += sealed.len() as u64;
        if self.cipher.is_none() {
            let (now, later) = sealed.split_at(sealed.len().min(HEADER_LEN - self.header.len()));
            self.header.extend_from_slice(now);
            sealed = later;
            let Ok(header) = <[u8; HEADER_LEN]>::try_from(self.header.as_slice()) else { return Ok(()) };
            self.cipher = Some(StreamCipher::new(&self.key.secret, self.recording, &header)?);
        }
        while !sealed.is_empty() {
            if self.held.len() == full_len(self.segment) {
                self.check_followed()?;
            }
            let (now, later) = sealed.split_at(sealed.len().min(full_len(self.segment) - self.held.len()));
            self.held.extend_from_slice(now);
            sealed = later;
        }
        Ok(())
    }

    /// The payload has ended: the verdict.
    pub fn finish(mut self) -> Result<Verified, SealError> {
        let header: [u8; HEADER_LEN] =
            self.header.as_slice().try_into().map_err(|_| SealError::MalformedPayload)?;
        let cipher = self.cipher.take().ok_or(SealError::MalformedPayload)?;
        let shape = PayloadShape::new(self.payload_len);
        let belonging = self.key.belonging(self.recording, &header);
        let mut last = self.held.clone();
        let last_opens = shape.is_ok() && cipher.open(self.segment, Flag::Final, &mut last).is_some();
        let why_last = || match &shape {
            Ok(_) => why_last(&cipher, belonging, self.segment, &self.held),
            Err(error) => error.clone(),
        };
        if let Some(segment) = self.found.first_damaged {
            if self.found.opened == 0 && self.found.final_before_end.is_none() && !last_opens {
                let last = why_last();
                return Err(match last {
                    SealError::Truncated { .. } => SealError::SegmentDamaged { segment },
                    _ => belonging.mix_up().unwrap_or(SealError::EverySegmentDamaged),
                });
            }
            return Err(SealError::SegmentDamaged { segment });
        }
        if let Some(final_segment) = self.found.final_before_end {
            return Err(SealError::TrailingBytes { final_segment });
        }
        if !last_opens {
            return Err(why_last());
        }
        let shape = shape?;
        Ok(Verified {
            payload_len: self.payload_len,
            plaintext_len: shape.plaintext_len(),
            segments: self.segment + 1,
        })
    }

    /// Judges the full segment that is held, now that a byte follows it.
    fn check_followed(&mut self) -> Result<(), SealError> {
        let Some(cipher) = &self.cipher else { return Err(SealError::MalformedPayload) };
        let segment = self.segment;
        let mut copy = self.held.clone();
        if cipher.open(segment, Flag::More, &mut self.held).is_some() {
            self.found.opened += 1;
        } else if cipher.open(segment, Flag::Final, &mut copy).is_some() {
            self.found.final_before_end.get_or_insert(segment);
        } else {
            self.found.first_damaged.get_or_insert(segment);
        }
        self.held.clear();
        self.segment = segment.checked_add(1).ok_or(SealError::TooLong)?;
        Ok(())
    }
}

const fn full_len(segment: u32) -> usize {
    if segment == 0 { SEGMENT_LEN - HEADER_LEN } else { SEGMENT_LEN }
}

/// Checks a whole sealed file in memory. For large recordings use [`Verifier`].
pub fn verify(recording: Uuid, sealed: &[u8], key: &PrivateKey) -> Result<Verified, SealError> {
    let (envelope, payload) = split(sealed)?;
    let mut verifier = Verifier::new(recording, &open_envelope(envelope, key)?);
    verifier.write(payload)?;
    verifier.finish()
}

/// The plaintext of a whole sealed file in memory. For large recordings use [`Opener`].
pub fn open_all(recording: Uuid, sealed: &[u8], key: &PrivateKey) -> Result<Vec<u8>, SealError> {
    let (envelope, payload) = split(sealed)?;
    let key = open_envelope(envelope, key)?;
    let header = payload.first_chunk::<HEADER_LEN>().ok_or(SealError::MalformedPayload)?;
    let opener = Opener::new(recording, &key, header, payload.len() as u64)?;
    let last = opener.last_segment();
    opener.prove_length(&payload[last.start as usize..last.end as usize])?;
    let mut plaintext = Vec::new();
    opener.open_segments(0, &payload[HEADER_LEN..], &mut plaintext)?;
    Ok(plaintext)
}
