//! Small reads that lie close together, as one read of the sealed bytes.

use crate::{
    PlaybackError,
    fragments::malformed,
    plaintext::{Payload, Plaintext},
};
use std::ops::Range;

/// The plaintext around the last read.
pub struct Window<'a, P> {
    plain: &'a Plaintext<P>,
    start: u64,
    bytes: Vec<u8>,
}

impl<'a, P: Payload> Window<'a, P> {
    pub fn new(plain: &'a Plaintext<P>) -> Self {
        Self { plain, start: 0, bytes: Vec::new() }
    }

    /// The bytes of `range`. When they have to be read, those up to `ahead` are read as well.
    pub async fn get(&mut self, range: Range<u64>, ahead: u64) -> Result<&[u8], PlaybackError> {
        let held = self.start..self.start + self.bytes.len() as u64;
        if range.start < held.start || range.end > held.end {
            self.bytes = self.plain.read(range.start..range.end.max(ahead)).await?;
            self.start = range.start;
        }
        let from = (range.start - self.start) as usize;
        let len = (range.end - range.start) as usize;
        self.bytes.get(from..from + len).ok_or_else(|| malformed(range.start, "a fragment that is cut off"))
    }

    /// Length of the box of this kind at `position`.
    pub async fn box_len(&mut self, position: u64, kind: &[u8; 4], ahead: u64) -> Result<u64, PlaybackError> {
        let head = self.get(position..position + 8, ahead).await?;
        if head[4..] != *kind {
            return Err(malformed(position, "no fragment where the index has one"));
        }
        let len = u32::from_be_bytes([head[0], head[1], head[2], head[3]]);
        if len < 8 || u64::from(len) > self.plain.len() {
            return Err(malformed(position, "a box of absurd size"));
        }
        Ok(len.into())
    }
}
