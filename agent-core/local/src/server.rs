//! The recorder's end.

use crate::{
    lines::{Lines, write},
    transport::{Connection, Listener},
};
use hindsight_wire::local::{Ask, DesktopStatus, Message, Request};
use serde_json::Value;
use std::{io, sync::Arc, time::Duration};
use tokio::{
    io::{ReadHalf, WriteHalf},
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch},
    task::JoinSet,
    time::{Instant, sleep_until, timeout},
};

/// Windows at once.
const WINDOWS: usize = 16;
/// Requests of one window under way.
const UNDER_WAY: usize = 32;
/// Changes within this time are shown as one.
const COALESCE: Duration = Duration::from_millis(50);
/// A window that takes nothing for so long is let go.
const TAKES: Duration = Duration::from_secs(30);
/// Wait after a failure to accept: most often too many open files.
const ACCEPT_AGAIN: Duration = Duration::from_millis(200);

/// What a window asks the recorder for.
#[derive(Debug)]
pub struct Asked {
    /// What.
    pub ask: Ask,
    /// Where the answer goes.
    pub reply: Reply,
}

/// The way back to the window that asked; dropped, it tells of a failure.
#[derive(Debug)]
pub struct Reply(oneshot::Sender<Result<Value, String>>);

impl Reply {
    /// A way back, and where it leads.
    pub fn new() -> (Self, oneshot::Receiver<Result<Value, String>>) {
        let (sender, receiver) = oneshot::channel();
        (Self(sender), receiver)
    }

    /// Done; nothing to tell.
    pub fn done(self) {
        self.answer(Ok(Value::Null));
    }

    /// Done, or not.
    pub fn answer(self, result: Result<Value, String>) {
        // The window may be gone.
        let _ = self.0.send(result);
    }

    /// Not done; the reason is for people.
    pub fn failed(self, reason: impl Into<String>) {
        self.answer(Err(reason.into()));
    }
}

/// Serves windows for ever. `asks` is never waited for: a recorder that has too many to answer refuses more.
pub async fn serve(
    mut listener: Listener,
    status: watch::Receiver<DesktopStatus>,
    asks: mpsc::Sender<Asked>,
) {
    let places = Arc::new(Semaphore::new(WINDOWS));
    let mut windows = JoinSet::new();
    loop {
        while windows.try_join_next().is_some() {}
        match listener.accept().await {
            Ok(connection) => match places.clone().try_acquire_owned() {
                Ok(place) => {
                    windows.spawn(window(connection, status.clone(), asks.clone(), place));
                }
                Err(_) => tracing::warn!(WINDOWS, "too many windows; one more is refused"),
            },
            Err(error) => {
                tracing::warn!(%error, "a window could not be let in");
                tokio::time::sleep(ACCEPT_AGAIN).await;
            }
        }
    }
}

/// One window, to its end.
async fn window(
    connection: Connection,
    status: watch::Receiver<DesktopStatus>,
    asks: mpsc::Sender<Asked>,
    _place: OwnedSemaphorePermit,
) {
    let (reader, writer) = tokio::io::split(connection);
    let (answers, to_write) = mpsc::channel(UNDER_WAY);
    let ended = tokio::select! {
        ended = listen(Lines::new(reader), asks, answers) => ended,
        ended = tell(writer, status, to_write) => ended,
    };
    if let Err(error) = ended {
        tracing::info!(%error, "a window is let go");
    }
}

async fn listen(
    mut lines: Lines<ReadHalf<Connection>>,
    asks: mpsc::Sender<Asked>,
    answers: mpsc::Sender<Message>,
) -> io::Result<()> {
    let mut under_way = JoinSet::new();
    while let Some(line) = lines.next().await? {
        while under_way.try_join_next().is_some() {}
        let failed = |id, reason: String| Message::Failed { id, reason };
        let refusal = match serde_json::from_slice(&line) {
            Err(error) => Some(failed(id_of(&line)?, format!("not understood: {error}"))),
            Ok(Request { id, .. }) if under_way.len() >= UNDER_WAY => {
                Some(failed(id, "too many requests wait already".to_owned()))
            }
            Ok(Request { id, ask }) => {
                let (reply, answer) = Reply::new();
                match asks.try_send(Asked { ask, reply }) {
                    Ok(()) => {
                        let answers = answers.clone();
                        under_way.spawn(async move {
                            let message = match answer.await {
                                Ok(Ok(value)) => Message::Done { id, value },
                                Ok(Err(reason)) => Message::Failed { id, reason },
                                Err(_) => {
                                    Message::Failed { id, reason: "the recorder gave no answer".to_owned() }
                                }
                            };
                            // The window may be gone.
                            let _ = answers.send(message).await;
                        });
                        None
                    }
                    Err(_) => Some(failed(id, "the recorder is busy".to_owned())),
                }
            }
        };
        if let Some(refusal) = refusal
            && answers.send(refusal).await.is_err()
        {
            return Ok(());
        }
    }
    Ok(())
}

/// The id of a request that is not understood otherwise.
fn id_of(line: &[u8]) -> io::Result<u64> {
    let value: Value = serde_json::from_slice(line)?;
    let id = value.get("id").and_then(Value::as_u64);
    id.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "a request without an id"))
}

async fn tell(
    mut writer: WriteHalf<Connection>,
    mut status: watch::Receiver<DesktopStatus>,
    mut answers: mpsc::Receiver<Message>,
) -> io::Result<()> {
    status.mark_changed();
    let mut not_before = Instant::now();
    loop {
        let message = tokio::select! {
            biased;
            message = newest(&mut status, not_before) => {
                not_before = Instant::now() + COALESCE;
                message?
            }
            answer = answers.recv() => match answer {
                Some(answer) => answer,
                None => return Ok(()),
            },
        };
        timeout(TAKES, write(&mut writer, &message)).await.map_err(io::Error::from)??;
    }
}

/// The newest status, once it has changed and it is time.
async fn newest(status: &mut watch::Receiver<DesktopStatus>, not_before: Instant) -> io::Result<Message> {
    sleep_until(not_before).await;
    // What changed stays marked until it is read, also when this wait is given up.
    status.changed().await.map_err(|_| io::Error::other("the recorder ends"))?;
    Ok(Message::Status(Box::new(status.borrow_and_update().clone())))
}
