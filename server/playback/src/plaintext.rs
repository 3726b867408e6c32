//! Random access to the decrypted bytes of a recording: only the segments asked for are read and opened.

use crate::PlaybackError;
use hindsight_seal::{DataKey, HEADER_LEN, Opener, SEGMENT_LEN};
use std::{
    future::Future,
    io,
    ops::Range,
    sync::atomic::{AtomicU64, Ordering},
};
use uuid::Uuid;

/// Where the sealed payload (`.tink`) is kept.
pub trait Payload: Send + Sync {
    /// Bytes in all.
    fn len(&self) -> u64;

    /// Whether there is nothing at all.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Exactly the bytes of `range`.
    fn read(&self, range: Range<u64>) -> impl Future<Output = io::Result<Vec<u8>>> + Send;
}

/// A payload held in memory.
impl Payload for Vec<u8> {
    fn len(&self) -> u64 {
        Vec::len(self) as u64
    }

    async fn read(&self, range: Range<u64>) -> io::Result<Vec<u8>> {
        usize::try_from(range.start)
            .ok()
            .zip(usize::try_from(range.end).ok())
            .and_then(|(from, to)| self.get(from..to))
            .map(<[u8]>::to_vec)
            .ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }
}

/// A sealed payload with its key.
pub struct Plaintext<P> {
    payload: P,
    opener: Opener,
    opened: AtomicU64,
}

impl<P: Payload> Plaintext<P> {
    /// Reads the header and the last segment, whose flag proves the length, before anything else is believed.
    pub async fn open(payload: P, recording: Uuid, key: &DataKey) -> Result<Self, PlaybackError> {
        let len = payload.len();
        let start = payload.read(0..len.min(HEADER_LEN as u64)).await?;
        let header =
            <[u8; HEADER_LEN]>::try_from(start).map_err(|_| io::Error::from(io::ErrorKind::UnexpectedEof))?;
        let opener = Opener::new(recording, key, &header, len)?;
        let last = payload.read(opener.last_segment()).await?;
        opener.prove_length(&last)?;
        Ok(Self { payload, opener, opened: AtomicU64::new(1) })
    }

    /// Bytes of plaintext.
    pub fn len(&self) -> u64 {
        self.opener.plaintext_len()
    }

    /// Whether the recording holds no byte.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Segments opened so far: what a seek costs.
    pub fn segments_opened(&self) -> u64 {
        self.opened.load(Ordering::Relaxed)
    }

    /// The plaintext of `range`, cut at the end of the recording.
    pub async fn read(&self, range: Range<u64>) -> Result<Vec<u8>, PlaybackError> {
        let range = range.start..range.end.min(self.len());
        if range.is_empty() {
            return Ok(Vec::new());
        }
        let needed = self.opener.segments_for(range.clone())?;
        let segments = needed.end.div_ceil(SEGMENT_LEN as u64) - needed.start / SEGMENT_LEN as u64;
        let sealed = self.payload.read(needed).await?;
        self.opened.fetch_add(segments, Ordering::Relaxed);
        Ok(self.opener.open_range(range, &sealed)?)
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use hindsight_seal::{PrivateKey, Recipient, Sealer, open_envelope, split};

    /// Seals `plain` to a recipient made for it, and opens the payload with the key from its envelope.
    pub async fn sealed(plain: &[u8]) -> Plaintext<Vec<u8>> {
        let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        let certificate = rcgen::CertificateParams::new(vec![]).unwrap().self_signed(&pair).unwrap();
        let recording = Uuid::now_v7();
        let recipient = Recipient::from_pem(&certificate.pem()).unwrap();
        let (mut sealer, mut file) = Sealer::new(recording, &[recipient]).unwrap();
        sealer.write(plain, &mut file).unwrap();
        sealer.finish(&mut file).unwrap();
        let (envelope, payload) = split(&file).unwrap();
        let key =
            open_envelope(envelope, &PrivateKey::from_pkcs8_pem(&pair.serialize_pem()).unwrap()).unwrap();
        Plaintext::open(payload.to_vec(), recording, &key).await.unwrap()
    }

    /// Changes a byte of the sealed segment that holds this place of the plaintext.
    pub fn damage(plain: &mut Plaintext<Vec<u8>>, place: u64) {
        let segment = plain.opener.segments_for(place..place + 1).unwrap();
        plain.payload[segment.start as usize + 100] ^= 1;
    }

    #[tokio::test]
    async fn any_range_is_the_plaintext_and_costs_its_segments() {
        let plain: Vec<u8> = (0..100_000u32).map(|n| (n % 251) as u8).collect();
        let opened = sealed(&plain).await;
        assert_eq!(opened.len(), 100_000);
        for range in [0..1, 0..5000, 4015..4018, 50_000..50_001, 99_999..200_000, 7..7] {
            let end = range.end.min(100_000) as usize;
            assert_eq!(opened.read(range.clone()).await.unwrap(), plain[range.start as usize..end]);
        }
        let before = opened.segments_opened();
        opened.read(50_000..50_001).await.unwrap();
        assert_eq!(opened.segments_opened() - before, 1);
    }
}
