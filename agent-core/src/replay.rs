//! Replay of the agent's own recordings in the window: bytes that the window asks for over the recorder's socket, passed
//! on from the server.
//!
//! The window names a recording and a range, and never has the session's token. One interaction is open at a time; it is
//! closed by the next, by the sign-out, and when nobody asked for a while. The server decides and writes down what is
//! replayed. What it decrypted goes from its socket through memory to the window's and is kept nowhere.
//!
//! Deliberately absent: an address that a media player could open. Players keep what they fetch: WebKitGTK's writes it
//! to a file under `/var/tmp`.

use base64::Engine as _;
use hindsight_wire::{
    InteractionId, RecordingId,
    local::{LARGEST_PIECE, Replay, ReplayFile, ReplayPiece},
};
use reqwest::{StatusCode, header};
use serde::Deserialize;
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use zeroize::Zeroizing;

/// One of the agent's own interactions, at the web services.
const DETAIL_PATH: &str = "/api/v2/desktop/recordings";
/// The media of one of their recordings.
const MEDIA_PATH: &str = "/api/v2/desktop/media";
/// The web services answer within this time.
const PATIENCE: Duration = Duration::from_secs(15);
/// A replay of which nobody asked for anything in this time is closed.
const IDLE: Duration = Duration::from_secs(15 * 60);

/// Whose recordings, and the way to them.
pub struct Access {
    /// With this device's certificate.
    pub client: reqwest::Client,
    /// `host:port` of the web services.
    pub address: String,
    /// The session's token.
    pub token: Zeroizing<String>,
}

/// The replays of one recorder: at most one at a time.
#[derive(Default)]
pub struct Replays(Mutex<Option<Opened>>);

struct Opened {
    recordings: Vec<RecordingId>,
    access: Arc<Access>,
    used: Instant,
}

/// An interaction, as far as a replay needs it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Detail {
    media_files: Vec<MediaFile>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct MediaFile {
    id: RecordingId,
    kind: String,
    state: String,
    offset_ms: Option<i64>,
    duration_ms: Option<u64>,
    from_ms: Option<u64>,
    to_ms: Option<u64>,
}

impl Replays {
    /// Opens one interaction; the error is for people. The one before is closed.
    pub async fn open(&self, access: Access, interaction: InteractionId) -> Result<Replay, String> {
        let url = format!("https://{}{DETAIL_PATH}/{interaction}", access.address);
        let detail: Detail = ask(access.client.get(url), &access).await?.json().await.map_err(unreachable)?;
        let mut files: Vec<ReplayFile> = detail.media_files.into_iter().filter_map(replayable).collect();
        files.sort_by_key(|file| (file.kind != "voice", file.offset_ms));
        if files.is_empty() {
            return Err("nothing of this can be replayed yet".to_owned());
        }
        let recordings = files.iter().map(|file| file.id).collect();
        *self.lock() = Some(Opened { recordings, access: Arc::new(access), used: Instant::now() });
        Ok(Replay { files })
    }

    /// Bytes of a recording of the open interaction, at most `most` from `from` on; the error is for people.
    pub async fn piece(&self, recording: RecordingId, from: u64, most: u32) -> Result<ReplayPiece, String> {
        let access = self.find(recording, Instant::now()).ok_or("this replay was closed; play it again")?;
        let most = most.clamp(1, LARGEST_PIECE);
        let last = from.checked_add(u64::from(most) - 1).ok_or("no recording is that long")?;
        let url = format!("https://{}{MEDIA_PATH}/{recording}", access.address);
        let asked = access.client.get(url).header(header::RANGE, format!("bytes={from}-{last}"));
        let mut answer = ask(asked, &access).await?;
        let total = match answer.headers().get(header::CONTENT_RANGE).and_then(|range| range.to_str().ok()) {
            Some(range) => range.rsplit_once('/').and_then(|(_, total)| total.parse().ok()),
            None => None,
        };
        let total = total.ok_or("the server does not say how long this recording is")?;
        if answer.status() == StatusCode::RANGE_NOT_SATISFIABLE {
            return Ok(ReplayPiece { total, data: String::new() });
        }
        let mut bytes = Zeroizing::new(Vec::with_capacity(most as usize));
        while let Some(more) = answer.chunk().await.map_err(unreachable)? {
            if bytes.len() + more.len() > most as usize {
                return Err("the server sends more than was asked for".to_owned());
            }
            bytes.extend_from_slice(&more);
        }
        Ok(ReplayPiece { total, data: base64::prelude::BASE64_STANDARD.encode(&*bytes) })
    }

