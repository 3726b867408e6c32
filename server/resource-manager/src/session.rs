//! Sessions, conferences and the records of them.

use hindsight_model::{
    Event as DomainEvent,
    event::{SessionRecord, What},
};
use hindsight_sip::{Destination, Request, SipMessage};
use hindsight_wire::{InteractionId, Timestamp};
use std::{collections::HashMap, net::SocketAddr, time::Instant};

/// Call-ID and the tag of who sent the INVITE.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    call_id: String,
    tag: String,
}

impl Key {
    /// The session that an INVITE outside of a dialog begins.
    pub fn of_invite(request: &Request) -> Option<Self> {
        let tag = request.from().ok()?.tag().unwrap_or_default().to_owned();
        Some(Self { call_id: request.call_id().ok()?.to_owned(), tag })
    }

    fn of_dialog(request: &Request) -> [Option<Self>; 2] {
        let call_id = request.call_id().unwrap_or_default();
        let tag = |address: Option<hindsight_sip::NameAddr>| {
            let tag = address?.tag()?.to_owned();
            Some(Self { call_id: call_id.to_owned(), tag })
        };
        [tag(request.from().ok()), tag(request.to().ok())]
    }
}

/// One session: one leg of a conference.
#[derive(Debug)]
pub struct Session {
    conference: String,
    interaction: InteractionId,
    tenant: String,
    server: Option<SocketAddr>,
    /// Where its INVITE came from.
    pub upstream: Destination,
    started_at: Timestamp,
    answered_at: Option<Timestamp>,
    last_heard: Instant,
    status: u16,
}

/// The media server of a conference, for as long as any of its legs lives.
#[derive(Debug)]
struct Pin {
    server: SocketAddr,
    legs: u32,
}

/// All sessions, and which conference is where.
#[derive(Default)]
pub struct Sessions {
    sessions: HashMap<Key, Session>,
    pins: HashMap<String, Pin>,
    /// How many sessions each tenant has.
    tenants: HashMap<String, usize>,
}

/// What an INVITE begins.
#[derive(Clone, Debug)]
pub struct Beginning {
    /// Its conference.
    pub conference: String,
    /// The interaction that it belongs to.
    pub interaction: InteractionId,
    /// Whose; empty: nobody's in particular.
    pub tenant: String,
    /// Where the INVITE came from.
    pub upstream: Destination,
}

