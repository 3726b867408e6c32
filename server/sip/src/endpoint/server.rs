//! Requests of others.

use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::time::Instant;

use bytes::Bytes;
use tracing::debug;

use super::clock::Name;
use super::keys::{AckKey, ServerKey};
use super::{Endpoint, Output, Transmit};
use crate::event::{Event, ServerTransactionId};
use crate::flow::{Protocol, Source};
use crate::message::{Method, Request, Response, SipMessage, StatusCode, Via};
use crate::transaction::{AckWait, AckWaitAction, ServerAction, ServerInvite, ServerPlain};

/// Seconds after which a source that asked for too much may ask again.
const RETRY_AFTER: u32 = 10;

/// A request outside of dialogs; CANCEL ends what was begun.
fn begins_something(request: &Request) -> bool {
    request.method != Method::Cancel && request.to().map_or(true, |to| to.tag().is_none())
}

enum Machine {
    Invite(ServerInvite),
    Plain(ServerPlain),
}

/// The way back of a response.
#[derive(Debug, Clone, Copy)]
pub(super) struct ReplyRoute {
    protocol: Protocol,
    remote: SocketAddr,
    fallback: Option<SocketAddr>,
}

impl ReplyRoute {
    /// RFC 3261 18.2.2, RFC 3581 4. `maddr` is not followed: it would send anybody's answers anywhere.
    pub(super) fn of(source: Source, via: Option<&Via>) -> Self {
        let listens = via.map(|via| SocketAddr::new(source.remote.ip(), via.sent_by.port.unwrap_or(5060)));
        match source.protocol {
            Protocol::Tcp => Self { protocol: Protocol::Tcp, remote: source.remote, fallback: listens },
            // Only over the connection that the request came on: none is made to a phone.
            Protocol::Tls => Self { protocol: Protocol::Tls, remote: source.remote, fallback: None },
            Protocol::Udp => {
                let symmetric = via.is_none_or(|via| via.params.has("rport"));
                let remote = listens.filter(|_| !symmetric).unwrap_or(source.remote);
                Self { protocol: Protocol::Udp, remote, fallback: None }
            }
        }
    }
}

pub(super) struct ServerTransaction {
    machine: Machine,
    key: ServerKey,
    trying: Option<Response>,
    route: ReplyRoute,
    last: Option<Bytes>,
    to_tag: Option<String>,
    ack_wait: Option<AckWait>,
    ack_keys: Vec<AckKey>,
    /// The deadline that the clock knows.
    scheduled: Option<Instant>,
}

impl ServerTransaction {
    pub(super) fn deadline(&self) -> Option<Instant> {
        let machine = match &self.machine {
            Machine::Invite(machine) => machine.deadline(),
            Machine::Plain(machine) => machine.deadline(),
        };
        let ack = self.ack_wait.as_ref().map(AckWait::deadline);
        machine.into_iter().chain(ack).min()
    }

    fn is_over(&self) -> bool {
        match &self.machine {
            Machine::Invite(machine) => machine.is_over(),
            Machine::Plain(machine) => machine.is_over(),
        }
    }
}

impl Endpoint {
    pub(super) fn server_request(&mut self, request: Request, via: &Via, source: Source, now: Instant) {
        let Some(key) = ServerKey::of(&request, via) else { return };
        if request.method == Method::Ack {
            return self.server_ack(request, &key, source, now);
        }
        if let Some(&id) = self.server_keys.get(&key) {
            return self.repeated_request(id);
        }
        let route = ReplyRoute::of(source, Some(via));
        if begins_something(&request)
            && self.gate(now).is_some_and(|gate| !gate.admit(source.remote.ip(), now))
        {
            self.config.turned.over_limit.fetch_add(1, Ordering::Relaxed);
            // Without a transaction: it costs as little as it can, and whoever means well comes back.
            let response = Response::to(&request, StatusCode::SERVICE_UNAVAILABLE)
                .with_header("Retry-After", RETRY_AFTER);
            return self.reply(route, response.to_bytes().into());
        }
        if self.servers.len() >= self.config.max_transactions {
            let response =
                Response::to(&request, StatusCode::SERVICE_UNAVAILABLE).with_header("Retry-After", 5);
            return self.reply(route, response.to_bytes().into());
        }
        let id = self.open_server(&request, key, route, now);
        if request.method == Method::Cancel {
            return self.cancel_request(id, request, via, now);
        }
        self.event(Event::Request { transaction: id, request, source });
    }

