//! The SIP server without I/O: registrar and calls between what the stack tells ([`Event`]) and what it is to do.

use crate::{
    auth::Authenticator,
    call::{Call, Input, Leg, Now, Participant},
    config::Config,
    directory::Directory,
    guard,
    leg::{Leg as State, flow_of},
    registrar::{Refusal, Registrar, Terms},
    sdp::{Description, SdpError},
    session::Session,
};
use hindsight_model::{
    Event as DomainEvent,
    event::{EndCause, What},
};
use hindsight_sip::{
    ClientTransactionId, Command, Destination, Dialog, DialogId, Event, HostPort, Ids, Method, NameAddr,
    Protocol, Request, Response, ServerTransactionId, SipMessage, SipUri, Source, StatusCode, Uri,
    capability::Capabilities,
};
use hindsight_wire::{
    InteractionId,
    component::{RecordingControl, VoiceConfig},
};
use rand::{Rng, SeedableRng, rngs::StdRng};
use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

/// How often what has run out is forgotten.
const SWEEP: Duration = Duration::from_secs(30);
/// Seconds after which a caller that found us full or without configuration may try again.
const RETRY_AFTER: u32 = 10;

/// Which address of ours a peer reaches; `None`: the advertised one.
pub type Reach = Box<dyn Fn(IpAddr) -> Option<IpAddr> + Send>;

/// What is to be done.
#[derive(Debug)]
pub enum Output {
    /// By the SIP stack.
    Sip(Command),
    /// By the journal.
    Journal(DomainEvent),
    /// Answer to [`SipServer::on_control`].
    Result {
        /// Which request.
        request: u64,
        /// `None`: done and confirmed.
        error: Option<String>,
    },
}

/// What a request of ours was for.
#[derive(Clone, Debug)]
pub(crate) struct Outgoing {
    pub(crate) interaction: InteractionId,
    pub(crate) leg: Leg,
    pub(crate) kind: Kind,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Invite,
    Reinvite,
    Bye,
    /// BYE of a fork that came too late.
    Stray,
    /// Serial of the order.
    Order(u32),
    Probe,
}

/// What calls share: names of transactions and dialogs, and the way out.
pub(crate) struct Wires {
    pub(crate) ids: Ids,
    pub(crate) resource_manager: SocketAddr,
    pub(crate) clients: HashMap<ClientTransactionId, Outgoing>,
    pub(crate) servers: HashMap<ServerTransactionId, (InteractionId, Leg)>,
    pub(crate) dialogs: HashMap<DialogId, (InteractionId, Leg)>,
    /// What peers are told of us.
    pub(crate) allow: Capabilities,
    domain: HostPort,
    client_ids: Box<dyn Fn() -> ClientTransactionId + Send>,
    reach: Reach,
    /// Requests that could not be sent at all, to be told after what is under way.
    unsendable: VecDeque<ClientTransactionId>,
    out: VecDeque<Output>,
}

impl Wires {
    pub(crate) fn push(&mut self, output: Output) {
        self.out.push_back(output);
    }

    pub(crate) fn next_client(&self) -> ClientTransactionId {
        (self.client_ids)()
    }

    /// Sends a request of a leg; without an address it fails as if the transport had.
    pub(crate) fn send(
        &mut self,
        id: ClientTransactionId,
        outgoing: Outgoing,
        request: Request,
        to: Option<Destination>,
    ) {
        self.clients.insert(id, outgoing);
        match to {
            Some(to) => self.push(Output::Sip(Command::Request(id, request, to))),
            None => self.unsendable.push_back(id),
        }
    }

    /// Our address for the far end of a dialog, as it can be reached from there.
    pub(crate) fn contact(&self, peer: Option<Destination>) -> NameAddr {
        let reached = peer.and_then(|peer| (self.reach)(peer.addr.ip()));
        let host = match reached {
            Some(ip) => HostPort { host: ip.into(), port: self.domain.port },
            None => self.domain.clone(),
        };
        let uri = SipUri::new(host);
        NameAddr::new(match peer.map(|peer| peer.protocol) {
            Some(Protocol::Tcp) => uri.with_param("transport", Some("tcp")),
            Some(Protocol::Udp) | None => uri,
        })
    }

