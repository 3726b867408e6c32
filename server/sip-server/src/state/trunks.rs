//! Calls from and to the world outside: whom a trunk reaches, and by which trunk a phone's call goes.

use super::SipServer;
use crate::{
    call::{Leg, Now, Participant},
    session::{Contact, Outside},
    state::admission::Offered,
};
use hindsight_sip::{
    ClientTransactionId, Dialog, Event, Request, Response, ServerTransactionId, SipMessage, Source,
    StatusCode,
};
use hindsight_wire::{InteractionId, trunk::Trunk};
use std::net::SocketAddr;

/// Numbers that differ from one of ours in so many last digits only are ours, and nobody's.
const EXTENSION: usize = 4;

/// Where a dialled number leads.
pub(super) struct Reached {
    pub(super) who: Participant,
    /// Its contacts, or the status that refuses the call.
    pub(super) contacts: Result<Vec<Contact>, StatusCode>,
}

impl SipServer {
    /// The trunk that an INVITE comes from. Who calls in a DN's name is asked for its password like every phone, also at
    /// a trunk's address.
    pub(super) fn trunk_of(&self, request: &Request, source: Source) -> Option<Trunk> {
        let trunk = self.trunks.whose(source)?;
        if request.headers.has("Proxy-Authorization") || request.headers.has("Authorization") {
            return None;
        }
        let from = request.from().ok()?;
        let own = from.uri.as_sip().is_some_and(|sip| {
            sip.host.host == self.wires.domain.host
                || sip.host.host.to_string().eq_ignore_ascii_case(self.directory.realm())
        });
        let a_phone = own && from.uri.user().is_some_and(|user| self.directory.get(&user).is_some());
        (!a_phone).then(|| trunk.clone())
    }

    /// An INVITE of a trunk.
    pub(super) fn on_invite_of_trunk(
        &mut self,
        id: ServerTransactionId,
        request: Request,
        (trunk, source): (Trunk, Source),
        now: Now,
    ) {
        let offer = self.admissible(&request).and_then(|()| self.offer_of(&request));
        let offer = match offer {
            Ok(offer) => offer,
            Err(response) => return self.respond(id, *response),
        };
        let mut caller = self.caller_of(&request, &trunk);
        let dialled = self.dialled_by_trunk(&request, &trunk);
        let dn = if self.is_ours(&request.uri) { trunk.reaches(&dialled, self.trunks.plan()) } else { None };
        let mut reached = match dn.map(str::to_owned) {
            Some(dn) => self.reach(&dn, "", None, now),
            None => self.reach_through(&dialled, &trunk),
        };
        if self.trunks.records(&trunk.name) {
            record(&mut reached.who, &mut caller);
        }
        let contacts = match reached.contacts {
            Ok(contacts) => contacts,
            Err(status) => {
                if status == StatusCode::FORBIDDEN {
                    tracing::warn!(trunk = trunk.name, "a trunk tried to call out by another one");
                    metrics::counter!("hindsight_sip_trunk_refused_total", "trunk" => trunk.name)
                        .increment(1);
                } else {
                    self.announce_unreachable([&caller, &reached.who], status, now);
                }
                return self.respond(id, Response::to(&request, status));
            }
        };
        let tag = self.wires.ids.tag();
        let contact = self.wires.contact(Some(source.into()));
        let dialog = match Dialog::uas(&request, &tag, contact, self.wires.ids.cseq()) {
            Ok(dialog) => dialog,
            Err(fault) => {
                return self.respond(id, Response::to(&request, fault.status).with_reason(fault.reason));
            }
        };
        metrics::counter!("hindsight_sip_trunk_calls_total", "trunk" => trunk.name.clone(), "direction" => "in")
            .increment(1);
        let way = self.trunks.way(&trunk.name, source);
        let offered = Offered { parties: [caller, reached.who], contacts, offer, trunk: Some(way) };
        self.begin(id, request, source, dialog, offered, now);
    }

    /// Who calls, as the trunk says it. Nobody outside is a DN.
    fn caller_of(&self, request: &Request, trunk: &Trunk) -> Participant {
        let user = request.from().ok().and_then(|from| from.uri.user()).filter(|user| !user.is_empty());
        let number =
            user.map_or_else(|| "anonymous".to_owned(), |user| trunk.read(&user, self.trunks.plan()));
        Participant { number, is_dn: false, record_voice: false, record_screen: false }
    }

    /// Where we have an account the Request-URI may name only that, and To the number.
    fn dialled_by_trunk(&self, request: &Request, trunk: &Trunk) -> String {
        let dialled = request.uri.user().unwrap_or_default();
        let account = trunk.user.as_deref().is_some_and(|user| user == dialled);
        if !dialled.is_empty() && (!account || trunk.reaches(&dialled, self.trunks.plan()).is_some()) {
            return dialled;
        }
        request.to().ok().and_then(|to| to.uri.user()).unwrap_or_default()
    }

