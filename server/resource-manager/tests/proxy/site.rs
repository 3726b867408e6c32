//! The real resource manager between a scripted caller and scripted media servers, over the real stack, in virtual time.

use hindsight_model::event::{SessionRecord, What};
use hindsight_resource_manager::{
    Config,
    member::Member,
    state::{LOST_HEADER, Now, Output as Wanted, ResourceManager},
};
use hindsight_sip::{
    ClientTransactionId, Destination, Dialog, DialogId, Endpoint, EndpointConfig, Event, Ids, Method,
    NameAddr, NewRequest, Output, Protocol, Received, Request, Response, SipMessage, SipUri, Source,
    StatusCode,
};
use hindsight_wire::{InteractionId, Timestamp};
use rand::{Rng, SeedableRng, rngs::StdRng};
use std::{
    collections::{BTreeMap, HashMap},
    net::SocketAddr,
    time::{Duration, Instant},
};

/// Caller, then the media servers.
pub const CALLER: usize = 0;

#[derive(Clone, Copy, PartialEq)]
pub enum Manner {
    Answer,
    Refuse(u16),
    /// Rings only.
    Ring,
    /// Does not exist.
    Dead,
    /// Answers health checks, and nothing else.
    Deaf,
}

pub struct Peer {
    pub address: SocketAddr,
    pub manner: Manner,
    pub load: u32,
    /// Requests and responses seen.
    pub log: Vec<String>,
    pub dialogs: HashMap<DialogId, Dialog>,
    endpoint: Endpoint,
    sent: HashMap<ClientTransactionId, Request>,
    ids: Ids,
    deadline: Option<Instant>,
}

impl Peer {
    fn new(address: SocketAddr, seed: u64) -> Self {
        Self {
            address,
            manner: Manner::Answer,
            load: 0,
            log: Vec::new(),
            dialogs: HashMap::new(),
            endpoint: Endpoint::new(EndpointConfig::new(address), Ids::seeded(seed)),
            sent: HashMap::new(),
            ids: Ids::seeded(seed + 1),
            deadline: None,
        }
    }

    fn contact(&self) -> NameAddr {
        NameAddr::new(SipUri::with_user("peer", self.address.into()))
    }

    fn event(&mut self, event: Event, now: Instant) {
        match event {
            Event::Request { transaction, request, .. } => {
                let in_dialog = DialogId::of_request(&request).filter(|id| self.dialogs.contains_key(id));
                if request.method != Method::Options || in_dialog.is_some() {
                    self.log.push(request.method.to_string());
                }
                let health = request.method == Method::Options && in_dialog.is_none();
                if let Some(lost) = request.headers.get(LOST_HEADER).filter(|_| health) {
                    self.log.push(format!("lost {lost}"));
                }
                let response = match (&request.method, in_dialog) {
                    (Method::Invite, None) => match self.manner {
                        Manner::Answer => {
                            let tag = self.ids.tag();
                            let dialog = Dialog::uas(&request, &tag, self.contact(), 1).unwrap();
                            let response = dialog.response(&request, StatusCode::OK);
                            self.dialogs.insert(dialog.id().clone(), dialog);
                            return self.endpoint.accept(transaction, response, now);
                        }
                        Manner::Ring => Response::to(&request, StatusCode::RINGING).with_to_tag("r"),
                        Manner::Refuse(status) => {
                            Response::to(&request, StatusCode::new(status).unwrap()).with_to_tag("r")
                        }
                        Manner::Dead | Manner::Deaf => return,
                    },
                    (Method::Bye, Some(id)) => {
                        let dialog = self.dialogs.remove(&id).unwrap();
                        dialog.response(&request, StatusCode::OK)
                    }
                    (_, Some(id)) => self.dialogs[&id].response(&request, StatusCode::OK),
                    (_, None) if health => Response::to(&request, StatusCode::OK)
                        .with_to_tag("h")
                        .with_header("X-Load", self.load),
                    (_, None) => Response::to(&request, StatusCode::CALL_DOES_NOT_EXIST).with_to_tag("n"),
                };
                self.endpoint.respond(transaction, response, now);
            }
            Event::Cancelled { transaction, request } => {
                self.log.push("CANCEL".to_owned());
                let mut response = Response::to(&request, StatusCode::REQUEST_TERMINATED).with_to_tag("r");
                let cseq = request.cseq().unwrap().number;
                response.headers.set("CSeq", format!("{cseq} INVITE"));
                self.endpoint.respond(transaction, response, now);
            }
            Event::Ack { .. } => self.log.push("ACK".to_owned()),
            Event::Response { transaction, response, .. } => self.response(transaction, &response),
            Event::TimedOut { .. } => self.log.push("timed out".to_owned()),
            Event::TransportFailed { .. } | Event::AckMissing { .. } => self.log.push("failed".to_owned()),
        }
    }

