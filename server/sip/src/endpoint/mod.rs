//! A SIP endpoint without I/O: transactions over several transports.
//!
//! Feed it with `handle_input`, `handle_timeout` and the commands; after each, drain `poll_output` until
//! [`Output::Wait`]. `now` is always an argument. The tokio loop is in [`crate::transport`].

mod client;
mod clock;
mod config;
mod input;
mod keys;
mod server;

pub use config::{EndpointConfig, MAX_STREAMS, MAX_TRANSACTIONS, UDP_REQUEST_LIMIT};
pub use input::Received;

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use bytes::Bytes;

use crate::event::{ClientTransactionId, Event, ServerTransactionId};
use crate::flow::{Destination, Protocol, Source};
use crate::gate::Gate;
use crate::ids::Ids;
use crate::message::{Request, Response, StreamFramer};

use client::ClientTransaction;
use clock::Clock;
use keys::{AckKey, ClientKey, ServerKey};
use server::ServerTransaction;

/// Bytes to send.
#[derive(Debug, Clone)]
pub struct Transmit {
    /// The transport.
    pub protocol: Protocol,
    /// To whom. On TCP: over the connection with this peer address, opened when there is none.
    pub remote: SocketAddr,
    /// TCP responses: where to connect to when the connection that the request came on is gone.
    pub fallback: Option<SocketAddr>,
    /// The message.
    pub bytes: Bytes,
    /// Give this back to `transport_failed` when the bytes cannot be sent.
    pub origin: Option<ClientTransactionId>,
}

/// What an endpoint wants.
#[derive(Debug)]
pub enum Output {
    /// Send this.
    Transmit(Transmit),
    /// Tell the user.
    Event(Event),
    /// This message was understood, as whoever observes may see it; see [`EndpointConfig::observed`].
    Heard(Source, Bytes),
    /// Close the stream with this peer: it cannot be followed any more.
    Close(SocketAddr),
    /// Nothing more now; call `handle_timeout` then at the latest.
    Wait(Option<Instant>),
}

/// Allocates ids of client transactions, also ahead of the endpoint's own thread.
#[derive(Debug, Clone, Default)]
pub struct ClientIds(Arc<AtomicU64>);

impl ClientIds {
    /// An id never given before.
    pub fn next(&self) -> ClientTransactionId {
        ClientTransactionId(self.0.fetch_add(1, Ordering::Relaxed))
    }
}

/// What a user asks of an endpoint, as a value (for queues between tasks). See the methods of the same names.
#[derive(Debug, Clone)]
pub enum Command {
    /// [`Endpoint::start_request`]
    Request(ClientTransactionId, Request, Destination),
    /// [`Endpoint::respond`]
    Respond(ServerTransactionId, Response),
    /// [`Endpoint::accept`]
    Accept(ServerTransactionId, Response),
    /// [`Endpoint::cancel`]
    Cancel(ClientTransactionId),
    /// [`Endpoint::acknowledge`]
    Acknowledge(ClientTransactionId, Request, Destination),
    /// [`Endpoint::send_stateless`]
    Stateless(Request, Destination),
    /// [`Gate::credit`]
    Credit(IpAddr, i32),
}

/// The endpoint.
pub struct Endpoint {
    config: EndpointConfig,
    ids: Ids,
    client_ids: ClientIds,
    next_server: u64,
    clients: HashMap<ClientTransactionId, ClientTransaction>,
    client_keys: HashMap<ClientKey, ClientTransactionId>,
    servers: HashMap<ServerTransactionId, ServerTransaction>,
    server_keys: HashMap<ServerKey, ServerTransactionId>,
    ack_keys: HashMap<AckKey, ServerTransactionId>,
    streams: HashMap<SocketAddr, StreamFramer>,
    clock: Clock,
    outputs: VecDeque<Output>,
    /// Made at the first request: the time is the caller's.
    gate: Option<Gate>,
}

impl Endpoint {
    /// An endpoint with nothing going on.
    pub fn new(config: EndpointConfig, ids: Ids) -> Self {
        Self {
            gate: None,
            config,
            ids,
            client_ids: ClientIds::default(),
            next_server: 0,
            clients: HashMap::new(),
            client_keys: HashMap::new(),
            servers: HashMap::new(),
            server_keys: HashMap::new(),
            ack_keys: HashMap::new(),
            streams: HashMap::new(),
            clock: Clock::default(),
            outputs: VecDeque::new(),
        }
    }

    /// To name client transactions with.
    pub fn client_ids(&self) -> ClientIds {
        self.client_ids.clone()
    }

    /// What to do next.
    pub fn poll_output(&mut self) -> Output {
        match self.outputs.pop_front() {
            Some(output) => output,
            None => {
                let (clients, servers) = (&self.clients, &self.servers);
                Output::Wait(self.clock.next(|name| deadline_of(clients, servers, name)))
            }
        }
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        loop {
            let (clients, servers) = (&self.clients, &self.servers);
            match self.clock.pop_due(now, |name| deadline_of(clients, servers, name)) {
                Some(clock::Name::Client(id)) => self.client_timer(id, now),
                Some(clock::Name::Server(id)) => self.server_timer(id, now),
                None => return,
            }
        }
    }

    /// Does what a [`Command`] says.
    pub fn apply(&mut self, command: Command, now: Instant) {
        match command {
            Command::Request(id, request, destination) => self.start_request(id, request, destination, now),
            Command::Respond(id, response) => self.respond(id, response, now),
            Command::Accept(id, response) => self.accept(id, response, now),
            Command::Cancel(id) => self.cancel(id, now),
            Command::Acknowledge(id, ack, destination) => self.acknowledge(id, ack, destination),
            Command::Stateless(request, destination) => self.send_stateless(request, destination),
            Command::Credit(source, tokens) => {
                if let Some(gate) = self.gate(now) {
                    gate.credit(source, tokens, now);
                }
            }
        }
    }

    /// How many transactions are open, of both kinds.
    pub fn transactions(&self) -> usize {
        self.clients.len() + self.servers.len()
    }

    /// The limits of sources, where there are any.
    pub fn gate(&mut self, now: Instant) -> Option<&mut Gate> {
        if self.gate.is_none() {
            self.gate = self.config.limits.clone().map(|limits| Gate::new(limits, now));
        }
        self.gate.as_mut()
    }

    fn event(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }
}

fn deadline_of(
    clients: &HashMap<ClientTransactionId, ClientTransaction>,
    servers: &HashMap<ServerTransactionId, ServerTransaction>,
    name: clock::Name,
) -> Option<Instant> {
    match name {
        clock::Name::Client(id) => clients.get(&id)?.deadline(),
        clock::Name::Server(id) => servers.get(&id)?.deadline(),
    }
}
