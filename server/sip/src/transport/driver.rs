//! The one task: sockets and timers in, commands in, datagrams, streams and events out.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tracing::{debug, trace, warn};

use super::connection::{Connection, Generation, News, NewsSender};
use super::{Observed, SipConfig};
use crate::endpoint::{Command, Endpoint, Output, Received, Transmit};
use crate::event::{ClientTransactionId, Event};
use crate::flow::{Protocol, Source};
use crate::gate::{Origin, Turned};

/// Pieces of streams that may wait for the driver.
const NEWS_QUEUE: usize = 256;
/// Datagrams read before the other inputs get their turn.
const UDP_BATCH: usize = 64;
/// How often streams are looked over for time limits.
const SWEEP: Duration = Duration::from_secs(5);
/// However short the limits are.
const SHORTEST_SWEEP: Duration = Duration::from_millis(100);
/// Requests on one stream that are told of its end.
const MAX_UNHEARD: usize = 1024;

struct Peer {
    connection: Connection,
    /// What is spoken with it, and at which address of ours.
    protocol: Protocol,
    local: SocketAddr,
    /// Requests written since the peer was last heard: they fail when the stream does.
    unheard: Vec<ClientTransactionId>,
    last_traffic: Instant,
    mid_message_since: Option<Instant>,
}

/// What the loop does next.
enum Turn {
    Room,
    Timer,
    Command(Command),
    Sweep,
    Datagrams,
    News(SocketAddr, Generation, News),
    Accepted(Protocol, io::Result<(TcpStream, SocketAddr)>),
    End,
}

/// What the network is read from.
pub(super) struct Sockets {
    pub(super) udp: UdpSocket,
    pub(super) tcp: TcpListener,
    /// Of both.
    pub(super) local: SocketAddr,
    pub(super) tls: Option<TlsListener>,
}

/// TLS has a port of its own.
pub(super) struct TlsListener {
    pub(super) tcp: TcpListener,
    pub(super) local: SocketAddr,
    pub(super) acceptor: TlsAcceptor,
}

impl Sockets {
    /// The next connection; never without a TLS listener.
    async fn accept_tls(&self) -> io::Result<(TcpStream, SocketAddr)> {
        match &self.tls {
            Some(tls) => tls.tcp.accept().await,
            None => std::future::pending().await,
        }
    }
}

pub(super) struct Driver {
    config: SipConfig,
    endpoint: Endpoint,
    sockets: Sockets,
    commands: mpsc::Receiver<Command>,
    events: mpsc::Sender<Event>,
    /// Events that found the user's queue full. While there are any, the network is not read.
    backlog: VecDeque<Event>,
    peers: HashMap<SocketAddr, Peer>,
    generation: Generation,
    news: mpsc::Receiver<(SocketAddr, Generation, News)>,
    news_sender: NewsSender,
    deadline: Option<Instant>,
    turned: Arc<Turned>,
}

impl Driver {
    pub(super) fn new(
        config: SipConfig,
        endpoint: Endpoint,
        sockets: Sockets,
        commands: mpsc::Receiver<Command>,
        events: mpsc::Sender<Event>,
        turned: Arc<Turned>,
    ) -> Self {
        let (news_sender, news) = mpsc::channel(NEWS_QUEUE);
        Self {
            config,
            endpoint,
            sockets,
            commands,
            events,
            backlog: VecDeque::new(),
            peers: HashMap::new(),
            generation: 0,
            news,
            news_sender,
            deadline: None,
            turned,
        }
    }

