//! What a call wants done, as requests and responses of its dialogs.

use super::{ALLOW, Session, TALK, order, refusal, session_id};
use crate::{
    call::Leg,
    guard,
    leg::{Errand, Leg as State, Up, destination},
    reconnect,
    state::Output,
    wires::{Kind, Outgoing, Wires},
};
use hindsight_msml::CONTENT_TYPE as MSML;
use hindsight_sip::{
    Command, Destination, Dialog, Method, NameAddr, NewRequest, Request, SipUri, StatusCode, Uri, refer,
};
use hindsight_wire::{InteractionId, manifest::Party};

/// For how long who asked for a transfer is told of it at most: nobody rings for longer.
const SUBSCRIBED_SECONDS: u32 = 180;

impl Session {
    pub(super) fn invite(&mut self, leg: Leg, offer: Vec<u8>, wires: &mut Wires) {
        let envelope = match leg {
            Leg::Callee(fork) => {
                let Some(binding) = self.contacts.get(&fork) else { return };
                let (from, to, referred_by) = self.call.addressed(fork);
                Envelope {
                    target: binding.contact.uri.clone(),
                    from: wires.address_of(&from),
                    to: wires.address_of(&to),
                    flow: binding.source.map(Destination::from),
                    referred_by: referred_by.map(|by| wires.address_of(&by).to_string()),
                }
            }
            Leg::Media(side) => {
                let uri = conference_uri(self.call.interaction(), self.call.role(side), wires);
                // From names the party of this leg: the media server notes it with the party's track.
                let from = wires.address_of(&self.call.number(side));
                let to = NameAddr::new(uri.clone());
                Envelope { target: uri, from, to, flow: None, referred_by: None }
            }
            Leg::Caller => return,
        };
        self.send_invite(leg, envelope, offer, wires);
    }

    pub(super) fn send_invite(&mut self, leg: Leg, envelope: Envelope, offer: Vec<u8>, wires: &mut Wires) {
        let Envelope { mut target, from, to, flow, referred_by } = envelope;
        if let Some(sip) = target.as_sip_mut() {
            sip.headers = None;
        }
        let to_address = flow.or_else(|| Destination::of_uri(&target));
        let request = NewRequest {
            method: Method::Invite,
            target,
            from,
            from_tag: wires.ids.tag(),
            to,
            call_id: wires.ids.call_id(),
            cseq: wires.ids.cseq(),
            contact: Some(wires.contact(to_address)),
        };
        let mut request = request.build();
        request.headers.set("Max-Forwards", self.max_forwards);
        request.headers.push("Allow", ALLOW);
        request.headers.push("Session-ID", session_id(self.call.interaction()));
        if let Some(by) = referred_by {
            request.headers.push("Referred-By", by);
        }
        let request = request.with_body(guard::SDP, offer);
        let transaction = wires.next_client();
        let outgoing = Outgoing { interaction: self.call.interaction(), leg, kind: Kind::Invite };
        self.legs.insert(
            leg,
            State::Calling {
                transaction,
                request: Box::new(request.clone()),
                flow,
                cancelled: false,
                early: None,
            },
        );
        wires.send(transaction, outgoing, request, to_address);
    }

    /// Sends a request in a dialog as soon as the one before it is answered.
    pub(super) fn errand(&mut self, leg: Leg, errand: Errand, wires: &mut Wires) {
        if let Some(State::Up(up)) = self.legs.get_mut(&leg)
            && (errand != Errand::Probe || !up.errands.contains(&errand))
        {
            up.errands.push_back(errand);
        }
        self.next_errand(leg, wires);
    }

