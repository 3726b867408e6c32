//! The bytes of a cut recording: in the upload area until they are repaired, then in object storage.

use hindsight_playback::Payload;
use hindsight_store::{
    ObjectKey, ObjectKind, ObjectStore, StoreError, UploadArea,
    upload_area::{Digests, ENVELOPE_LEN},
};
use hindsight_wire::RecordingId;
use ring::digest::{Context, SHA256};
use std::{io, ops::Range, sync::Arc};

/// Bytes hashed at a time.
const STEP: u64 = 1 << 20;

/// Envelope and payload of one recording, wherever they are.
#[derive(Clone)]
pub struct SealedPayload {
    recording: RecordingId,
    area: UploadArea,
    objects: Arc<dyn ObjectStore>,
    in_area: bool,
    size: u64,
}

impl SealedPayload {
    /// Finds the bytes: a crash may have come after they were taken over as objects.
    pub async fn find(
        recording: RecordingId,
        area: UploadArea,
        objects: Arc<dyn ObjectStore>,
    ) -> Result<Self, StoreError> {
        let in_area = area.length(recording).await?;
        let size = match in_area {
            Some(length) => length.saturating_sub(ENVELOPE_LEN),
            None => {
                let key = ObjectKey::new(recording, ObjectKind::Payload);
                objects.size(key).await?.ok_or_else(|| StoreError::NotFound(key.to_string()))?
            }
        };
        Ok(Self { recording, area, objects, in_area: in_area.is_some(), size })
    }

    /// Whose.
    pub fn recording(&self) -> RecordingId {
        self.recording
    }

    /// Whether the bytes may still be changed.
    pub fn in_area(&self) -> bool {
        self.in_area
    }

    /// Bytes of the payload.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The envelope.
    pub async fn envelope(&self) -> Result<Vec<u8>, StoreError> {
        if self.in_area {
            return Ok(self.area.read(self.recording, 0..ENVELOPE_LEN).await?.to_vec());
        }
        let key = ObjectKey::new(self.recording, ObjectKind::Envelope);
        let bytes = self.objects.get(key).await?.ok_or_else(|| StoreError::NotFound(key.to_string()))?;
        Ok(bytes.to_vec())
    }

    /// Bytes of the payload.
    pub async fn payload(&self, range: Range<u64>) -> Result<bytes::Bytes, StoreError> {
        if self.in_area {
            let range = range.start + ENVELOPE_LEN..range.end + ENVELOPE_LEN;
            return self.area.read(self.recording, range).await;
        }
        self.objects.read(ObjectKey::new(self.recording, ObjectKind::Payload), range).await
    }

    /// Hashes and size as they are now.
    pub async fn digests(&self) -> Result<Digests, StoreError> {
        if self.in_area {
            return self.area.digest(self.recording).await;
        }
        let mut payload = Context::new(&SHA256);
        let mut at = 0;
        while at < self.size {
            let end = self.size.min(at + STEP);
            payload.update(&self.payload(at..end).await?);
            at = end;
        }
        let mut envelope = Context::new(&SHA256);
        envelope.update(&self.envelope().await?);
        Ok(Digests {
            envelope_sha256: hex::encode(envelope.finish()),
            payload_sha256: hex::encode(payload.finish()),
            payload_size: self.size,
        })
    }
}

impl Payload for SealedPayload {
    fn len(&self) -> u64 {
        self.size
    }

    async fn read(&self, range: Range<u64>) -> io::Result<Vec<u8>> {
        Ok(self.payload(range).await.map_err(io::Error::other)?.to_vec())
    }
}
