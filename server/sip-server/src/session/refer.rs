//! Transfers as SIP: the answer to REFER and its implicit subscription (RFC 3515), and dialogs that move from one call to
//! another.

use super::{Contact, Session};
use crate::{
    call::{Asked, Consulted, Input, Leg, Now, Participant, Side, Target},
    leg::{Errand, Leg as State, Up},
    state::Output,
    wires::Wires,
};
use hindsight_sip::{
    Command, Request, Response, ServerTransactionId, SipMessage as _, StatusCode, refer::wants_notifications,
};

impl Session {
    /// Takes note of a REFER in the dialog of a leg; the response that refuses it at once.
    pub(crate) fn hear_refer(&mut self, leg: Leg, request: &Request) -> Result<(), Box<Response>> {
        let Some(State::Up(up)) = self.legs.get_mut(&leg) else {
            return Err(Box::new(Response::to(request, StatusCode::CALL_DOES_NOT_EXIST)));
        };
        let heard = up.dialog.receive(request);
        heard.map_err(|fault| Box::new(Response::to(request, fault.status).with_reason(fault.reason)))
    }

    /// Accepts a REFER, and begins what it asks for.
    pub(crate) fn refer(
        &mut self,
        leg: Leg,
        (id, request): (ServerTransactionId, &Request),
        to: Target,
        wires: &mut Wires,
        now: Now,
    ) {
        let Some(State::Up(up)) = self.legs.get_mut(&leg) else { return };
        let notify = wants_notifications(&request.headers);
        // Only the first one of a dialog can do without a name (RFC 3515 2.4.6).
        let name = request.cseq().ok().map(|cseq| cseq.number).filter(|_| up.refers > 0);
        up.refers += 1;
        up.subscription = name;
        let mut response = up.dialog.response(request, StatusCode::ACCEPTED);
        if !notify {
            response = response.with_header("Refer-Sub", "false");
        }
        wires.push(Output::Sip(Command::Respond(id, response)));
        self.input(Input::Transfer { asked: Asked::Refer { leg, notify }, to }, wires, now);
    }

    /// Places for the contacts of somebody who is to join; `None`: there is no room for that many any more.
    pub(crate) fn fork_to(&mut self, who: Participant, contacts: Vec<Contact>) -> Option<Target> {
        let first = self.next_fork;
        let end = first.checked_add(u8::try_from(contacts.len()).ok()?)?;
        self.next_fork = end;
        self.contacts.extend((first..end).zip(contacts));
        Some(Target::Called { who, forks: first..end })
    }

    /// Gives a party with its dialog to another call.
    pub(crate) fn hand_over(&mut self, side: Side, wires: &mut Wires) -> Option<(Box<Up>, Box<Consulted>)> {
        let leg = self.call.leg_of(side)?;
        let stable = matches!(self.legs.get(&leg), Some(State::Up(up)) if !up.is_changing());
        if !stable {
            return None;
        }
        let (leg, phone) = self.call.hand_over(side)?;
        let Some(State::Up(mut up)) = self.legs.remove(&leg) else { return None };
        if let Some(transaction) = up.under_way.take() {
            wires.clients.remove(&transaction);
        }
        up.errands.clear();
        if let Some(legs) = wires.trunk_legs.get_mut(&self.call.interaction()) {
            legs.remove(&leg);
        }
        Some((up, phone))
    }

    /// Takes a party with its dialog from another call.
    pub(crate) fn take_over(
        &mut self,
        up: Box<Up>,
        phone: Box<Consulted>,
        wires: &mut Wires,
    ) -> Option<Target> {
        let leg = Leg::Callee(self.next_fork);
        self.next_fork = self.next_fork.checked_add(1)?;
        wires.dialogs.insert(up.dialog.id().clone(), (self.call.interaction(), leg));
        if let Some(way) = &up.trunk {
            wires.goes_by(self.call.interaction(), leg, way.clone());
        }
        self.legs.insert(leg, State::Up(up));
        Some(Target::Consulted { phone, leg })
    }

    /// Whether one more dialog can be taken over.
    pub(crate) fn has_room(&self) -> bool {
        self.next_fork < u8::MAX
    }

    pub(super) fn notify(&mut self, leg: Leg, status: u16, wires: &mut Wires) {
        let subscription = match self.legs.get(&leg) {
            Some(State::Up(up)) => up.subscription,
            Some(State::Offered { .. } | State::Calling { .. }) | None => return,
        };
        self.errand(leg, Errand::Notify { status, subscription }, wires);
    }
}
