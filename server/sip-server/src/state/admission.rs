//! Requests outside of a dialog: who may register, who may call whom, and the calls that reach nobody.

use super::{RETRY_AFTER, SipServer, trunks::record};
use crate::{
    auth::Judged,
    call::{Call, Leg, Now, Participant},
    kept::{Kept, Key},
    leg::{Leg as State, flow_of},
    registrar::Refusal,
    session::{Contact, Session},
    state::Output,
    trunks::Way,
};
use hindsight_model::{
    Event as DomainEvent,
    event::{EndCause, What},
};
use hindsight_sip::{
    Command, Dialog, Method, Request, Response, ServerTransactionId, SipMessage, Source, StatusCode, Uri,
    sdp::{Description, SdpError},
};
use hindsight_wire::InteractionId;
use rand::Rng;
use std::net::IpAddr;

/// Tokens that a wrong password costs its source.
const WRONG_COSTS: i32 = 5;

/// A call that is let in.
pub(super) struct Offered {
    /// Caller, callee.
    pub(super) parties: [Participant; 2],
    /// The callee's, at least one.
    pub(super) contacts: Vec<Contact>,
    pub(super) offer: Option<Description>,
    /// The way back to the trunk that it comes from.
    pub(super) trunk: Option<Way>,
}

impl SipServer {
    pub(super) fn on_register(
        &mut self,
        id: ServerTransactionId,
        request: &Request,
        source: Source,
        now: Now,
    ) {
        if !self.is_ours(&request.uri) {
            return self.respond(id, Response::to(request, StatusCode::NOT_FOUND));
        }
        let number = match self.authenticate(request, source, now) {
            Ok(number) => number,
            Err(response) => return self.respond(id, *response),
        };
        // A phone registers for itself only (RFC 3261 10.3 step 4).
        if request.to().ok().and_then(|to| to.uri.user()).as_deref() != Some(number.as_str()) {
            return self.respond(id, Response::to(request, StatusCode::FORBIDDEN));
        }
        let response = match self.registrar.register(&number, request, source, now.instant) {
            Ok(contacts) => {
                tracing::debug!(contacts = contacts.len(), "registered");
                self.keep_registrations(&number, now);
                let mut response = Response::to(request, StatusCode::OK);
                // RFC 3327 5.3: who asks for it learns the way that is kept.
                request.headers.copy_to("Path", &mut response.headers);
                contacts.iter().fold(response, |response, contact| response.with_header("Contact", contact))
            }
            Err(Refusal::TooBrief(least)) => {
                Response::to(request, StatusCode::INTERVAL_TOO_BRIEF).with_header("Min-Expires", least)
            }
            Err(Refusal::Fault(fault)) => Response::to(request, fault.status).with_reason(fault.reason),
        };
        let registered = response.status.is_success();
        self.respond(id, response);
        if registered {
            self.reconnected(&number, request, source, now.instant);
        }
    }

    /// The DN that a request comes from, or the challenge or refusal to answer it with.
    pub(super) fn authenticate(
        &mut self,
        request: &Request,
        source: Source,
        now: Now,
    ) -> Result<String, Box<Response>> {
        let Some(authenticator) = &mut self.authenticator else {
            let response = Response::to(request, StatusCode::SERVICE_UNAVAILABLE);
            return Err(Box::new(response.with_header("Retry-After", RETRY_AFTER)));
        };
        let address = source.remote.ip();
        let judged = authenticator.judge(request, &self.directory, now.instant);
        let account = match &judged {
            Judged::Is(number) | Judged::Wrong(number, _) => {
                self.directory.get(number).map(|dn| dn.number.as_str())
            }
            Judged::Asked(_) => None,
        };
        // Accounts that do not exist are one: else their names would fill the table.
        let account = account.unwrap_or_default().to_owned();
        let locked = self.lock_out.remaining(&account, address, now.instant);
        match judged {
            Judged::Asked(response) => Err(response),
            // Also the right password: while an account is locked nothing is to be learnt about it.
            Judged::Is(_) | Judged::Wrong(..) if locked.is_some() => {
                self.turned.locked_out += 1;
                let seconds = locked.map_or(0, |left| left.as_secs() + 1);
                let response =
                    Response::to(request, StatusCode::FORBIDDEN).with_reason("Too Many Wrong Passwords");
                Err(Box::new(response.with_header("Retry-After", seconds)))
            }
            Judged::Wrong(_, response) => {
                self.turned.wrong_passwords += 1;
                self.wires.push(Output::Sip(Command::Credit(address, -WRONG_COSTS)));
                if !self.is_trusted(address) && self.lock_out.wrong(&account, address, now.instant) {
                    self.turned.lock_outs += 1;
                    tracing::warn!("an account is locked for an address that tried wrong passwords");
                }
                Err(response)
            }
            Judged::Is(number) => {
                self.lock_out.right(&account, address);
                // What the question cost; a registration costs its phone nothing at all, a call one token.
                let back = if request.method == Method::Register { 2 } else { 1 };
                self.wires.push(Output::Sip(Command::Credit(address, back)));
                Ok(number)
            }
        }
    }

