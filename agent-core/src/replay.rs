//! Replay of the agent's own recordings in the window: a listener on loopback that passes ranges on to the server.
//!
//! The window gets addresses and never the session's token: an address names one recording by 244 random bits, is good
//! for one replay at a time, ends with the sign-in, and is forgotten when nobody asked for a while. The server decides
//! and writes down what is replayed; nothing decrypted is kept here, it goes from socket to socket.
//!
//! Deliberately absent: cross-origin headers (a player needs none, a page of a browser gets nothing to read), caching.

use axum::{
    Router,
    body::Body,
    extract::{Path, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse as _, Response},
    routing::get,
};
use hindsight_wire::{
    InteractionId, RecordingId,
    local::{Replay, ReplayFile},
};
use serde::Deserialize;
use std::{
    collections::HashMap,
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use tokio::{net::TcpListener, sync::OnceCell, task::JoinHandle};
use zeroize::Zeroizing;

/// One of the agent's own interactions, at the web services.
const DETAIL_PATH: &str = "/api/v2/desktop/recordings";
/// The media of one of their recordings.
const MEDIA_PATH: &str = "/api/v2/desktop/media";
/// The web services answer about an interaction within this time.
const PATIENCE: Duration = Duration::from_secs(15);
/// An address that nobody asked for in this time is good for nothing any more.
const IDLE: Duration = Duration::from_secs(15 * 60);
/// What a player may say of the part that it wants.
const ASKED: [header::HeaderName; 2] = [header::RANGE, header::IF_RANGE];
/// What a player needs to know of the answer.
const TOLD: [header::HeaderName; 6] = [
    header::CONTENT_TYPE,
    header::CONTENT_LENGTH,
    header::CONTENT_RANGE,
    header::ACCEPT_RANGES,
    header::ETAG,
    header::CACHE_CONTROL,
];

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
pub struct Replays {
    listening: OnceCell<Listening>,
    open: Arc<Open>,
}

struct Listening {
    address: SocketAddr,
    server: JoinHandle<()>,
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// The addresses that are good now.
#[derive(Default)]
struct Open(Mutex<HashMap<String, Opened>>);

struct Opened {
    recording: RecordingId,
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
    monitor: Option<u32>,
}

impl Replays {
    /// Opens one interaction; the error is for people. The one before is closed.
    pub async fn open(&self, access: Access, interaction: InteractionId) -> Result<Replay, String> {
        let detail = detail(&access, interaction).await?;
        let cannot = |error: &io::Error| format!("this computer cannot replay: {error}");
        let listening = self.listening.get_or_try_init(|| listen(self.open.clone())).await;
        let address = listening.map_err(|error| cannot(&error))?.address;
        self.close();
        let access = Arc::new(access);
        let ready = |file: &MediaFile| matches!(file.state.as_str(), "ready" | "recovered");
        let opened = |file: MediaFile| ReplayFile {
            url: format!("http://{address}/{}", self.open.add(file.id, access.clone(), Instant::now())),
            kind: file.kind,
            offset_ms: file.offset_ms.unwrap_or(0),
            from_ms: file.from_ms.unwrap_or(0),
            to_ms: file.to_ms.or(file.duration_ms),
            monitor: file.monitor,
        };
        let mut files: Vec<ReplayFile> = detail.media_files.into_iter().filter(ready).map(opened).collect();
        files.sort_by_key(|file| (file.kind != "voice", file.offset_ms));
        if files.is_empty() {
            return Err("nothing of this can be replayed yet".to_owned());
        }
        Ok(Replay { files })
    }

    /// Every address is good for nothing from now on.
    pub fn close(&self) {
        self.open.lock().clear();
    }
}

impl Open {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Opened>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, recording: RecordingId, access: Arc<Access>, now: Instant) -> String {
        let name = format!("{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple());
        self.lock().insert(name.clone(), Opened { recording, access, used: now });
        name
    }

    fn find(&self, name: &str, now: Instant) -> Option<(RecordingId, Arc<Access>)> {
        let mut open = self.lock();
        open.retain(|_, opened| now.duration_since(opened.used) < IDLE);
        let opened = open.get_mut(name)?;
        opened.used = now;
        Some((opened.recording, opened.access.clone()))
    }
}

async fn detail(access: &Access, interaction: InteractionId) -> Result<Detail, String> {
    let unreachable = |error: reqwest::Error| format!("the server cannot be reached: {error}");
    let url = format!("https://{}{DETAIL_PATH}/{interaction}", access.address);
    let asked = access.client.get(url).bearer_auth(&*access.token).timeout(PATIENCE);
    let answer = asked.send().await.map_err(unreachable)?;
    let status = answer.status();
    if status.is_success() {
        return answer.json().await.map_err(unreachable);
    }
    let body: serde_json::Value = answer.json().await.unwrap_or_default();
    Err(body["error"]["message"].as_str().map_or_else(|| status.to_string(), str::to_owned))
}

async fn listen(open: Arc<Open>) -> io::Result<Listening> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    let router = Router::new().route("/{name}", get(pass)).with_state((open, address));
    let server = tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, router).await {
            tracing::error!(%error, "replays ended");
        }
    });
    Ok(Listening { address, server })
}

