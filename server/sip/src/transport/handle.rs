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
    addresses: Addresses,
    turned: Arc<Turned>,
}

/// Of a stack: where it listens and what peers are told.
#[derive(Debug, Clone)]
pub(super) struct Addresses {
    pub(super) advertised: HostPort,
    pub(super) local: SocketAddr,
    pub(super) local_tls: Option<SocketAddr>,
}

impl SipHandle {
    pub(super) fn new(
        commands: mpsc::Sender<Command>,
        client_ids: ClientIds,
        addresses: Addresses,
        turned: Arc<Turned>,
    ) -> Self {
        Self { commands, client_ids, addresses, turned }
    }

    /// What was turned away since the start.
    pub fn turned(&self) -> &Turned {
        &self.turned
    }

    /// The address listened on.
    pub fn local_addr(&self) -> SocketAddr {
        self.addresses.local
    }

    /// Where TLS is listened for, if it is.
    pub fn tls_addr(&self) -> Option<SocketAddr> {
        self.addresses.local_tls
    }

    /// What peers are told.
    pub fn advertised(&self) -> &HostPort {
        &self.addresses.advertised
    }

    /// A Contact of ours.
    pub fn contact(&self, user: &str) -> NameAddr {
        NameAddr::new(SipUri::with_user(user, self.addresses.advertised.clone()))
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
    let unusable = || io::Error::new(io::ErrorKind::Unsupported, "not a sip: URI for UDP, TCP or TLS");
    let sip = uri.as_sip().ok_or_else(unusable)?;
    let protocol = Protocol::of(sip).ok_or_else(unusable)?;
    let Host::Name(name) = &sip.host.host else { return Err(unusable()) };
    let mut found = lookup_host((name.as_str(), protocol.port_of(sip))).await?;
    let addr =
        found.next().ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the name has no address"))?;
    Ok(Destination { protocol, addr })
}