    pub(super) async fn run(mut self) {
        let mut buffer = vec![0; crate::message::MAX_MESSAGE];
        let every = SWEEP.min(self.config.message_timeout / 2).max(SHORTEST_SWEEP);
        let mut sweep = tokio::time::interval(every);
        sweep.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            self.drain().await;
            match self.next_turn(&mut sweep).await {
                Turn::Room => self.flush(),
                Turn::Timer => self.endpoint.handle_timeout(Instant::now()),
                Turn::Command(command) => self.endpoint.apply(command, Instant::now()),
                Turn::Sweep => self.sweep(Instant::now()),
                Turn::Datagrams => self.read_udp(&mut buffer),
                Turn::News(remote, generation, news) => self.stream_news(remote, generation, news),
                Turn::Accepted(protocol, accepted) => self.accepted(protocol, accepted).await,
                Turn::End => return self.end().await,
            }
        }
    }

    /// The last words of the user (a BYE, an answer) are still sent.
    async fn end(mut self) {
        while let Ok(command) = self.commands.try_recv() {
            self.endpoint.apply(command, Instant::now());
        }
        self.drain().await;
        for peer in self.peers.into_values() {
            peer.connection.finish();
        }
    }

    /// Priorities: events to the user, timers, commands, then what the network brings.
    async fn next_turn(&mut self, sweep: &mut tokio::time::Interval) -> Turn {
        let open = self.backlog.is_empty();
        let accepting = open && self.peers.len() < self.config.max_connections;
        let wake = self.deadline.map(tokio::time::Instant::from_std);
        tokio::select! {
            biased;
            () = self.events.closed() => Turn::End,
            room = self.events.reserve(), if !open => if room.is_ok() { Turn::Room } else { Turn::End },
            () = sleep_until(wake) => Turn::Timer,
            command = self.commands.recv() => command.map_or(Turn::End, Turn::Command),
            _ = sweep.tick() => Turn::Sweep,
            turn = network(&self.sockets, &mut self.news, accepting), if open => turn,
        }
    }

    /// Gives waiting events to the user as far as there is room.
    fn flush(&mut self) {
        while let Some(event) = self.backlog.pop_front() {
            if let Err(mpsc::error::TrySendError::Full(event)) = self.events.try_send(event) {
                return self.backlog.push_front(event);
            }
        }
    }

    /// Does everything that the endpoint wants done now.
    async fn drain(&mut self) {
        loop {
            match self.endpoint.poll_output() {
                Output::Transmit(transmit) => {
                    self.show(true, transmit.protocol, transmit.remote, &transmit.bytes);
                    match transmit.protocol {
                        Protocol::Udp => self.send_udp(transmit).await,
                        Protocol::Tcp => self.send_tcp(transmit),
                        Protocol::Tls => self.send_tls(transmit),
                    }
                }
                Output::Heard(source, bytes) => self.show(false, source.protocol, source.remote, &bytes),
                Output::Event(event) if self.backlog.is_empty() => {
                    if let Err(mpsc::error::TrySendError::Full(event)) = self.events.try_send(event) {
                        debug!("the user's event queue is full; the network waits");
                        self.backlog.push_back(event);
                    }
                }
                Output::Event(event) => self.backlog.push_back(event),
                Output::Close(remote) => self.close(remote),
                Output::Wait(deadline) => {
                    self.deadline = deadline;
                    return;
                }
            }
        }
    }

    fn show(&self, sent: bool, protocol: Protocol, remote: SocketAddr, bytes: &Bytes) {
        let Some(observer) = &self.config.observer else { return };
        let tls = self.sockets.tls.as_ref().filter(|_| protocol == Protocol::Tls);
        let local = tls.map_or(self.sockets.local, |tls| tls.local);
        let at = SystemTime::now();
        observer.show(|| Observed { at, sent, protocol, local, remote, bytes: bytes.clone() });
    }

    fn read_udp(&mut self, buffer: &mut [u8]) {
        for _ in 0..UDP_BATCH {
            match self.sockets.udp.try_recv_from(buffer) {
                Ok((count, remote)) => {
                    let source = Source { protocol: Protocol::Udp, local: self.sockets.local, remote };
                    self.endpoint.handle_input(Received { source, bytes: &buffer[..count] }, Instant::now());
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // An ICMP message about something sent before; the timers deal with it.
                Err(error) => return trace!(%error, "UDP receive"),
            }
        }
    }

    async fn send_udp(&mut self, transmit: Transmit) {
        let Transmit { remote, bytes, origin, .. } = transmit;
        trace!(%remote, len = bytes.len(), "sent");
        if let Err(error) = self.sockets.udp.send_to(&bytes, remote).await {
            debug!(%error, "UDP send");
            self.failed(origin, &error);
        }
    }

    fn failed(&mut self, origin: Option<ClientTransactionId>, error: &io::Error) {
        if let Some(id) = origin {
            self.endpoint.transport_failed(id, &error.to_string(), Instant::now());
        }
    }

    fn send_tcp(&mut self, transmit: Transmit) {
        let Transmit { remote, fallback, bytes, origin, .. } = transmit;
        let remote = match (self.peers.contains_key(&remote), fallback) {
            (false, Some(fallback)) => fallback,
            _ => remote,
        };
        if !self.peers.contains_key(&remote) {
            if self.peers.len() >= self.config.max_connections {
                return self.failed(origin, &io::Error::other("too many TCP connections"));
            }
            let generation = self.next_generation();
            let limit = self.config.connect_timeout;
            let connection = Connection::connect(remote, generation, limit, self.news_sender.clone());
            self.peers.insert(remote, Peer::new(connection, Protocol::Tcp, self.sockets.local));
        }
        self.write(Protocol::Tcp, remote, bytes, origin);
    }

    /// Over the connection that the peer keeps with us.
    fn send_tls(&mut self, transmit: Transmit) {
        if !self.peers.contains_key(&transmit.remote) {
            return self.failed(transmit.origin, &io::Error::other("the peer's TLS connection is gone"));
        }
        self.write(Protocol::Tls, transmit.remote, transmit.bytes, transmit.origin);
    }

    fn write(
        &mut self,
        protocol: Protocol,
        remote: SocketAddr,
        bytes: Bytes,
        origin: Option<ClientTransactionId>,
    ) {
        let Some(peer) = self.peers.get_mut(&remote) else { return };
        // Nothing meant for TLS goes out in the clear.
        if peer.protocol != protocol {
            return self.failed(origin, &io::Error::other("the connection speaks another transport"));
        }
        match peer.connection.out.try_send(bytes) {
            Ok(()) => {
                peer.last_traffic = Instant::now();
                peer.unheard.extend(origin.filter(|_| peer.unheard.len() < MAX_UNHEARD));
            }
            Err(error) => {
                debug!(%error, "TCP peer too slow: closed");
                self.failed(origin, &io::ErrorKind::BrokenPipe.into());
                self.lost(remote, &io::ErrorKind::BrokenPipe.into());
            }
        }
    }

    async fn accepted(&mut self, protocol: Protocol, accepted: io::Result<(TcpStream, SocketAddr)>) {
        match accepted {
            Ok((_, remote)) if self.has_too_many(remote.ip()) => {
                self.turned.connections.fetch_add(1, Ordering::Relaxed);
                debug!("a source has too many TCP connections: one closed");
            }
            Ok((stream, remote)) => {
                let generation = self.next_generation();
                let tls = self.sockets.tls.as_ref().filter(|_| protocol == Protocol::Tls);
                let local = tls.map_or(self.sockets.local, |tls| tls.local);
                let acceptor = tls.map(|tls| (tls.acceptor.clone(), self.config.message_timeout));
                let news = self.news_sender.clone();
                let connection = Connection::accepted(stream, acceptor, remote, generation, news);
                self.endpoint.stream_closed(remote);
                let mut peer = Peer::new(connection, protocol, local);
                // Whoever connects has something to say: silence is no better than half a message.
                peer.mid_message_since = Some(peer.last_traffic);
                self.peers.insert(remote, peer);
            }
            Err(error) => {
                // Out of file descriptors, mostly: without a pause this would be a busy loop.
                warn!(%error, "TCP accept");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }

    fn has_too_many(&mut self, address: IpAddr) -> bool {
        let Some(gate) = self.endpoint.gate(Instant::now()).filter(|gate| !gate.trusts(address)) else {
            return false;
        };
        let (most, origin) = (gate.connections(), Origin::from(address));
        self.peers.keys().filter(|peer| Origin::from(peer.ip()) == origin).count() >= most
    }

    fn stream_news(&mut self, remote: SocketAddr, generation: Generation, news: News) {
        let now = Instant::now();
        let Some(peer) = self.peers.get_mut(&remote).filter(|p| p.connection.generation == generation) else {
            return;
        };
        match news {
            News::Connected => {}
            News::Bytes(bytes) => {
                peer.last_traffic = now;
                peer.unheard.clear();
                let source = Source { protocol: peer.protocol, local: peer.local, remote };
                let frames = self.endpoint.frames(remote);
                self.endpoint.handle_input(Received { source, bytes: &bytes }, now);
                // A message that ended with these bytes was in time; what follows it has its own.
                let since = peer.mid_message_since.filter(|_| self.endpoint.frames(remote) == frames);
                peer.mid_message_since = self.endpoint.is_mid_message(remote).then(|| since.unwrap_or(now));
            }
            News::Closed(error) => {
                trace!(%error, "TCP connection ended");
                self.lost(remote, &error);
            }
        }
    }

    /// The stream has ended by itself: requests that nobody answered yet have failed.
    fn lost(&mut self, remote: SocketAddr, error: &io::Error) {
        self.endpoint.stream_closed(remote);
        let Some(peer) = self.peers.remove(&remote) else { return };
        for id in &peer.unheard {
            self.failed(Some(*id), error);
        }
    }

    /// Closes a stream of ours after what is queued for it has been written.
    fn close(&mut self, remote: SocketAddr) {
        self.endpoint.stream_closed(remote);
        if let Some(peer) = self.peers.remove(&remote) {
            peer.connection.finish();
        }
    }

    fn sweep(&mut self, now: Instant) {
        let overdue = |since: Instant, limit: Duration| now.saturating_duration_since(since) > limit;
        let (message, idle) = (self.config.message_timeout, self.config.idle_timeout);
        let late: Vec<SocketAddr> = (self.peers.iter())
            .filter(|(_, p)| {
                p.mid_message_since.is_some_and(|at| overdue(at, message)) || overdue(p.last_traffic, idle)
            })
            .map(|(remote, _)| *remote)
            .collect();
        for remote in late {
            if self.peers.get(&remote).is_some_and(|peer| peer.mid_message_since.is_some()) {
                self.turned.slow.fetch_add(1, Ordering::Relaxed);
            }
            debug!("TCP connection idle or stuck: closed");
            self.close(remote);
        }
    }

    fn next_generation(&mut self) -> Generation {
        self.generation += 1;
        self.generation
    }
}

impl Peer {
    fn new(connection: Connection, protocol: Protocol, local: SocketAddr) -> Self {
        let last_traffic = Instant::now();
        Self { connection, protocol, local, unheard: Vec::new(), last_traffic, mid_message_since: None }
    }
}

/// What the network brings next; no kind of traffic can starve another.
async fn network(
    sockets: &Sockets,
    news: &mut mpsc::Receiver<(SocketAddr, Generation, News)>,
    accepting: bool,
) -> Turn {
    tokio::select! {
        _ = sockets.udp.readable() => Turn::Datagrams,
        Some((remote, generation, news)) = news.recv() => Turn::News(remote, generation, news),
        accepted = sockets.tcp.accept(), if accepting => Turn::Accepted(Protocol::Tcp, accepted),
        accepted = sockets.accept_tls(), if accepting => Turn::Accepted(Protocol::Tls, accepted),
    }
}

async fn sleep_until(wake: Option<tokio::time::Instant>) {
    match wake {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
