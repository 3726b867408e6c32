//! What the calls share: names of transactions and dialogs, what was asked of whom, and the way out.

use crate::{call::Leg, guard, reconnect::Goodbyes, state::Output, trunks::Way};
use hindsight_sip::{
    ClientTransactionId, Command, Destination, DialogId, HostPort, Ids, NameAddr, Protocol, Request,
    ServerTransactionId, SipUri, capability::Capabilities,
};
use hindsight_wire::InteractionId;
use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    net::{IpAddr, SocketAddr},
};

/// Which address of ours a peer reaches; `None`: the advertised one.
pub type Reach = Box<dyn Fn(IpAddr) -> Option<IpAddr> + Send>;

/// What a request of ours was for.
#[derive(Clone, Debug)]
pub(crate) struct Outgoing {
    pub(crate) interaction: InteractionId,
    pub(crate) leg: Leg,
    pub(crate) kind: Kind,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Invite,
    Reinvite,
    Bye,
    /// BYE of a fork that came too late.
    Stray,
    /// NOTIFY that tells a phone to answer.
    Talk,
    /// INFO with a digit of the other phone's.
    Digit,
    /// NOTIFY of what became of a REFER.
    Referred,
    /// Serial of the order.
    Order(u32),
    Probe,
}

/// What calls share: names of transactions and dialogs, and the way out.
pub(crate) struct Wires {
    pub(crate) ids: Ids,
    pub(crate) resource_manager: SocketAddr,
    /// What the resource manager is told of every call.
    pub(crate) place: String,
    pub(crate) tenant: String,
    pub(crate) clients: HashMap<ClientTransactionId, Outgoing>,
    pub(crate) servers: HashMap<ServerTransactionId, (InteractionId, Leg)>,
    pub(crate) dialogs: HashMap<DialogId, (InteractionId, Leg)>,
    /// What peers are told of us.
    pub(crate) allow: Capabilities,
    pub(crate) domain: HostPort,
    pub(crate) reach: Reach,
    /// Where peers reach us by TLS.
    pub(crate) tls_port: Option<u16>,
    /// BYEs to phones.
    pub(crate) goodbyes: Goodbyes,
    /// The legs of calls that go by trunks.
    pub(crate) trunk_legs: HashMap<InteractionId, BTreeMap<Leg, Way>>,
    /// Requests to trunks that may ask for a password, and where they went.
    pub(crate) to_trunks: HashMap<ClientTransactionId, (Request, Destination)>,
    /// Trunks that left a call without an answer.
    pub(crate) suspects: Vec<String>,
    /// Requests that could not be sent at all, to be told after what is under way.
    pub(crate) unsendable: VecDeque<ClientTransactionId>,
    pub(crate) out: VecDeque<Output>,
    client_ids: Box<dyn Fn() -> ClientTransactionId + Send>,
}

impl Wires {
    /// Nothing under way.
    pub(crate) fn new(
        ids: Ids,
        resource_manager: SocketAddr,
        domain: HostPort,
        client_ids: Box<dyn Fn() -> ClientTransactionId + Send>,
    ) -> Self {
        Self {
            ids,
            resource_manager,
            place: String::new(),
            tenant: String::new(),
            clients: HashMap::new(),
            servers: HashMap::new(),
            dialogs: HashMap::new(),
            domain,
            allow: guard::capabilities(),
            client_ids,
            reach: Box::new(|_| None),
            tls_port: None,
            goodbyes: Goodbyes::default(),
            trunk_legs: HashMap::new(),
            to_trunks: HashMap::new(),
            suspects: Vec::new(),
            unsendable: VecDeque::new(),
            out: VecDeque::new(),
        }
    }

    pub(crate) fn push(&mut self, output: Output) {
        self.out.push_back(output);
    }

    pub(crate) fn next_client(&self) -> ClientTransactionId {
        (self.client_ids)()
    }

    /// Sends a request of a leg; without an address it fails as if the transport had.
    pub(crate) fn send(
        &mut self,
        id: ClientTransactionId,
        outgoing: Outgoing,
        request: Request,
        to: Option<Destination>,
    ) {
        if let Some(to) = to
            && self.trunk_of(outgoing.interaction, outgoing.leg).is_some()
        {
            self.to_trunks.insert(id, (request.clone(), to));
        }
        self.clients.insert(id, outgoing);
        match to {
            Some(to) => self.push(Output::Sip(Command::Request(id, request, to))),
            None => self.unsendable.push_back(id),
        }
    }

    /// The trunk that a leg goes by.
    pub(crate) fn trunk_of(&self, interaction: InteractionId, leg: Leg) -> Option<&Way> {
        self.trunk_legs.get(&interaction)?.get(&leg)
    }

    /// A leg goes by this trunk from now on.
    pub(crate) fn goes_by(&mut self, interaction: InteractionId, leg: Leg, way: Way) {
        self.trunk_legs.entry(interaction).or_default().insert(leg, way);
    }

    /// Our address for the far end of a dialog, as it can be reached from there.
    pub(crate) fn contact(&self, peer: Option<Destination>) -> NameAddr {
        let reached = peer.and_then(|peer| (self.reach)(peer.addr.ip()));
        let host = match reached {
            Some(ip) => HostPort { host: ip.into(), port: self.domain.port },
            None => self.domain.clone(),
        };
        NameAddr::new(match peer.map(|peer| peer.protocol) {
            Some(Protocol::Tls) => {
                SipUri::new(HostPort { port: self.tls_port, ..host }).with_param("transport", Some("tls"))
            }
            Some(Protocol::Tcp) => SipUri::new(host).with_param("transport", Some("tcp")),
            Some(Protocol::Udp) | None => SipUri::new(host),
        })
    }

    /// A number as an address of this site.
    pub(crate) fn address_of(&self, number: &str) -> NameAddr {
        NameAddr::new(SipUri::with_user(number, self.domain.clone()))
    }
}