    /// Nothing is replayed from now on.
    pub fn close(&self) {
        *self.lock() = None;
    }

    fn find(&self, recording: RecordingId, now: Instant) -> Option<Arc<Access>> {
        let mut open = self.lock();
        if open.as_ref().is_some_and(|opened| now.saturating_duration_since(opened.used) >= IDLE) {
            *open = None;
        }
        let opened = open.as_mut().filter(|opened| opened.recordings.contains(&recording))?;
        opened.used = now;
        Some(opened.access.clone())
    }

    fn lock(&self) -> MutexGuard<'_, Option<Opened>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn replayable(file: MediaFile) -> Option<ReplayFile> {
    let whole = matches!(file.state.as_str(), "ready" | "recovered");
    whole.then(|| ReplayFile {
        id: file.id,
        kind: file.kind,
        offset_ms: file.offset_ms.unwrap_or(0),
        from_ms: file.from_ms.unwrap_or(0),
        to_ms: file.to_ms.or(file.duration_ms),
    })
}

/// Asks the web services; what they refuse is told in their words.
async fn ask(asked: reqwest::RequestBuilder, access: &Access) -> Result<reqwest::Response, String> {
    let asked = asked.bearer_auth(&*access.token).timeout(PATIENCE);
    let answer = asked.send().await.map_err(unreachable)?;
    let status = answer.status();
    if status.is_success() || status == StatusCode::RANGE_NOT_SATISFIABLE {
        return Ok(answer);
    }
    let body: serde_json::Value = answer.json().await.unwrap_or_default();
    Err(body["error"]["message"].as_str().map_or_else(|| status.to_string(), str::to_owned))
}

fn unreachable(error: reqwest::Error) -> String {
    format!("the server cannot be reached: {}", error.without_url())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened(replays: &Replays, recordings: &[RecordingId], used: Instant) {
        let access = Access {
            client: reqwest::Client::new(),
            address: "localhost:1".into(),
            token: Zeroizing::new("t".into()),
        };
        *replays.lock() = Some(Opened { recordings: recordings.to_vec(), access: Arc::new(access), used });
    }

    #[test]
    fn a_replay_is_open_while_it_is_used_and_until_the_next_or_the_sign_out() {
        let (replays, start) = (Replays::default(), Instant::now());
        let (first, second) = (RecordingId::new(), RecordingId::new());
        assert!(replays.find(first, start).is_none(), "nothing was opened");
        opened(&replays, &[first], start);
        let half = IDLE / 2;
        for step in 1..5 {
            assert!(replays.find(first, start + half * step).is_some());
        }
        assert!(replays.find(first, start + half * 4 + IDLE).is_none());
        opened(&replays, &[first], start);
        assert!(replays.find(second, start).is_none(), "a recording of another interaction");
        opened(&replays, &[second], start);
        assert!(replays.find(first, start).is_none(), "the replay before");
        replays.close();
        assert!(replays.find(second, start).is_none());
    }

    #[tokio::test]
    async fn a_piece_without_a_server_says_so_and_one_of_nothing_open_is_refused() {
        let (replays, recording) = (Replays::default(), RecordingId::new());
        let closed = replays.piece(recording, 0, 10).await.unwrap_err();
        assert!(closed.contains("closed"), "{closed}");
        opened(&replays, &[recording], Instant::now());
        let failed = replays.piece(recording, 0, 10).await.unwrap_err();
        assert!(failed.starts_with("the server cannot be reached"), "{failed}");
        assert!(replays.piece(recording, u64::MAX, 10).await.unwrap_err().contains("that long"));
    }

    #[test]
    fn only_what_has_arrived_is_replayed() {
        let file = |state: &str| -> MediaFile {
            let json = serde_json::json!({ "id": RecordingId::new(), "kind": "voice", "state": state, "durationMs": 5 });
            serde_json::from_value(json).unwrap()
        };
        assert_eq!(replayable(file("ready")).unwrap().to_ms, Some(5));
        assert!(replayable(file("recovered")).is_some());
        assert!(replayable(file("repairing")).is_none());
    }
}
