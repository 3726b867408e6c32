//! The resource manager without I/O: a stateful proxy (RFC 3261 16) between what the stack tells ([`Event`]) and what it
//! is to do.
//!
//! | module | what |
//! |---|---|
//! | `requests` | what comes in and where it goes |
//! | `responses` | what comes back: passed on, or the next media server is tried |
//! | `health` | checks, and what follows from a lost media server |
//!
//! What a SIP server sees when a media server is lost: an OPTIONS with [`LOST_HEADER`], so that it looks after its calls
//! there at once; requests of dialogs with the lost one are answered 408 (the proxy's own words for "no answer came",
//! RFC 3261 16.8), and 481 by a media server that was restarted in between. Either means that the dialog is no more.

mod health;
mod requests;
mod responses;

use crate::{
    config::Config,
    member::Role,
    pool::{Pool, Wish},
    session::{Key, Sessions},
};
use hindsight_model::Event as DomainEvent;
use hindsight_sip::{
    ClientTransactionId, Command, Event, HostPort, Ids, Request, Response, ServerTransactionId, SipUri,
    StatusCode,
};
use hindsight_wire::{InteractionId, Timestamp};
use rand::{Rng, SeedableRng, rngs::StdRng};
use std::{
    collections::{HashMap, VecDeque},
    net::SocketAddr,
    time::{Duration, Instant},
};

/// Header of a media server's answer to OPTIONS: thousandths of its capacity in use.
pub const LOAD_HEADER: &str = "X-Load";
/// Header of our OPTIONS to a SIP server: address of a media server that was lost with calls of that SIP server.
pub const LOST_HEADER: &str = "X-Lost-Media-Server";
/// How often what has run out is forgotten.
const SWEEP: Duration = Duration::from_secs(10);
/// After its final response an INVITE may still bring repeated 2xx (64·T1), abandoned ones a first.
const LINGER: Duration = Duration::from_secs(35);

/// Both clocks: monotonic for timers, UTC for records.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// For timers.
    pub instant: Instant,
    /// For records.
    pub wall: Timestamp,
}

/// What is to be done.
#[derive(Debug)]
pub enum Output {
    /// By the SIP stack.
    Sip(Command),
    /// By the journal.
    Journal(DomainEvent),
}

/// A request that is being forwarded.
struct Context {
    /// As it goes on, without our Via and Record-Route.
    request: Request,
    /// The transaction that it is forwarded in now.
    branch: ClientTransactionId,
    to: SocketAddr,
    /// An INVITE that begins a session; else a request of a dialog.
    attempt: Option<Attempt>,
    /// Once it has its final response.
    forget_at: Option<Instant>,
}

struct Attempt {
    key: Key,
    role: Role,
    place: String,
    tried: Vec<SocketAddr>,
    /// Until when the media server must have said something, while there is another one.
    silent_until: Option<Instant>,
}

/// An INVITE given up: should its media server accept it late, that leg is ended.
struct Abandoned {
    request: Request,
    server: SocketAddr,
    forget_at: Instant,
}

/// The resource manager.
pub struct ResourceManager {
    config: Config,
    own: HostPort,
    listen: SocketAddr,
    pool: Pool,
    sessions: Sessions,
    contexts: HashMap<ServerTransactionId, Context>,
    branches: HashMap<ClientTransactionId, ServerTransactionId>,
    abandoned: HashMap<ClientTransactionId, Abandoned>,
    checks: HashMap<ClientTransactionId, SocketAddr>,
    next_sweep: Instant,
    client_ids: Box<dyn Fn() -> ClientTransactionId + Send>,
    ids: Ids,
    rng: StdRng,
    out: VecDeque<Output>,
}

