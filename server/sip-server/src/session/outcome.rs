//! What came back to the requests of a call.

use super::{Session, TALK, order, outgoing::Envelope};
use crate::{
    call::{Input, Leg, Now},
    leg::{Leg as State, Up, destination},
    state::Output,
    wires::{Kind, Outgoing, Wires},
};
use hindsight_sip::{
    ClientTransactionId, Command, Destination, Dialog, DialogId, Event, Fault, Method, Request, Response,
    SipMessage, StatusCode,
};
use hindsight_wire::InteractionId;

/// A provisional answer that says that the phone rings, rather than that the request arrived.
const RINGING: std::ops::RangeInclusive<u16> = 180..=183;

impl Session {
    /// What came back to a request of ours.
    pub(crate) fn outcome(&mut self, out: Outgoing, event: Event, wires: &mut Wires, now: Now) {
        let unsent = matches!(event, Event::TransportFailed { .. });
        let (response, status, transaction) = match event {
            Event::Response { response, transaction, .. } => {
                let status = response.status.as_u16();
                (Some(response), status, transaction)
            }
            Event::TimedOut { transaction } => (None, StatusCode::REQUEST_TIMEOUT.as_u16(), transaction),
            Event::TransportFailed { transaction, reason } => {
                tracing::info!(leg = ?out.leg, %reason, "request not sent");
                // A phone that cannot be reached is not there; of everything else it is as if 503 had come.
                let by_trunk = wires.trunk_of(out.interaction, out.leg).is_some();
                let status = match (out.leg, out.kind) {
                    (Leg::Callee(_), Kind::Invite) if !by_trunk => StatusCode::TEMPORARILY_UNAVAILABLE,
                    _ => StatusCode::SERVICE_UNAVAILABLE,
                };
                (None, status.as_u16(), transaction)
            }
            Event::Request { .. }
            | Event::Cancelled { .. }
            | Event::Ack { .. }
            | Event::AckMissing { .. } => return,
        };
        let leg = out.leg;
        let current = match self.legs.get_mut(&leg) {
            Some(State::Up(up)) if status >= 200 => {
                up.cut |= unsent;
                up.under_way.take_if(|under_way| *under_way == transaction).is_some()
            }
            Some(_) | None => false,
        };
        match out.kind {
            // Said of a dialog that was given up: its leg may have another one by now.
            Kind::Reinvite | Kind::Order(_) | Kind::Probe if status >= 200 && !current => return,
            Kind::Invite => self.invite_outcome(leg, transaction, response, status, wires, now),
            Kind::Reinvite => self.reinvite_outcome(leg, transaction, response, status, wires, now),
            Kind::Bye if status >= 200 => {
                self.goodbyes = self.goodbyes.saturating_sub(1);
                wires.goodbyes.end(transaction, !unsent, now.instant);
            }
            Kind::Bye | Kind::Stray => {}
            Kind::Order(serial) => {
                if status >= 200 {
                    let outcome = order::outcome(response.as_ref(), status);
                    self.input(Input::Ordered { serial, outcome }, wires, now);
                }
            }
            Kind::Talk if status >= 200 => self.input(Input::Talked { leg, status }, wires, now),
            Kind::Digit if status >= 300 => tracing::debug!(?leg, status, "a phone takes no digit by INFO"),
            Kind::Talk | Kind::Referred | Kind::Digit => {}
            Kind::Probe if response.is_none() => self.input(Input::ProbeUnanswered { leg }, wires, now),
            Kind::Probe if status >= 200 => self.input(Input::Probed { leg, status }, wires, now),
            Kind::Probe => {}
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
        if matches!(self.legs.get(&leg), Some(State::Calling { transaction: current, .. }) if *current != transaction)
        {
            // Of an INVITE that was given up for another one.
            if let Some(response) = response {
                end_stray(self.call.interaction(), leg, transaction, &response, wires);
            }
            return;
        }
        match (self.legs.remove(&leg), response) {
            (Some(mut calling @ State::Calling { .. }), Some(response)) if status < 200 => {
                let rings = RINGING.contains(&response.status.as_u16()) && matches!(leg, Leg::Callee(_));
                if let State::Calling { request, early, .. } = &mut calling
                    && rings
                    && early.is_none()
                    && takes_talk(&response)
                {
                    *early = Dialog::uac(request, &response).ok().map(Box::new);
                }
                let talk = matches!(&calling, State::Calling { early: Some(_), .. });
                self.legs.insert(leg, calling);
                self.trunk_speaks(leg, rings);
                if rings {
                    self.input(Input::Ringing { leg, talk }, wires, now);
                }
            }
            (Some(State::Calling { request, flow, early, .. }), Some(response))
                if response.status.is_success() =>
            {
                self.invite_answered(leg, transaction, (&request, flow, early), &response, wires, now);
            }
            (Some(State::Calling { request, cancelled: false, .. }), _)
                if self.next_trunk(leg, (request.body.clone(), Some(status)), wires, now) => {}
            // The connection that the phone registered over is gone: its Contact may still be reachable.
            (Some(State::Calling { request, flow: Some(_), cancelled: false, .. }), None)
                if status == StatusCode::SERVICE_UNAVAILABLE.as_u16()
                    && wires.trunk_of(self.call.interaction(), leg).is_none() =>
            {
                self.invite_again(leg, &request, wires);
            }
            (Some(State::Calling { .. }), _) => self.input(Input::Refused { leg, status }, wires, now),
            (state, response) => {
                let known = matches!((&state, &response), (Some(State::Up(up)), Some(response))
                    if DialogId::of_response(response).as_ref() == Some(up.dialog.id()));
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
        (request, flow, early): (&Request, Option<Destination>, Option<Box<Dialog>>),
        response: &Response,
        wires: &mut Wires,
        now: Now,
    ) {
        self.answered.push(transaction);
        // The early dialog goes on: what was sent in it has used up sequence numbers.
        let early = early.filter(|early| DialogId::of_response(response).as_ref() == Some(early.id()));
        let dialog = match early {
            Some(mut early) => early.confirm(response).map(|()| *early),
            None => Dialog::uac(request, response),
        };
        match dialog {
            Ok(dialog) => {
                wires.dialogs.insert(dialog.id().clone(), (self.call.interaction(), leg));
                let mut up = Up::by(dialog, flow, wires.trunk_of(self.call.interaction(), leg).cloned());
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
        let referred_by = request.headers.get("Referred-By").map(str::to_owned);
        let path = request.routes().unwrap_or_default();
        let envelope = Envelope { target: request.uri.clone(), from, to, flow: None, path, referred_by };
        self.send_invite(leg, envelope, request.body.clone(), wires);
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

/// Whether a phone lists `talk` among the events that it takes (RFC 6665 8.2.2).
fn takes_talk(response: &Response) -> bool {
    response.headers.tokens("Allow-Events").iter().any(|event| event.eq_ignore_ascii_case(TALK))
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
fn stray_dialog(response: &Response, wires: &Wires) -> Result<Dialog, Fault> {
    let mut invite = Request::new(Method::Invite, response.to()?.uri);
    for name in ["From", "To", "Call-ID", "CSeq"] {
        response.headers.copy_to(name, &mut invite.headers);
    }
    invite.headers.push("Contact", wires.contact(None));
    Dialog::uac(&invite, response)
}
