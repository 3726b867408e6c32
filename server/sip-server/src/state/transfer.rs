//! Who may have a call transferred to whom: REFER of a phone (RFC 3515), and what it means in this site.

use super::SipServer;
use crate::{
    call::{Asked, Input, Leg, Now, Side, Target},
    state::Output,
};
use hindsight_sip::{
    Command, DialogId, Request, Response, ServerTransactionId, Source, StatusCode,
    refer::{ReferTo, Replaces},
};
use hindsight_wire::{InteractionId, component::CallControl};

impl SipServer {
    /// REFER in a dialog.
    pub(super) fn on_refer(&mut self, id: ServerTransactionId, request: &Request, source: Source, now: Now) {
        if let Err(response) = self.refer(id, request, source, now) {
            self.respond(id, *response);
        }
    }

    fn refer(
        &mut self,
        id: ServerTransactionId,
        request: &Request,
        source: Source,
        now: Now,
    ) -> Result<(), Box<Response>> {
        let refuse = |status| Box::new(Response::to(request, status));
        let dialog = DialogId::of_request(request).and_then(|id| self.wires.dialogs.get(&id).copied());
        let (interaction, leg) = dialog.ok_or_else(|| refuse(StatusCode::CALL_DOES_NOT_EXIST))?;
        let session = self.sessions.get_mut(&interaction);
        let session = session.ok_or_else(|| refuse(StatusCode::CALL_DOES_NOT_EXIST))?;
        session.hear_refer(leg, request)?;
        let party = session.call.number_at(leg);
        // A dialog's tags are no secret: whoever has a call go elsewhere proves who they are.
        // Nobody outside has calls of this site go elsewhere.
        if self.is_outside(interaction, leg) {
            return Err(refuse(StatusCode::FORBIDDEN));
        }
        let number = self.authenticate(request, source, now)?;
        if party.is_some_and(|party| party != number) || matches!(leg, Leg::Media(_)) {
            return Err(refuse(StatusCode::FORBIDDEN));
        }
        let to = ReferTo::of(&request.headers)
            .map_err(|fault| Box::new(Response::to(request, fault.status).with_reason(fault.reason)))?;
        let may = self.sessions.get(&interaction).map(|session| session.call.may_transfer(leg));
        if let Some(Err(status)) = may {
            let status = StatusCode::new(status).unwrap_or(StatusCode::REQUEST_PENDING);
            return Err(refuse(status));
        }
        let target = match &to.replaces {
            Some(replaces) => self.consulted(interaction, &number, &to, replaces, now),
            None => self.called((interaction, &number), &to, now),
        };
        self.with_session(interaction, now, |session, wires| {
            session.refer(leg, (id, request), target, wires, now);
        });
        Ok(())
    }

    /// A desktop has somebody called who takes its DN's place.
    pub(super) fn transfer_by_desktop(&mut self, request: u64, control: &CallControl, now: Now) {
        let CallControl { interaction, dn, to, .. } = control;
        let call = self.sessions.get(interaction).map(|session| &session.call);
        let by = call.and_then(|call| Some((call, call.side_at(dn)?)));
        let refused = match (by, to) {
            (None, _) => Some("this DN takes no part in the call"),
            (_, None) => Some("nobody to transfer to"),
            (Some((call, side)), Some(_)) => {
                let may = call.leg_of(side).is_some_and(|leg| call.may_transfer(leg).is_ok());
                (!may).then_some("the call cannot be transferred now")
            }
        };
        let side = by.map(|(_, side)| side);
        let (None, Some(by), Some(to)) = (refused, side, to) else {
            let error = refused.map(str::to_owned);
            return self.wires.push(Output::Result { request, error });
        };
        let to = self.called_number((*interaction, dn), to.clone(), None, now);
        let asked = Asked::Desktop { request, by };
        self.with_session(*interaction, now, |session, wires| {
            session.input(Input::Transfer { asked, to }, wires, now);
        });
    }

    /// Somebody to be called in a call.
    fn called(&mut self, (interaction, by): (InteractionId, &str), to: &ReferTo, now: Now) -> Target {
        let number = to.uri.user().unwrap_or_default();
        let status = if self.is_ours(&to.uri) { None } else { Some(StatusCode::NOT_FOUND) };
        self.called_number((interaction, by), number, status, now)
    }

