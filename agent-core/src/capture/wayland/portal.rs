//! Asking the desktop portal to share the monitors, and holding on to what it granted.
//!
//! The portal shows the agent a dialog, unless a token of an earlier consent is good. The session lives as long as its
//! connection to the session bus, which a thread of its own holds. The connection is never the one that ashpd keeps for the
//! whole process: that one is served by the thread that was first to use it, and is dead for everybody after that.

use super::consent::Place;
use crate::capture::CaptureError;
use ashpd::{
    Error, PortalError,
    desktop::{
        PersistMode, ResponseError, Session,
        screencast::{CursorMode, Screencast, SelectSourcesOptions, SourceType, Streams},
    },
    zbus::Connection,
};
use futures_util::StreamExt as _;
use std::{
    os::fd::OwnedFd,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};
use tokio::{sync::oneshot, time::timeout};

/// How long the portal may take to answer what needs no person.
const ANSWER: Duration = Duration::from_secs(10);
/// How long it may take to end a session: the next capture waits for it. It ends with its connection in any case.
const CLOSE: Duration = Duration::from_secs(2);
/// How long a person may look at the dialog.
const PERSON: Duration = Duration::from_secs(120);
/// Whoever said no is not asked again before this: a capture is tried again much sooner.
const NOT_AGAIN: Duration = Duration::from_secs(600);

/// When a person said no.
static REFUSED: Mutex<Option<Instant>> = Mutex::new(None);

/// What the portal granted.
pub struct Grant {
    /// The connection to PipeWire, limited to what is shared.
    pub remote: OwnedFd,
    /// What is shared.
    pub streams: Vec<SharedMonitor>,
    /// The token for the next time, where the portal gives one.
    pub token: Option<String>,
    /// Whether the cursor is in the pictures.
    pub cursor: bool,
}

/// One shared monitor.
pub struct SharedMonitor {
    /// Its node in PipeWire.
    pub node: u32,
    /// Where it lies, where the portal says so.
    pub place: Option<Place>,
}

/// A granted session; dropping it ends the sharing.
pub struct Sharing {
    ended: Arc<AtomicBool>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Sharing {
    /// Asks for all monitors. Blocks until the agent has answered, or a token has for them.
    pub fn ask(token: Option<String>) -> Result<(Grant, Self), CaptureError> {
        let refused = *REFUSED.lock().unwrap_or_else(PoisonError::into_inner);
        if refused.is_some_and(|at| at.elapsed() < NOT_AGAIN) {
            let why = "the person at this desktop said no, and is not asked again for ten minutes";
            return Err(CaptureError::NotAllowed(why.to_owned()));
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (answer, answered) = mpsc::channel();
        let (stop, stopped) = oneshot::channel();
        let ended = Arc::new(AtomicBool::new(false));
        let told = ended.clone();
        let thread = std::thread::Builder::new()
            .name("screen-portal".to_owned())
            .spawn(move || runtime.block_on(hold(token, &answer, stopped, &told)))?;
        let sharing = Self { ended, stop: Some(stop), thread: Some(thread) };
        let grant = answered.recv().unwrap_or_else(|_| Err(unreachable("it did not answer")));
        if let Err(CaptureError::NotAllowed(_)) = &grant {
            note_refusal();
        }
        Ok((grant?, sharing))
    }

    /// Whether the desktop ended it.
    pub fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Relaxed)
    }
}

impl Drop for Sharing {
    fn drop(&mut self) {
        drop(self.stop.take());
        if self.thread.take().map(JoinHandle::join).is_some_and(|joined| joined.is_err()) {
            tracing::error!("the portal's thread panicked");
        }
    }
}

/// Whoever said no, or ended the sharing, is not asked again for a while.
pub fn note_refusal() {
    *REFUSED.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
}

