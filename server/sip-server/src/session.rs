//! A call with its legs in SIP: performs the actions of [`Call`] as requests and responses of dialogs, and turns what comes
//! back into its inputs.

use crate::{
    call::{Action, Call, Input, Leg, Now, Order, Side},
    guard,
    leg::{Errand, Leg as State, Up, destination},
    registrar::Binding,
    state::{Kind, Outgoing, Output, Wires},
};
use hindsight_model::Event as DomainEvent;
use hindsight_msml::{
    self as msml, Command as MsmlCommand, DialogId as MsmlDialog, Params, Request as MsmlRequest,
};
use hindsight_sip::{
    ClientTransactionId, Command, Destination, Dialog, Event, Method, NameAddr, NewRequest, Request,
    Response, ServerTransactionId, SipMessage, SipUri, Source, StatusCode, Uri,
};
use hindsight_wire::{InteractionId, component::RecordingAction, manifest::Party};
use std::collections::BTreeMap;

/// What a party of a call may send us.
const ALLOW: &str = "INVITE, BYE, OPTIONS, INFO, ACK, CANCEL";
/// One name for the one recording of a conference.
const RECORDING: &str = "rec";
/// Longest `by` and `reason` that are passed on.
const MAX_TEXT: usize = 200;
/// A provisional answer that says that the phone rings, rather than that the request arrived.
const RINGING: std::ops::RangeInclusive<u16> = 180..=183;

/// A call and its dialogs.
pub(crate) struct Session {
    pub(crate) call: Call,
    legs: BTreeMap<Leg, State>,
    contacts: Vec<Binding>,
    /// Caller, callee.
    numbers: [String; 2],
    max_forwards: u8,
    /// Our INVITEs that were answered with 2xx: forks may bring more of those.
    answered: Vec<ClientTransactionId>,
    /// Our BYEs that wait for their answer.
    goodbyes: u32,
}

impl Session {
    pub(crate) fn new(
        call: Call,
        caller: State,
        contacts: Vec<Binding>,
        numbers: [String; 2],
        max_forwards: u8,
    ) -> Self {
        Self {
            call,
            legs: BTreeMap::from([(Leg::Caller, caller)]),
            contacts,
            numbers,
            max_forwards,
            answered: Vec::new(),
            goodbyes: 0,
        }
    }

    /// Names nothing of this call in the tables any more.
    pub(crate) fn forget(&self, wires: &mut Wires) {
        for transaction in &self.answered {
            wires.clients.remove(transaction);
        }
    }

    /// Whether nothing is left of it, not even a dialog that still ends.
    pub(crate) fn is_finished(&self) -> bool {
        self.call.is_over() && self.legs.is_empty() && self.goodbyes == 0
    }

    /// Feeds an input and performs what comes of it.
    pub(crate) fn input(&mut self, input: Input, wires: &mut Wires, now: Now) {
        self.call.handle(input, now);
        self.perform_all(wires, now);
    }

    /// Timers of the call.
    pub(crate) fn on_time(&mut self, wires: &mut Wires, now: Now) {
        self.call.on_time(now);
        self.perform_all(wires, now);
    }

    /// Performs what the call wants done.
    pub(crate) fn perform_all(&mut self, wires: &mut Wires, now: Now) {
        while let Some(action) = self.call.poll() {
            if let Some(input) = self.perform(action, wires, now) {
                self.call.handle(input, now);
            }
        }
    }

