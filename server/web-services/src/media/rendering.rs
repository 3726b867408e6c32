//! An opened recording: its key unwrapped, its head read, ready for any range.

use crate::{error::ApiError, state::App};
use axum::http::StatusCode;
use hindsight_crypto_server::{ClientError, Proof, Purpose, UnwrapRequest};
use hindsight_playback::{Payload, Plaintext, PlaybackError, Screen, Voice};
use hindsight_seal::{HEADER_LEN, PayloadShape};
use hindsight_store::{ObjectKey, ObjectKind, ObjectStore, recordings::Recording};
use hindsight_wire::{PersonId, RecordingId, manifest::Media};
use std::{
    collections::HashMap,
    io,
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// An opened recording that nobody has asked for in this time is closed and its key forgotten.
const IDLE: Duration = Duration::from_secs(120);
/// Most recordings open at a time; the one asked for longest ago gives way.
const MOST_OPEN: usize = 256;

/// The sealed payload in the object store.
pub struct StoredPayload {
    objects: Arc<dyn ObjectStore>,
    key: ObjectKey,
    len: u64,
}

impl Payload for StoredPayload {
    fn len(&self) -> u64 {
        self.len
    }

    async fn read(&self, range: Range<u64>) -> io::Result<Vec<u8>> {
        let bytes = self.objects.read(self.key, range).await.map_err(io::Error::other)?;
        Ok(bytes.to_vec())
    }
}

/// What a browser plays.
pub enum Rendering {
    /// WAV.
    Voice(Voice<StoredPayload>),
    /// Fragmented MP4.
    Screen(Screen<StoredPayload>),
}

impl Rendering {
    /// Media type (RFC 2361 has none for WAV; this is what browsers know).
    pub fn media_type(&self) -> &'static str {
        match self {
            Rendering::Voice(_) => "audio/wav",
            Rendering::Screen(_) => "video/mp4",
        }
    }

    /// Bytes in all.
    pub fn len(&self) -> u64 {
        match self {
            Rendering::Voice(voice) => voice.len(),
            Rendering::Screen(screen) => screen.len(),
        }
    }

    /// Some bytes from the start of `range`, at least one.
    pub async fn read(&self, range: Range<u64>) -> Result<Vec<u8>, PlaybackError> {
        match self {
            Rendering::Voice(voice) => voice.read(range).await,
            Rendering::Screen(screen) => screen.read(range).await,
        }
    }
}

/// Recordings that are being replayed, by who replays them. A player asks for many ranges; the key is unwrapped, and
/// the replay audited, once for each person and recording while it lasts.
pub struct Open<T = Rendering>(Mutex<HashMap<(PersonId, RecordingId), Opened<T>>>);

/// A rendering, and when it was last asked for.
type Opened<T> = (Instant, Arc<T>);

impl<T> Default for Open<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T> Open<T> {
    /// The recording, if this person has it open; whoever is idle is closed.
    pub fn get(&self, person: PersonId, recording: RecordingId, now: Instant) -> Option<Arc<T>> {
        self.close_idle(now);
        let mut open = self.lock();
        let (used, rendering) = open.get_mut(&(person, recording))?;
        *used = now;
        Some(rendering.clone())
    }

    /// Keeps it open.
    pub fn put(&self, person: PersonId, recording: RecordingId, rendering: Arc<T>, now: Instant) {
        let mut open = self.lock();
        while open.len() >= MOST_OPEN {
            let Some(oldest) = open.iter().min_by_key(|(_, (used, _))| *used).map(|(key, _)| *key) else {
                break;
            };
            open.remove(&oldest);
        }
        open.insert((person, recording), (now, rendering));
    }

    /// Closes who is idle at every tick, which tells the time.
    pub async fn sweep(&self, mut tick: impl AsyncFnMut() -> Instant) {
        loop {
            let now = tick().await;
            self.close_idle(now);
        }
    }

    /// Closes all.
    pub fn close_all(&self) {
        self.lock().clear();
    }

