//! A call with its legs in SIP: performs the actions of [`Call`] as requests and responses of dialogs, and turns what comes
//! back into its inputs.

mod digits;
mod incoming;
mod order;
mod outcome;
mod outgoing;
mod refer;
mod restore;
mod trunk;

use crate::{
    call::{Action, Call, Failure, Input, Leg, Now, Side},
    leg::{Errand, Leg as State},
    reconnect,
    state::Output,
    wires::Wires,
};
use hindsight_model::Event as DomainEvent;
use hindsight_sip::{ClientTransactionId, Destination, Dialog, Request, Response, SipUri, StatusCode};
use hindsight_wire::InteractionId;
use std::{collections::BTreeMap, net::SocketAddr};

pub(crate) use trunk::{Contact, Outside};

/// What a party of a call may send us.
const ALLOW: &str = "INVITE, BYE, OPTIONS, INFO, REFER, ACK, CANCEL";

/// The event that tells a phone to answer.
const TALK: &str = "talk";

/// A call and its dialogs.
pub(crate) struct Session {
    pub(crate) call: Call,
    legs: BTreeMap<Leg, State>,
    /// Where each fork goes.
    contacts: BTreeMap<u8, Contact>,
    next_fork: u8,
    max_forwards: u8,
    /// Our INVITEs that were answered with 2xx: forks may bring more of those.
    answered: Vec<ClientTransactionId>,
    /// Our BYEs that wait for their answer.
    goodbyes: u32,
    /// Desktops that hung up and are told when nothing is left of the call.
    farewells: Vec<u64>,
}

impl Session {
    pub(crate) fn new(call: Call, caller: State, contacts: Vec<Contact>, max_forwards: u8) -> Self {
        let contacts: BTreeMap<u8, Contact> = (0..u8::MAX).zip(contacts).collect();
        let next_fork = contacts.last_key_value().map_or(0, |(fork, _)| fork + 1);
        Self {
            call,
            legs: BTreeMap::from([(Leg::Caller, caller)]),
            contacts,
            next_fork,
            max_forwards,
            answered: Vec::new(),
            goodbyes: 0,
            farewells: Vec::new(),
        }
    }

    /// Names nothing of this call in the tables any more, and says that it is over.
    pub(crate) fn forget(&self, wires: &mut Wires) {
        for request in &self.farewells {
            wires.push(Output::Result { request: *request, error: None });
        }
        for transaction in &self.answered {
            wires.clients.remove(transaction);
            wires.to_trunks.remove(transaction);
        }
        wires.trunk_legs.remove(&self.call.interaction());
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

    /// Looks at once whether the media server at this address is still there, if this call uses it.
    pub(crate) fn look_after(&mut self, media_server: SocketAddr, wires: &mut Wires) {
        let there = |state: &State| match state {
            State::Up(up) => {
                Destination::of_uri(up.dialog.remote_target()).is_some_and(|to| to.addr == media_server)
            }
            State::Offered { .. } | State::Calling { .. } => false,
        };
        let leg = self.legs.iter().find(|(leg, state)| matches!(leg, Leg::Media(_)) && there(state));
        if let Some(leg) = leg.map(|(leg, _)| *leg) {
            self.errand(leg, Errand::Probe, wires);
        }
    }

    /// A phone has another connection with us.
    pub(crate) fn reconnected(&mut self, number: &str, contact: &SipUri, to: Destination) {
        for side in Side::BOTH.into_iter().filter(|side| self.call.number(*side) == number) {
            let leg = self.call.leg_of(side);
            let Some(State::Up(up)) = leg.and_then(|leg| self.legs.get_mut(&leg)) else { continue };
            let target = up.dialog.remote_target();
            // While its connection may stand, a phone with another port may be another phone.
            let its_own =
                if up.cut { reconnect::is_of(target, contact) } else { reconnect::is(target, contact) };
            if its_own && up.dialog.route_set().is_empty() && reconnect::by_connection(up.flow, target) {
                (up.flow, up.cut) = (Some(to), false);
            }
        }
    }

    /// Timers of the call.
    pub(crate) fn on_time(&mut self, wires: &mut Wires, now: Now) {
        self.call.on_time(now);
        self.perform_all(wires, now);
        self.expire_trunks(wires, now);
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
            Action::Invite { leg, offer } => self.invite(leg, offer, wires, now),
            Action::Reinvite { leg, offer } => self.errand(leg, Errand::Reinvite(offer), wires),
            Action::Acknowledge { leg } => self.acknowledge(leg, wires),
            Action::Ring => self.ring(wires),
            Action::Accept { leg, body } => self.accept(leg, body, wires),
            Action::Reject { leg, status } => {
                self.reject(leg, status, wires);
                self.next_errand(leg, wires);
            }
            Action::Order { leg, order } if !matches!(self.legs.get(&leg), Some(State::Up(_))) => {
                let outcome = Err(Failure::Refused("no dialog with the media server".to_owned()));
                return Some(Input::Ordered { serial: order.serial, outcome });
            }
            Action::Order { leg, order } => self.errand(leg, Errand::Order(order), wires),
            Action::Probe { leg } => self.errand(leg, Errand::Probe, wires),
            Action::End { leg } => self.end(leg, wires),
            Action::Emit(what) => {
                let event = DomainEvent { interaction: self.call.interaction(), at: now.wall, what };
                wires.push(Output::Journal(event));
            }
            Action::EmitAt(at, what) => {
                let interaction = self.call.interaction();
                wires.push(Output::Journal(DomainEvent { interaction, at, what }));
            }
            Action::Notify { leg, status } => self.notify(leg, status, wires),
            Action::Talk { leg } => self.talk(leg, wires),
            Action::Farewell { request } => self.farewells.push(request),
            Action::Result { request, error } => wires.push(Output::Result { request, error }),
        }
        None
    }
}

/// RFC 7989: the interaction on this side, nothing known of the other.
pub(crate) fn session_id(interaction: InteractionId) -> String {
    format!("{};remote={:032}", interaction.to_session_id(), 0)
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
