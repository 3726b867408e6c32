//! The window's end.

use crate::{
    lines::{Lines, write},
    transport::{self, Connection},
};
use hindsight_wire::local::{Ask, DesktopStatus, Message, Request};
use serde_json::Value;
use std::{collections::HashMap, io, path::Path, time::Duration};
use tokio::{
    io::{ReadHalf, WriteHalf},
    sync::{mpsc, oneshot, watch},
    time::timeout,
};

/// The recorder says how it is within this time.
const FIRST_STATUS: Duration = Duration::from_secs(10);
/// It takes a request within this time.
const TAKES: Duration = Duration::from_secs(10);
/// Requests that may wait to be written.
const QUEUE: usize = 32;
/// What a request is told when the recorder is gone.
const GONE: &str = "the recorder is not running";

/// Why a window has no recorder.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Nobody listens, or it is not this user's.
    #[error("the recorder's socket: {0}")]
    Socket(#[from] io::Error),
    /// It listens but does not speak, or another language.
    #[error("the recorder does not answer: {0}")]
    Silent(String),
}

/// A connection to the recorder; cheap to clone. When the recorder ends, [`Client::status`] ends and requests fail:
/// connect again.
#[derive(Clone)]
pub struct Client {
    asks: mpsc::Sender<Waiting>,
    status: watch::Receiver<DesktopStatus>,
}

struct Waiting {
    ask: Ask,
    reply: oneshot::Sender<Result<Value, String>>,
}

impl Client {
    /// Connects, and waits for the recorder's first status.
    pub async fn connect(path: &Path) -> Result<Self, ConnectError> {
        let (reader, writer) = tokio::io::split(transport::connect(path).await?);
        let mut lines = Lines::new(reader);
        let first = timeout(FIRST_STATUS, first_status(&mut lines)).await;
        let first = first.map_err(|_| ConnectError::Silent("nothing came".to_owned()))??;
        let (status, watched) = watch::channel(first);
        let (asks, waiting) = mpsc::channel(QUEUE);
        tokio::spawn(Task { lines, writer, status, waiting, asked: HashMap::new(), next: 1 }.run());
        Ok(Self { asks, status: watched })
    }

    /// Asks for something; the error is for people.
    pub async fn request(&self, ask: Ask) -> Result<Value, String> {
        let (reply, answer) = oneshot::channel();
        self.asks.send(Waiting { ask, reply }).await.map_err(|_| GONE.to_owned())?;
        answer.await.unwrap_or_else(|_| Err(GONE.to_owned()))
    }

    /// How the recorder is, as it changes; `changed` fails once the recorder is gone.
    pub fn status(&self) -> watch::Receiver<DesktopStatus> {
        self.status.clone()
    }

    /// Waits until the recorder is gone.
    pub async fn closed(&self) {
        self.asks.closed().await;
    }
}

async fn first_status(lines: &mut Lines<ReadHalf<Connection>>) -> Result<DesktopStatus, ConnectError> {
    let line = lines.next().await?.ok_or_else(|| ConnectError::Silent("it hung up".to_owned()))?;
    match serde_json::from_slice(&line) {
        Ok(Message::Status(status)) => Ok(*status),
        Ok(Message::Done { .. } | Message::Failed { .. }) => {
            Err(ConnectError::Silent("no status came first".to_owned()))
        }
        Err(error) => Err(ConnectError::Silent(error.to_string())),
    }
}

struct Task {
    lines: Lines<ReadHalf<Connection>>,
    writer: WriteHalf<Connection>,
    status: watch::Sender<DesktopStatus>,
    waiting: mpsc::Receiver<Waiting>,
    asked: HashMap<u64, oneshot::Sender<Result<Value, String>>>,
    next: u64,
}

impl Task {
    /// Ends with the recorder or with the last handle; what waits then fails.
    async fn run(mut self) {
        loop {
            let result = tokio::select! {
                biased;
                line = self.lines.next() => match line {
                    Ok(Some(line)) => self.take(&line),
                    Ok(None) => return,
                    Err(error) => Err(error),
                },
                waiting = self.waiting.recv() => match waiting {
                    Some(waiting) => self.send(waiting).await,
                    None => return,
                },
            };
            if let Err(error) = result {
                tracing::warn!(%error, "the connection to the recorder broke");
                return;
            }
        }
    }

    fn take(&mut self, line: &[u8]) -> io::Result<()> {
        let (id, answer) = match serde_json::from_slice(line)? {
            Message::Status(status) => {
                self.status.send_replace(*status);
                return Ok(());
            }
            Message::Done { id, value } => (id, Ok(value)),
            Message::Failed { id, reason } => (id, Err(reason)),
        };
        // Whoever asked may be gone.
        self.asked.remove(&id).map(|reply| reply.send(answer));
        Ok(())
    }

    async fn send(&mut self, waiting: Waiting) -> io::Result<()> {
        let id = self.next;
        self.next += 1;
        self.asked.retain(|_, reply| !reply.is_closed());
        self.asked.insert(id, waiting.reply);
        let request = Request { id, ask: waiting.ask };
        timeout(TAKES, write(&mut self.writer, &request)).await.map_err(io::Error::from)?
    }
}