/// One range, from the server to the player.
async fn pass(
    State((open, here)): State<(Arc<Open>, SocketAddr)>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Response {
    // A page that was led here by a name of its own (DNS rebinding) has nothing to do here.
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    if host != Some(here.to_string().as_str()) {
        return StatusCode::MISDIRECTED_REQUEST.into_response();
    }
    let Some((recording, access)) = open.find(&name, Instant::now()) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let url = format!("https://{}{MEDIA_PATH}/{recording}", access.address);
    let mut asked = access.client.get(url).bearer_auth(&*access.token);
    for name in ASKED {
        if let Some(value) = headers.get(&name) {
            asked = asked.header(name, value);
        }
    }
    match asked.send().await {
        Ok(answer) => {
            let mut response = Response::builder().status(answer.status());
            for name in TOLD {
                if let Some(value) = answer.headers().get(&name) {
                    response = response.header(name, value);
                }
            }
            let response = response.header(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
            let body = Body::from_stream(answer.bytes_stream());
            response.body(body).unwrap_or_else(|_| StatusCode::BAD_GATEWAY.into_response())
        }
        Err(error) => {
            tracing::warn!(error = %error.without_url(), "a replay does not reach the server");
            StatusCode::BAD_GATEWAY.into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access() -> Arc<Access> {
        let client = reqwest::Client::new();
        Arc::new(Access { client, address: "localhost:1".into(), token: Zeroizing::new("t".into()) })
    }

    #[test]
    fn an_address_is_good_while_it_is_used_and_until_the_next_replay() {
        let (replays, start) = (Replays::default(), Instant::now());
        let name = replays.open.add(RecordingId::new(), access(), start);
        assert!(name.len() >= 64, "not to be guessed");
        let half = IDLE / 2;
        for step in 1..5 {
            assert!(replays.open.find(&name, start + half * step).is_some());
        }
        assert!(replays.open.find(&name, start + half * 4 + IDLE).is_none());
        let name = replays.open.add(RecordingId::new(), access(), start);
        replays.close();
        assert!(replays.open.find(&name, start).is_none());
    }

    #[tokio::test]
    async fn nobody_gets_anything_by_another_name() {
        let replays = Replays::default();
        let listening = listen(replays.open.clone()).await.unwrap();
        let good = replays.open.add(RecordingId::new(), access(), Instant::now());
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let asked = async |path: &str, host: Option<&str>| {
            let mut asked = http.get(format!("http://{}/{path}", listening.address));
            if let Some(host) = host {
                asked = asked.header("host", host);
            }
            asked.send().await.unwrap().status()
        };
        assert_eq!(asked("guessed", None).await, StatusCode::NOT_FOUND);
        assert_eq!(asked(&good, Some("rebound.example")).await, StatusCode::MISDIRECTED_REQUEST);
        assert_eq!(asked(&good, None).await, StatusCode::BAD_GATEWAY, "there is no server");
    }
}