    fn open_server(
        &mut self,
        request: &Request,
        key: ServerKey,
        route: ReplyRoute,
        now: Instant,
    ) -> ServerTransactionId {
        let reliable = route.protocol.is_reliable();
        let timers = self.config.timers;
        let (machine, trying) = match request.method {
            Method::Invite => (
                Machine::Invite(ServerInvite::new(timers, reliable, now)),
                Some(Response::to(request, StatusCode::TRYING)),
            ),
            _ => (Machine::Plain(ServerPlain::new(timers, reliable, now)), None),
        };
        let id = ServerTransactionId(self.next_server);
        self.next_server += 1;
        self.server_keys.insert(key.clone(), id);
        let transaction = ServerTransaction {
            machine,
            key,
            trying,
            route,
            last: None,
            to_tag: None,
            ack_wait: None,
            ack_keys: Vec::new(),
            scheduled: None,
        };
        self.servers.insert(id, transaction);
        self.server_settle(id);
        id
    }

    fn repeated_request(&mut self, id: ServerTransactionId) {
        let Some(transaction) = self.servers.get_mut(&id) else { return };
        let action = match &mut transaction.machine {
            Machine::Invite(machine) => machine.on_repeated_request(),
            Machine::Plain(machine) => machine.on_repeated_request(),
        };
        self.perform(id, action);
    }

    /// Answers the CANCEL itself, and tells the user when there is something left to cancel (9.2).
    fn cancel_request(&mut self, id: ServerTransactionId, request: Request, via: &Via, now: Instant) {
        let invite =
            ServerKey::of_cancelled(&request, via).and_then(|key| self.server_keys.get(&key).copied());
        let status = if invite.is_some() { StatusCode::OK } else { StatusCode::CALL_DOES_NOT_EXIST };
        let tag = invite.and_then(|id| self.servers.get(&id)?.to_tag.clone());
        let tag = tag.unwrap_or_else(|| self.ids.tag());
        self.respond(id, Response::to(&request, status).with_to_tag(&tag), now);
        let open = |t: &ServerTransaction| matches!(&t.machine, Machine::Invite(m) if m.is_open());
        if let Some(transaction) = invite.filter(|id| self.servers.get(id).is_some_and(open)) {
            self.event(Event::Cancelled { transaction, request });
        }
    }

    fn server_ack(&mut self, ack: Request, key: &ServerKey, source: Source, now: Instant) {
        if let Some(&id) = self.server_keys.get(key) {
            let Some(transaction) = self.servers.get_mut(&id) else { return };
            let Machine::Invite(machine) = &mut transaction.machine else { return };
            if machine.on_ack(now) != ServerAction::DeliverAck {
                return self.server_settle(id);
            }
        }
        if let Some(&id) = AckKey::of(&ack).and_then(|key| self.ack_keys.get(&key)) {
            let first = self.servers.get_mut(&id).is_some_and(|t| t.ack_wait.take().is_some());
            self.server_settle(id);
            if !first {
                return;
            }
        }
        self.event(Event::Ack { request: ack, source });
    }

    /// Answers a request; a missing To tag is added. A 2xx to an INVITE given here is sent once only: so proxies
    /// forward them.
    pub fn respond(&mut self, id: ServerTransactionId, response: Response, now: Instant) {
        self.answer(id, response, now);
        self.server_settle(id);
    }

    /// Accepts an INVITE with a 2xx and repeats it until its ACK comes ([`Event::Ack`]) or never came
    /// ([`Event::AckMissing`]): what the called side of a dialog does.
    pub fn accept(&mut self, id: ServerTransactionId, response: Response, now: Instant) {
        let success = response.status.is_success();
        if let Some(sent) = self.answer(id, response, now).filter(|_| success) {
            self.await_ack(id, &sent, now);
        }
        self.server_settle(id);
    }