    fn is_trusted(&self, address: IpAddr) -> bool {
        self.trusted.iter().any(|network| network.contains(address))
    }

    pub(super) fn on_invite(&mut self, id: ServerTransactionId, request: Request, source: Source, now: Now) {
        if let Some(trunk) = self.trunk_of(&request, source) {
            return self.on_invite_of_trunk(id, request, (trunk, source), now);
        }
        let caller = match self.admit(&request, source, now) {
            Ok(caller) => caller,
            Err(response) => return self.respond(id, *response),
        };
        let offer = match self.offer_of(&request) {
            Ok(offer) => offer,
            Err(response) => return self.respond(id, *response),
        };
        let dialled = request.uri.user().unwrap_or_default();
        let mut reached = self.reach(&dialled, &caller, None, now);
        let mut caller = self.directory.participant(&caller);
        if !self.is_ours(&request.uri) {
            let unknown =
                if reached.who.is_dn { StatusCode::TEMPORARILY_UNAVAILABLE } else { StatusCode::NOT_FOUND };
            reached.contacts = Err(unknown);
        }
        let contacts = match reached.contacts {
            Ok(contacts) => contacts,
            Err(status) => {
                self.announce_unreachable([&caller, &reached.who], status, now);
                return self.respond(id, Response::to(&request, status));
            }
        };
        if self.recorded_by_trunk(&contacts) {
            record(&mut reached.who, &mut caller);
        }
        let tag = self.wires.ids.tag();
        let contact = self.wires.contact(Some(source.into()));
        let dialog = match Dialog::uas(&request, &tag, contact, self.wires.ids.cseq()) {
            Ok(dialog) => dialog,
            Err(fault) => {
                return self.respond(id, Response::to(&request, fault.status).with_reason(fault.reason));
            }
        };
        let offered = Offered { parties: [caller, reached.who], contacts, offer, trunk: None };
        self.begin(id, request, source, dialog, offered, now);
    }

    pub(super) fn begin(
        &mut self,
        id: ServerTransactionId,
        request: Request,
        source: Source,
        dialog: Dialog,
        Offered { parties, contacts, offer, trunk }: Offered,
        now: Now,
    ) {
        let interaction = self.new_interaction(now);
        tracing::info!(%interaction, contacts = contacts.len(), "call offered");
        let forks = u8::try_from(contacts.len()).unwrap_or(u8::MAX);
        let max_forwards = request.max_forwards().ok().flatten().unwrap_or(70).saturating_sub(1);
        let call =
            Call::offered(interaction, parties, forks, offer, self.config.limits(), self.rng.random(), now);
        self.wires.servers.insert(id, (interaction, Leg::Caller));
        self.wires.dialogs.insert(dialog.id().clone(), (interaction, Leg::Caller));
        let key = (dialog.id().call_id.clone(), dialog.id().remote_tag.clone());
        self.callers.insert(key, interaction);
        let flow = flow_of(&request, source);
        if let Some(way) = trunk {
            self.wires.goes_by(interaction, Leg::Caller, way);
        }
        let caller =
            State::Offered { transaction: id, request: Box::new(request), dialog: Box::new(dialog), flow };
        let session = Session::new(call, caller, contacts, max_forwards);
        self.sessions.insert(interaction, session);
        self.wires.push(Output::Keep(Key::Call(interaction), Some(Kept::Offered { at: now.wall })));
        self.with_session(interaction, now, |session, wires| session.perform_all(wires, now));
    }

