//! One trunk: its address, the watch over it, our registration with it.

use super::{
    LOOK_AGAIN, LOOK_EVERY, Route, Way, address_at, answer_challenge,
    health::{Health, State},
    registration::Registration,
};
use crate::wires::Wires;
use hindsight_sip::{
    Destination, Host, HostPort, Ids, Method, NameAddr, Network, NewRequest, Protocol, Request, Response,
    SipMessage as _, SipUri, StatusCode, digest::Credentials,
};
use hindsight_wire::trunk::{Outside, Trunk, TrunkTransport};
use std::{
    net::{IpAddr, SocketAddr},
    time::Instant,
};

pub(super) struct Line {
    pub(super) trunk: Trunk,
    /// Where its requests go.
    pub(super) at: Option<SocketAddr>,
    /// All addresses that its name has.
    named: Vec<IpAddr>,
    /// Its name had none when it was looked up last.
    nameless: bool,
    pub(super) health: Health,
    /// Its host and port as they are written, with its transport.
    uri: SipUri,
    networks: Vec<Network>,
    /// When its name is looked up next; `None`: it is an address.
    look_at: Option<Instant>,
    registration: Option<Registration>,
}

impl Line {
    /// A trunk of which nothing is known yet; `None`: what the site configured cannot be read.
    pub(super) fn new(trunk: Trunk, ids: &mut Ids, now: Instant) -> Option<Self> {
        let uri = uri_of(&trunk);
        let Some(uri) = uri else {
            tracing::error!(trunk = trunk.name, "the address of a trunk cannot be read: no call goes by it");
            return None;
        };
        let at = uri.host.host.ip().map(|ip| SocketAddr::new(ip, uri.port_or_default()));
        let registration = (trunk.register && trunk.user.is_some())
            .then(|| Registration::new(ids.call_id(), ids.cseq(), now));
        let networks = trunk.from.iter().filter_map(|text| text.parse().ok()).collect();
        let (health, look_at) = (Health::new(trunk.options, now), at.is_none().then_some(now));
        let named = at.iter().map(SocketAddr::ip).collect();
        Some(Self { trunk, at, named, nameless: false, health, uri, networks, look_at, registration })
    }

    pub(super) fn destination(&self) -> Option<Destination> {
        let protocol = match self.trunk.transport {
            TrunkTransport::Udp => Protocol::Udp,
            TrunkTransport::Tcp => Protocol::Tcp,
        };
        self.at.map(|addr| Destination { protocol, addr })
    }

    /// Whether calls from this address are the trunk's.
    pub(super) fn is_from(&self, address: IpAddr) -> bool {
        if self.networks.is_empty() {
            return self.named.contains(&address.to_canonical());
        }
        self.networks.iter().any(|network| network.contains(address))
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        // Without an address there is nobody to ask.
        let registration = self.registration.as_ref().and_then(Registration::deadline);
        let asks = [self.health.deadline(), registration].map(|at| at.filter(|_| self.at.is_some()));
        asks.into_iter().chain([self.look_at]).flatten().min()
    }

    /// The name to look up now.
    pub(super) fn due_to_look(&mut self, now: Instant) -> Option<(String, u16)> {
        self.look_at.filter(|at| *at <= now)?;
        self.look_at = Some(now + if self.at.is_some() { LOOK_EVERY } else { LOOK_AGAIN });
        Some((self.uri.host.host.to_string(), self.uri.port_or_default()))
    }

    /// Of several addresses one is kept as long as the name has it; all of them while it cannot be looked up.
    pub(super) fn looked(&mut self, found: Result<Vec<SocketAddr>, String>, now: Instant) {
        let (found, reason) = match found {
            Ok(found) => (found, "it has no address that we can send to".to_owned()),
            Err(reason) => (Vec::new(), reason),
        };
        let Some(first) = found.first().copied() else {
            if !std::mem::replace(&mut self.nameless, true) {
                tracing::warn!(trunk = self.trunk.name, reason, "a trunk's name cannot be looked up");
            }
            return;
        };
        (self.named, self.nameless) = (found.iter().map(|at| at.ip().to_canonical()).collect(), false);
        if self.at.is_none_or(|at| !found.contains(&at)) {
            tracing::info!(trunk = self.trunk.name, "a trunk has an address");
            (self.at, self.look_at) = (Some(first), Some(now + LOOK_EVERY));
            self.health = Health::new(self.trunk.options, now);
        }
    }

    pub(super) fn is_due_to_ask(&mut self, now: Instant) -> bool {
        let before = self.health.state();
        let due = self.at.is_some() && self.health.on_time(now);
        self.tell(before);
        due
    }

    pub(super) fn answered(&mut self, status: u16, now: Instant) {
        let before = self.health.state();
        self.health.answered(status, now);
        self.tell(before);
        if (before, self.health.state()) == (State::Down, State::Up)
            && let Some(registration) = &mut self.registration
        {
            registration.again(now);
        }
    }