    /// The same by number; `by`: the DN that asks; `status` refuses it.
    fn called_number(
        &mut self,
        (interaction, by): (InteractionId, &str),
        number: String,
        status: Option<StatusCode>,
        now: Now,
    ) -> Target {
        let reached = self.reach(&number, by, None, now);
        let nobody = |status: StatusCode| Target::Nobody { number: number.clone(), status: status.as_u16() };
        let contacts = match (status, reached.contacts) {
            (Some(status), _) | (None, Err(status)) => return nobody(status),
            (None, Ok(contacts)) => contacts,
        };
        let (mut who, outsider) = (reached.who, self.outsider_in(interaction));
        if outsider.is_some() && !who.is_dn && !self.trunks.plan().trunk_to_trunk {
            return nobody(StatusCode::FORBIDDEN);
        }
        // What comes by a trunk that is recorded is so for every DN that it reaches.
        who.record_voice |= who.is_dn && outsider == Some(true);
        let session = self.sessions.get_mut(&interaction);
        let target = session.and_then(|session| session.fork_to(who, contacts));
        target.unwrap_or_else(|| nobody(StatusCode::SERVICE_UNAVAILABLE))
    }

    /// The other party of another call of the same phone.
    fn consulted(
        &mut self,
        into: InteractionId,
        number: &str,
        to: &ReferTo,
        replaces: &Replaces,
        now: Now,
    ) -> Target {
        match self.consulted_phone(into, number, replaces, now) {
            Ok(target) => target,
            Err(status) => {
                let number = to.uri.user().unwrap_or_default();
                Target::Nobody { number, status: status.as_u16() }
            }
        }
    }

    fn consulted_phone(
        &mut self,
        into: InteractionId,
        number: &str,
        replaces: &Replaces,
        now: Now,
    ) -> Result<Target, StatusCode> {
        let (from, side) = self.replaceable(number, replaces)?;
        if from == into {
            return Err(StatusCode::FORBIDDEN);
        }
        let joins = self.sessions.get(&from).and_then(|session| session.call.leg_of(side.other()));
        let from_outside = joins.is_some_and(|leg| self.is_outside(from, leg));
        if from_outside && self.outsider_in(into).is_some() && !self.trunks.plan().trunk_to_trunk {
            return Err(StatusCode::FORBIDDEN);
        }
        let room = self.sessions.get(&into).is_some_and(|session| session.has_room());
        let session = self.sessions.get_mut(&from).filter(|_| room).ok_or(StatusCode::SERVICE_UNAVAILABLE)?;
        let handed = session.hand_over(side.other(), &mut self.wires);
        let (up, phone) = handed.ok_or(StatusCode::REQUEST_PENDING)?;
        self.with_session(from, now, |session, wires| session.perform_all(wires, now));
        let session = self.sessions.get_mut(&into).ok_or(StatusCode::CALL_DOES_NOT_EXIST)?;
        session.take_over(up, phone, &mut self.wires).ok_or(StatusCode::SERVICE_UNAVAILABLE)
    }

    /// The call and the party whose dialog may be replaced by who has this number (RFC 3891 3).
    fn replaceable(&self, number: &str, replaces: &Replaces) -> Result<(InteractionId, Side), StatusCode> {
        let found = self.wires.dialogs.get(&replaces.dialog).copied();
        let (from, leg) = found.ok_or(StatusCode::CALL_DOES_NOT_EXIST)?;
        let call = self.sessions.get(&from).map(|session| &session.call);
        let call = call.ok_or(StatusCode::CALL_DOES_NOT_EXIST)?;
        // One that nobody has answered yet, or that is over, cannot be given to anybody.
        let side = call.side_at_leg(leg).ok_or(StatusCode::CALL_DOES_NOT_EXIST)?;
        if call.number(side) != number {
            return Err(StatusCode::FORBIDDEN);
        }
        if !call.is_established() {
            return Err(StatusCode::CALL_DOES_NOT_EXIST);
        }
        if replaces.early_only { Err(StatusCode::BUSY_HERE) } else { Ok((from, side)) }
    }

    pub(super) fn refuse_outside_of_a_call(&mut self, id: ServerTransactionId, request: &Request) {
        let response = Response::to(request, StatusCode::FORBIDDEN).with_reason("Only In A Call");
        let response = response.with_to_tag(&self.wires.ids.tag());
        self.wires.push(Output::Sip(Command::Respond(id, response)));
    }
}
