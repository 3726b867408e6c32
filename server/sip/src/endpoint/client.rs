//! Requests of ours.

use std::time::Instant;

use bytes::Bytes;
use tracing::debug;

use super::clock::Name;
use super::keys::ClientKey;
use super::{Endpoint, Output, Transmit};
use crate::dialog::{ack_of_refusal, cancel_of};
use crate::event::{ClientTransactionId, Event};
use crate::flow::{Destination, Protocol, Source};
use crate::message::{Method, Params, Request, Response, SipMessage, Via};
use crate::transaction::{ClientAction, ClientInvite, ClientPlain};

/// More forks of one INVITE than this are not acknowledged again by themselves.
const MAX_FORKS: usize = 16;

pub(super) enum Machine {
    Invite(ClientInvite),
    Plain(ClientPlain),
}

/// A request about to be sent for the first time.
struct Outgoing {
    id: ClientTransactionId,
    request: Request,
    to: Destination,
    branch: String,
    internal: bool,
    /// May it go by TCP when it is too large for a datagram?
    may_grow_up: bool,
}

pub(super) struct ClientTransaction {
    machine: Machine,
    request: Request,
    via: Via,
    wire: Bytes,
    destination: Destination,
    /// Sent by TCP because of its size only: by UDP when that fails.
    oversized: bool,
    cancel_wanted: bool,
    /// A CANCEL of ours: nobody wants to hear of it.
    internal: bool,
    /// ACKs of 2xx by To tag, to be sent again when their 2xx comes again.
    acks: Vec<(String, Bytes, Destination)>,
    /// The deadline that the clock knows.
    scheduled: Option<Instant>,
}

impl ClientTransaction {
    pub(super) fn deadline(&self) -> Option<Instant> {
        match &self.machine {
            Machine::Invite(machine) => machine.deadline(),
            Machine::Plain(machine) => machine.deadline(),
        }
    }

    fn is_unheard(&self) -> bool {
        match &self.machine {
            Machine::Invite(machine) => machine.is_unheard(),
            Machine::Plain(machine) => machine.is_unheard(),
        }
    }

    fn key(&self) -> ClientKey {
        ClientKey {
            branch: self.via.branch().unwrap_or_default().to_owned(),
            method: self.request.method.clone(),
        }
    }
}

impl Endpoint {
    /// Sends a request in a transaction of its own; our Via is put on top. Not for ACK.
    pub fn send_request(&mut self, request: Request, to: Destination, now: Instant) -> ClientTransactionId {
        let id = self.client_ids.next();
        self.start_request(id, request, to, now);
        id
    }

    /// The same with an id taken from [`Endpoint::client_ids`] before.
    pub fn start_request(
        &mut self,
        id: ClientTransactionId,
        request: Request,
        to: Destination,
        now: Instant,
    ) {
        let branch = self.ids.branch();
        self.start(Outgoing { id, request, to, branch, internal: false, may_grow_up: true }, now);
    }

    fn start(&mut self, outgoing: Outgoing, now: Instant) {
        let Outgoing { id, mut request, to: mut destination, branch, internal, may_grow_up } = outgoing;
        let mut via = self.new_via(destination.protocol, &branch);
        let mut wire = with_via(&mut request, &via);
        let datagram = destination.protocol == Protocol::Udp;
        let oversized = may_grow_up && datagram && wire.len() > self.config.udp_request_limit;
        if oversized {
            destination.protocol = Protocol::Tcp;
            via = self.new_via(Protocol::Tcp, &branch);
            request.headers.pop_first_value("Via");
            wire = with_via(&mut request, &via);
        }
        let reliable = destination.protocol.is_reliable();
        let machine = match request.method {
            Method::Invite => Machine::Invite(ClientInvite::new(self.config.timers, reliable, now)),
            _ => Machine::Plain(ClientPlain::new(self.config.timers, reliable, now)),
        };
        let transaction = ClientTransaction {
            machine,
            request,
            via,
            wire: wire.clone(),
            destination,
            oversized,
            cancel_wanted: false,
            internal,
            acks: Vec::new(),
            scheduled: None,
        };
        self.client_keys.insert(transaction.key(), id);
        self.clients.insert(id, transaction);
        self.transmit_request(destination, wire, Some(id));
        self.client_settle(id);
    }

