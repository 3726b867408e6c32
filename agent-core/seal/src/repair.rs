//! Giving a cut payload its final flag.

use crate::cipher::{Flag, StreamCipher};
use crate::opener::{append_opened, why_last};
use crate::{DataKey, HEADER_LEN, PayloadShape, SealError};
use uuid::Uuid;
use zeroize::Zeroizing;

/// Seals the last segment of a payload that [`crate::trim_len`] has cut to whole segments again, as the final one;
/// the result replaces it, byte for byte as long. A segment that is final already comes back unchanged.
///
/// Nonces stay unique: a segment with flag 0 was only ever released because a byte followed it, so the recorder
/// never sealed this number with flag 1; and sealing it twice here gives the same bytes.
pub fn reseal_last(
    recording: Uuid,
    key: &DataKey,
    header: &[u8; HEADER_LEN],
    payload_len: u64,
    last_segment: &[u8],
) -> Result<Vec<u8>, SealError> {
    let shape = PayloadShape::new(payload_len)?;
    let segment = shape.last();
    let range = shape.segment(segment);
    let (expected, given) = (range.end - range.start, last_segment.len() as u64);
    if expected != given {
        return Err(SealError::WrongLength { expected, given });
    }
    let cipher = StreamCipher::new(&key.secret, recording, header)?;
    let mut plaintext = Zeroizing::new(Vec::with_capacity(last_segment.len()));
    if append_opened(&cipher, segment, Flag::Final, last_segment, &mut plaintext) {
        return Ok(last_segment.to_vec());
    }
    if !append_opened(&cipher, segment, Flag::More, last_segment, &mut plaintext) {
        return Err(why_last(&cipher, key.belonging(recording, header), segment, last_segment));
    }
    let tag = cipher.seal(segment, Flag::Final, &mut plaintext)?;
    let mut resealed = plaintext.to_vec();
    resealed.extend_from_slice(&tag);
    Ok(resealed)
}
