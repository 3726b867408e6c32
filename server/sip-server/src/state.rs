//! The SIP server without I/O: registrar and calls between what the stack tells ([`Event`]) and what it is to do.

mod admission;
mod restore;
mod transfer;
mod trunks;

use crate::{
    auth::Authenticator,
    call::{Input, Now},
    config::Config,
    directory::Directory,
    guard,
    kept::{Kept, Key},
    lockout::LockOut,
    registrar::{Registrar, Terms},
    session::Session,
    trunks::Trunks,
    wires::{Kind, Wires},
};
use hindsight_model::Event as DomainEvent;
use hindsight_sip::{
    ClientTransactionId, Command, DialogId, Event, HostPort, Ids, Method, Network, Request, Response,
    ServerTransactionId, SipMessage, Source, StatusCode, capability::Capabilities,
};
use hindsight_wire::{
    InteractionId,
    agent::CallAction,
    component::{CallControl, NO_SUCH_CALL, RecordingControl, VoiceConfig},
};
use rand::{Rng, SeedableRng, rngs::StdRng};
use std::{
    collections::{BTreeSet, HashMap},
    time::{Duration, Instant},
};

pub use crate::wires::Reach;
pub use restore::Restored;

/// How often what has run out is forgotten.
const SWEEP: Duration = Duration::from_secs(30);
/// In an OPTIONS of the resource manager: address of a media server that was lost.
const LOST_HEADER: &str = "X-Lost-Media-Server";
/// Seconds after which a caller that found us full or without configuration may try again.
const RETRY_AFTER: u32 = 10;

/// What is to be done.
#[derive(Debug)]
pub enum Output {
    /// By the SIP stack.
    Sip(Command),
    /// By the journal.
    Journal(DomainEvent),
    /// By whatever outlives this process; `None`: to be forgotten.
    Keep(Key, Option<Kept>),
    /// Answer to [`SipServer::on_control`] and [`SipServer::on_call_control`].
    Result {
        /// Which request.
        request: u64,
        /// `None`: done and confirmed.
        error: Option<String>,
    },
    /// Look up the name of a trunk; answered by [`SipServer::on_looked`].
    Look {
        /// Which.
        trunk: String,
        /// Its name.
        host: String,
        /// Its port.
        port: u16,
    },
}

/// Who was turned away, in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TurnedAway {
    /// Wrong passwords.
    pub wrong_passwords: u64,
    /// Accounts locked for an address.
    pub lock_outs: u64,
    /// Requests of who was locked out.
    pub locked_out: u64,
}

/// The SIP server.
pub struct SipServer {
    config: Config,
    capabilities: Capabilities,
    directory: Directory,
    registrar: Registrar,
    /// None before the first configuration.
    authenticator: Option<Authenticator>,
    pub(crate) sessions: HashMap<InteractionId, Session>,
    /// Call-ID and From tag of INVITEs that we serve: the same by another way is a loop (RFC 3261 8.2.2.2).
    callers: HashMap<(String, String), InteractionId>,
    lock_out: LockOut,
    trusted: Vec<Network>,
    turned: TurnedAway,
    deadlines: BTreeSet<(Instant, InteractionId)>,
    scheduled: HashMap<InteractionId, Instant>,
    next_sweep: Instant,
    pub(crate) wires: Wires,
    trunks: Trunks,
    rng: StdRng,
}