    /// Cancels an INVITE of ours: at once, or after its first provisional response. The 487, or a 2xx that
    /// crossed, comes as its response.
    pub fn cancel(&mut self, id: ClientTransactionId, now: Instant) {
        let Some(transaction) = self.clients.get_mut(&id) else { return };
        let Machine::Invite(machine) = &mut transaction.machine else { return };
        if machine.is_answered() {
            return;
        }
        transaction.cancel_wanted = true;
        if !machine.may_cancel() {
            return;
        }
        machine.on_cancel_sent(now);
        let cancel = cancel_of(&transaction.request, &transaction.via);
        let (destination, via) = (transaction.destination, transaction.via.clone());
        self.client_settle(id);
        if let Some(mut request) = cancel {
            // It comes back with the branch of the INVITE, which is what makes it this INVITE's CANCEL.
            request.headers.remove("Via");
            let branch = via.branch().unwrap_or_default().to_owned();
            let id = self.client_ids.next();
            self.start(
                Outgoing { id, request, to: destination, branch, internal: true, may_grow_up: false },
                now,
            );
        }
    }

    /// Sends the ACK of a 2xx, and again whenever that 2xx comes again (the user then hears of it no more).
    pub fn acknowledge(&mut self, id: ClientTransactionId, ack: Request, to: Destination) {
        let (ack, wire) = self.stateless(ack, to);
        if let Some(transaction) = self.clients.get_mut(&id) {
            let tag = ack.to().ok().and_then(|to| to.tag().map(str::to_owned)).unwrap_or_default();
            transaction.acks.retain(|(known, ..)| *known != tag);
            if transaction.acks.len() < MAX_FORKS {
                transaction.acks.push((tag, wire.clone(), to));
            }
        }
        self.transmit_request(to, wire, None);
    }

    /// Sends a request without a transaction: an ACK that a proxy forwards.
    pub fn send_stateless(&mut self, request: Request, to: Destination) {
        let (_, wire) = self.stateless(request, to);
        self.transmit_request(to, wire, None);
    }

    fn stateless(&mut self, mut request: Request, to: Destination) -> (Request, Bytes) {
        let branch = self.ids.branch();
        let via = self.new_via(to.protocol, &branch);
        let wire = with_via(&mut request, &via);
        (request, wire)
    }

    /// Bytes of a request could not be sent. A transaction that has heard from its peer waits on.
    pub fn transport_failed(&mut self, id: ClientTransactionId, reason: &str, now: Instant) {
        let Some(transaction) = self.clients.get(&id).filter(|t| t.is_unheard()) else { return };
        let (oversized, internal) = (transaction.oversized, transaction.internal);
        let Some(transaction) = self.remove_client(id) else { return };
        if oversized {
            // RFC 3261 18.1.1: the peer may not speak TCP at all; then the large request goes by UDP.
            debug!(transaction = %id, reason, "large request goes by UDP after all");
            self.start_again_by_udp(id, transaction, now);
        } else if !internal {
            self.event(Event::TransportFailed { transaction: id, reason: reason.to_owned() });
        }
    }

    fn start_again_by_udp(&mut self, id: ClientTransactionId, failed: ClientTransaction, now: Instant) {
        let branch = failed.via.branch().unwrap_or_default().to_owned();
        let to = Destination::udp(failed.destination.addr);
        let mut request = failed.request;
        request.headers.pop_first_value("Via");
        let internal = failed.internal;
        self.start(Outgoing { id, request, to, branch, internal, may_grow_up: false }, now);
        if let Some(again) = self.clients.get_mut(&id) {
            again.cancel_wanted = failed.cancel_wanted;
        }
    }

    pub(super) fn client_response(&mut self, response: Response, source: Source, now: Instant) {
        let id = ClientKey::of_response(&response).and_then(|key| self.client_keys.get(&key).copied());
        let Some((id, transaction)) = id.and_then(|id| Some((id, self.clients.get_mut(&id)?))) else {
            debug!(status = %response.status, "response without a transaction dropped");
            return;
        };
        let action = match &mut transaction.machine {
            Machine::Invite(machine) => machine.on_response(response.status, now),
            Machine::Plain(machine) => machine.on_response(response.status, now),
        };
        match action {
            ClientAction::Deliver => {
                if !self.acknowledged_before(id, &response) {
                    self.deliver(id, response, source);
                }
            }
            ClientAction::DeliverAndAck => {
                self.ack_refusal(id, &response);
                self.deliver(id, response, source);
            }
            ClientAction::Ack => self.ack_refusal(id, &response),
            ClientAction::Nothing | ClientAction::Repeat | ClientAction::TimeOut => {}
        }
        if self.clients.get(&id).is_some_and(|t| t.cancel_wanted) {
            self.cancel(id, now);
        }
        self.client_settle(id);
    }

