//! Sockets: one UDP socket, one TCP listener and perhaps one for TLS drive one [`Endpoint`] in one task.
//!
//! Every queue is bounded. When the user does not take events, nothing more is read from the network.

mod connection;
mod driver;
mod handle;
mod observer;

use driver::{Driver, Sockets, TlsListener};
use handle::Addresses;
pub use handle::{SipHandle, StackGone};
pub use observer::{Observed, Observer};

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::mpsc;

use crate::endpoint::{Endpoint, EndpointConfig, MAX_STREAMS, MAX_TRANSACTIONS, UDP_REQUEST_LIMIT};
use crate::event::Event;
use crate::gate::{Limits, Turned};
use crate::ids::Ids;
use crate::message::HostPort;
use crate::transaction::Timers;

/// Settings of a stack.
#[derive(Debug, Clone)]
pub struct SipConfig {
    /// Where UDP and TCP listen. Port 0: any one that is free for both.
    pub listen: SocketAddr,
    /// What peers are told in Via (and by the user in Contact); `None`: the address listened on, or
    /// that of the way out when every address is listened on.
    pub advertised: Option<HostPort>,
    /// Transaction timers.
    pub timers: Timers,
    /// A larger request goes by TCP.
    pub udp_request_limit: usize,
    /// More open server transactions than this are refused with 503.
    pub max_transactions: usize,
    /// More TCP connections than this are not accepted.
    pub max_connections: usize,
    /// Events waiting for the user, and commands waiting for the stack.
    pub queue: usize,
    /// A TCP connection must be there within this.
    pub connect_timeout: Duration,
    /// A message that has begun on a stream must end within this.
    pub message_timeout: Duration,
    /// A stream without traffic is closed after this.
    pub idle_timeout: Duration,
    /// What one source may ask for; `None`: everything.
    pub limits: Option<Limits>,
    /// Where TLS is listened for, and with which certificate; `None`: nowhere.
    pub tls: Option<(SocketAddr, Arc<rustls::ServerConfig>)>,
    /// Whom every message is shown to.
    pub observer: Option<Observer>,
}

/// Events and commands that may wait.
pub const QUEUE: usize = 4096;
/// Long enough for one lost SYN, short enough for a fall-back within a call's set-up.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(4);
/// As long as a transaction.
pub const MESSAGE_TIMEOUT: Duration = Duration::from_secs(32);
/// Longer than the usual registration.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(2 * 3600);

impl SipConfig {
    /// The defaults at this address.
    pub fn new(listen: SocketAddr) -> Self {
        Self {
            listen,
            advertised: None,
            timers: Timers::default(),
            udp_request_limit: UDP_REQUEST_LIMIT,
            max_transactions: MAX_TRANSACTIONS,
            max_connections: MAX_STREAMS,
            queue: QUEUE,
            connect_timeout: CONNECT_TIMEOUT,
            message_timeout: MESSAGE_TIMEOUT,
            idle_timeout: IDLE_TIMEOUT,
            limits: None,
            tls: None,
            observer: None,
        }
    }
}

/// An address cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("listening for SIP on {listen}")]
pub struct BindError {
    /// Which address.
    pub listen: SocketAddr,
    /// What the system said.
    pub source: io::Error,
}

/// A running stack. It ends when every [`SipHandle`] or the event receiver has been dropped.
pub struct SipStack;

impl SipStack {
    /// Binds the sockets and starts the task.
    pub async fn bind(config: SipConfig) -> Result<(SipHandle, mpsc::Receiver<Event>), BindError> {
        let at = |listen| move |source| BindError { listen, source };
        let (udp, tcp, local) = bind_both(config.listen).await.map_err(at(config.listen))?;
        let tls = match &config.tls {
            Some((listen, tls)) => Some(bind_tls(*listen, tls.clone()).await.map_err(at(*listen))?),
            None => None,
        };
        let local_tls = tls.as_ref().map(|tls| tls.local);
        let advertised = config.advertised.clone().unwrap_or_else(|| reachable(local).into());
        let turned = Arc::new(Turned::default());
        let endpoint = Endpoint::new(
            EndpointConfig {
                advertised: advertised.clone(),
                tls_port: local_tls.map(|tls| tls.port()),
                timers: config.timers,
                udp_request_limit: config.udp_request_limit,
                max_transactions: config.max_transactions,
                max_streams: config.max_connections,
                limits: config.limits.clone(),
                turned: turned.clone(),
                observed: config.observer.as_ref().map(Observer::wanted).unwrap_or_default(),
            },
            Ids::from_os(),
        );
        let (command_sender, commands) = mpsc::channel(config.queue);
        let (events, event_receiver) = mpsc::channel(config.queue);
        let addresses = Addresses { advertised, local, local_tls };
        let handle = SipHandle::new(command_sender, endpoint.client_ids(), addresses, turned.clone());
        let sockets = Sockets { udp, tcp, local, tls };
        tokio::spawn(Driver::new(config, endpoint, sockets, commands, events, turned).run());
        Ok((handle, event_receiver))
    }
}

/// What to tell peers of a socket bound to every address: that of the way out, which no packet is sent for.
fn reachable(local: SocketAddr) -> SocketAddr {
    if !local.ip().is_unspecified() {
        return local;
    }
    let (any, outside, loopback): (_, _, IpAddr) = match local.is_ipv4() {
        true => ("0.0.0.0:0", "192.0.2.1:9", Ipv4Addr::LOCALHOST.into()),
        false => ("[::]:0", "[2001:db8::1]:9", Ipv6Addr::LOCALHOST.into()),
    };
    let way_out =
        std::net::UdpSocket::bind(any).and_then(|s| s.connect(outside).and_then(|()| s.local_addr()));
    SocketAddr::new(way_out.map_or(loopback, |addr| addr.ip()), local.port())
}

async fn bind_tls(listen: SocketAddr, config: Arc<rustls::ServerConfig>) -> io::Result<TlsListener> {
    let tcp = TcpListener::bind(listen).await?;
    Ok(TlsListener { local: tcp.local_addr()?, tcp, acceptor: config.into() })
}

/// With port 0 the port that UDP got may be taken for TCP: then another one is tried.
async fn bind_both(listen: SocketAddr) -> io::Result<(UdpSocket, TcpListener, SocketAddr)> {
    let mut attempts = if listen.port() == 0 { 16 } else { 1 };
    loop {
        attempts -= 1;
        let udp = bind_udp(listen)?;
        let local = udp.local_addr()?;
        match TcpListener::bind(local).await {
            Ok(tcp) => return Ok((udp, tcp, local)),
            Err(error) if attempts == 0 => return Err(error),
            Err(_) => {}
        }
    }
}

/// A burst of calls has to fit the socket's buffer while the task is elsewhere.
const UDP_BUFFER: usize = 4 * 1024 * 1024;

fn bind_udp(listen: SocketAddr) -> io::Result<UdpSocket> {
    let socket = socket2::Socket::new(socket2::Domain::for_address(listen), socket2::Type::DGRAM, None)?;
    // Less than asked for is no fault: the kernel's limit rules.
    let _ = socket.set_recv_buffer_size(UDP_BUFFER);
    let _ = socket.set_send_buffer_size(UDP_BUFFER);
    socket.set_nonblocking(true)?;
    socket.bind(&listen.into())?;
    UdpSocket::from_std(socket.into())
}