    /// A number as an address of this site.
    pub(crate) fn address_of(&self, number: &str) -> NameAddr {
        NameAddr::new(SipUri::with_user(number, self.domain.clone()))
    }
}

/// The SIP server.
pub struct SipServer {
    config: Config,
    capabilities: Capabilities,
    directory: Directory,
    registrar: Registrar,
    /// None before the first configuration.
    authenticator: Option<Authenticator>,
    sessions: HashMap<InteractionId, Session>,
    /// Call-ID and From tag of INVITEs that we serve: the same by another way is a loop (RFC 3261 8.2.2.2).
    callers: HashMap<(String, String), InteractionId>,
    deadlines: BTreeSet<(Instant, InteractionId)>,
    scheduled: HashMap<InteractionId, Instant>,
    next_sweep: Instant,
    wires: Wires,
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
        let wires = Wires {
            ids: Ids::seeded(rng.random()),
            resource_manager: config.resource_manager,
            clients: HashMap::new(),
            servers: HashMap::new(),
            dialogs: HashMap::new(),
            domain: advertised,
            allow: guard::capabilities(),
            client_ids,
            reach: Box::new(|_| None),
            unsendable: VecDeque::new(),
            out: VecDeque::new(),
        };
        Self {
            directory: Directory::default(),
            registrar: Registrar::new(terms),
            capabilities: guard::capabilities(),
            authenticator: None,
            sessions: HashMap::new(),
            callers: HashMap::new(),
            deadlines: BTreeSet::new(),
            scheduled: HashMap::new(),
            next_sweep: now + SWEEP,
            config,
            wires,
            rng,
        }
    }

    /// Of several addresses that we have, the one to tell a peer; without this always the advertised one.
    pub fn reached_by(mut self, reach: Reach) -> Self {
        self.wires.reach = reach;
        self
    }

    /// What to do next.
    pub fn poll(&mut self) -> Option<Output> {
        self.wires.out.pop_front()
    }

    /// When [`SipServer::on_time`] wants to be called.
    pub fn deadline(&self) -> Option<Instant> {
        let call = self.deadlines.first().map(|(at, _)| *at);
        Some(call.map_or(self.next_sweep, |at| at.min(self.next_sweep)))
    }

    /// Calls that are not wholly over.
    pub fn calls(&self) -> usize {
        self.sessions.len()
    }

    /// DNs that are registered.
    pub fn registered(&self) -> usize {
        self.registrar.len()
    }

    /// A new configuration. Calls in progress keep the policy that they began with.
    pub fn on_config(&mut self, config: VoiceConfig, now: Now) {
        self.directory = Directory::new(config);
        let directory = &self.directory;
        let realm = directory.realm();
        if self.authenticator.as_ref().is_none_or(|known| known.realm() != realm) {
            let (secret, algorithms) = (self.rng.random(), &self.config.challenge);
            self.authenticator = Some(Authenticator::new(realm, algorithms, secret, now.instant));
        }
        self.registrar.keep_only(|number| directory.get(number).is_some());
    }

    /// A command of the web services; answered by [`Output::Result`].
    pub fn on_control(&mut self, request: u64, control: RecordingControl, now: Now) {
        let interaction = control.interaction;
        if !self.sessions.contains_key(&interaction) {
            let error = Some("no such call".to_owned());
            return self.wires.push(Output::Result { request, error });
        }
        self.with_session(interaction, now, |session, wires| {
            session.input(Input::Control { request, control }, wires, now);
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
        if self.next_sweep <= now.instant {
            self.next_sweep = now.instant + SWEEP;
            self.registrar.expire(now.instant);
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
        let deadline = session.call.deadline();
        let finished = session.is_finished();
        if let Some(at) = self.scheduled.remove(&interaction) {
            self.deadlines.remove(&(at, interaction));
        }
        if finished {
            session.forget(&mut self.wires);
            self.sessions.remove(&interaction);
            self.callers.retain(|_, of| *of != interaction);
        } else if let Some(at) = deadline {
            self.scheduled.insert(interaction, at);
            self.deadlines.insert((at, interaction));
        }
    }

    fn on_request(&mut self, id: ServerTransactionId, request: Request, source: Source, now: Now) {
        if let Some(response) = self.capabilities.refuse(&request) {
            return self.respond(id, response);
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
                let response = self.capabilities.describe(Response::to(&request, StatusCode::OK));
                self.respond(id, response);
            }
            Method::Bye
            | Method::Info
            | Method::Ack
            | Method::Cancel
            | Method::Update
            | Method::Prack
            | Method::Message
            | Method::Notify
            | Method::Subscribe
            | Method::Refer
            | Method::Publish
            | Method::Other(_) => self.respond(id, Response::to(&request, StatusCode::CALL_DOES_NOT_EXIST)),
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

    fn on_register(&mut self, id: ServerTransactionId, request: &Request, source: Source, now: Now) {
        if !self.is_ours(&request.uri) {
            return self.respond(id, Response::to(request, StatusCode::NOT_FOUND));
        }
        let number = match self.authenticate(request, now) {
            Ok(number) => number,
            Err(response) => return self.respond(id, *response),
        };
        // A phone registers for itself only (RFC 3261 10.3 step 4).
        if request.to().ok().and_then(|to| to.uri.user()).as_deref() != Some(number.as_str()) {
            return self.respond(id, Response::to(request, StatusCode::FORBIDDEN));
        }
        let response = match self.registrar.register(&number, request, source, now.instant) {
            Ok(contacts) => {
                tracing::debug!(contacts = contacts.len(), "registered");
                let response = Response::to(request, StatusCode::OK);
                contacts.iter().fold(response, |response, contact| response.with_header("Contact", contact))
            }
            Err(Refusal::TooBrief(least)) => {
                Response::to(request, StatusCode::INTERVAL_TOO_BRIEF).with_header("Min-Expires", least)
            }
            Err(Refusal::Fault(fault)) => Response::to(request, fault.status).with_reason(fault.reason),
        };
        self.respond(id, response);
    }

    /// The DN that a request comes from, or the challenge or refusal to answer it with.
    fn authenticate(&mut self, request: &Request, now: Now) -> Result<String, Box<Response>> {
        match &mut self.authenticator {
            Some(authenticator) => authenticator.judge(request, &self.directory, now.instant),
            None => {
                let response = Response::to(request, StatusCode::SERVICE_UNAVAILABLE);
                Err(Box::new(response.with_header("Retry-After", RETRY_AFTER)))
            }
        }
    }

    fn on_invite(&mut self, id: ServerTransactionId, request: Request, source: Source, now: Now) {
        let caller = match self.admit(&request, now) {
            Ok(caller) => caller,
            Err(response) => return self.respond(id, *response),
        };
        let offer = match self.offer_of(&request) {
            Ok(offer) => offer,
            Err(response) => return self.respond(id, *response),
        };
        let dialled = request.uri.user().unwrap_or_default();
        let caller = self.directory.participant(&caller);
        let callee = self.directory.participant(&dialled);
        let contacts = self.registrar.lookup(&dialled, now.instant);
        if !self.is_ours(&request.uri) || !callee.is_dn || contacts.is_empty() {
            let status =
                if callee.is_dn { StatusCode::TEMPORARILY_UNAVAILABLE } else { StatusCode::NOT_FOUND };
            self.announce_unreachable([&caller, &callee], now);
            return self.respond(id, Response::to(&request, status));
        }
        let tag = self.wires.ids.tag();
        let contact = self.wires.contact(Some(source.into()));
        let dialog = match Dialog::uas(&request, &tag, contact, self.wires.ids.cseq()) {
            Ok(dialog) => dialog,
            Err(fault) => {
                return self.respond(id, Response::to(&request, fault.status).with_reason(fault.reason));
            }
        };
        self.begin(id, request, source, dialog, ([caller, callee], contacts, offer), now);
    }

    fn begin(
        &mut self,
        id: ServerTransactionId,
        request: Request,
        source: Source,
        dialog: Dialog,
        (parties, contacts, offer): ([Participant; 2], Vec<crate::registrar::Binding>, Option<Description>),
        now: Now,
    ) {
        let interaction = self.new_interaction(now);
        tracing::info!(%interaction, contacts = contacts.len(), "call offered");
        let numbers = [parties[0].number.clone(), parties[1].number.clone()];
        let forks = u8::try_from(contacts.len()).unwrap_or(u8::MAX);
        let max_forwards = request.max_forwards().ok().flatten().unwrap_or(70).saturating_sub(1);
        let call =
            Call::offered(interaction, parties, forks, offer, self.config.limits(), self.rng.random(), now);
        self.wires.servers.insert(id, (interaction, Leg::Caller));
        self.wires.dialogs.insert(dialog.id().clone(), (interaction, Leg::Caller));
        let key = (dialog.id().call_id.clone(), dialog.id().remote_tag.clone());
        self.callers.insert(key, interaction);
        let flow = flow_of(&request, source);
        let caller =
            State::Offered { transaction: id, request: Box::new(request), dialog: Box::new(dialog), flow };
        let session = Session::new(call, caller, contacts, numbers, max_forwards);
        self.sessions.insert(interaction, session);
        self.with_session(interaction, now, |session, wires| session.perform_all(wires, now));
    }

    /// Who calls, when the INVITE may be served at all.
    fn admit(&mut self, request: &Request, now: Now) -> Result<String, Box<Response>> {
        let refuse = |status| Err(Box::new(Response::to(request, status)));
        if request.max_forwards().ok().flatten() == Some(0) {
            return refuse(StatusCode::TOO_MANY_HOPS);
        }
        if self.is_merged(request) {
            return refuse(StatusCode::LOOP_DETECTED);
        }
        let number = self.authenticate(request, now)?;
        // Nobody calls in another's name.
        if request.from().ok().and_then(|from| from.uri.user()).as_deref() != Some(number.as_str()) {
            return refuse(StatusCode::FORBIDDEN);
        }
        if self.sessions.len() >= self.config.max_calls {
            tracing::warn!(calls = self.sessions.len(), "no room for another call");
            let response = Response::to(request, StatusCode::SERVICE_UNAVAILABLE);
            return Err(Box::new(response.with_header("Retry-After", RETRY_AFTER)));
        }
        Ok(number)
    }

    fn is_merged(&self, request: &Request) -> bool {
        let (Ok(call_id), Ok(from)) = (request.call_id(), request.from()) else { return false };
        self.callers.contains_key(&(call_id.to_owned(), from.tag().unwrap_or_default().to_owned()))
    }

    fn offer_of(&self, request: &Request) -> Result<Option<Description>, Box<Response>> {
        let Some(body) = request.sdp() else { return Ok(None) };
        match Description::parse(&body) {
            Ok(offer) => Ok(Some(offer)),
            Err(SdpError::Malformed) => {
                let response = Response::to(request, StatusCode::BAD_REQUEST);
                Err(Box::new(response.with_reason("Malformed SDP")))
            }
            Err(SdpError::NothingInCommon) => {
                Err(Box::new(Response::to(request, StatusCode::NOT_ACCEPTABLE_HERE)))
            }
        }
    }

    /// A call that reaches nobody is an interaction all the same.
    fn announce_unreachable(&mut self, parties: [&Participant; 2], now: Now) {
        let interaction = self.new_interaction(now);
        tracing::info!(%interaction, "call to a number that nobody is registered at");
        let ended = What::CallEnded { cause: EndCause::NotFound, by: None };
        for what in [Call::offered_event(parties), ended] {
            self.wires.push(Output::Journal(DomainEvent { interaction, at: now.wall, what }));
        }
    }

    /// UUIDv7 from our own clock and randomness, so that a simulation repeats itself.
    fn new_interaction(&mut self, now: Now) -> InteractionId {
        let millis = u64::try_from(now.wall.0 / 1000).unwrap_or_default();
        InteractionId(uuid::Builder::from_unix_timestamp_millis(millis, &self.rng.random()).into_uuid())
    }

    /// An address of ours: any IP address (phones are configured with one), the site's domain, or our own name.
    fn is_ours(&self, uri: &Uri) -> bool {
        let Some(sip) = uri.as_sip() else { return uri.scheme() == "tel" };
        let host = sip.host.host.to_string();
        sip.host.host.ip().is_some()
            || sip.host.host == self.wires.domain.host
            || host == "localhost"
            || host.eq_ignore_ascii_case(self.directory.realm())
    }

    fn respond(&mut self, id: ServerTransactionId, response: Response) {
        let response = response.with_to_tag(&self.wires.ids.tag());
        self.wires.push(Output::Sip(Command::Respond(id, response)));
    }
}