    fn deliver(&mut self, id: ClientTransactionId, response: Response, source: Source) {
        if self.clients.get(&id).is_some_and(|t| !t.internal) {
            self.event(Event::Response { transaction: id, response, source });
        }
    }

    /// A 2xx that came again is acknowledged again.
    fn acknowledged_before(&mut self, id: ClientTransactionId, response: &Response) -> bool {
        let Some(transaction) = self.clients.get(&id) else { return false };
        let tag = response.to().ok().and_then(|to| to.tag().map(str::to_owned)).unwrap_or_default();
        let known = transaction.acks.iter().find(|(known, ..)| *known == tag && response.status.is_success());
        let Some((_, wire, to)) = known.cloned() else { return false };
        self.transmit_request(to, wire, None);
        true
    }

    fn ack_refusal(&mut self, id: ClientTransactionId, response: &Response) {
        let Some(transaction) = self.clients.get(&id) else { return };
        let destination = transaction.destination;
        if let Some(ack) = ack_of_refusal(&transaction.request, &transaction.via, response) {
            self.transmit_request(destination, ack.to_bytes().into(), None);
        }
    }

    pub(super) fn client_timer(&mut self, id: ClientTransactionId, now: Instant) {
        let Some(transaction) = self.clients.get_mut(&id) else { return };
        let action = match &mut transaction.machine {
            Machine::Invite(machine) => {
                // Timer C: the peer is told that nobody waits any more (16.8).
                if machine.may_cancel() && machine.deadline().is_some_and(|at| now >= at) {
                    transaction.cancel_wanted = true;
                    self.cancel(id, now);
                    return;
                }
                machine.on_timer(now)
            }
            Machine::Plain(machine) => machine.on_timer(now),
        };
        match action {
            ClientAction::Repeat => {
                let (destination, wire) = (transaction.destination, transaction.wire.clone());
                self.transmit_request(destination, wire, Some(id));
            }
            ClientAction::TimeOut if !transaction.internal => self.event(Event::TimedOut { transaction: id }),
            ClientAction::TimeOut
            | ClientAction::Nothing
            | ClientAction::Deliver
            | ClientAction::DeliverAndAck
            | ClientAction::Ack => {}
        }
        self.client_settle(id);
    }

    /// Sets the next deadline, or forgets a transaction that is over.
    fn client_settle(&mut self, id: ClientTransactionId) {
        let Some(transaction) = self.clients.get_mut(&id) else { return };
        let deadline = transaction.deadline();
        let Some(at) = deadline else { return drop(self.remove_client(id)) };
        if transaction.scheduled != deadline {
            transaction.scheduled = deadline;
            self.clock.set(Name::Client(id), at);
        }
    }

    fn remove_client(&mut self, id: ClientTransactionId) -> Option<ClientTransaction> {
        let transaction = self.clients.remove(&id)?;
        self.client_keys.remove(&transaction.key());
        Some(transaction)
    }

    fn new_via(&self, protocol: Protocol, branch: &str) -> Via {
        let params = Params::new().with("branch", Some(branch)).with("rport", None);
        let mut sent_by = self.config.advertised.clone();
        if protocol == Protocol::Tls {
            sent_by.port = self.config.tls_port;
        }
        Via { transport: protocol.as_str().to_owned(), sent_by, params }
    }

    fn transmit_request(&mut self, to: Destination, bytes: Bytes, origin: Option<ClientTransactionId>) {
        let Destination { protocol, addr: remote } = to;
        self.outputs.push_back(Output::Transmit(Transmit {
            protocol,
            remote,
            fallback: None,
            bytes,
            origin,
        }));
    }
}

fn with_via(request: &mut Request, via: &Via) -> Bytes {
    request.headers.push_front("Via", via);
    request.to_bytes().into()
}
