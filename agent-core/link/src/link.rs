//! The live link to the web services: opened again for ever, watched, measured.

use crate::{
    ClockEstimator, Identity, Journal, LinkConfig,
    clock::StepDetector,
    error::with_causes,
    handle::{Hello, LinkEvent, LinkHandle, Welcome},
    outage::Outage,
    proxy::Proxy,
    session::{Due, Session},
};
use futures_util::{SinkExt as _, StreamExt as _};
use hindsight_wire::{
    ClockOffset, Timestamp,
    link::{Down, LINK_PATH, PROTOCOL_VERSION, Up},
};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use rustls::{ClientConfig, pki_types::ServerName};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    net::TcpStream,
    sync::{Notify, mpsc, watch},
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_tungstenite::{
    WebSocketStream, client_async_with_config,
    tungstenite::{Message, protocol::WebSocketConfig},
};

/// Largest message believed: a configuration of some 100,000 DNs.
const MAX_MESSAGE: usize = 64 << 20;
/// Entries of the journal in one message.
const BATCH: usize = 100;
/// Oldest version of a server that this device works with: two before its own, as far as there are any.
const OLDEST_VERSION: u32 = if PROTOCOL_VERSION > 2 { PROTOCOL_VERSION - 2 } else { 1 };
/// How long an owner may leave an event untaken before the link is given up for its sake.
const OWNER_TIMEOUT: Duration = Duration::from_secs(10);

type Socket = WebSocketStream<TlsStream<TcpStream>>;

/// The link's task.
pub struct Link {
    config: LinkConfig,
    tls: Arc<ClientConfig>,
    proxy: Option<Proxy>,
    journal: Option<Journal>,
    hello: Box<dyn Fn() -> Hello + Send + Sync>,
    out: mpsc::Receiver<Up>,
    events: mpsc::Sender<LinkEvent>,
    clock: watch::Sender<Option<ClockOffset>>,
    up: watch::Sender<bool>,
    again: Arc<Notify>,
    estimator: ClockEstimator,
    outage: Outage,
    rng: StdRng,
}

/// Why a link ended.
enum End {
    Lost { since: Option<Timestamp>, reason: String },
    Refused { reason: String, retry: bool },
    Again,
    Closed,
}

fn lost(reason: impl Into<String>) -> End {
    End::Lost { since: None, reason: reason.into() }
}

impl Link {
    /// Opens a link and keeps opening it, in a task of the current runtime. `hello` is asked before every attempt;
    /// the events of `journal` are delivered over it.
    pub fn spawn(
        identity: &Identity,
        config: LinkConfig,
        journal: Option<Journal>,
        hello: impl Fn() -> Hello + Send + Sync + 'static,
    ) -> (LinkHandle, mpsc::Receiver<LinkEvent>) {
        let (out_sender, out) = mpsc::channel(config.queue.max(1));
        let (events, events_receiver) = mpsc::channel(config.queue.max(1));
        let (clock, clock_receiver) = watch::channel(None);
        let (up, up_receiver) = watch::channel(false);
        let again = Arc::new(Notify::new());
        let handle = LinkHandle {
            out: out_sender,
            clock: clock_receiver,
            up: up_receiver,
            again: again.clone(),
            dropped: Arc::default(),
        };
        let link = Self {
            config,
            tls: identity.tls(),
            proxy: identity.proxy().cloned(),
            journal,
            hello: Box::new(hello),
            out,
            events,
            clock,
            up,
            again,
            estimator: ClockEstimator::default(),
            outage: Outage::default(),
            rng: StdRng::from_os_rng(),
        };
        tokio::spawn(link.run());
        (handle, events_receiver)
    }

