//! Repairs recordings that a crash cut: the crypto server, which alone has their keys, seals the last whole segment again
//! as the final one; then index and length are read from the plaintext and a *recovered* record is signed with the hashes
//! from before and after.
//!
//! Every step can be repeated: a segment that is final comes back from the crypto server unchanged, the same bytes are
//! written in the same place, and bytes that were taken over as an object are read from there.

use crate::{ProcessorError, backoff::next_attempt, repair::sealed::SealedPayload};
use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use hindsight_crypto_server::{ClientError, CryptoClient, Proof, Purpose, RepairRequest, UnwrapRequest};
use hindsight_link::Identity;
use hindsight_playback::{Plaintext, PlaybackError, Rebuilt, rebuild_screen, rebuild_voice};
use hindsight_seal::{HEADER_LEN, PayloadShape, SealError, trim_len};
use hindsight_store::{
    Database, ObjectKey, ObjectKind, ObjectStore, StoreError, UploadArea,
    recordings::{self, Recording, State},
    repairs::{self, Repair, Repaired},
    upload_area::Digests,
};
use hindsight_wire::{RecordingId, Timestamp};
use serde::{Deserialize, Serialize};
use std::{sync::Arc, time::Duration};

mod sealed;

/// How the crypto server's audit log names us.
const ACTOR: &str = "recording-processor";
/// Repairs begun in one round.
const ROUND: u32 = 16;
/// How often other processes' recordings are looked for.
const POLL: Duration = Duration::from_millis(500);

/// What the recording processor signs about a repair.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RecoveryRecord {
    /// Version of this form; 1.
    pub version: u32,
    /// The recording repaired.
    pub recording: RecordingId,
    /// Bytes of the payload as its recorder signed it.
    pub original_size: u64,
    /// Its SHA-256, lower-case hexadecimal.
    pub original_sha256: String,
    /// Bytes of the payload as it is stored.
    pub recovered_size: u64,
    /// Its SHA-256, lower-case hexadecimal.
    pub recovered_sha256: String,
    /// Length of the media that was found.
    pub duration_ms: u64,
    /// When.
    pub recovered_at: Timestamp,
}

/// Why a repair was not made.
#[derive(Debug)]
enum Trouble {
    /// Try again.
    Later(String),
    /// It never will be.
    Never(String),
}

/// Repairs what is due, for as long as it runs.
pub struct Repairs {
    identity: Identity,
    database: Database,
    objects: Arc<dyn ObjectStore>,
    area: UploadArea,
    crypto: CryptoClient,
}

impl Repairs {
    /// `identity` signs the records.
    pub fn new(
        identity: Identity,
        database: Database,
        objects: Arc<dyn ObjectStore>,
        area: UploadArea,
        crypto: CryptoClient,
    ) -> Self {
        Self { identity, database, objects, area, crypto }
    }

    pub(crate) async fn run(&self) {
        let mut changed = self.database.changed();
        loop {
            if let Err(error) = self.round(Timestamp::now()).await {
                tracing::error!(%error, "repairs could not be looked for");
            }
            let _ = tokio::time::timeout(POLL, changed.changed()).await;
        }
    }

    /// Makes the repairs that are due; how many were tried.
    pub async fn round(&self, now: Timestamp) -> Result<usize, StoreError> {
        let due = repairs::due(&mut *self.database.read().await?, now, ROUND).await?;
        for repair in &due {
            self.attempt(*repair, now).await?;
        }
        Ok(due.len())
    }

    async fn attempt(
        &self,
        Repair { recording, attempts }: Repair,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        match self.mend(recording, now).await {
            Ok(()) => {
                metrics::counter!("hindsight_repairs_total", "outcome" => "done").increment(1);
                tracing::info!(%recording, "repaired a recording that a crash cut");
                Ok(())
            }
            Err(Trouble::Later(reason)) => {
                metrics::counter!("hindsight_repairs_total", "outcome" => "later").increment(1);
                tracing::warn!(%recording, reason, attempts, "a repair must wait");
                let next = next_attempt(attempts, rand::random(), now);
                let mut write = self.database.write().await?;
                repairs::later(&mut write, recording, next, &reason).await?;
                write.commit().await
            }
            Err(Trouble::Never(reason)) => {
                metrics::counter!("hindsight_repairs_total", "outcome" => "failed").increment(1);
                tracing::error!(%recording, reason, "a recording cannot be repaired");
                if self.area.length(recording).await?.is_some() {
                    // As it is: what it holds can still be opened by hand.
                    self.area.commit(recording, self.objects.as_ref()).await?;
                }
                let mut write = self.database.write().await?;
                repairs::give_up(&mut write, recording, &reason).await?;
                write.commit().await
            }
        }
    }