impl SipServer {
    /// A server that nobody is registered at. `advertised`: what peers reach us at; `client_ids`: names transactions.
    pub fn new(
        config: Config,
        advertised: HostPort,
        client_ids: Box<dyn Fn() -> ClientTransactionId + Send>,
        seed: u64,
        now: Instant,
    ) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let terms = Terms {
            min_expires: config.min_expires,
            max_expires: config.max_expires,
            max_contacts: config.max_contacts,
        };
        let ids = Ids::seeded(rng.random());
        let mut wires = Wires::new(ids, config.resource_manager, advertised, client_ids);
        (wires.place, wires.tenant) = (config.place.clone(), config.tenant.clone());
        Self {
            directory: Directory::default(),
            registrar: Registrar::new(terms),
            capabilities: guard::capabilities(),
            authenticator: None,
            sessions: HashMap::new(),
            callers: HashMap::new(),
            lock_out: LockOut::new(config.lock_out()),
            trusted: Vec::new(),
            turned: TurnedAway::default(),
            deadlines: BTreeSet::new(),
            scheduled: HashMap::new(),
            next_sweep: now + SWEEP,
            config,
            wires,
            trunks: Trunks::default(),
            rng,
        }
    }

    /// Of several addresses that we have, the one to tell a peer; without this always the advertised one.
    pub fn reached_by(mut self, reach: Reach) -> Self {
        self.wires.reach = reach;
        self
    }

    /// The port where phones reach us by TLS.
    pub fn secured_at(mut self, port: Option<u16>) -> Self {
        self.wires.tls_port = port;
        self
    }

    /// Addresses that are never locked out.
    pub fn trusting(mut self, trusted: Vec<Network>) -> Self {
        self.trusted = trusted;
        self
    }

    /// Who was turned away since the start.
    pub fn turned(&self) -> TurnedAway {
        self.turned
    }

    /// What to do next.
    pub fn poll(&mut self) -> Option<Output> {
        self.wires.out.pop_front()
    }

    /// When [`SipServer::on_time`] wants to be called.
    pub fn deadline(&self) -> Option<Instant> {
        let call = self.deadlines.first().map(|(at, _)| *at);
        [call, self.trunks.deadline(), Some(self.next_sweep)].into_iter().flatten().min()
    }

    /// Calls that are not wholly over.
    pub fn calls(&self) -> usize {
        self.sessions.len()
    }

    /// The same, which.
    pub fn interactions(&self) -> impl Iterator<Item = InteractionId> + '_ {
        self.sessions.keys().copied()
    }

    /// DNs that are registered.
    pub fn registered(&self) -> usize {
        self.registrar.len()
    }

    /// A new configuration. Calls in progress keep the policy that they began with.
    pub fn on_config(&mut self, config: VoiceConfig, now: Now) {
        self.trunks.configure(&config, &mut self.wires, now.instant);
        self.directory = Directory::new(config);
        let directory = &self.directory;
        let realm = directory.realm();
        if self.authenticator.as_ref().is_none_or(|known| known.realm() != realm) {
            let (secret, algorithms) = (self.rng.random(), &self.config.challenge);
            self.authenticator = Some(Authenticator::new(realm, algorithms, secret, now.instant));
        }
        for number in self.registrar.keep_only(|number| directory.get(number).is_some()) {
            self.keep_registrations(&number, now);
        }
    }

    /// A command of the web services; answered by [`Output::Result`].
    pub fn on_control(&mut self, request: u64, control: RecordingControl, now: Now) {
        let interaction = control.interaction;
        if !self.sessions.contains_key(&interaction) {
            let error = Some(NO_SUCH_CALL.to_owned());
            return self.wires.push(Output::Result { request, error });
        }
        self.with_session(interaction, now, |session, wires| {
            session.input(Input::Control { request, control }, wires, now);
        });
    }

    /// Call control of a party's desktop; answered by [`Output::Result`].
    pub fn on_call_control(&mut self, request: u64, control: CallControl, now: Now) {
        let interaction = control.interaction;
        if !self.sessions.contains_key(&interaction) {
            let error = Some(NO_SUCH_CALL.to_owned());
            return self.wires.push(Output::Result { request, error });
        }
        if control.action == CallAction::Transfer {
            return self.transfer_by_desktop(request, &control, now);
        }
        self.with_session(interaction, now, |session, wires| {
            session.input(Input::CallControl { request, control }, wires, now);
        });
    }

    /// Ends every call.
    pub fn shut_down(&mut self, now: Now) {
        let all: Vec<InteractionId> = self.sessions.keys().copied().collect();
        for interaction in all {
            self.with_session(interaction, now, |session, wires| session.input(Input::Shutdown, wires, now));
        }
    }

    /// Timers.
    pub fn on_time(&mut self, now: Now) {
        while let Some((at, interaction)) = self.deadlines.first().copied() {
            if at > now.instant {
                break;
            }
            self.with_session(interaction, now, |session, wires| session.on_time(wires, now));
        }
        self.trunks.on_time(&mut self.wires, now.instant);
        if self.next_sweep <= now.instant {
            self.next_sweep = now.instant + SWEEP;
            for number in self.registrar.expire(now.instant) {
                self.keep_registrations(&number, now);
            }
            self.lock_out.expire(now.instant);
        }
    }

    /// What the stack tells.
    pub fn on_event(&mut self, event: Event, now: Now) {
        match event {
            Event::Request { transaction, request, source } => {
                self.on_request(transaction, request, source, now)
            }
            Event::Cancelled { transaction, request: _ } => {
                if let Some((interaction, leg)) = self.wires.servers.get(&transaction).copied() {
                    self.with_session(interaction, now, |session, wires| session.cancelled(leg, wires, now));
                }
            }
            Event::Ack { request, source: _ } => {
                let dialog =
                    DialogId::of_request(&request).and_then(|id| self.wires.dialogs.get(&id).copied());
                if let Some((interaction, leg)) = dialog {
                    self.with_session(interaction, now, |session, wires| {
                        session.acknowledged(leg, &request, wires, now);
                    });
                }
            }
            Event::AckMissing { transaction } => {
                if let Some((interaction, leg)) = self.wires.servers.remove(&transaction) {
                    self.with_session(interaction, now, |session, wires| {
                        session.unacknowledged(leg, wires, now)
                    });
                }
            }
            Event::Response { transaction, ref response, .. } => {
                let keep = response.status.is_provisional() || response.status.is_success();
                self.on_outcome(transaction, event, keep, now);
            }
            Event::TimedOut { transaction } | Event::TransportFailed { transaction, .. } => {
                self.on_outcome(transaction, event, false, now);
            }
        }
    }

    fn on_outcome(&mut self, transaction: ClientTransactionId, event: Event, keep: bool, now: Now) {
        if self.trunk_outcome(transaction, &event, now) {
            return;
        }
        let Some(outgoing) = self.wires.clients.get(&transaction).cloned() else { return };
        let provisional =
            matches!(&event, Event::Response { response, .. } if response.status.is_provisional());
        // Only an INVITE may get several 2xx; it is forgotten with its call.
        if !keep || !(provisional || matches!(outgoing.kind, Kind::Invite)) {
            self.wires.clients.remove(&transaction);
        }
        let interaction = outgoing.interaction;
        self.with_session(interaction, now, |session, wires| session.outcome(outgoing, event, wires, now));
    }

    /// Lets a call do something; then forgets it if it is over, or notes when it wants to be called.
    fn with_session(
        &mut self,
        interaction: InteractionId,
        now: Now,
        act: impl FnOnce(&mut Session, &mut Wires),
    ) {
        let Some(session) = self.sessions.get_mut(&interaction) else { return };
        act(session, &mut self.wires);
        while let Some(id) = self.wires.unsendable.pop_front() {
            let Some(outgoing) = self.wires.clients.remove(&id) else { continue };
            let event =
                Event::TransportFailed { transaction: id, reason: "no address to send to".to_owned() };
            session.outcome(outgoing, event, &mut self.wires, now);
        }
        let deadline = session.deadline();
        let finished = session.is_finished();
        for trunk in std::mem::take(&mut self.wires.suspects) {
            self.trunks.suspected(&trunk, now.instant);
        }
        self.keep(interaction, now);
        if let Some(at) = self.scheduled.remove(&interaction) {
            self.deadlines.remove(&(at, interaction));
        }
        if finished {
            if let Some(session) = self.sessions.remove(&interaction) {
                session.forget(&mut self.wires);
            }
            self.callers.retain(|_, of| *of != interaction);
        } else if let Some(at) = deadline {
            self.scheduled.insert(interaction, at);
            self.deadlines.insert((at, interaction));
        }
    }

    fn on_request(&mut self, id: ServerTransactionId, request: Request, source: Source, now: Now) {
        // What media servers tell of recordings is no phone's business, so it is not among our capabilities.
        let told = request.method == Method::Info
            && request.content_type().as_deref() == Some(hindsight_msml::CONTENT_TYPE);
        if let Some(response) = self.capabilities.refuse(&request).filter(|_| !told) {
            return self.respond(id, response);
        }
        if request.to().is_ok_and(|to| to.tag().is_some()) && request.method == Method::Refer {
            return self.on_refer(id, &request, source, now);
        }
        if request.to().is_ok_and(|to| to.tag().is_some()) {
            return self.on_dialog_request(id, request, source, now);
        }
        match request.method {
            Method::Register => self.on_register(id, &request, source, now),
            Method::Invite => self.on_invite(id, request, source, now),
            Method::Options if !self.is_ours(&request.uri) => {
                let hops = request.max_forwards().ok().flatten();
                let status = if hops == Some(0) { StatusCode::TOO_MANY_HOPS } else { StatusCode::NOT_FOUND };
                self.respond(id, Response::to(&request, status));
            }
            Method::Options => {
                self.look_after_media(&request, source, now);
                let response = self.capabilities.describe(Response::to(&request, StatusCode::OK));
                self.respond(id, response);
            }
            Method::Refer => self.refuse_outside_of_a_call(id, &request),
            Method::Bye
            | Method::Info
            | Method::Ack
            | Method::Cancel
            | Method::Update
            | Method::Prack
            | Method::Message
            | Method::Notify
            | Method::Subscribe
            | Method::Publish
            | Method::Other(_) => self.respond(id, Response::to(&request, StatusCode::CALL_DOES_NOT_EXIST)),
        }
    }

    /// The resource manager says that a media server is lost. Its word only has us look: whoever else says so does no harm.
    fn look_after_media(&mut self, request: &Request, source: Source, now: Now) {
        let lost = request.headers.get(LOST_HEADER).and_then(|address| address.trim().parse().ok());
        let Some(lost) = lost.filter(|_| source.remote.ip() == self.config.resource_manager.ip()) else {
            return;
        };
        let all: Vec<InteractionId> = self.sessions.keys().copied().collect();
        for interaction in all {
            self.with_session(interaction, now, |session, wires| session.look_after(lost, wires));
        }
    }

    fn on_dialog_request(&mut self, id: ServerTransactionId, request: Request, source: Source, now: Now) {
        let dialog = DialogId::of_request(&request).and_then(|id| self.wires.dialogs.get(&id).copied());
        match dialog {
            Some((interaction, leg)) => self.with_session(interaction, now, |session, wires| {
                session.request(leg, (request, source), id, wires, now);
            }),
            None => self.respond(id, Response::to(&request, StatusCode::CALL_DOES_NOT_EXIST)),
        }
    }

    fn respond(&mut self, id: ServerTransactionId, response: Response) {
        let response = response.with_to_tag(&self.wires.ids.tag());
        self.wires.push(Output::Sip(Command::Respond(id, response)));
    }
}