    async fn run(mut self) {
        let mut failures = 0;
        loop {
            let opened = Instant::now();
            let end = self.once().await;
            let was_up = self.up.send_replace(false);
            // A link that is accepted and lost at once counts as a failure too.
            failures = if was_up && opened.elapsed() > self.config.open_timeout() { 1 } else { failures + 1 };
            let backoff = self.config.backoff();
            let mut delay = backoff.delay(failures, self.rng.random_range(0.0..=1.0));
            match end {
                End::Closed => return,
                End::Again => {
                    failures = 0;
                    continue;
                }
                End::Lost { since, reason } => {
                    tracing::debug!(reason, failures, was_up, "link lost");
                    self.outage.warn(Instant::now(), &self.config.address, &reason);
                    if was_up {
                        let since = since.unwrap_or_else(Timestamp::now);
                        let _ = self.tell(LinkEvent::Lost { since, reason }).await;
                    }
                }
                End::Refused { reason, retry } => {
                    tracing::warn!(reason, retry, "link refused");
                    let _ = self.tell(LinkEvent::Refused { reason, retry }).await;
                    if !retry {
                        delay = backoff.cap;
                    }
                }
            }
            tokio::select! {
                () = tokio::time::sleep(delay) => {}
                () = self.again.notified() => failures = 0,
                () = self.events.closed() => return,
            }
            if self.out.is_closed() && self.out.is_empty() {
                return;
            }
        }
    }

    /// One link, from connecting to its end.
    async fn once(&mut self) -> End {
        let again = self.again.clone();
        let opening = timeout(self.config.open_timeout(), self.open());
        let opened = tokio::select! {
            opened = opening => opened,
            () = again.notified() => return End::Again,
            () = self.events.closed() => return End::Closed,
        };
        match opened {
            Ok(Ok((socket, welcome))) => {
                if let Err(end) = self.continue_after(welcome.journalled).await {
                    return end;
                }
                let outage = self.outage.over();
                tracing::info!(protocol = welcome.protocol, after_outage = outage, "link open");
                self.up.send_replace(true);
                if let Err(end) = self.tell(LinkEvent::Up(welcome)).await {
                    return end;
                }
                self.serve(socket).await
            }
            Ok(Err(end)) => end,
            Err(_) => lost("no link in time"),
        }
    }

    /// Opens a link in the newest version; a server that refuses it for good is asked in the oldest that this device
    /// speaks, for it may be of before the newest. What it says then holds.
    async fn open(&self) -> Result<(Box<Socket>, Welcome), End> {
        match self.open_in(PROTOCOL_VERSION).await {
            Err(End::Refused { retry: false, .. }) if OLDEST_VERSION < PROTOCOL_VERSION => {
                self.open_in(OLDEST_VERSION).await
            }
            other => other,
        }
    }