    fn close_idle(&self, now: Instant) {
        self.lock().retain(|_, (used, _)| now.duration_since(*used) < IDLE);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(PersonId, RecordingId), Opened<T>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Has the key unwrapped for `actor` (audited by the crypto server before it answers) and reads the head.
pub async fn open(app: &App, recording: &Recording, actor: &str) -> Result<Rendering, ApiError> {
    let id = recording.id();
    let envelope =
        app.objects.get(ObjectKey::new(id, ObjectKind::Envelope)).await?.ok_or_else(ApiError::not_found)?;
    let payload = StoredPayload {
        objects: app.objects.clone(),
        key: ObjectKey::new(id, ObjectKind::Payload),
        len: recording.payload_size,
    };
    let request = UnwrapRequest {
        recording: id,
        envelope: envelope.to_vec(),
        proof: proof(&payload).await.map_err(|error| unplayable(id, &error))?,
        purpose: Purpose::Play,
        actor: actor.to_owned(),
    };
    let key = app.crypto.unwrap(&request).await.map_err(refused)?;
    let plaintext = Plaintext::open(payload, id.0, &key).await.map_err(|error| unplayable(id, &error))?;
    let (index, duration) = (recording.index(), recording.duration_ms.unwrap_or(0));
    let rendering = match &recording.manifest.media {
        Media::Voice { tracks } => Voice::open(plaintext, index.to_vec(), duration)
            .await
            .map(|voice| Rendering::Voice(voice.with_tracks(tracks))),
        Media::Screen { .. } => Screen::open(plaintext, index, duration).await.map(Rendering::Screen),
    };
    rendering.map_err(|error| unplayable(id, &error))
}

/// What the crypto server asks for: that this payload is the one whose key is wanted.
async fn proof(payload: &StoredPayload) -> Result<Proof, PlaybackError> {
    let shape = PayloadShape::new(payload.len)?;
    Ok(Proof {
        header: payload.read(0..HEADER_LEN as u64).await?,
        payload_size: payload.len,
        last_segment: payload.read(shape.segment(shape.last())).await?,
    })
}

/// A damaged recording is told with its reason: whoever replays must be able to report it.
pub fn unplayable(id: RecordingId, error: &PlaybackError) -> ApiError {
    match error {
        PlaybackError::Storage(error) => ApiError::internal(error),
        _ => {
            tracing::error!(recording = %id, %error, "a recording cannot be replayed");
            ApiError::unprocessable("unplayable", error.to_string())
        }
    }
}

fn refused(error: ClientError) -> ApiError {
    match error {
        ClientError::Unavailable(_) => {
            tracing::warn!(%error, "playback without keys");
            let message = "the crypto server is not available; try again in a moment";
            ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "crypto_unavailable", message)
        }
        ClientError::Limited(wait) => ApiError::too_many(wait),
        ClientError::Refused { message, .. } => ApiError::unprocessable("key_refused", message),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Weak;
    use tokio::sync::mpsc;

    struct Key;

    fn opened(open: &Open<Key>, now: Instant) -> (PersonId, RecordingId, Weak<Key>) {
        let (person, recording, key) = (PersonId::new(), RecordingId::new(), Arc::new(Key));
        let weak = Arc::downgrade(&key);
        open.put(person, recording, key, now);
        (person, recording, weak)
    }

    #[tokio::test]
    async fn an_idle_key_is_forgotten_though_nobody_asks_for_another() {
        let (open, start) = (Open::default(), Instant::now());
        let (_, _, idle) = opened(&open, start);
        let (person, recording, used) = opened(&open, start);
        let (time, mut ticks) = mpsc::channel(1);
        let clock = async move || match ticks.recv().await {
            Some(now) => now,
            None => std::future::pending().await,
        };
        // Room for the second tick of a pair is there only when the sweep of the one before it is over.
        let at = async |seconds| {
            for _ in 0..3 {
                time.send(start + Duration::from_secs(seconds)).await.unwrap();
            }
        };
        let watch = async {
            at(110).await;
            assert!(open.get(person, recording, start + Duration::from_secs(110)).is_some());
            assert!(idle.upgrade().is_some());
            at(120).await;
            assert!(idle.upgrade().is_none() && used.upgrade().is_some());
            at(230).await;
            assert!(used.upgrade().is_none());
        };
        tokio::select! {
            () = watch => {}
            () = open.sweep(clock) => {}
        }
    }

    #[test]
    fn at_the_end_all_keys_are_forgotten() {
        let open = Open::default();
        let (_, _, key) = opened(&open, Instant::now());
        open.close_all();
        assert!(key.upgrade().is_none());
    }
}