    pub(super) fn next_errand(&mut self, leg: Leg, wires: &mut Wires) {
        let interaction = self.call.interaction();
        let Some(State::Up(up)) = self.legs.get_mut(&leg) else { return };
        if up.under_way.is_some()
            || (up.is_changing() && matches!(up.errands.front(), Some(Errand::Reinvite(_))))
        {
            return;
        }
        let Some(errand) = up.errands.pop_front() else { return };
        let (kind, request) = match errand {
            Errand::Reinvite(offer) => {
                let request = up.dialog.request(Method::Invite).with_header("Allow", ALLOW);
                (Kind::Reinvite, request.with_body(guard::SDP, offer))
            }
            Errand::Order(wanted) => {
                let request = up.dialog.request(Method::Info);
                (Kind::Order(wanted.serial), request.with_body(MSML, order::body(interaction, &wanted)))
            }
            Errand::Probe => {
                (Kind::Probe, up.dialog.request(Method::Options).with_header("Accept", guard::SDP))
            }
            Errand::Digit(kind, body) => (Kind::Digit, up.dialog.request(Method::Info).with_body(kind, body)),
            Errand::Notify { status, subscription } => (Kind::Referred, notify(up, status, subscription)),
        };
        let transaction = wires.next_client();
        up.under_way = Some(transaction);
        let request = request.with_header("Session-ID", session_id(interaction));
        wires.send(transaction, Outgoing { interaction, leg, kind }, request, up.destination());
    }

    /// `Event: talk` in the early dialog: what telephones that list it in Allow-Events answer a call on.
    pub(super) fn talk(&mut self, leg: Leg, wires: &mut Wires) {
        let interaction = self.call.interaction();
        let Some(State::Calling { early: Some(dialog), flow, .. }) = self.legs.get_mut(&leg) else { return };
        let request = dialog.request(Method::Notify).with_header("Event", TALK);
        let request = request.with_header("Subscription-State", "active");
        let request = request.with_header("Session-ID", session_id(interaction));
        let to = destination(dialog, *flow);
        let transaction = wires.next_client();
        wires.send(transaction, Outgoing { interaction, leg, kind: Kind::Talk }, request, to);
    }

    pub(super) fn acknowledge(&mut self, leg: Leg, wires: &mut Wires) {
        let Some(State::Up(up)) = self.legs.get_mut(&leg) else { return };
        let Some((transaction, cseq)) = up.to_acknowledge.take() else { return };
        let Some(to) = up.destination() else { return };
        wires.push(Output::Sip(Command::Acknowledge(transaction, up.dialog.ack(cseq), to)));
    }

    pub(super) fn ring(&mut self, wires: &mut Wires) {
        if let Some(State::Offered { transaction, request, dialog, .. }) = self.legs.get(&Leg::Caller) {
            let response = dialog.response(request, StatusCode::RINGING);
            let response = response.with_header("Session-ID", session_id(self.call.interaction()));
            wires.push(Output::Sip(Command::Respond(*transaction, response)));
        }
    }

    pub(super) fn accept(&mut self, leg: Leg, body: Vec<u8>, wires: &mut Wires) {
        let interaction = self.call.interaction();
        let ok = |dialog: &Dialog, request: &Request| {
            let response = dialog.response(request, StatusCode::OK).with_header("Allow", ALLOW);
            response.with_header("Session-ID", session_id(interaction)).with_body(guard::SDP, body)
        };
        match self.legs.remove(&leg) {
            Some(State::Offered { transaction, request, dialog, flow }) => {
                let response = ok(&dialog, &request);
                let mut up = Up::new(*dialog, flow);
                up.unacknowledged = Some(transaction);
                self.legs.insert(leg, State::Up(Box::new(up)));
                wires.push(Output::Sip(Command::Accept(transaction, response)));
            }
            Some(State::Up(mut up)) => {
                if let Some((transaction, request)) = up.pending.take() {
                    up.unacknowledged = Some(transaction);
                    let response = ok(&up.dialog, &request);
                    wires.push(Output::Sip(Command::Accept(transaction, response)));
                }
                self.legs.insert(leg, State::Up(up));
            }
            Some(calling @ State::Calling { .. }) => {
                self.legs.insert(leg, calling);
            }
            None => {}
        }
    }

    pub(super) fn reject(&mut self, leg: Leg, status: u16, wires: &mut Wires) {
        let status = StatusCode::new(status).unwrap_or(StatusCode::SERVER_INTERNAL_ERROR);
        match self.legs.remove(&leg) {
            Some(State::Offered { transaction, request, dialog, .. }) => {
                wires.servers.remove(&transaction);
                wires.dialogs.remove(dialog.id());
                let response = refusal(&dialog, &request, status);
                let response = response.with_header("Session-ID", session_id(self.call.interaction()));
                wires.push(Output::Sip(Command::Respond(transaction, response)));
            }
            Some(State::Up(mut up)) => {
                if let Some((transaction, request)) = up.pending.take() {
                    wires.servers.remove(&transaction);
                    let response = refusal(&up.dialog, &request, status);
                    wires.push(Output::Sip(Command::Respond(transaction, response)));
                }
                self.legs.insert(leg, State::Up(up));
            }
            Some(calling @ State::Calling { .. }) => {
                self.legs.insert(leg, calling);
            }
            None => {}
        }
    }