    /// Once for each change.
    fn tell(&self, before: State) {
        let state = self.health.state();
        if state == before {
            return;
        }
        let name = self.trunk.name.clone();
        match state {
            State::Down => tracing::warn!(trunk = name, "a trunk is down: no call goes by it"),
            State::Up | State::Unknown => tracing::info!(trunk = name, "a trunk is up"),
        }
        metrics::gauge!("hindsight_sip_trunk_up", "trunk" => name).set(f64::from(state == State::Up));
    }

    pub(super) fn options(&self, wires: &mut Wires) -> Option<Request> {
        let to = self.destination()?;
        let own = wires.contact(Some(to));
        let request = NewRequest {
            method: Method::Options,
            target: self.uri.clone().into(),
            from: own.clone(),
            from_tag: wires.ids.tag(),
            to: NameAddr::new(self.uri.clone()),
            call_id: wires.ids.call_id(),
            cseq: wires.ids.cseq(),
            contact: Some(own),
        };
        Some(request.build().with_header("Accept", crate::guard::SDP))
    }

    pub(super) fn due_to_register(&mut self, wires: &mut Wires, now: Instant) -> Option<Request> {
        let to = self.destination()?;
        let user = self.trunk.user.clone()?;
        let registration = self.registration.as_mut()?;
        let expires = registration.on_time(now)?;
        let own = NameAddr::new(address_at(&user, &self.uri));
        let mut contact = wires.contact(Some(to));
        if let Some(sip) = contact.uri.as_sip_mut() {
            *sip = address_at(&user, sip);
        }
        let request = NewRequest {
            method: Method::Register,
            target: self.uri.clone().into(),
            from: own.clone(),
            from_tag: wires.ids.tag(),
            to: own,
            call_id: registration.call_id.clone(),
            cseq: registration.cseq,
            contact: Some(contact),
        };
        Some(request.build().with_header("Expires", expires))
    }

    /// The final answer to a REGISTER; the one to send next, where it asks for our password.
    pub(super) fn registered(
        &mut self,
        request: &Request,
        response: Option<&Response>,
        wires: &mut Wires,
        now: Instant,
    ) -> Option<Request> {
        let credentials =
            Credentials { user: self.trunk.user.clone()?, password: self.trunk.password.clone()? };
        let registration = self.registration.as_mut()?;
        let before = registration.stands();
        let next = response.and_then(|response| answer_challenge(request, response, credentials, wires));
        match response {
            _ if next.is_some() => registration.cseq += 1,
            Some(response) if response.status.is_success() => {
                registration.accepted(granted(request, response), now);
            }
            Some(response) if response.status == StatusCode::INTERVAL_TOO_BRIEF => {
                let least = response.headers.get("Min-Expires").and_then(|text| text.trim().parse().ok());
                registration.too_brief(least, now);
            }
            Some(response) => registration.failed(matches!(response.status.as_u16(), 401 | 403 | 407), now),
            None => registration.failed(false, now),
        }
        let stands = registration.stands();
        if stands != before {
            let (name, status) = (self.trunk.name.clone(), response.map(|response| response.status.as_u16()));
            match stands {
                Some(true) => tracing::info!(trunk = name, "registered with a trunk"),
                Some(false) => tracing::warn!(trunk = name, status, "a trunk does not take our registration"),
                None => {}
            }
            metrics::gauge!("hindsight_sip_trunk_registered", "trunk" => name)
                .set(f64::from(stands == Some(true)));
        }
        next
    }

    /// The INVITE for a number outside, shown as a DN's number.
    pub(super) fn route(&self, number: &str, dn: &str, plan: &Outside, wires: &Wires) -> Option<Route> {
        let to = self.destination()?;
        let target = address_at(&self.trunk.write(number, plan), &self.uri);
        let shown = self.trunk.write(&self.trunk.shown(dn, plan), plan);
        // Where we have an account, we are somebody of the trunk's own.
        let host = match &self.trunk.user {
            Some(_) => SipUri::new(self.uri.host.clone()),
            None => SipUri::new(wires.contact(Some(to)).uri.as_sip()?.host.clone()),
        };
        let from = NameAddr::new(address_at(&shown, &host));
        let way = Way { trunk: self.trunk.name.clone(), to };
        Some(Route { way, target: target.into(), from })
    }
}

fn uri_of(trunk: &Trunk) -> Option<SipUri> {
    let (host, port) = trunk.host_and_port()?;
    let written = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    let uri = SipUri::new(HostPort { host: Host::parse(&written).ok()?, port });
    Some(match trunk.transport {
        TrunkTransport::Udp => uri,
        TrunkTransport::Tcp => uri.with_param("transport", Some("tcp")),
    })
}

/// Seconds for which our Contact is bound (RFC 3261 10.2.4).
fn granted(request: &Request, response: &Response) -> u32 {
    let own = request.contacts().unwrap_or_default().into_iter().next();
    let bound = response.contacts().unwrap_or_default().into_iter().find(|contact| {
        let own = own.as_ref().and_then(|own| own.uri.as_sip());
        contact.uri.as_sip().zip(own).is_some_and(|(contact, own)| contact.equivalent(own))
    });
    let said =
        bound.and_then(|contact| contact.params.get("expires").and_then(|text| text.trim().parse().ok()));
    said.or_else(|| response.expires()).or_else(|| request.expires()).unwrap_or(3600)
}