    fn perform(&mut self, action: Action, wires: &mut Wires, now: Now) -> Option<Input> {
        match action {
            Action::Invite { leg, offer } => self.invite(leg, offer, wires),
            Action::Reinvite { leg, offer } => self.errand(leg, Errand::Reinvite(offer), wires),
            Action::Acknowledge { leg } => self.acknowledge(leg, wires),
            Action::Ring => self.ring(wires),
            Action::Accept { leg, body } => self.accept(leg, body, wires),
            Action::Reject { leg, status } => self.reject(leg, status, wires),
            Action::Order { leg, order } if !matches!(self.legs.get(&leg), Some(State::Up(_))) => {
                let outcome = Err("no dialog with the media server".to_owned());
                return Some(Input::Ordered { serial: order.serial, outcome });
            }
            Action::Order { leg, order } => self.errand(leg, Errand::Order(order), wires),
            Action::Probe { leg } => self.errand(leg, Errand::Probe, wires),
            Action::End { leg } => self.end(leg, wires),
            Action::Emit(what) => {
                let event = DomainEvent { interaction: self.call.interaction(), at: now.wall, what };
                wires.push(Output::Journal(event));
            }
            Action::Result { request, error } => wires.push(Output::Result { request, error }),
        }
        None
    }

    fn number(&self, side: Side) -> &str {
        &self.numbers[side as usize]
    }

    fn invite(&mut self, leg: Leg, offer: Vec<u8>, wires: &mut Wires) {
        let (target, from, to, flow) = match leg {
            Leg::Callee(fork) => {
                let Some(binding) = self.contacts.get(usize::from(fork)) else { return };
                let from = wires.address_of(self.number(Side::Caller));
                let to = wires.address_of(self.number(Side::Callee));
                let flow = binding.source.map(Destination::from);
                (binding.contact.uri.clone(), from, to, flow)
            }
            Leg::Media(side) => {
                let uri = conference_uri(self.call.interaction(), self.call.role(side), wires);
                // From names the party of this leg: the media server notes it with the party's track.
                (uri.clone(), wires.address_of(self.number(side)), NameAddr::new(uri), None)
            }
            Leg::Caller => return,
        };
        self.send_invite(leg, target, from, to, flow, offer, wires);
    }