    pub(super) fn end(&mut self, leg: Leg, wires: &mut Wires) {
        match self.legs.remove(&leg) {
            Some(State::Calling { transaction, request, flow, cancelled, early }) => {
                if !cancelled {
                    wires.push(Output::Sip(Command::Cancel(transaction)));
                }
                // Kept for its final response: a 2xx may have crossed.
                self.legs.insert(leg, State::Calling { transaction, request, flow, cancelled: true, early });
            }
            Some(State::Up(mut up)) if up.unacknowledged.is_some() => {
                up.end_wanted = true;
                self.legs.insert(leg, State::Up(up));
            }
            Some(State::Up(up)) => self.bye(leg, *up, wires),
            Some(offered @ State::Offered { .. }) => {
                self.legs.insert(leg, offered);
                self.reject(leg, StatusCode::REQUEST_TERMINATED.as_u16(), wires);
            }
            None => {}
        }
    }

    fn bye(&mut self, leg: Leg, mut up: Up, wires: &mut Wires) {
        let interaction = self.call.interaction();
        if let Some((transaction, cseq)) = up.to_acknowledge.take()
            && let Some(to) = up.destination()
        {
            wires.push(Output::Sip(Command::Acknowledge(transaction, up.dialog.ack(cseq), to)));
        }
        wires.dialogs.remove(up.dialog.id());
        self.goodbyes += 1;
        let request = up.dialog.request(Method::Bye).with_header("Session-ID", session_id(interaction));
        let transaction = wires.next_client();
        let (outgoing, to) = (Outgoing { interaction, leg, kind: Kind::Bye }, up.destination());
        if let Some(side) = self.call.side_at_leg(leg).filter(|_| !matches!(leg, Leg::Media(_)))
            && reconnect::by_connection(up.flow, up.dialog.remote_target())
        {
            wires.goodbyes.begin(transaction, self.call.number(side), &outgoing, up.dialog);
        }
        wires.send(transaction, outgoing, request, to);
    }
}

/// From whom, to whom and which way an INVITE goes.
pub(super) struct Envelope {
    pub(super) target: Uri,
    pub(super) from: NameAddr,
    pub(super) to: NameAddr,
    pub(super) flow: Option<Destination>,
    /// Who had it sent (RFC 3892).
    pub(super) referred_by: Option<String>,
}

/// RFC 3515 2.4.4: the status so far; with a final one the subscription ends.
fn notify(up: &mut Up, status: u16, subscription: Option<u32>) -> Request {
    let status = StatusCode::new(status).unwrap_or(StatusCode::SERVER_INTERNAL_ERROR);
    let event = subscription.map_or_else(|| "refer".to_owned(), |name| format!("refer;id={name}"));
    let state = match status.is_final() {
        true => "terminated;reason=noresource".to_owned(),
        false => format!("active;expires={SUBSCRIBED_SECONDS}"),
    };
    let request = up.dialog.request(Method::Notify).with_header("Event", event);
    request.with_header("Subscription-State", state).with_body(refer::SIPFRAG, refer::sipfrag(status))
}

/// Whether this party's side is the agent's, as the conference URI says it.
fn role_name(role: Party) -> &'static str {
    match role {
        Party::Agent => "agent",
        Party::Customer => "customer",
    }
}

fn conference_uri(interaction: InteractionId, role: Party, wires: &Wires) -> Uri {
    // `=` is allowed in a user part as it is (RFC 3261 25.1).
    let user = format!("msml={}", interaction.to_session_id());
    let uri = SipUri::with_user(&user, wires.resource_manager.into());
    let said = [("place", &wires.place), ("tenant", &wires.tenant)];
    let said = said.into_iter().filter(|(_, value)| !value.is_empty());
    let uri = uri.with_param("role", Some(role_name(role)));
    said.fold(uri, |uri, (name, value)| uri.with_param(name, Some(value))).into()
}
