//! The append-only writer of a sealed recording.

use crate::cipher::{Flag, StreamCipher, header};
use crate::envelope::{random, seal_envelope};
use crate::layout::capacity;
use crate::{DataKey, Recipient, SEGMENT_LEN, SealError};
use uuid::Uuid;
use zeroize::{Zeroize, Zeroizing};

/// Seals one recording as its bytes come. Whole segments leave it at once, except that one full segment is held
/// back until another byte follows, because only then it is known not to be the last.
///
/// Dropped without [`Sealer::finish`], the file ends without the final flag, as after a crash.
pub struct Sealer {
    cipher: StreamCipher,
    segment: u32,
    /// Plaintext of the open segment, at most its capacity.
    held: Zeroizing<Vec<u8>>,
    written: u64,
}

impl Sealer {
    /// Starts a recording with a key of its own. The bytes returned begin the file: the envelope (4096 bytes, 8192
    /// with many recipients) and the stream header (40).
    pub fn new(recording: Uuid, recipients: &[Recipient]) -> Result<(Self, Vec<u8>), SealError> {
        let secret = Zeroizing::new(random()?);
        let header = header(random()?);
        let key = DataKey::new(*secret, recording, &header);
        let mut start = seal_envelope(&key, recipients)?;
        start.extend(header);
        let cipher = StreamCipher::new(&key.secret, recording, &header)?;
        let held = Zeroizing::new(Vec::with_capacity(SEGMENT_LEN));
        Ok((Self { cipher, segment: 0, held, written: 0 }, start))
    }

    /// Appends plaintext; the segments that are complete by now are appended to `out`.
    pub fn write(&mut self, mut plaintext: &[u8], out: &mut Vec<u8>) -> Result<(), SealError> {
        let full = (self.held.len() + plaintext.len()).saturating_sub(1) / capacity(1);
        out.reserve((full + 1) * SEGMENT_LEN);
        self.written += plaintext.len() as u64;
        while self.held.len() + plaintext.len() > capacity(self.segment) {
            let (now, later) = plaintext.split_at(capacity(self.segment) - self.held.len());
            self.release(now, Flag::More, out)?;
            plaintext = later;
        }
        self.held.extend_from_slice(plaintext);
        Ok(())
    }

    /// Appends the final segment. Always there, empty only for an empty recording.
    pub fn finish(mut self, out: &mut Vec<u8>) -> Result<(), SealError> {
        self.release(&[], Flag::Final, out)
    }

    /// Plaintext bytes written so far.
    pub fn plaintext_len(&self) -> u64 {
        self.written
    }

    /// Plaintext bytes that have not left in a segment yet; at most one full segment.
    pub fn unsealed_len(&self) -> usize {
        self.held.len()
    }

    /// How many more bytes make every byte written so far leave in a sealed segment; 0 when none waits. More do as
    /// well, so round up to what the smallest padding element needs: [`crate::MIN_FREE_BOX`], [`crate::MIN_VOID`].
    pub fn padding_to_release(&self) -> usize {
        if self.held.is_empty() { 0 } else { capacity(self.segment) + 1 - self.held.len() }
    }

    /// Seals what is held together with `rest` as one segment; the plaintext is encrypted where it will stay.
    fn release(&mut self, rest: &[u8], flag: Flag, out: &mut Vec<u8>) -> Result<(), SealError> {
        let next = self.segment.checked_add(1).ok_or(SealError::TooLong)?;
        let start = out.len();
        out.extend_from_slice(&self.held);
        out.extend_from_slice(rest);
        let tag = self.cipher.seal(self.segment, flag, &mut out[start..]).inspect_err(|_| {
            out[start..].zeroize();
            out.truncate(start);
        })?;
        out.extend_from_slice(&tag);
        self.held.clear();
        self.segment = next;
        Ok(())
    }
}
