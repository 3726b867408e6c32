//! The resource manager without I/O: a stateful proxy (RFC 3261 16) between what the stack tells ([`Event`]) and what it
//! is to do.
//!
//! What a SIP server sees when a media server is lost: requests of dialogs with it are answered 408 as soon as the health
//! checks say so (the proxy's own words for "no answer came", RFC 3261 16.8), and 481 by a media server that was
//! restarted in between. Either means that the dialog is no more.

use crate::{
    config::Config,
    pool::{Change, Pool},
    session::{Key, Sessions},
    siprec,
};
use hindsight_model::Event as DomainEvent;
use hindsight_sip::{
    ClientTransactionId, Command, Destination, Dialog, Event, HostPort, Ids, Method, NameAddr, NewRequest,
    Request, Response, ServerTransactionId, SipMessage, SipUri, Source, StatusCode, Uri, proxy,
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
/// What the media servers and we understand of requests outside of dialogs.
const ALLOW: &str = "INVITE, ACK, CANCEL, BYE, INFO, OPTIONS";
/// A conference URI's user part.
const CONFERENCE: &str = "msml=";
/// How often what has run out is forgotten.
const SWEEP: Duration = Duration::from_secs(10);
/// After its final response an INVITE may still bring repeated 2xx (64·T1), abandoned ones a first.
const LINGER: Duration = Duration::from_secs(35);
/// Seconds after which a SIP server that found no media server may try again.
const RETRY_AFTER: u32 = 5;

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
        let (ask, lost) = self.pool.due(now.instant);
        for server in lost {
            self.lose(server, now);
        }
        for server in ask {
            self.check(server);
        }
        let silent = |context: &Context| {
            context
                .attempt
                .as_ref()
                .and_then(|attempt| attempt.silent_until)
                .is_some_and(|at| at <= now.instant)
        };
        let silent: Vec<_> = self.contexts.iter().filter(|(_, c)| silent(c)).map(|(id, _)| *id).collect();
        for id in silent {
            self.give_next_a_try(id, now);
        }
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

    // ---- requests

    fn on_request(&mut self, id: ServerTransactionId, request: &Request, source: Source, now: Now) {
        if request.uri.as_sip().is_none_or(|uri| uri.secure) {
            return self.respond(id, Response::to(request, StatusCode::UNSUPPORTED_URI_SCHEME));
        }
        let in_dialog = request.to().is_ok_and(|to| to.tag().is_some());
        if request.method == Method::Options && !in_dialog && self.is_for_us(request) {
            let response = Response::to(request, StatusCode::OK).with_header("Allow", ALLOW);
            return self.respond(id, response.with_header("Accept", "application/sdp"));
        }
        let prepared = proxy::prepare(request, |uri| is_own(&self.own, self.listen, uri));
        let prepared = match prepared {
            Ok(prepared) => prepared,
            Err(fault) => {
                let mut response = Response::to(request, fault.status).with_reason(fault.reason);
                if fault.status == StatusCode::BAD_EXTENSION {
                    response = response.with_header("Unsupported", proxy::unsupported(request).join(", "));
                }
                return self.respond(id, response);
            }
        };
        if in_dialog {
            return self.on_dialog_request(id, prepared, source, now);
        }
        match request.method {
            Method::Invite => self.on_invite(id, prepared, source, now),
            Method::Bye | Method::Info => {
                self.respond(id, Response::to(request, StatusCode::CALL_DOES_NOT_EXIST))
            }
            Method::Other(_) => self.respond(id, Response::to(request, StatusCode::NOT_IMPLEMENTED)),
            Method::Options => self.respond(id, Response::to(request, StatusCode::NOT_FOUND)),
            Method::Ack
            | Method::Cancel
            | Method::Register
            | Method::Update
            | Method::Prack
            | Method::Message
            | Method::Notify
            | Method::Subscribe
            | Method::Refer
            | Method::Publish => {
                let response = Response::to(request, StatusCode::METHOD_NOT_ALLOWED);
                self.respond(id, response.with_header("Allow", ALLOW));
            }
        }
    }

    /// Addressed to this element itself, not to a conference.
    fn is_for_us(&self, request: &Request) -> bool {
        let uri = request.uri.as_sip();
        uri.is_some_and(|uri| uri.user.is_none() && is_own(&self.own, self.listen, uri))
            && !request.headers.has("Route")
    }

    fn on_invite(&mut self, id: ServerTransactionId, mut request: Request, source: Source, now: Now) {
        let user = request.uri.user().unwrap_or_default();
        let ours = request.uri.as_sip().is_some_and(|uri| is_own(&self.own, self.listen, uri));
        let conference = user.strip_prefix(CONFERENCE).filter(|id| ours && !id.is_empty()).map(str::to_owned);
        let recording_session = ours && conference.is_none() && siprec::asks_for_recording(&request);
        let Some(key) = Key::of_invite(&request).filter(|_| conference.is_some() || recording_session) else {
            return self.respond(id, Response::to(&request, StatusCode::NOT_FOUND));
        };
        if recording_session && !siprec::is_client(&self.config.recording_clients, source.remote.ip()) {
            tracing::warn!("a recording session of a client that is not named was refused");
            return self.respond(id, Response::to(&request, StatusCode::FORBIDDEN));
        }
        if self.sessions.contains(&key) {
            return self.respond(id, Response::to(&request, StatusCode::LOOP_DETECTED));
        }
        let interaction = match &conference {
            Some(conference) => self.interaction_of(conference, &request, now),
            // The client's session id is that of its own call: ours has its own.
            None => self.new_interaction(now),
        };
        let conference = conference.unwrap_or_else(|| {
            let session = interaction.to_session_id();
            if let Some(uri) = request.uri.as_sip_mut() {
                uri.user = Some(format!("{}{session}", siprec::RECORDING_SESSION));
            }
            session
        });
        self.sessions.begin(key.clone(), conference, interaction, source.into(), (now.instant, now.wall));
        let full = self.sessions.len() > self.config.max_sessions;
        let server = if full { None } else { self.next_server(&key, &[]) };
        let Some(server) = server else {
            tracing::warn!(%interaction, full, sessions = self.sessions.len(), "no media server for a session");
            self.end_session(&key, StatusCode::SERVICE_UNAVAILABLE.as_u16(), now);
            let response = Response::to(&request, StatusCode::SERVICE_UNAVAILABLE);
            return self.respond(id, response.with_header("Retry-After", RETRY_AFTER));
        };
        tracing::info!(%interaction, %server, "session");
        let attempt = Attempt { key, tried: Vec::new(), silent_until: None };
        let branch = (self.client_ids)();
        let context = Context { request, branch, to: server, attempt: Some(attempt), forget_at: None };
        self.contexts.insert(id, context);
        self.forward_invite(id, server, now);
    }

    /// The pinned media server, or the best that was not tried.
    fn next_server(&self, key: &Key, tried: &[SocketAddr]) -> Option<SocketAddr> {
        match self.sessions.pinned(key) {
            Some(pinned) => {
                Some(pinned).filter(|server| !tried.contains(server) && !self.pool.is_lost(*server))
            }
            None => self.pool.choose(tried),
        }
    }

    fn forward_invite(&mut self, id: ServerTransactionId, server: SocketAddr, now: Now) {
        let Some(context) = self.contexts.get_mut(&id) else { return };
        let Some(attempt) = &mut context.attempt else { return };
        attempt.tried.push(server);
        attempt.silent_until = Some(now.instant + self.config.try_limit());
        context.to = server;
        context.branch = (self.client_ids)();
        if let Some(before) = self.sessions.server(&attempt.key) {
            self.pool.release(before);
        }
        self.sessions.assign(&attempt.key, server);
        self.pool.take(server);
        let mut request = context.request.clone();
        if let Some(uri) = request.uri.as_sip_mut() {
            uri.host = server.into();
        }
        proxy::record_route(&mut request, SipUri::new(self.own.clone()));
        self.branches.insert(context.branch, id);
        self.out.push_back(Output::Sip(Command::Request(context.branch, request, Destination::udp(server))));
    }

    fn on_dialog_request(&mut self, id: ServerTransactionId, mut request: Request, source: Source, now: Now) {
        let Some(to) = self.way_of(&mut request, source, now) else {
            return self.respond(id, Response::to(&request, StatusCode::CALL_DOES_NOT_EXIST));
        };
        if request.method == Method::Bye
            && let Some((key, _)) = self.sessions.find(&request, now.instant)
        {
            self.end_session(&key, StatusCode::OK.as_u16(), now);
        }
        if self.pool.is_lost(to.addr) {
            return self.respond(id, Response::to(&request, StatusCode::REQUEST_TIMEOUT));
        }
        let branch = (self.client_ids)();
        self.branches.insert(branch, id);
        let mut forwarded = request.clone();
        if request.method == Method::Invite {
            proxy::record_route(&mut forwarded, SipUri::new(self.own.clone()));
        }
        self.contexts.insert(id, Context { request, branch, to: to.addr, attempt: None, forget_at: None });
        self.out.push_back(Output::Sip(Command::Request(branch, forwarded, to)));
    }

    /// Where a request of a dialog goes. Only between our media servers and those who called them: this is no relay for
    /// others. A session that began before our restart is known by its media server.
    fn way_of(&mut self, request: &mut Request, source: Source, now: Now) -> Option<Destination> {
        let hop = proxy::next_hop(request).ok()?;
        let direct = Destination::of_uri(&hop);
        let known = self.sessions.find(request, now.instant).map(|(_, session)| session.upstream);
        if direct.is_some_and(|to| self.pool.contains(to.addr)) {
            return direct;
        }
        match known {
            Some(upstream) => direct.or(Some(upstream)),
            None => direct.filter(|_| self.pool.contains(source.remote)),
        }
    }

    fn on_ack(&mut self, request: &Request, source: Source, now: Now) {
        let Ok(mut request) = proxy::prepare(request, |uri| is_own(&self.own, self.listen, uri)) else {
            return;
        };
        if let Some(to) = self.way_of(&mut request, source, now) {
            self.out.push_back(Output::Sip(Command::Stateless(request, to)));
        }
    }

    /// The caller is told at once; the media server is cancelled, and should it have accepted, its leg is ended.
    fn on_cancelled(&mut self, id: ServerTransactionId, now: Now) {
        let Some(context) = self.contexts.get(&id).filter(|context| context.forget_at.is_none()) else {
            return;
        };
        let response = Response::to(&context.request, StatusCode::REQUEST_TERMINATED);
        let key = context.attempt.as_ref().map(|attempt| attempt.key.clone());
        self.abandon(id, now);
        self.finish(id, response, now);
        if let Some(key) = key {
            self.end_session(&key, StatusCode::REQUEST_TERMINATED.as_u16(), now);
        }
    }

    // ---- responses

    fn on_response(&mut self, branch: ClientTransactionId, mut response: Response, now: Now) {
        if let Some(server) = self.checks.get(&branch).copied() {
            return self.on_checked(branch, server, &response);
        }
        if let Some(id) = self.branches.get(&branch).copied() {
            if proxy::strip_via(&mut response).is_none() {
                return tracing::debug!("response without a Via below ours");
            }
            return self.on_forwarded(id, response, now);
        }
        if response.status.is_success() {
            self.end_late(branch, &response);
        }
    }

    fn on_forwarded(&mut self, id: ServerTransactionId, response: Response, now: Now) {
        let Some(context) = self.contexts.get_mut(&id) else { return };
        let status = response.status;
        if status == StatusCode::TRYING {
            // Only that the request arrived; a media server answers in a moment, or hangs.
            return;
        }
        if let Some(attempt) = &mut context.attempt {
            attempt.silent_until = None;
        }
        if status.is_provisional() {
            return self.out.push_back(Output::Sip(Command::Respond(id, response)));
        }
        let key = context.attempt.as_ref().map(|attempt| attempt.key.clone());
        if let Some(key) = key {
            if status.is_success() {
                self.sessions.answered(&key, status.as_u16(), now.wall);
            } else if is_servers_fault(status) && self.try_next(id, now) {
                return;
            } else {
                self.end_session(&key, status.as_u16(), now);
            }
        }
        self.finish(id, response, now);
    }

    /// Passes the final response on; the context stays for repeated 2xx.
    fn finish(&mut self, id: ServerTransactionId, response: Response, now: Now) {
        if let Some(context) = self.contexts.get_mut(&id) {
            context.forget_at.get_or_insert(now.instant + LINGER);
            if let Some(attempt) = &mut context.attempt {
                attempt.silent_until = None;
            }
        }
        self.respond(id, response);
    }

    /// No answer to what was forwarded, or it could not be sent.
    fn on_failure(&mut self, branch: ClientTransactionId, status: StatusCode, now: Now) {
        if let Some(server) = self.checks.remove(&branch) {
            if status == StatusCode::SERVICE_UNAVAILABLE && self.pool.unreachable(server) == Change::Lost {
                self.lose(server, now);
            }
            return;
        }
        self.abandoned.remove(&branch);
        if let Some(id) = self.branches.remove(&branch) {
            self.fail(id, status, now);
        }
    }

    /// A forwarded request has failed: the next media server, or the answer to whoever sent it.
    fn fail(&mut self, id: ServerTransactionId, status: StatusCode, now: Now) {
        let Some(context) = self.contexts.get(&id).filter(|context| context.forget_at.is_none()) else {
            return;
        };
        let key = context.attempt.as_ref().map(|attempt| attempt.key.clone());
        let response = Response::to(&context.request, status);
        if key.is_some() && self.try_next(id, now) {
            return;
        }
        if let Some(key) = key {
            self.end_session(&key, status.as_u16(), now);
        }
        self.finish(id, response, now);
    }

    /// Nothing was heard of an INVITE for too long: another media server, if there is one; else it keeps its chance.
    fn give_next_a_try(&mut self, id: ServerTransactionId, now: Now) {
        let Some(attempt) = self.contexts.get_mut(&id).and_then(|context| context.attempt.as_mut()) else {
            return;
        };
        attempt.silent_until = None;
        let (key, tried) = (attempt.key.clone(), attempt.tried.clone());
        if self.next_server(&key, &tried).is_some() {
            tracing::debug!("media server silent, next one");
            self.abandon(id, now);
            self.try_next(id, now);
        }
    }

    fn try_next(&mut self, id: ServerTransactionId, now: Now) -> bool {
        let Some(attempt) = self.contexts.get(&id).and_then(|context| context.attempt.as_ref()) else {
            return false;
        };
        let Some(server) = self.next_server(&attempt.key, &attempt.tried) else { return false };
        self.forward_invite(id, server, now);
        true
    }

    /// Gives up the branch that a request is forwarded in now.
    fn abandon(&mut self, id: ServerTransactionId, now: Now) {
        let Some(context) = self.contexts.get(&id) else { return };
        let (branch, server) = (context.branch, context.to);
        self.branches.remove(&branch);
        if context.request.method == Method::Invite {
            let forget_at = now.instant + LINGER;
            self.abandoned.insert(branch, Abandoned { request: context.request.clone(), server, forget_at });
            self.out.push_back(Output::Sip(Command::Cancel(branch)));
        }
    }

    /// A media server accepted what was given up: its leg is acknowledged and ended (RFC 3261 13.2.2.4, for the caller).
    fn end_late(&mut self, branch: ClientTransactionId, response: &Response) {
        let Some(Abandoned { request, server, .. }) = self.abandoned.remove(&branch) else { return };
        let (Ok(mut dialog), Ok(cseq)) = (Dialog::uac(&request, response), response.cseq()) else { return };
        let to = Destination::udp(server);
        let (mut ack, mut bye) = (dialog.ack(cseq.number), dialog.request(Method::Bye));
        // The route set leads through us; we are where it leads already.
        ack.headers.remove("Route");
        bye.headers.remove("Route");
        self.out.push_back(Output::Sip(Command::Acknowledge(branch, ack, to)));
        self.out.push_back(Output::Sip(Command::Request((self.client_ids)(), bye, to)));
    }

    // ---- health

    fn check(&mut self, server: SocketAddr) {
        let from = NameAddr::new(SipUri::with_user("resource-manager", self.own.clone()));
        let target: Uri = SipUri::new(server.into()).into();
        let request = NewRequest {
            method: Method::Options,
            target: target.clone(),
            from,
            from_tag: self.ids.tag(),
            to: NameAddr::new(target),
            call_id: self.ids.call_id(),
            cseq: self.ids.cseq(),
            contact: None,
        };
        let id = (self.client_ids)();
        self.checks.insert(id, server);
        let request = request.build().with_header("Accept", "application/sdp");
        self.out.push_back(Output::Sip(Command::Request(id, request, Destination::udp(server))));
    }

    fn on_checked(&mut self, branch: ClientTransactionId, server: SocketAddr, response: &Response) {
        if response.status.is_provisional() {
            return;
        }
        self.checks.remove(&branch);
        let load = response.headers.get(LOAD_HEADER).and_then(|load| load.trim().parse().ok());
        match self.pool.answered(server, response.status.as_u16(), load) {
            Change::Found => tracing::info!(%server, load, "media server found"),
            Change::Same | Change::Lost => tracing::trace!(%server, load, "media server alive"),
        }
    }

    /// A media server is lost, and every session on it. What is under way to it is answered now.
    fn lose(&mut self, server: SocketAddr, now: Now) {
        let sessions = self.sessions.on(server);
        tracing::warn!(%server, sessions = sessions.len(), "media server lost");
        let waiting = self.contexts.iter().filter(|(_, c)| c.to == server && c.forget_at.is_none());
        let waiting: Vec<_> = waiting.map(|(id, _)| *id).collect();
        for id in waiting {
            self.abandon(id, now);
            self.fail(id, StatusCode::REQUEST_TIMEOUT, now);
        }
        for key in sessions {
            if self.sessions.server(&key) == Some(server) {
                self.end_session(&key, StatusCode::REQUEST_TIMEOUT.as_u16(), now);
            }
        }
    }

    // ---- ends

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

    /// The conference id is the interaction's; other callers may say it in Session-ID (RFC 7989).
    fn interaction_of(&mut self, conference: &str, request: &Request, now: Now) -> InteractionId {
        let session_id = request.headers.get("Session-ID").and_then(|value| value.split(';').next());
        let named =
            [Some(conference), session_id].into_iter().flatten().find_map(|text| text.trim().parse().ok());
        named.unwrap_or_else(|| self.new_interaction(now))
    }

    fn new_interaction(&mut self, now: Now) -> InteractionId {
        let millis = u64::try_from(now.wall.0 / 1000).unwrap_or_default();
        InteractionId(uuid::Builder::from_unix_timestamp_millis(millis, &self.rng.random()).into_uuid())
    }

    fn respond(&mut self, id: ServerTransactionId, response: Response) {
        let response = response.with_to_tag(&self.ids.tag());
        self.out.push_back(Output::Sip(Command::Respond(id, response)));
    }
}

/// Our own address in a URI: what peers are told, or what is bound.
fn is_own(own: &HostPort, listen: SocketAddr, uri: &SipUri) -> bool {
    let port = uri.port_or_default();
    (uri.host.host == own.host && port == own.port.unwrap_or(5060))
        || (uri.host.host.ip() == Some(listen.ip()) && port == listen.port())
}

/// Failures that another media server may not have.
fn is_servers_fault(status: StatusCode) -> bool {
    status == StatusCode::REQUEST_TIMEOUT || (500..600).contains(&status.as_u16())
}