/// Negotiates, answers, and keeps the session until it is stopped or ended.
async fn hold(
    token: Option<String>,
    answer: &mpsc::Sender<Result<Grant, CaptureError>>,
    stopped: oneshot::Receiver<()>,
    ended: &AtomicBool,
) {
    let (session, grant) = match negotiate(token).await {
        Ok(granted) => granted,
        Err(error) => {
            let _ = answer.send(Err(error));
            return;
        }
    };
    let closed = session.receive_closed().await;
    if answer.send(Ok(grant)).is_err() {
        return;
    }
    match closed {
        Ok(closed) => {
            let mut closed = std::pin::pin!(closed);
            tokio::select! {
                _ = stopped => {}
                _ = closed.next() => ended.store(true, Ordering::Relaxed),
            }
        }
        Err(error) => {
            tracing::warn!(%error, "the portal does not tell when the sharing ends");
            let _ = stopped.await;
        }
    }
    match timeout(CLOSE, session.close()).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "the sharing could not be closed: it has ended"),
        Err(_) => tracing::warn!("the desktop portal does not answer: the sharing ends with its connection"),
    }
}

async fn negotiate(token: Option<String>) -> Result<(Session<Screencast>, Grant), CaptureError> {
    let connection = timeout(ANSWER, Connection::session()).await;
    let connection = connection.map_err(|_| unreachable("the session bus did not answer"))?;
    let connection = connection.map_err(|error| unreachable(&error.to_string()))?;
    let portal = in_time(Screencast::with_connection(connection)).await?;
    let modes = in_time(portal.available_cursor_modes()).await?;
    let cursor = modes.contains(CursorMode::Embedded);
    let session = in_time(portal.create_session(Default::default())).await?;
    let wanted = SelectSourcesOptions::default()
        .set_sources(ashpd::enumflags2::BitFlags::from(SourceType::Monitor))
        .set_multiple(true)
        .set_cursor_mode(if cursor { CursorMode::Embedded } else { CursorMode::Hidden })
        .set_persist_mode(PersistMode::ExplicitlyRevoked)
        .set_restore_token(token.as_deref());
    in_time(portal.select_sources(&session, wanted)).await?.response().map_err(told)?;
    let started = timeout(PERSON, portal.start(&session, None, Default::default()))
        .await
        .map_err(|_| CaptureError::NotAllowed("nobody answered the desktop's question".to_owned()))?
        .map_err(told)?;
    let streams: Streams = started.response().map_err(told)?;
    let remote = in_time(portal.open_pipe_wire_remote(&session, Default::default())).await?;
    let grant = Grant {
        remote,
        streams: streams.streams().iter().map(shared).collect(),
        token: streams.restore_token().map(str::to_owned),
        cursor,
    };
    Ok((session, grant))
}

fn shared(stream: &ashpd::desktop::screencast::Stream) -> SharedMonitor {
    let place =
        stream.position().zip(stream.size()).map(|((x, y), (width, height))| Place { x, y, width, height });
    SharedMonitor { node: stream.pipe_wire_node_id(), place }
}

async fn in_time<T>(call: impl Future<Output = Result<T, Error>>) -> Result<T, CaptureError> {
    timeout(ANSWER, call).await.map_err(|_| unreachable("it did not answer"))?.map_err(told)
}

/// A refusal is no fault of a connection, and is told apart from one.
fn told(error: Error) -> CaptureError {
    match error {
        Error::Response(ResponseError::Cancelled) => {
            CaptureError::NotAllowed("the person at this desktop said no".to_owned())
        }
        Error::Response(ResponseError::Other) => {
            unreachable("it could not share the screens, and does not say why")
        }
        Error::Portal(PortalError::NotAllowed(why)) => CaptureError::NotAllowed(why),
        Error::Portal(PortalError::Cancelled(why)) => CaptureError::NotAllowed(why),
        Error::PortalNotFound(_) => {
            CaptureError::Unsupported("a desktop portal that shares screens".to_owned())
        }
        other => unreachable(&other.to_string()),
    }
}

fn unreachable(why: &str) -> CaptureError {
    CaptureError::Display(format!("the desktop portal: {why}"))
}