    /// A number that a trunk dialled and that is nobody's here: out again by another trunk, where the site allows it.
    fn reach_through(&mut self, dialled: &str, trunk: &Trunk) -> Reached {
        let plan = self.trunks.plan();
        let number = trunk.read(dialled, plan);
        let who = self.directory.outsider(&number);
        let near = |direct: &str| {
            let own = trunk.read(direct, plan);
            let kept = own.len().saturating_sub(EXTENSION);
            own.starts_with('+') && own.is_char_boundary(kept) && number.starts_with(&own[..kept])
        };
        let ours = trunk.numbers.iter().any(|direct| near(&direct.number));
        let outside = (!ours).then(|| self.trunks.dialled(&number)).flatten();
        let contacts = match outside {
            None => Err(StatusCode::NOT_FOUND),
            Some(_) if !plan.trunk_to_trunk => Err(StatusCode::FORBIDDEN),
            Some(number) => self.outside(&number, "", Some(&trunk.name)),
        };
        Reached { who, contacts }
    }

    /// Where a number leads that `by` dialled, a DN.
    pub(super) fn reach(&mut self, dialled: &str, by: &str, except: Option<&str>, now: Now) -> Reached {
        let who = self.directory.participant(dialled);
        if who.is_dn {
            let contacts = self.registrar.lookup(dialled, now.instant);
            let absent = contacts.is_empty();
            let contacts = contacts.into_iter().map(|binding| Contact::Phone(Box::new(binding))).collect();
            let contacts = if absent { Err(StatusCode::TEMPORARILY_UNAVAILABLE) } else { Ok(contacts) };
            return Reached { who, contacts };
        }
        let Some(number) = self.trunks.dialled(dialled) else {
            return Reached { who, contacts: Err(StatusCode::NOT_FOUND) };
        };
        Reached { who: self.directory.outsider(&number), contacts: self.outside(&number, by, except) }
    }

    /// By trunks that are there.
    fn outside(&mut self, number: &str, by: &str, except: Option<&str>) -> Result<Vec<Contact>, StatusCode> {
        if self.trunks.plan().is_barred(number) {
            return Err(StatusCode::FORBIDDEN);
        }
        let routes = self.trunks.routes(number, by, except, &self.wires, &mut self.rng);
        if routes.is_empty() {
            tracing::warn!("a call outside finds no trunk that is up");
            return Err(StatusCode::SERVICE_UNAVAILABLE);
        }
        Ok(vec![Contact::Outside(Outside::new(routes))])
    }

    /// Whether one of these ways goes by a trunk that is recorded in full.
    pub(super) fn recorded_by_trunk(&self, contacts: &[Contact]) -> bool {
        contacts.iter().any(|contact| match contact {
            Contact::Outside(outside) => outside.trunks().any(|trunk| self.trunks.records(trunk)),
            Contact::Phone(_) => false,
        })
    }

    /// Whether somebody outside is in a call, and whether their trunk is recorded in full.
    pub(super) fn outsider_in(&self, interaction: InteractionId) -> Option<bool> {
        let legs = self.wires.trunk_legs.get(&interaction).filter(|legs| !legs.is_empty())?;
        Some(legs.values().any(|way| self.trunks.records(&way.trunk)))
    }

    /// The same of one party.
    pub(super) fn is_outside(&self, interaction: InteractionId, leg: Leg) -> bool {
        self.wires.trunk_of(interaction, leg).is_some()
    }

    /// The addresses of a trunk's name; the answer to [`super::Output::Look`].
    pub fn on_looked(&mut self, trunk: &str, found: Result<Vec<SocketAddr>, String>, now: Now) {
        self.trunks.looked(trunk, found, now.instant);
    }

    /// What came back to a request that may have gone by a trunk; true: there is no more to do.
    pub(super) fn trunk_outcome(&mut self, id: ClientTransactionId, event: &Event, now: Now) -> bool {
        if self.trunks.outcome(id, event, &mut self.wires, now.instant) {
            return true;
        }
        let Event::Response { response, .. } = event else {
            self.wires.to_trunks.remove(&id);
            return false;
        };
        if response.status.is_provisional() {
            return false;
        }
        if !matches!(response.status.as_u16(), 401 | 407) {
            self.wires.to_trunks.remove(&id);
            return false;
        }
        let Some(outgoing) = self.wires.clients.get(&id).cloned() else { return false };
        // Who asks: a leg that was given up for another trunk's may still end with the first.
        let asks = self.wires.to_trunks.get(&id).and_then(|(_, to)| self.trunks.at(to.addr.ip()));
        let way = self.wires.trunk_of(outgoing.interaction, outgoing.leg);
        let trunk = asks.or_else(|| way.map(|way| way.trunk.clone()));
        let credentials = trunk.and_then(|trunk| self.trunks.credentials(&trunk));
        let session = self.sessions.get_mut(&outgoing.interaction);
        let (Some(credentials), Some(session)) = (credentials, session) else {
            self.wires.to_trunks.remove(&id);
            return false;
        };
        let again = session.authorize(id, &outgoing, response, credentials, &mut self.wires);
        if again {
            self.wires.clients.remove(&id);
        }
        again
    }
}

/// The DN of the two is recorded; where there is none, who is called.
pub(super) fn record(callee: &mut Participant, caller: &mut Participant) {
    if caller.is_dn && !callee.is_dn { caller.record_voice = true } else { callee.record_voice = true }
}