    fn response(&mut self, id: ClientTransactionId, response: &Response) {
        let Some(request) = self.sent.get(&id).cloned() else { return };
        if response.status == StatusCode::TRYING {
            return;
        }
        self.log.push(format!("{} {}", request.method, response.status));
        if request.method == Method::Invite && response.status.is_success() {
            let dialog = Dialog::uac(&request, response).unwrap();
            let to = Destination::of_uri(dialog.next_hop()).unwrap();
            self.endpoint.acknowledge(id, dialog.ack(request.cseq().unwrap().number), to);
            self.dialogs.insert(dialog.id().clone(), dialog);
        }
    }
}

pub struct Site {
    pub peers: Vec<Peer>,
    pub manager: ResourceManager,
    pub records: Vec<(InteractionId, SessionRecord)>,
    pub now: Instant,
    address: SocketAddr,
    endpoint: Endpoint,
    deadline: Option<Instant>,
    flying: BTreeMap<(Instant, u64), (SocketAddr, SocketAddr, Vec<u8>)>,
    sent: u64,
    loss: f64,
    rng: StdRng,
    began: Instant,
}

pub fn address(last: u8) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, last], 5060))
}

impl Site {
    pub fn new(servers: u8, loss: f64, seed: u64) -> Self {
        let members = (0..servers).map(|server| address(100 + server).into()).collect();
        Self::with(members, Config::default(), loss, seed)
    }

    /// Of these media servers: the addresses must be those of [`Site::new`].
    pub fn with(pool: Vec<Member>, config: Config, loss: f64, seed: u64) -> Self {
        let own = address(1);
        let servers = u8::try_from(pool.len()).unwrap();
        let endpoint = Endpoint::new(EndpointConfig::new(own), Ids::seeded(seed));
        let ids = endpoint.client_ids();
        let now = Instant::now();
        let config = Config { pool, ..config };
        let manager = ResourceManager::new(config, own.into(), own, Box::new(move || ids.next()), seed, now);
        let mut peers = vec![Peer::new(address(2), seed + 10)];
        peers.extend(
            (0..servers).map(|server| Peer::new(address(100 + server), seed + 20 + u64::from(server) * 2)),
        );
        Self {
            peers,
            manager,
            records: Vec::new(),
            now,
            address: own,
            endpoint,
            deadline: None,
            flying: BTreeMap::new(),
            sent: 0,
            loss,
            rng: StdRng::seed_from_u64(seed),
            began: now,
        }
    }

    /// An INVITE of the caller to a leg of this conference.
    pub fn invite(&mut self, conference: InteractionId, role: &str) -> ClientTransactionId {
        self.invite_with(conference, &[("role", role)])
    }

    /// The same with these parameters of the conference URI.
    pub fn invite_with(&mut self, conference: InteractionId, params: &[(&str, &str)]) -> ClientTransactionId {
        let caller = &mut self.peers[CALLER];
        let user = format!("msml={}", conference.to_session_id());
        let target = SipUri::with_user(&user, self.address.into());
        let target = params.iter().fold(target, |uri, (name, value)| uri.with_param(name, Some(value)));
        let request = NewRequest {
            method: Method::Invite,
            target: target.clone().into(),
            from: NameAddr::new(SipUri::with_user("1001", caller.address.into())),
            from_tag: caller.ids.tag(),
            to: NameAddr::new(target),
            call_id: caller.ids.call_id(),
            cseq: 1,
            contact: Some(caller.contact()),
        };
        let request = request.build();
        let id = caller.endpoint.send_request(request.clone(), Destination::udp(self.address), self.now);
        caller.sent.insert(id, request);
        id
    }

    pub fn cancel(&mut self, id: ClientTransactionId) {
        self.peers[CALLER].endpoint.cancel(id, self.now);
    }

