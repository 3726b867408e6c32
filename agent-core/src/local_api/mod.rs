//! An HTTP API on loopback for other desktops on the same machine: they sign the agent in and out and control the
//! recording. Off unless the settings turn it on.
//!
//! | request | what | needs |
//! |---|---|---|
//! | `POST /api/v2/me` | sign in; answers with a token | password |
//! | `GET /api/v2/me` | who is signed in, their interactions, the screens | token |
//! | `DELETE /api/v2/me` | sign out | token |
//! | `GET /ping` | the other desktop is alive | token |
//! | `POST /api/v2/interactions/{id}/recording` | `start`, `pause`, `resume`, `stop` | token |
//!
//! Whoever signed in by this API pings: after 60 s without one they are signed out. A token is handed out by a sign-in;
//! for somebody who signed in elsewhere it is in `local-api.token` in the data directory, readable for this user only.
//!
//! What keeps web pages out ([`guard`]): the `Host` must be loopback (DNS rebinding), an `Origin` must be on the list of
//! the settings, a change needs `X-CSRF-Token` and a JSON body (neither of which a form or a simple request can send),
//! and every action needs the token.

mod config;
mod guard;
mod presence;
mod routes;
#[cfg(test)]
mod tests;

pub use config::LocalApiConfig;

use guard::Guard;
use hindsight_local::Asked;
use hindsight_wire::local::{Ask, DesktopStatus};
use presence::Presence;
use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use tokio::{
    net::TcpListener,
    sync::{mpsc, watch},
    task::JoinSet,
};

/// How often the 60 s rule is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// The running API; ends when dropped.
pub struct LocalApi {
    _tasks: JoinSet<()>,
    /// Where it listens.
    pub addresses: Vec<SocketAddr>,
}

/// What every request is answered from.
struct Api {
    guard: Guard,
    asks: mpsc::Sender<Asked>,
    status: watch::Receiver<DesktopStatus>,
    presence: Mutex<Presence>,
    /// The token of whoever signed in by the API, for the recorder's next start.
    kept_token: PathBuf,
    began: Instant,
}

impl Api {
    fn now(&self) -> Duration {
        self.began.elapsed()
    }

    fn presence(&self) -> MutexGuard<'_, Presence> {
        self.presence.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A recorder that is started again knows whoever signed in by the API, and listens for their pings.
    fn keep(&self, token: &str) {
        if let Err(error) = write_token(&self.kept_token, token) {
            tracing::warn!(%error, "the token of the local API does not outlive the recorder");
        }
    }

    fn forget(&self) {
        self.presence().signed_out();
        // There may be none.
        let _ = std::fs::remove_file(&self.kept_token);
    }

    /// Asks the recorder, and waits for its answer; the error is for people.
    async fn ask(&self, ask: Ask) -> Result<serde_json::Value, String> {
        let (reply, answer) = hindsight_local::Reply::new();
        self.asks.try_send(Asked { ask, reply }).map_err(|_| "the recorder is busy".to_owned())?;
        answer.await.unwrap_or_else(|_| Err("the recorder gave no answer".to_owned()))
    }
}

/// Listens on both loopback addresses (IPv6 where there is one).
pub async fn start(
    config: &LocalApiConfig,
    data_dir: &Path,
    asks: mpsc::Sender<Asked>,
    status: watch::Receiver<DesktopStatus>,
) -> io::Result<LocalApi> {
    let first = TcpListener::bind((Ipv4Addr::LOCALHOST, config.port)).await?;
    let port = first.local_addr()?.port();
    let mut listeners = vec![first];
    match TcpListener::bind((Ipv6Addr::LOCALHOST, port)).await {
        Ok(second) => listeners.push(second),
        Err(error) => tracing::info!(%error, "the local API listens on IPv4 only"),
    }
    let file_token = random_token();
    write_token(&data_dir.join("local-api.token"), &file_token)?;
    let kept_token = data_dir.join("local-api.session");
    let mut presence = Presence::new(file_token);
    if let Ok(token) = std::fs::read_to_string(&kept_token) {
        presence.signed_in(token, Duration::ZERO);
    }
    let api = Arc::new(Api {
        guard: Guard::new(port, config.origins.clone()),
        asks,
        status,
        presence: Mutex::new(presence),
        kept_token,
        began: Instant::now(),
    });
    let addresses = listeners.iter().map(TcpListener::local_addr).collect::<io::Result<_>>()?;
    let mut tasks = JoinSet::new();
    for listener in listeners {
        let router = routes::router(api.clone());
        tasks.spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                tracing::error!(%error, "the local API ended");
            }
        });
    }
    tasks.spawn(sign_out_the_silent(api));
    tracing::info!(?addresses, "the local API listens");
    Ok(LocalApi { _tasks: tasks, addresses })
}

/// The 60 s rule.
async fn sign_out_the_silent(api: Arc<Api>) {
    let mut tick = tokio::time::interval(LOOK);
    // At a start the session of the last run takes a moment to go on.
    let mut seen = false;
    loop {
        tick.tick().await;
        let signed_in = api.status.borrow().person.is_some();
        seen |= signed_in;
        let silent = api.presence().poll(api.now(), signed_in || !seen);
        if seen && !signed_in {
            api.forget();
        }
        if silent {
            api.forget();
            tracing::warn!("no ping for 60 s: whoever signed in by the local API is signed out");
            if let Err(error) = api.ask(Ask::SignOut).await {
                tracing::warn!(error, "the sign-out failed");
            }
        }
    }
}

/// 244 bits.
fn random_token() -> String {
    format!("{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple())
}

/// Readable for this user only.
fn write_token(path: &Path, token: &str) -> io::Result<()> {
    use std::io::Write as _;
    let new = path.with_extension("new");
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(&new)?.write_all(token.as_bytes())?;
    std::fs::rename(&new, path)
}
