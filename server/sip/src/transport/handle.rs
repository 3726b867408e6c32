//! The user's end of a running stack.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::lookup_host;
use tokio::sync::mpsc;

use crate::endpoint::{ClientIds, Command};
use crate::event::{ClientTransactionId, ServerTransactionId};
use crate::flow::{Destination, Protocol};
use crate::gate::Turned;
use crate::message::{Host, HostPort, NameAddr, Request, Response, SipUri, Uri};

/// The stack has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the SIP stack has ended")]
pub struct StackGone;

/// Commands to a running stack. Each waits only while the command queue is full; the stack always empties it.
#[derive(Debug, Clone)]
pub struct SipHandle {
    commands: mpsc::Sender<Command>,
    client_ids: ClientIds,
    advertised: HostPort,
    local: SocketAddr,
    turned: Arc<Turned>,
}

impl SipHandle {
    pub(super) fn new(
        commands: mpsc::Sender<Command>,
        client_ids: ClientIds,
        advertised: HostPort,
        local: SocketAddr,
        turned: Arc<Turned>,
    ) -> Self {
        Self { commands, client_ids, advertised, local, turned }
    }

    /// What was turned away since the start.
    pub fn turned(&self) -> &Turned {
        &self.turned
    }

    /// The address listened on.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// What peers are told.
    pub fn advertised(&self) -> &HostPort {
        &self.advertised
    }

    /// A Contact of ours.
    pub fn contact(&self, user: &str) -> NameAddr {
        NameAddr::new(SipUri::with_user(user, self.advertised.clone()))
    }

    /// Takes an id for [`SipHandle::start_request`], to know it before the first event can come.
    pub fn next_client_id(&self) -> ClientTransactionId {
        self.client_ids.next()
    }

    /// Sends a request in a transaction of its own. Not for ACK.
    pub async fn send_request(
        &self,
        request: Request,
        to: Destination,
    ) -> Result<ClientTransactionId, StackGone> {
        let id = self.next_client_id();
        self.start_request(id, request, to).await?;
        Ok(id)
    }

    /// The same with an id taken before.
    pub async fn start_request(
        &self,
        id: ClientTransactionId,
        request: Request,
        to: Destination,
    ) -> Result<(), StackGone> {
        self.send(Command::Request(id, request, to)).await
    }

    /// Answers a request. A 2xx to an INVITE is sent once: for proxies.
    pub async fn respond(&self, id: ServerTransactionId, response: Response) -> Result<(), StackGone> {
        self.send(Command::Respond(id, response)).await
    }

    /// Accepts an INVITE with a 2xx, repeated until acknowledged.
    pub async fn accept(&self, id: ServerTransactionId, response: Response) -> Result<(), StackGone> {
        self.send(Command::Accept(id, response)).await
    }

    /// Cancels an INVITE of ours.
    pub async fn cancel(&self, id: ClientTransactionId) -> Result<(), StackGone> {
        self.send(Command::Cancel(id)).await
    }

    /// Sends the ACK of a 2xx, and again whenever that 2xx comes again.
    pub async fn acknowledge(
        &self,
        id: ClientTransactionId,
        ack: Request,
        to: Destination,
    ) -> Result<(), StackGone> {
        self.send(Command::Acknowledge(id, ack, to)).await
    }

    /// Sends a request without a transaction (an ACK that a proxy forwards).
    pub async fn send_stateless(&self, request: Request, to: Destination) -> Result<(), StackGone> {
        self.send(Command::Stateless(request, to)).await
    }

    /// Any command.
    pub async fn send(&self, command: Command) -> Result<(), StackGone> {
        self.commands.send(command).await.map_err(|_| StackGone)
    }

    /// Where a URI points; a name is looked up (addresses only: no NAPTR, no SRV).
    pub async fn resolve(&self, uri: &Uri) -> io::Result<Destination> {
        resolve(uri).await
    }
}

async fn resolve(uri: &Uri) -> io::Result<Destination> {
    if let Some(destination) = Destination::of_uri(uri) {
        return Ok(destination);
    }
    let unusable = || io::Error::new(io::ErrorKind::Unsupported, "not a sip: URI for UDP or TCP");
    let sip = uri.as_sip().filter(|sip| !sip.secure).ok_or_else(unusable)?;
    let protocol = match sip.params.get("transport") {
        Some(name) => Protocol::parse(name).ok_or_else(unusable)?,
        None => Protocol::Udp,
    };
    let Host::Name(name) = &sip.host.host else { return Err(unusable()) };
    let mut found = lookup_host((name.as_str(), sip.port_or_default())).await?;
    let addr =
        found.next().ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the name has no address"))?;
    Ok(Destination { protocol, addr })
}
