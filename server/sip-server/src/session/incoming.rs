//! Requests of the far ends in the dialogs of a call.

use super::{ALLOW, Session, refusal};
use crate::{
    call::{Input, Leg, Now},
    leg::Leg as State,
    state::Output,
    wires::Wires,
};
use hindsight_sip::{
    Command, Method, Request, Response, ServerTransactionId, SipMessage, Source, StatusCode,
};

impl Session {
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
            Method::Info if matches!(leg, Leg::Media(_)) => {
                let exit = hindsight_msml::parse_exit(&request.body);
                let status = if exit.is_ok() { StatusCode::OK } else { StatusCode::BAD_REQUEST };
                wires.push(Output::Sip(Command::Respond(id, up.dialog.response(&request, status))));
                match exit {
                    Ok(Some(exit)) => {
                        let reason = exit.reason;
                        self.input(Input::RecordingBroke { leg, reason }, wires, now);
                    }
                    Ok(None) => {}
                    Err(error) => tracing::debug!(%error, "a media server's event"),
                }
            }
            Method::Info => self.digit(leg, &request, id, wires),
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
        self.next_errand(leg, wires);
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
}