    #[expect(clippy::too_many_arguments, reason = "an INVITE outside of a dialog has that many parts")]
    fn send_invite(
        &mut self,
        leg: Leg,
        mut target: Uri,
        from: NameAddr,
        to: NameAddr,
        flow: Option<Destination>,
        offer: Vec<u8>,
        wires: &mut Wires,
    ) {
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
            contact: Some(wires.contact.clone()),
        };
        let mut request = request.build();
        request.headers.set("Max-Forwards", self.max_forwards);
        request.headers.push("Allow", ALLOW);
        request.headers.push("Session-ID", session_id(self.call.interaction()));
        let request = request.with_body(guard::SDP, offer);
        let transaction = wires.next_client();
        let outgoing = Outgoing { interaction: self.call.interaction(), leg, kind: Kind::Invite };
        self.legs.insert(
            leg,
            State::Calling { transaction, request: Box::new(request.clone()), flow, cancelled: false },
        );
        wires.send(transaction, outgoing, request, to_address);
    }

    /// Sends a request in a dialog as soon as the one before it is answered.
    fn errand(&mut self, leg: Leg, errand: Errand, wires: &mut Wires) {
        if let Some(State::Up(up)) = self.legs.get_mut(&leg)
            && (errand != Errand::Probe || !up.errands.contains(&errand))
        {
            up.errands.push_back(errand);
        }
        self.next_errand(leg, wires);
    }

    fn next_errand(&mut self, leg: Leg, wires: &mut Wires) {
        let interaction = self.call.interaction();
        let Some(State::Up(up)) = self.legs.get_mut(&leg) else { return };
        if up.under_way.is_some() {
            return;
        }
        let Some(errand) = up.errands.pop_front() else { return };
        let (kind, request) = match errand {
            Errand::Reinvite(offer) => {
                let request = up.dialog.request(Method::Invite).with_header("Allow", ALLOW);
                (Kind::Reinvite, request.with_body(guard::SDP, offer))
            }
            Errand::Order(order) => {
                let request = up.dialog.request(Method::Info);
                (
                    Kind::Order(order.serial),
                    request.with_body(msml::CONTENT_TYPE, order_body(interaction, &order)),
                )
            }
            Errand::Probe => {
                (Kind::Probe, up.dialog.request(Method::Options).with_header("Accept", guard::SDP))
            }
        };
        let transaction = wires.next_client();
        up.under_way = Some(transaction);
        let request = request.with_header("Session-ID", session_id(interaction));
        wires.send(transaction, Outgoing { interaction, leg, kind }, request, up.destination());
    }

    fn acknowledge(&mut self, leg: Leg, wires: &mut Wires) {
        let Some(State::Up(up)) = self.legs.get_mut(&leg) else { return };
        let Some((transaction, cseq)) = up.to_acknowledge.take() else { return };
        let Some(to) = up.destination() else { return };
        wires.push(Output::Sip(Command::Acknowledge(transaction, up.dialog.ack(cseq), to)));
    }

    fn ring(&mut self, wires: &mut Wires) {
        if let Some(State::Offered { transaction, request, dialog, .. }) = self.legs.get(&Leg::Caller) {
            let response = dialog.response(request, StatusCode::RINGING);
            wires.push(Output::Sip(Command::Respond(*transaction, response)));
        }
    }

    fn accept(&mut self, leg: Leg, body: Vec<u8>, wires: &mut Wires) {
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

    fn reject(&mut self, leg: Leg, status: u16, wires: &mut Wires) {
        let status = StatusCode::new(status).unwrap_or(StatusCode::SERVER_INTERNAL_ERROR);
        match self.legs.remove(&leg) {
            Some(State::Offered { transaction, request, dialog, .. }) => {
                wires.servers.remove(&transaction);
                wires.dialogs.remove(dialog.id());
                let response = refusal(&dialog, &request, status);
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

    fn end(&mut self, leg: Leg, wires: &mut Wires) {
        match self.legs.remove(&leg) {
            Some(State::Calling { transaction, request, flow, cancelled }) => {
                if !cancelled {
                    wires.push(Output::Sip(Command::Cancel(transaction)));
                }
                // Kept for its final response: a 2xx may have crossed.
                self.legs.insert(leg, State::Calling { transaction, request, flow, cancelled: true });
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
        wires.send(transaction, Outgoing { interaction, leg, kind: Kind::Bye }, request, up.destination());
    }

    /// A request of the peer in the dialog of a leg.
    pub(crate) fn request(
        &mut self,
        leg: Leg,
        (request, source): (Request, Source),
        id: ServerTransactionId,
        wires: &mut Wires,
        now: Now,
    ) {
        let Some(State::Up(up)) = self.legs.get_mut(&leg) else {
            let response = Response::to(&request, StatusCode::CALL_DOES_NOT_EXIST);
            return wires.push(Output::Sip(Command::Respond(id, response)));
        };
        if let Err(fault) = up.dialog.receive(&request) {
            let response = Response::to(&request, fault.status).with_reason(fault.reason);
            return wires.push(Output::Sip(Command::Respond(id, response)));
        }
        match request.method {
            Method::Invite => self.reinvited(leg, request, source, id, wires, now),
            Method::Bye => {
                wires.push(Output::Sip(Command::Respond(id, up.dialog.response(&request, StatusCode::OK))));
                if let Some((pending, invite)) = up.pending.take() {
                    // RFC 3261 15.1.2: requests that still wait are refused with 487.
                    wires.servers.remove(&pending);
                    let response = up.dialog.response(&invite, StatusCode::REQUEST_TERMINATED);
                    wires.push(Output::Sip(Command::Respond(pending, response)));
                }
                wires.dialogs.remove(up.dialog.id());
                self.legs.remove(&leg);
                self.input(Input::Gone { leg, bye: true }, wires, now);
            }
            Method::Options => {
                let response = up.dialog.response(&request, StatusCode::OK);
                let response = wires.allow.describe(response);
                wires.push(Output::Sip(Command::Respond(id, response)));
            }
            Method::Info if request.body.is_empty() => {
                wires.push(Output::Sip(Command::Respond(id, up.dialog.response(&request, StatusCode::OK))));
            }
            Method::Info => {
                let response = up.dialog.response(&request, StatusCode::UNSUPPORTED_MEDIA_TYPE);
                wires.push(Output::Sip(Command::Respond(id, response)));
            }
            Method::Register
            | Method::Ack
            | Method::Cancel
            | Method::Update
            | Method::Prack
            | Method::Message
            | Method::Notify
            | Method::Subscribe
            | Method::Refer
            | Method::Publish
            | Method::Other(_) => {
                let response = up.dialog.response(&request, StatusCode::METHOD_NOT_ALLOWED);
                let response = response.with_header("Allow", ALLOW);
                wires.push(Output::Sip(Command::Respond(id, response)));
            }
        }
    }

    fn reinvited(
        &mut self,
        leg: Leg,
        request: Request,
        source: Source,
        id: ServerTransactionId,
        wires: &mut Wires,
        now: Now,
    ) {
        let Some(State::Up(up)) = self.legs.get_mut(&leg) else { return };
        if up.pending.is_some() {
            // RFC 3261 14.2: the one before it is not answered yet.
            let response = refusal(&up.dialog, &request, StatusCode::SERVER_INTERNAL_ERROR);
            return wires.push(Output::Sip(Command::Respond(id, response)));
        }
        up.moved(&request, source);
        let body = request.sdp();
        up.pending = Some((id, request));
        wires.servers.insert(id, (self.call.interaction(), leg));
        self.input(Input::Offered { leg, body }, wires, now);
    }

    /// The ACK of our 2xx.
    pub(crate) fn acknowledged(&mut self, leg: Leg, request: &Request, wires: &mut Wires, now: Now) {
        let Some(State::Up(up)) = self.legs.get_mut(&leg) else { return };
        let Some(transaction) = up.unacknowledged.take() else { return };
        wires.servers.remove(&transaction);
        if up.end_wanted {
            return self.end(leg, wires);
        }
        self.input(Input::Acknowledged { leg, body: request.sdp() }, wires, now);
    }

    /// No ACK ever came.
    pub(crate) fn unacknowledged(&mut self, leg: Leg, wires: &mut Wires, now: Now) {
        let Some(State::Up(up)) = self.legs.get_mut(&leg) else { return };
        up.unacknowledged = None;
        if up.end_wanted {
            return self.end(leg, wires);
        }
        self.input(Input::Unacknowledged { leg }, wires, now);
    }

    /// CANCEL of a phone's INVITE. One of a re-INVITE changes nothing: that is answered in a moment anyway.
    pub(crate) fn cancelled(&mut self, leg: Leg, wires: &mut Wires, now: Now) {
        if let Some(State::Offered { .. }) = self.legs.get(&leg) {
            self.input(Input::Cancelled, wires, now);
        }
    }

    /// What came back to a request of ours.
    pub(crate) fn outcome(&mut self, out: Outgoing, event: Event, wires: &mut Wires, now: Now) {
        let (response, status, transaction) = match event {
            Event::Response { response, transaction, .. } => {
                let status = response.status.as_u16();
                (Some(response), status, transaction)
            }
            Event::TimedOut { transaction } => (None, StatusCode::REQUEST_TIMEOUT.as_u16(), transaction),
            Event::TransportFailed { transaction, reason } => {
                tracing::debug!(%reason, "request not sent");
                (None, StatusCode::SERVICE_UNAVAILABLE.as_u16(), transaction)
            }
            Event::Request { .. }
            | Event::Cancelled { .. }
            | Event::Ack { .. }
            | Event::AckMissing { .. } => return,
        };
        let leg = out.leg;
        if status >= 200
            && let Some(State::Up(up)) = self.legs.get_mut(&leg)
        {
            up.under_way.take_if(|under_way| *under_way == transaction);
        }
        match out.kind {
            Kind::Invite => self.invite_outcome(leg, transaction, response, status, wires, now),
            Kind::Reinvite => self.reinvite_outcome(leg, transaction, response, status, wires, now),
            Kind::Bye if status >= 200 => self.goodbyes = self.goodbyes.saturating_sub(1),
            Kind::Bye | Kind::Stray => {}
            Kind::Order(serial) => {
                if status >= 200 {
                    let outcome = order_outcome(response.as_ref(), status);
                    self.input(Input::Ordered { serial, outcome }, wires, now);
                }
            }
            Kind::Probe => {
                // A phone whose connection is gone is gone; no status of its own says that.
                let lost = response.is_none() && !matches!(leg, Leg::Media(_));
                let status = if lost { StatusCode::REQUEST_TIMEOUT.as_u16() } else { status };
                if status >= 200 {
                    self.input(Input::Probed { leg, status }, wires, now);
                }
            }
        }
        self.next_errand(leg, wires);
    }

    fn invite_outcome(
        &mut self,
        leg: Leg,
        transaction: ClientTransactionId,
        response: Option<Response>,
        status: u16,
        wires: &mut Wires,
        now: Now,
    ) {
        match (self.legs.remove(&leg), response) {
            (Some(calling @ State::Calling { .. }), Some(response)) if status < 200 => {
                self.legs.insert(leg, calling);
                if RINGING.contains(&response.status.as_u16()) && matches!(leg, Leg::Callee(_)) {
                    self.input(Input::Ringing { leg }, wires, now);
                }
            }
            (Some(State::Calling { request, flow, .. }), Some(response)) if response.status.is_success() => {
                self.invite_answered(leg, transaction, (&request, flow), &response, wires, now);
            }
            // The connection that the phone registered over is gone: its Contact may still be reachable.
            (Some(State::Calling { request, flow: Some(_), cancelled: false, .. }), None)
                if status == StatusCode::SERVICE_UNAVAILABLE.as_u16() =>
            {
                self.invite_again(leg, &request, wires);
            }
            (Some(State::Calling { .. }), _) => self.input(Input::Refused { leg, status }, wires, now),
            (state, response) => {
                let known = matches!((&state, &response), (Some(State::Up(up)), Some(response))
                    if hindsight_sip::DialogId::of_response(response).as_ref() == Some(up.dialog.id()));
                if let Some(state) = state {
                    self.legs.insert(leg, state);
                }
                if let (false, Some(response)) = (known, response) {
                    end_stray(self.call.interaction(), leg, transaction, &response, wires);
                }
            }
        }
    }

    fn invite_answered(
        &mut self,
        leg: Leg,
        transaction: ClientTransactionId,
        (request, flow): (&Request, Option<Destination>),
        response: &Response,
        wires: &mut Wires,
        now: Now,
    ) {
        self.answered.push(transaction);
        match Dialog::uac(request, response) {
            Ok(dialog) => {
                wires.dialogs.insert(dialog.id().clone(), (self.call.interaction(), leg));
                let mut up = Up::new(dialog, flow);
                up.answered(response, transaction);
                self.legs.insert(leg, State::Up(Box::new(up)));
                self.input(Input::Answered { leg, body: response.sdp().unwrap_or_default() }, wires, now);
            }
            Err(fault) => {
                tracing::debug!(%fault, "2xx that makes no dialog");
                let status = StatusCode::BAD_GATEWAY.as_u16();
                self.input(Input::Refused { leg, status }, wires, now);
            }
        }
    }

    fn invite_again(&mut self, leg: Leg, request: &Request, wires: &mut Wires) {
        let (Ok(from), Ok(to)) = (request.from(), request.to()) else { return };
        let mut from = from;
        from.params.remove("tag");
        self.send_invite(leg, request.uri.clone(), from, to, None, request.body.clone(), wires);
    }

    fn reinvite_outcome(
        &mut self,
        leg: Leg,
        transaction: ClientTransactionId,
        response: Option<Response>,
        status: u16,
        wires: &mut Wires,
        now: Now,
    ) {
        let Some(State::Up(up)) = self.legs.get_mut(&leg) else { return };
        match response {
            Some(response) if response.status.is_success() => {
                up.answered(&response, transaction);
                self.input(Input::Answered { leg, body: response.sdp().unwrap_or_default() }, wires, now);
            }
            Some(_) if status < 200 => {}
            Some(_) | None => self.input(Input::Refused { leg, status }, wires, now),
        }
    }
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
    SipUri::with_user(&user, wires.resource_manager.into()).with_param("role", Some(role_name(role))).into()
}

/// RFC 7989: the interaction on this side, nothing known of the other.
fn session_id(interaction: InteractionId) -> String {
    format!("{};remote={:032}", interaction.to_session_id(), 0)
}

fn shortened(text: &str) -> String {
    text.chars().take(MAX_TEXT).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn order_outcome(response: Option<&Response>, status: u16) -> Result<(), String> {
    let Some(response) = response.filter(|response| response.status.is_success()) else {
        return Err(format!("the media server answered {status}"));
    };
    match msml::parse_result(&response.body) {
        Ok(outcome) if outcome.is_ok() => Ok(()),
        Ok(outcome) => Err(outcome
            .description
            .unwrap_or_else(|| format!("the media server answered {}", outcome.response))),
        Err(error) => Err(format!("the media server's result cannot be read: {error}")),
    }
}

fn order_body(interaction: InteractionId, order: &Order) -> String {
    msml::write_request(&MsmlRequest {
        command: match order.action {
            RecordingAction::Start => MsmlCommand::Start,
            RecordingAction::Pause => MsmlCommand::Pause,
            RecordingAction::Resume => MsmlCommand::Resume,
            RecordingAction::Stop => MsmlCommand::Stop,
        },
        dialog: MsmlDialog { conference: interaction.to_session_id(), name: RECORDING.to_owned() },
        params: Params {
            capture: Some(order.capture.to_string()),
            by: Some(shortened(&order.by)),
            reason: Some(shortened(&order.reason)),
        },
    })
}

/// A refusal in a dialog; the peer may try again after 491 by its own timer, after 500 in a moment (RFC 3261 14.2).
fn refusal(dialog: &Dialog, request: &Request, status: StatusCode) -> Response {
    let response = dialog.response(request, status);
    match status {
        StatusCode::SERVER_INTERNAL_ERROR | StatusCode::SERVICE_UNAVAILABLE => {
            response.with_header("Retry-After", 5)
        }
        _ => response,
    }
}

/// A second 2xx of a forked INVITE: acknowledged and ended at once (RFC 3261 13.2.2.4).
fn end_stray(
    interaction: InteractionId,
    leg: Leg,
    transaction: ClientTransactionId,
    response: &Response,
    wires: &mut Wires,
) {
    if !response.status.is_success() {
        return;
    }
    let Ok(mut dialog) = stray_dialog(response, wires) else { return };
    let (Some(to), Ok(cseq)) = (destination(&dialog, None), response.cseq()) else { return };
    wires.push(Output::Sip(Command::Acknowledge(transaction, dialog.ack(cseq.number), to)));
    let request = dialog.request(Method::Bye);
    let id = wires.next_client();
    wires.send(id, Outgoing { interaction, leg, kind: Kind::Stray }, request, Some(to));
}

/// The dialog of a 2xx whose INVITE is no longer kept: what is needed of that stands in the response.
fn stray_dialog(response: &Response, wires: &Wires) -> Result<Dialog, hindsight_sip::Fault> {
    let mut invite = Request::new(Method::Invite, response.to()?.uri);
    for name in ["From", "To", "Call-ID", "CSeq"] {
        response.headers.copy_to(name, &mut invite.headers);
    }
    invite.headers.push("Contact", &wires.contact);
    Dialog::uac(&invite, response)
}