    /// A request in a dialog of the caller (or of a media server).
    pub fn request(&mut self, peer: usize, dialog: usize, method: Method) {
        let peer = &mut self.peers[peer];
        let mut ids: Vec<DialogId> = peer.dialogs.keys().cloned().collect();
        ids.sort();
        let dialog = peer.dialogs.get_mut(&ids[dialog]).unwrap();
        let request = dialog.request(method);
        let to = Destination::of_uri(dialog.next_hop()).unwrap();
        let id = peer.endpoint.send_request(request.clone(), to, self.now);
        peer.sent.insert(id, request);
    }

    pub fn until(&mut self, what: &str, seconds: u64, done: impl Fn(&Self) -> bool) {
        let limit = self.now + Duration::from_secs(seconds);
        loop {
            self.settle();
            if done(self) {
                return;
            }
            let peers = self.peers.iter().filter_map(|peer| peer.deadline);
            let flying = self.flying.keys().next().map(|(at, _)| *at);
            let next = peers
                .chain(self.deadline)
                .chain(self.manager.deadline())
                .chain(flying)
                .min()
                .unwrap_or(limit);
            let logs: Vec<_> = self.peers.iter().map(|peer| &peer.log).collect();
            assert!(next <= limit, "never {what}: {logs:?}");
            self.now = self.now.max(next);
        }
    }

    pub fn pass(&mut self, milliseconds: u64) {
        let end = self.now + Duration::from_millis(milliseconds);
        self.until("passed", 100, |site| site.now >= end);
    }

    fn now(&self) -> Now {
        let since = self.now.duration_since(self.began).as_micros() as i64;
        Now { instant: self.now, wall: Timestamp(1_800_000_000_000_000 + since) }
    }

    fn settle(&mut self) {
        while let Some(((at, _), _)) = self.flying.first_key_value() {
            if *at > self.now {
                break;
            }
            let Some((_, (from, to, bytes))) = self.flying.pop_first() else { break };
            let source = Source { protocol: Protocol::Udp, local: to, remote: from };
            let received = Received { source, bytes: &bytes };
            if to == self.address {
                self.endpoint.handle_input(received, self.now);
            } else if let Some(peer) =
                self.peers.iter_mut().find(|p| p.address == to && p.manner != Manner::Dead)
            {
                peer.endpoint.handle_input(received, self.now);
            }
        }
        for index in 0..self.peers.len() {
            self.peers[index].endpoint.handle_timeout(self.now);
            loop {
                let from = self.peers[index].address;
                match self.peers[index].endpoint.poll_output() {
                    Output::Transmit(transmit) => self.send(from, transmit.remote, &transmit.bytes),
                    Output::Event(event) => self.peers[index].event(event, self.now),
                    Output::Close(_) | Output::Heard(..) => {}
                    Output::Wait(deadline) => {
                        self.peers[index].deadline = deadline;
                        break;
                    }
                }
            }
        }
        let now = self.now();
        self.endpoint.handle_timeout(self.now);
        self.manager.on_time(now);
        loop {
            while let Some(wanted) = self.manager.poll() {
                match wanted {
                    Wanted::Sip(command) => self.endpoint.apply(command, self.now),
                    Wanted::Journal(event) => match event.what {
                        What::SessionEnded(record) => self.records.push((event.interaction, record)),
                        other => panic!("{other:?}"),
                    },
                }
            }
            match self.endpoint.poll_output() {
                Output::Transmit(transmit) => self.send(self.address, transmit.remote, &transmit.bytes),
                Output::Event(event) => self.manager.on_event(event, now),
                Output::Close(_) | Output::Heard(..) => {}
                Output::Wait(deadline) => {
                    self.deadline = deadline;
                    return;
                }
            }
        }
    }

    fn send(&mut self, from: SocketAddr, to: SocketAddr, bytes: &[u8]) {
        if self.rng.random_bool(self.loss) {
            return;
        }
        self.sent += 1;
        let at = self.now + Duration::from_millis(self.rng.random_range(1..10));
        self.flying.insert((at, self.sent), (from, to, bytes.to_vec()));
    }

    /// The host of a media server says that its process is gone.
    pub fn process_gone(&mut self, server: usize) {
        self.peers[server].manner = Manner::Dead;
        let (address, now) = (self.peers[server].address, self.now());
        self.manager.on_gone(address, now);
    }

    /// Dialogs on each media server.
    pub fn legs(&self) -> Vec<usize> {
        self.peers[1..].iter().map(|peer| peer.dialogs.len()).collect()
    }

    pub fn caller_saw(&self, line: &str) -> usize {
        self.peers[CALLER].log.iter().filter(|known| *known == line).count()
    }
}
