//! What comes in: judged, given a media server where it begins a session, and forwarded.

use super::{Attempt, Context, Now, Output, ResourceManager};
use crate::{
    member::Role,
    session::{Beginning, Key},
    siprec,
};
use hindsight_sip::{
    Command, Destination, Method, Request, Response, ServerTransactionId, SipMessage, SipUri, Source,
    StatusCode, proxy,
};
use hindsight_wire::InteractionId;
use std::net::SocketAddr;

/// What the media servers and we understand of requests outside of dialogs.
const ALLOW: &str = "INVITE, ACK, CANCEL, BYE, INFO, OPTIONS";
/// A conference URI's user part.
const CONFERENCE: &str = "msml=";
/// Seconds after which a SIP server that found no media server may try again.
const RETRY_AFTER: u32 = 5;

/// Why a session gets no media server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NoRoom {
    Sessions,
    Tenant,
    MediaServer,
}

impl NoRoom {
    fn as_str(self) -> &'static str {
        match self {
            NoRoom::Sessions => "Too Many Sessions",
            NoRoom::Tenant => "Too Many Sessions Of The Tenant",
            NoRoom::MediaServer => "No Media Server",
        }
    }
}

impl ResourceManager {
    pub(super) fn on_request(
        &mut self,
        id: ServerTransactionId,
        request: &Request,
        source: Source,
        now: Now,
    ) {
        if request.uri.as_sip().is_none_or(|uri| uri.secure) {
            return self.respond(id, Response::to(request, StatusCode::UNSUPPORTED_URI_SCHEME));
        }
        let in_dialog = request.to().is_ok_and(|to| to.tag().is_some());
        if request.method == Method::Options && !in_dialog && self.is_for_us(request) {
            let response = Response::to(request, StatusCode::OK).with_header("Allow", ALLOW);
            return self.respond(id, response.with_header("Accept", "application/sdp"));
        }
        let prepared = match proxy::prepare(request, |uri| self.is_own(uri)) {
            Ok(prepared) => prepared,
            Err(fault) => {
                let mut response = Response::to(request, fault.status).with_reason(fault.reason);
                if fault.status == StatusCode::BAD_EXTENSION {
                    response = response.with_header("Unsupported", proxy::unsupported(request).join(", "));
                }
                return self.respond(id, response);
            }
        };
        if in_dialog {
            return self.on_dialog_request(id, prepared, source, now);
        }
        match request.method {
            Method::Invite => self.on_invite(id, prepared, source, now),
            Method::Bye | Method::Info => {
                self.respond(id, Response::to(request, StatusCode::CALL_DOES_NOT_EXIST))
            }
            Method::Other(_) => self.respond(id, Response::to(request, StatusCode::NOT_IMPLEMENTED)),
            Method::Options => self.respond(id, Response::to(request, StatusCode::NOT_FOUND)),
            Method::Ack
            | Method::Cancel
            | Method::Register
            | Method::Update
            | Method::Prack
            | Method::Message
            | Method::Notify
            | Method::Subscribe
            | Method::Refer
            | Method::Publish => {
                let response = Response::to(request, StatusCode::METHOD_NOT_ALLOWED);
                self.respond(id, response.with_header("Allow", ALLOW));
            }
        }
    }

    /// Addressed to this element itself, not to a conference.
    fn is_for_us(&self, request: &Request) -> bool {
        let uri = request.uri.as_sip();
        uri.is_some_and(|uri| uri.user.is_none() && self.is_own(uri)) && !request.headers.has("Route")
    }

    fn on_invite(&mut self, id: ServerTransactionId, mut request: Request, source: Source, now: Now) {
        let user = request.uri.user().unwrap_or_default();
        let ours = request.uri.as_sip().is_some_and(|uri| self.is_own(uri));
        let conference = user.strip_prefix(CONFERENCE).filter(|id| ours && !id.is_empty()).map(str::to_owned);
        let recording_session = ours && conference.is_none() && siprec::asks_for_recording(&request);
        let Some(key) = Key::of_invite(&request).filter(|_| conference.is_some() || recording_session) else {
            return self.respond(id, Response::to(&request, StatusCode::NOT_FOUND));
        };
        if recording_session && !siprec::is_client(&self.config.recording_clients, source.remote.ip()) {
            tracing::warn!("a recording session of a client that is not named was refused");
            return self.respond(id, Response::to(&request, StatusCode::FORBIDDEN));
        }
        if self.sessions.contains(&key) {
            return self.respond(id, Response::to(&request, StatusCode::LOOP_DETECTED));
        }
        let interaction = match &conference {
            Some(conference) => self.interaction_of(conference, &request, now),
            // The client's session id is that of its own call: ours has its own.
            None => self.new_interaction(now),
        };
        let conference = conference.unwrap_or_else(|| {
            let session = interaction.to_session_id();
            if let Some(uri) = request.uri.as_sip_mut() {
                uri.user = Some(format!("{}{session}", siprec::RECORDING_SESSION));
            }
            session
        });
        let param = |name: &str| request.uri.param(name).unwrap_or_default().to_owned();
        let (place, tenant) = (param("place"), param("tenant"));
        let role = if recording_session { Role::RecordingSessions } else { Role::Calls };
        let attempt = Attempt { key: key.clone(), role, place, tried: Vec::new(), silent_until: None };
        let full = self.is_full(&conference, &tenant);
        let upstream = source.into();
        let beginning = Beginning { conference, interaction, tenant, upstream };
        self.sessions.begin(key.clone(), beginning, (now.instant, now.wall));
        let server = match full {
            Some(full) => Err(full),
            None => self.next_server(&attempt).ok_or(NoRoom::MediaServer),
        };
        let server = match server {
            Ok(server) => server,
            Err(why) => {
                tracing::warn!(%interaction, ?why, sessions = self.sessions.len(), "a session finds no room");
                self.end_session(&key, StatusCode::SERVICE_UNAVAILABLE.as_u16(), now);
                let response = Response::to(&request, StatusCode::SERVICE_UNAVAILABLE);
                let response = response.with_reason(why.as_str()).with_header("Retry-After", RETRY_AFTER);
                return self.respond(id, response);
            }
        };
        tracing::info!(%interaction, %server, "session");
        let branch = (self.client_ids)();
        let context = Context { request, branch, to: server, attempt: Some(attempt), forget_at: None };
        self.contexts.insert(id, context);
        self.forward_invite(id, server, now);
    }