impl ResourceManager {
    /// A resource manager with nothing going on. `own`: what peers reach us at; `listen`: the address bound;
    /// `client_ids`: names transactions.
    pub fn new(
        config: Config,
        own: HostPort,
        listen: SocketAddr,
        client_ids: Box<dyn Fn() -> ClientTransactionId + Send>,
        seed: u64,
        now: Instant,
    ) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        Self {
            pool: Pool::new(&config.pool, config.health_interval(), config.health_missed),
            config,
            own,
            listen,
            sessions: Sessions::default(),
            contexts: HashMap::new(),
            branches: HashMap::new(),
            abandoned: HashMap::new(),
            checks: HashMap::new(),
            next_sweep: now + SWEEP,
            client_ids,
            ids: Ids::seeded(rng.random()),
            rng,
            out: VecDeque::new(),
        }
    }

    /// What to do next.
    pub fn poll(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    /// Sessions that are not over.
    pub fn sessions(&self) -> usize {
        self.sessions.len()
    }

    /// When [`ResourceManager::on_time`] wants to be called; `None`: at once.
    pub fn deadline(&self) -> Option<Instant> {
        let checks = self.pool.deadline()?;
        let tries = self.contexts.values().filter_map(|context| context.attempt.as_ref()?.silent_until);
        tries.chain([checks, self.next_sweep]).min()
    }

    /// Timers.
    pub fn on_time(&mut self, now: Now) {
        self.check_health(now);
        self.give_up_silent(now);
        if self.next_sweep <= now.instant {
            self.sweep(now);
        }
    }

    /// What the stack tells.
    pub fn on_event(&mut self, event: Event, now: Now) {
        match event {
            Event::Request { transaction, request, source } => {
                self.on_request(transaction, &request, source, now)
            }
            Event::Cancelled { transaction, request: _ } => self.on_cancelled(transaction, now),
            Event::Ack { request, source } => self.on_ack(&request, source, now),
            Event::Response { transaction, response, source: _ } => {
                self.on_response(transaction, response, now)
            }
            Event::TimedOut { transaction } => {
                self.on_failure(transaction, StatusCode::REQUEST_TIMEOUT, now);
            }
            Event::TransportFailed { transaction, reason } => {
                tracing::debug!(%reason, "request not sent");
                self.on_failure(transaction, StatusCode::SERVICE_UNAVAILABLE, now);
            }
            Event::AckMissing { .. } => {} // only for what is accepted here: nothing is
        }
    }

    /// Ends the records of what is still going on; the sessions themselves go on without us.
    pub fn shut_down(&mut self, now: Now) {
        for key in self.sessions.keys() {
            self.end_session(&key, StatusCode::SERVICE_UNAVAILABLE.as_u16(), now);
        }
    }

    /// The pinned media server, or the best that was not tried.
    fn next_server(&self, attempt: &Attempt) -> Option<SocketAddr> {
        match self.sessions.pinned(&attempt.key) {
            Some(pinned) => {
                Some(pinned).filter(|server| !attempt.tried.contains(server) && !self.pool.is_lost(*server))
            }
            None => self.pool.choose(Wish { role: attempt.role, place: &attempt.place }, &attempt.tried),
        }
    }

    fn end_session(&mut self, key: &Key, status: u16, now: Now) {
        let Some((event, server)) = self.sessions.end(key, status, now.wall) else { return };
        if let Some(server) = server {
            self.pool.release(server);
        }
        self.out.push_back(Output::Journal(event));
    }

    fn sweep(&mut self, now: Now) {
        self.next_sweep = now.instant + SWEEP;
        let over = |at: Option<Instant>| at.is_some_and(|at| at <= now.instant);
        self.contexts.retain(|_, context| !over(context.forget_at));
        let contexts = &self.contexts;
        self.branches.retain(|_, id| contexts.contains_key(id));
        self.abandoned.retain(|_, abandoned| abandoned.forget_at > now.instant);
        if let Some(since) = now.instant.checked_sub(self.config.idle_limit()) {
            for key in self.sessions.silent_since(since) {
                self.end_session(&key, StatusCode::REQUEST_TIMEOUT.as_u16(), now);
            }
        }
    }

    fn new_interaction(&mut self, now: Now) -> InteractionId {
        let millis = u64::try_from(now.wall.0 / 1000).unwrap_or_default();
        InteractionId(uuid::Builder::from_unix_timestamp_millis(millis, &self.rng.random()).into_uuid())
    }

    fn respond(&mut self, id: ServerTransactionId, response: Response) {
        let response = response.with_to_tag(&self.ids.tag());
        self.out.push_back(Output::Sip(Command::Respond(id, response)));
    }

    /// Our own address in a URI: what peers are told, or what is bound.
    fn is_own(&self, uri: &SipUri) -> bool {
        let port = uri.port_or_default();
        (uri.host.host == self.own.host && port == self.own.port.unwrap_or(5060))
            || (uri.host.host.ip() == Some(self.listen.ip()) && port == self.listen.port())
    }
}