    async fn open_in(&self, protocol: u32) -> Result<(Box<Socket>, Welcome), End> {
        let address = &self.config.address;
        let host = address.rsplit_once(':').map_or(address.as_str(), |(host, _)| host);
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let name = ServerName::try_from(host.clone()).map_err(|error| lost(with_causes(&error)))?;
        let tcp = match self.proxy.as_ref().filter(|proxy| proxy.is_for(&host)) {
            Some(proxy) => proxy.connect(address).await.map_err(|error| lost(with_causes(&error)))?,
            None => TcpStream::connect(address).await.map_err(|error| lost(with_causes(&error)))?,
        };
        // Small messages, seldom: never wait for more.
        tcp.set_nodelay(true).map_err(|error| lost(with_causes(&error)))?;
        let tls = TlsConnector::from(self.tls.clone()).connect(name, tcp).await;
        let tls = tls.map_err(|error| lost(with_causes(&error)))?;
        let limits =
            WebSocketConfig::default().max_message_size(Some(MAX_MESSAGE)).max_frame_size(Some(MAX_MESSAGE));
        let opened = client_async_with_config(format!("wss://{address}{LINK_PATH}"), tls, Some(limits)).await;
        let mut socket = Box::new(opened.map_err(|error| lost(with_causes(&error)))?.0);
        let Hello { version, token, resume } = (self.hello)();
        // Version 1 knows of no event stream.
        let resume = resume.filter(|_| protocol >= 2);
        let hello = encode(&Up::Hello { protocol, version, token, resume })?;
        socket.send(hello).await.map_err(|error| lost(with_causes(&error)))?;
        loop {
            match socket.next().await {
                Some(Ok(Message::Text(text))) => match decode(text.as_str()) {
                    Some(Down::Welcome { protocol, policy, recipients, journalled, traces }) => {
                        return Ok((socket, Welcome { protocol, policy, recipients, journalled, traces }));
                    }
                    Some(Down::Refused { reason, retry }) => return Err(End::Refused { reason, retry }),
                    Some(_) | None => return Err(lost("the server did not begin with a welcome")),
                },
                Some(Ok(Message::Close(_))) | None => return Err(lost("closed by the server")),
                Some(Ok(Message::Binary(_) | Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
                Some(Err(error)) => return Err(lost(with_causes(&error))),
            }
        }
    }

    /// Priorities: what the server says, then what is due, then what the owner sends.
    async fn serve(&mut self, mut socket: Box<Socket>) -> End {
        let ping_every = Duration::from_millis(self.config.ping_every_ms);
        let mut session = Session::new(Instant::now(), ping_every, self.config.idle_timeout());
        let mut steps = StepDetector::new(Instant::now(), Timestamp::now().0);
        let mut heard_at = Timestamp::now();
        let mut durable = self.journal.as_ref().map(Journal::durable);
        let again = self.again.clone();
        loop {
            while let Some(due) = session.poll(Instant::now()) {
                if due == Due::Ping && steps.stepped(Instant::now(), Timestamp::now().0) {
                    tracing::warn!("the system clock was set");
                    self.estimator.reset();
                    session.measure_again(Instant::now());
                }
                if let Err(end) = self.do_due(&mut socket, &mut session, due).await {
                    return end.since(heard_at);
                }
            }
            let result = tokio::select! {
                biased;
                frame = socket.next() => {
                    session.heard(Instant::now());
                    heard_at = Timestamp::now();
                    match frame {
                        Some(Ok(frame)) => self.take_frame(&mut session, frame).await,
                        Some(Err(error)) => Err(lost(with_causes(&error))),
                        None => Err(lost("closed by the server")),
                    }
                }
                () = tokio::time::sleep_until(session.next().into()) => Ok(()),
                () = again.notified() => Err(End::Again),
                () = self.events.closed() => Err(End::Closed),
                () = grown(&mut durable) => {
                    session.entries_waiting();
                    Ok(())
                }
                message = self.out.recv() => match message {
                    Some(message) => self.write(&mut socket, &message).await,
                    None => Err(End::Closed),
                },
            };
            if let Err(end) = result {
                if matches!(end, End::Again | End::Closed) {
                    // A farewell, not a duty.
                    let _ = timeout(Duration::from_secs(1), socket.close()).await;
                }
                return end.since(heard_at);
            }
        }
    }

    async fn do_due(&mut self, socket: &mut Socket, session: &mut Session, due: Due) -> Result<(), End> {
        match due {
            Due::Lost => Err(lost("nothing heard")),
            Due::Ping => self.write_frame(socket, Message::Ping(Vec::new().into())).await,
            Due::Exchange => self.write(socket, &Up::Clock { sent_us: Timestamp::now().0 }).await,
            Due::Measured => {
                self.estimator.finish_measurement();
                self.publish_clock();
                Ok(())
            }
            Due::Deliver => self.deliver(socket, session).await,
        }
    }

    fn publish_clock(&self) {
        let offset = self.estimator.offset();
        self.clock.send_if_modified(|known| {
            let changed = *known != offset;
            *known = offset;
            changed
        });
    }

    /// A journal that was lost would be numbered from 1 again, and the server ignores what it has seen.
    async fn continue_after(&self, journalled: Option<u64>) -> Result<(), End> {
        let (Some(journal), Some(journalled)) = (self.journal.clone(), journalled) else { return Ok(()) };
        let done = tokio::task::spawn_blocking(move || journal.continue_after(journalled)).await;
        done.map_err(|error| lost(with_causes(&error)))?.map_err(|error| lost(with_causes(&error)))
    }

    async fn deliver(&mut self, socket: &mut Socket, session: &mut Session) -> Result<(), End> {
        let Some(journal) = self.journal.clone() else { return Ok(()) };
        let entries = match tokio::task::spawn_blocking(move || journal.batch(BATCH)).await {
            Ok(Ok(entries)) => entries,
            Ok(Err(error)) => return Err(lost(with_causes(&error))),
            Err(error) => return Err(lost(with_causes(&error))),
        };
        let Some(last) = entries.last().map(|entry| entry.sequence) else { return Ok(()) };
        session.delivered(last, Instant::now());
        self.write(socket, &Up::Events { entries }).await
    }

    async fn take_frame(&mut self, session: &mut Session, frame: Message) -> Result<(), End> {
        let text = match frame {
            Message::Text(text) => text,
            Message::Close(_) => return Err(lost("closed by the server")),
            Message::Binary(_) | Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => return Ok(()),
        };
        match decode(text.as_str()) {
            // From a newer server, perhaps.
            None => Ok(()),
            Some(Down::Clock { sent_us, server_received_us, server_sent_us }) => {
                self.estimator.sample(sent_us, server_received_us, server_sent_us, Timestamp::now().0);
                if self.clock.borrow().is_none() {
                    self.publish_clock();
                }
                Ok(())
            }
            Some(Down::Accepted { sequence }) => {
                if let Some(journal) = self.journal.clone() {
                    match tokio::task::spawn_blocking(move || journal.accept(sequence)).await {
                        Ok(Ok(())) => session.accepted(sequence),
                        Ok(Err(error)) => return Err(lost(with_causes(&error))),
                        Err(error) => return Err(lost(with_causes(&error))),
                    }
                }
                Ok(())
            }
            Some(Down::Refused { reason, retry }) => Err(End::Refused { reason, retry }),
            Some(message) => self.tell(LinkEvent::Down(message)).await,
        }
    }

    async fn tell(&self, event: LinkEvent) -> Result<(), End> {
        match timeout(OWNER_TIMEOUT, self.events.send(event)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(End::Closed),
            Err(_) => {
                tracing::error!("an event of the link was not taken in time");
                Err(lost("the device does not take the server's messages"))
            }
        }
    }

    async fn write(&self, socket: &mut Socket, message: &Up) -> Result<(), End> {
        self.write_frame(socket, encode(message)?).await
    }

    /// A write that does not go through is a lost link: the peer's window has been full for that long.
    async fn write_frame(&self, socket: &mut Socket, frame: Message) -> Result<(), End> {
        match timeout(self.config.idle_timeout(), socket.send(frame)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(lost(with_causes(&error))),
            Err(_) => Err(lost("the server takes nothing")),
        }
    }
}

impl End {
    fn since(self, heard_at: Timestamp) -> Self {
        match self {
            Self::Lost { since: None, reason } => Self::Lost { since: Some(heard_at), reason },
            other => other,
        }
    }
}

fn encode(message: &Up) -> Result<Message, End> {
    serde_json::to_string(message).map(Message::text).map_err(|error| lost(with_causes(&error)))
}

fn decode(text: &str) -> Option<Down> {
    match serde_json::from_str(text) {
        Ok(Down::Unknown) => {
            tracing::debug!("a message of a newer server is left out");
            None
        }
        Ok(message) => Some(message),
        Err(error) => {
            tracing::warn!(%error, "message of the server not understood");
            None
        }
    }
}

async fn grown(durable: &mut Option<watch::Receiver<u64>>) {
    let grown = match durable {
        Some(durable) => durable.changed().await.is_ok(),
        None => false,
    };
    if !grown {
        std::future::pending().await
    }
}