    /// Who calls, when the INVITE may be served at all.
    fn admit(&mut self, request: &Request, source: Source, now: Now) -> Result<String, Box<Response>> {
        self.sound(request)?;
        let number = self.authenticate(request, source, now)?;
        // Nobody calls in another's name.
        if request.from().ok().and_then(|from| from.uri.user()).as_deref() != Some(number.as_str()) {
            return Err(Box::new(Response::to(request, StatusCode::FORBIDDEN)));
        }
        self.has_room(request)?;
        Ok(number)
    }

    /// Whether an INVITE may be served, whoever sends it.
    pub(super) fn admissible(&self, request: &Request) -> Result<(), Box<Response>> {
        self.sound(request)?;
        self.has_room(request)
    }

    fn sound(&self, request: &Request) -> Result<(), Box<Response>> {
        let refuse = |status| Err(Box::new(Response::to(request, status)));
        if request.max_forwards().ok().flatten() == Some(0) {
            return refuse(StatusCode::TOO_MANY_HOPS);
        }
        if self.is_merged(request) { refuse(StatusCode::LOOP_DETECTED) } else { Ok(()) }
    }

    fn has_room(&self, request: &Request) -> Result<(), Box<Response>> {
        if self.sessions.len() >= self.config.max_calls {
            tracing::warn!(calls = self.sessions.len(), "no room for another call");
            let response = Response::to(request, StatusCode::SERVICE_UNAVAILABLE);
            return Err(Box::new(response.with_header("Retry-After", RETRY_AFTER)));
        }
        Ok(())
    }

    fn is_merged(&self, request: &Request) -> bool {
        let (Ok(call_id), Ok(from)) = (request.call_id(), request.from()) else { return false };
        self.callers.contains_key(&(call_id.to_owned(), from.tag().unwrap_or_default().to_owned()))
    }

    pub(super) fn offer_of(&self, request: &Request) -> Result<Option<Description>, Box<Response>> {
        let Some(body) = request.sdp() else { return Ok(None) };
        match Description::parse(&body) {
            Ok(offer) => Ok(Some(offer)),
            Err(SdpError::Malformed) => {
                let response = Response::to(request, StatusCode::BAD_REQUEST);
                Err(Box::new(response.with_reason("Malformed SDP")))
            }
            Err(SdpError::NothingInCommon) => {
                Err(Box::new(Response::to(request, StatusCode::NOT_ACCEPTABLE_HERE)))
            }
        }
    }

    /// A call that reaches nobody is an interaction all the same.
    pub(super) fn announce_unreachable(&mut self, parties: [&Participant; 2], status: StatusCode, now: Now) {
        let interaction = self.new_interaction(now);
        tracing::info!(%interaction, "call to a number that nobody is registered at");
        let nobody = matches!(status, StatusCode::NOT_FOUND | StatusCode::TEMPORARILY_UNAVAILABLE);
        let cause = if nobody { EndCause::NotFound } else { EndCause::Failed };
        let ended = What::CallEnded { cause, by: None };
        for what in [Call::offered_event(parties), ended] {
            self.wires.push(Output::Journal(DomainEvent { interaction, at: now.wall, what }));
        }
    }

    /// UUIDv7 from our own clock and randomness, so that a simulation repeats itself.
    fn new_interaction(&mut self, now: Now) -> InteractionId {
        let millis = u64::try_from(now.wall.0 / 1000).unwrap_or_default();
        InteractionId(uuid::Builder::from_unix_timestamp_millis(millis, &self.rng.random()).into_uuid())
    }

    /// An address of ours: any IP address (phones are configured with one), the site's domain, or our own name.
    pub(super) fn is_ours(&self, uri: &Uri) -> bool {
        let Some(sip) = uri.as_sip() else { return uri.scheme() == "tel" };
        let host = sip.host.host.to_string();
        sip.host.host.ip().is_some()
            || sip.host.host == self.wires.domain.host
            || host == "localhost"
            || host.eq_ignore_ascii_case(self.directory.realm())
    }
}