    async fn mend(&self, id: RecordingId, now: Timestamp) -> Result<(), Trouble> {
        let known = recordings::by_id(&mut *self.database.read().await?, id).await?;
        let Some(recording) = known else { return Err(Trouble::Never("the recording is gone".to_owned())) };
        if recording.state != State::Repairing {
            return Err(Trouble::Never(format!("the recording is {}", recording.state.as_str())));
        }
        let mut sealed = self.sealed(id).await?;
        if sealed.in_area() {
            sealed = self.reseal(sealed).await?;
        }
        let rebuilt = self.rebuild(&recording, &sealed).await?;
        let digests = sealed.digests().await?;
        if sealed.in_area() {
            self.area.commit(id, self.objects.as_ref()).await?;
        }
        self.conclude(&recording, digests, rebuilt, now).await
    }

    async fn sealed(&self, id: RecordingId) -> Result<SealedPayload, StoreError> {
        SealedPayload::find(id, self.area.clone(), self.objects.clone()).await
    }

    /// Gives the payload its final flag.
    async fn reseal(&self, sealed: SealedPayload) -> Result<SealedPayload, Trouble> {
        let id = sealed.recording();
        let whole = trim_len(sealed.size());
        let shape =
            PayloadShape::new(whole).map_err(|_| Trouble::Never("it holds no whole segment".to_owned()))?;
        let request = RepairRequest {
            recording: id,
            envelope: sealed.envelope().await?,
            payload: proof(&sealed, whole, shape).await?,
            actor: ACTOR.to_owned(),
        };
        let last = self.crypto.repair(&request).await?;
        self.area.replace_tail(id, shape.segment(shape.last()).start, Bytes::from(last)).await?;
        Ok(self.sealed(id).await?)
    }

    /// Index and length, from the plaintext.
    async fn rebuild(&self, recording: &Recording, sealed: &SealedPayload) -> Result<Rebuilt, Trouble> {
        let shape = PayloadShape::new(sealed.size())?;
        let request = UnwrapRequest {
            recording: recording.id(),
            envelope: sealed.envelope().await?,
            proof: proof(sealed, sealed.size(), shape).await?,
            purpose: Purpose::Index,
            actor: ACTOR.to_owned(),
        };
        let key = self.crypto.unwrap(&request).await?;
        let plaintext = Plaintext::open(sealed.clone(), recording.id().0, &key).await?;
        let rebuilt = if recording.is_voice() {
            rebuild_voice(&plaintext).await?
        } else {
            rebuild_screen(&plaintext).await?
        };
        if rebuilt.duration_ms == 0 {
            return Err(Trouble::Never("it holds no media that can be replayed".to_owned()));
        }
        Ok(rebuilt)
    }

    async fn conclude(
        &self,
        recording: &Recording,
        digests: Digests,
        rebuilt: Rebuilt,
        now: Timestamp,
    ) -> Result<(), Trouble> {
        let id = recording.id();
        let record = RecoveryRecord {
            version: 1,
            recording: id,
            original_size: recording.manifest.payload_size,
            original_sha256: recording.manifest.payload_sha256.clone(),
            recovered_size: digests.payload_size,
            recovered_sha256: digests.payload_sha256.clone(),
            duration_ms: rebuilt.duration_ms,
            recovered_at: now,
        };
        let later = |error: &dyn std::fmt::Display| Trouble::Later(error.to_string());
        let document = serde_json::to_vec(&record).map_err(|error| later(&error))?;
        let signed = self.identity.sign(&document).map_err(|error| later(&ProcessorError::from(error)))?;
        let signature = BASE64_STANDARD.decode(&signed.signature).map_err(|error| later(&error))?;
        let put = |kind, bytes: Vec<u8>| self.objects.put(ObjectKey::new(id, kind), Bytes::from(bytes));
        put(ObjectKind::Recovery, document).await?;
        put(ObjectKind::RecoverySignature, signature).await?;
        let repaired = Repaired {
            recording: id,
            payload_size: digests.payload_size,
            payload_sha256: &digests.payload_sha256,
            record: &signed,
        };
        let mut write = self.database.write().await?;
        repairs::done(&mut write, &repaired).await?;
        repairs::set_rebuilt(&mut write, id, rebuilt.duration_ms, &rebuilt.index).await?;
        write.commit().await?;
        Ok(())
    }
}

async fn proof(sealed: &SealedPayload, size: u64, shape: PayloadShape) -> Result<Proof, StoreError> {
    Ok(Proof {
        header: sealed.payload(0..HEADER_LEN as u64).await?.to_vec(),
        payload_size: size,
        last_segment: sealed.payload(shape.segment(shape.last())).await?.to_vec(),
    })
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Self {
        Trouble::Later(error.to_string())
    }
}

impl From<ClientError> for Trouble {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Unavailable(_) | ClientError::Limited(_) => Trouble::Later(error.to_string()),
            ClientError::Refused { .. } => Trouble::Never(error.to_string()),
        }
    }
}

impl From<SealError> for Trouble {
    fn from(error: SealError) -> Self {
        Trouble::Never(error.to_string())
    }
}

impl From<PlaybackError> for Trouble {
    fn from(error: PlaybackError) -> Self {
        match error {
            PlaybackError::Storage(_) => Trouble::Later(error.to_string()),
            _ => Trouble::Never(error.to_string()),
        }
    }
}