    /// Gives a response to the machine; the result is what was sent.
    fn answer(&mut self, id: ServerTransactionId, response: Response, now: Instant) -> Option<Response> {
        let Some(transaction) = self.servers.get_mut(&id) else {
            debug!(transaction = %id, status = %response.status, "response to a transaction that is over");
            return None;
        };
        let action = match &mut transaction.machine {
            Machine::Invite(machine) => machine.respond(response.status, now),
            Machine::Plain(machine) => machine.respond(response.status, now),
        };
        let action = match action {
            Ok(action) => action,
            Err(error) => {
                debug!(transaction = %id, status = %response.status, %error, "response dropped");
                return None;
            }
        };
        let response = match response.status {
            StatusCode::TRYING => response,
            // 8.2.6.2: every other response has a tag, and all of one request have the same.
            _ => response.with_to_tag(transaction.to_tag.get_or_insert_with(|| self.ids.tag())),
        };
        if let Some(tag) = response.to().ok().and_then(|to| to.tag().map(str::to_owned)) {
            transaction.to_tag = Some(tag);
        }
        transaction.last = Some(response.to_bytes().into());
        self.perform(id, action);
        Some(response)
    }

    fn await_ack(&mut self, id: ServerTransactionId, sent: &Response, now: Instant) {
        let Some((transaction, key)) = self.servers.get_mut(&id).zip(AckKey::of(sent)) else { return };
        if matches!(transaction.machine, Machine::Invite(_)) {
            transaction.ack_wait = Some(AckWait::new(self.config.timers, now));
            transaction.ack_keys.push(key.clone());
            self.ack_keys.insert(key, id);
        }
    }

    fn perform(&mut self, id: ServerTransactionId, action: ServerAction) {
        let Some(transaction) = self.servers.get_mut(&id) else { return };
        match action {
            ServerAction::Send | ServerAction::Repeat => {}
            ServerAction::SendTrying => {
                transaction.last = transaction.trying.take().map(|r| r.to_bytes().into());
            }
            ServerAction::Nothing | ServerAction::DeliverAck => return,
        }
        let (route, last) = (transaction.route, transaction.last.clone());
        if let Some(bytes) = last {
            self.reply(route, bytes);
        }
    }

    pub(super) fn server_timer(&mut self, id: ServerTransactionId, now: Instant) {
        let Some(transaction) = self.servers.get_mut(&id) else { return };
        let ack = match transaction.ack_wait.as_mut() {
            Some(wait) if now >= wait.deadline() => wait.on_timer(now),
            _ => AckWaitAction::Nothing,
        };
        let action = match &mut transaction.machine {
            Machine::Invite(machine) => machine.on_timer(now),
            Machine::Plain(machine) => machine.on_timer(now),
        };
        match ack {
            AckWaitAction::Nothing => {}
            AckWaitAction::Repeat => self.perform(id, ServerAction::Repeat),
            AckWaitAction::GiveUp => {
                transaction.ack_wait = None;
                self.event(Event::AckMissing { transaction: id });
            }
        }
        self.perform(id, action);
        self.server_settle(id);
    }

    fn server_settle(&mut self, id: ServerTransactionId) {
        let Some(transaction) = self.servers.get_mut(&id) else { return };
        if !transaction.is_over() {
            let deadline = transaction.deadline();
            if let Some(at) = deadline.filter(|_| transaction.scheduled != deadline) {
                transaction.scheduled = deadline;
                self.clock.set(Name::Server(id), at);
            }
            return;
        }
        // The Accepted state and the wait for the ACK end in the same instant: nobody is left out.
        if let Some(transaction) = self.servers.remove(&id) {
            self.server_keys.remove(&transaction.key);
            for key in &transaction.ack_keys {
                self.ack_keys.remove(key);
            }
            if transaction.ack_wait.is_some() {
                self.event(Event::AckMissing { transaction: id });
            }
        }
    }

    pub(super) fn reply(&mut self, route: ReplyRoute, bytes: Bytes) {
        let ReplyRoute { protocol, remote, fallback } = route;
        self.outputs.push_back(Output::Transmit(Transmit {
            protocol,
            remote,
            fallback,
            bytes,
            origin: None,
        }));
    }
}