impl Sessions {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.sessions.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }

    /// An INVITE came.
    pub fn begin(&mut self, key: Key, beginning: Beginning, (instant, wall): (Instant, Timestamp)) {
        let Beginning { conference, interaction, tenant, upstream } = beginning;
        *self.tenants.entry(tenant.clone()).or_default() += 1;
        let session = Session {
            conference,
            interaction,
            tenant,
            server: None,
            upstream,
            started_at: wall,
            answered_at: None,
            last_heard: instant,
            status: 0,
        };
        self.sessions.insert(key, session);
    }

    /// How many a tenant has.
    pub fn of_tenant(&self, tenant: &str) -> usize {
        self.tenants.get(tenant).copied().unwrap_or(0)
    }

    /// Whether a conference has a media server already.
    pub fn has_begun(&self, conference: &str) -> bool {
        self.pins.contains_key(conference)
    }

    /// Whether an INVITE of this session is being served.
    pub fn contains(&self, key: &Key) -> bool {
        self.sessions.contains_key(key)
    }

    /// The media server that this session has to use because other legs of its conference are there.
    pub fn pinned(&self, key: &Key) -> Option<SocketAddr> {
        let session = self.sessions.get(key)?;
        let pin = self.pins.get(&session.conference)?;
        let alone = pin.legs == 1 && session.server == Some(pin.server);
        (!alone).then_some(pin.server)
    }

    /// Gives a session to a media server, and its conference with it.
    pub fn assign(&mut self, key: &Key, server: SocketAddr) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        if session.server.replace(server).is_some() {
            release(&mut self.pins, &session.conference);
        }
        let pin = self.pins.entry(session.conference.clone()).or_insert(Pin { server, legs: 0 });
        pin.legs += 1;
    }

    /// The media server of a session.
    pub fn server(&self, key: &Key) -> Option<SocketAddr> {
        self.sessions.get(key)?.server
    }

    /// 2xx passed.
    pub fn answered(&mut self, key: &Key, status: u16, wall: Timestamp) {
        if let Some(session) = self.sessions.get_mut(key) {
            session.answered_at.get_or_insert(wall);
            session.status = status;
        }
    }

    /// The session that a request in a dialog belongs to, whichever side sent it.
    pub fn find(&mut self, request: &Request, now: Instant) -> Option<(Key, &Session)> {
        let key =
            Key::of_dialog(request).into_iter().flatten().find(|key| self.sessions.contains_key(key))?;
        let conference = self.sessions.get(&key)?.conference.clone();
        let session = self.sessions.get_mut(&key)?;
        session.last_heard = now;
        debug_assert!(session.server.is_none() || self.pins.contains_key(&conference));
        Some((key, session))
    }

    /// The end: its record, and the media server that is free of it. `status`: of the INVITE, where it was not answered.
    pub fn end(
        &mut self,
        key: &Key,
        status: u16,
        wall: Timestamp,
    ) -> Option<(DomainEvent, Option<SocketAddr>)> {
        let session = self.sessions.remove(key)?;
        if let Some(count) = self.tenants.get_mut(&session.tenant) {
            *count -= 1;
            if *count == 0 {
                self.tenants.remove(&session.tenant);
            }
        }
        if session.server.is_some() {
            release(&mut self.pins, &session.conference);
        }
        let record = SessionRecord {
            call_id: key.call_id.clone(),
            media_server: session.server.map(|server| server.to_string()),
            tenant: session.tenant,
            started_at: session.started_at,
            answered_at: session.answered_at,
            ended_at: wall,
            status: if session.answered_at.is_some() { session.status } else { status },
        };
        let event =
            DomainEvent { interaction: session.interaction, at: wall, what: What::SessionEnded(record) };
        Some((event, session.server))
    }

    /// All of them.
    pub fn keys(&self) -> Vec<Key> {
        self.sessions.keys().cloned().collect()
    }

    /// Sessions on a media server.
    pub fn on(&self, server: SocketAddr) -> Vec<Key> {
        let there = self.sessions.iter().filter(|(_, session)| session.server == Some(server));
        there.map(|(key, _)| key.clone()).collect()
    }

    /// Where the sessions on a media server came from, each once.
    pub fn upstreams(&self, server: SocketAddr) -> Vec<Destination> {
        let mut upstreams = Vec::new();
        for session in self.sessions.values().filter(|session| session.server == Some(server)) {
            if !upstreams.contains(&session.upstream) {
                upstreams.push(session.upstream);
            }
        }
        upstreams
    }

    /// Sessions of which nothing was heard since `instant`, nor of any other leg of their conference.
    pub fn silent_since(&self, instant: Instant) -> Vec<Key> {
        let mut heard: HashMap<&str, Instant> = HashMap::new();
        for session in self.sessions.values() {
            let last = heard.entry(&session.conference).or_insert(session.last_heard);
            *last = (*last).max(session.last_heard);
        }
        let silent =
            |session: &Session| heard.get(session.conference.as_str()).is_some_and(|last| *last < instant);
        self.sessions.iter().filter(|(_, session)| silent(session)).map(|(key, _)| key.clone()).collect()
    }
}

fn release(pins: &mut HashMap<String, Pin>, conference: &str) {
    if let Some(pin) = pins.get_mut(conference) {
        pin.legs -= 1;
        if pin.legs == 0 {
            pins.remove(conference);
        }
    }
}