    /// Whether one more conference is one too many; one that has begun gets all its legs.
    fn is_full(&self, conference: &str, tenant: &str) -> Option<NoRoom> {
        if self.sessions.has_begun(conference) {
            return None;
        }
        if self.sessions.len() >= self.config.max_sessions {
            return Some(NoRoom::Sessions);
        }
        let limit = self.config.tenant_sessions.get(tenant)?;
        (self.sessions.of_tenant(tenant) >= *limit).then_some(NoRoom::Tenant)
    }

    /// The conference id is the interaction's; other callers may say it in Session-ID (RFC 7989).
    fn interaction_of(&mut self, conference: &str, request: &Request, now: Now) -> InteractionId {
        let session_id = request.headers.get("Session-ID").and_then(|value| value.split(';').next());
        let named =
            [Some(conference), session_id].into_iter().flatten().find_map(|text| text.trim().parse().ok());
        named.unwrap_or_else(|| self.new_interaction(now))
    }

    pub(super) fn forward_invite(&mut self, id: ServerTransactionId, server: SocketAddr, now: Now) {
        let Some(context) = self.contexts.get_mut(&id) else { return };
        let Some(attempt) = &mut context.attempt else { return };
        attempt.tried.push(server);
        attempt.silent_until = Some(now.instant + self.config.try_limit());
        context.to = server;
        context.branch = (self.client_ids)();
        if let Some(before) = self.sessions.server(&attempt.key) {
            self.pool.release(before);
        }
        self.sessions.assign(&attempt.key, server);
        self.pool.take(server);
        let mut request = context.request.clone();
        if let Some(uri) = request.uri.as_sip_mut() {
            uri.host = server.into();
        }
        proxy::record_route(&mut request, SipUri::new(self.own.clone()));
        self.branches.insert(context.branch, id);
        self.out.push_back(Output::Sip(Command::Request(context.branch, request, Destination::udp(server))));
    }

    fn on_dialog_request(&mut self, id: ServerTransactionId, mut request: Request, source: Source, now: Now) {
        let Some(to) = self.way_of(&mut request, source, now) else {
            return self.respond(id, Response::to(&request, StatusCode::CALL_DOES_NOT_EXIST));
        };
        if request.method == Method::Bye
            && let Some((key, _)) = self.sessions.find(&request, now.instant)
        {
            self.end_session(&key, StatusCode::OK.as_u16(), now);
        }
        if self.pool.is_lost(to.addr) {
            return self.respond(id, Response::to(&request, StatusCode::REQUEST_TIMEOUT));
        }
        let branch = (self.client_ids)();
        self.branches.insert(branch, id);
        let mut forwarded = request.clone();
        if request.method == Method::Invite {
            proxy::record_route(&mut forwarded, SipUri::new(self.own.clone()));
        }
        self.contexts.insert(id, Context { request, branch, to: to.addr, attempt: None, forget_at: None });
        self.out.push_back(Output::Sip(Command::Request(branch, forwarded, to)));
    }

    /// Where a request of a dialog goes. Only between our media servers and those who called them: this is no relay for
    /// others. A session that began before our restart is known by its media server.
    fn way_of(&mut self, request: &mut Request, source: Source, now: Now) -> Option<Destination> {
        let hop = proxy::next_hop(request).ok()?;
        let direct = Destination::of_uri(&hop);
        let known = self.sessions.find(request, now.instant).map(|(_, session)| session.upstream);
        if direct.is_some_and(|to| self.pool.contains(to.addr)) {
            return direct;
        }
        match known {
            Some(upstream) => direct.or(Some(upstream)),
            None => direct.filter(|_| self.pool.contains(source.remote)),
        }
    }

    pub(super) fn on_ack(&mut self, request: &Request, source: Source, now: Now) {
        let Ok(mut request) = proxy::prepare(request, |uri| self.is_own(uri)) else {
            return;
        };
        if let Some(to) = self.way_of(&mut request, source, now) {
            self.out.push_back(Output::Sip(Command::Stateless(request, to)));
        }
    }

    /// The caller is told at once; the media server is cancelled, and should it have accepted, its leg is ended.
    pub(super) fn on_cancelled(&mut self, id: ServerTransactionId, now: Now) {
        let Some(context) = self.contexts.get(&id).filter(|context| context.forget_at.is_none()) else {
            return;
        };
        let response = Response::to(&context.request, StatusCode::REQUEST_TERMINATED);
        let key = context.attempt.as_ref().map(|attempt| attempt.key.clone());
        self.abandon(id, now);
        self.finish(id, response, now);
        if let Some(key) = key {
            self.end_session(&key, StatusCode::REQUEST_TERMINATED.as_u16(), now);
        }
    }
}
