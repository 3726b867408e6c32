//! A site on the simulated network: the real SIP server between scripted peers.

use crate::{
    net::{Net, receive},
    peer::Peer,
};
use hindsight_model::event::What;
use hindsight_sip::{
    Endpoint, EndpointConfig, Ids, Message, SipMessage,
    digest::{Algorithm, Ha1},
    parse_datagram,
};
use hindsight_sip_server::{
    Config,
    call::Now,
    kept::Key,
    state::{Output, Restored, SipServer},
};
use hindsight_wire::{
    InteractionId, Timestamp,
    agent::CallAction,
    component::{CallControl, Dn, RecordingAction, RecordingControl, VoiceConfig},
    policy::VoicePolicy,
};
use rand::{Rng, SeedableRng, rngs::StdRng};
use std::{
    collections::BTreeMap,
    net::SocketAddr,
    time::{Duration, Instant},
};

pub const A: usize = 0;
pub const B: usize = 1;
pub const MEDIA: usize = 2;
/// Not registered unless a test says so.
pub const C: usize = 3;

pub struct Site {
    pub net: Net,
    pub server: SipServer,
    pub endpoint: Endpoint,
    pub peers: Vec<Peer>,
    pub events: Vec<What>,
    /// When each of them was.
    pub times: Vec<Timestamp>,
    /// What outlives the server, as it is on disk.
    pub kept: BTreeMap<Key, String>,
    pub interaction: Option<InteractionId>,
    /// Of which call each of them is.
    pub whose: Vec<InteractionId>,
    pub results: Vec<(u64, Option<String>)>,
    /// Names of trunks to be looked up.
    pub looks: Vec<(String, String, u16)>,
    /// Answers to addresses that are nobody's: `<Call-ID> <status>`.
    pub answered: Vec<String>,
    pub address: SocketAddr,
    /// What it is configured with.
    pub config: VoiceConfig,
    deadline: Option<Instant>,
    began: Instant,
}

fn address(last: u8, port: u16) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, last], port))
}

pub fn voice_config(full_time: &[&str]) -> VoiceConfig {
    let dn = |number: &str| {
        let ha1 = |algorithm| {
            Ha1::of(algorithm, number, "hindsight", &format!("secret-{number}")).as_hex().to_owned()
        };
        Dn {
            number: number.to_owned(),
            ha1_md5: ha1(Algorithm::Md5),
            ha1_sha256: ha1(Algorithm::Sha256),
            record_voice: if full_time.contains(&number) {
                VoicePolicy::FullTime
            } else {
                VoicePolicy::OnDemand
            },
            record_screen: full_time.contains(&number),
        }
    };
    VoiceConfig {
        version: 1,
        realm: "hindsight".to_owned(),
        dns: ["1001", "1002", "1003"].map(dn).into(),
        ..VoiceConfig::default()
    }
}

impl Site {
    pub fn new(seed: u64, loss: f64, config: Config, full_time: &[&str]) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let (server_address, media) = (address(1, 5060), address(2, 5070));
        let config = Config { resource_manager: media, ..config };
        let endpoint = Endpoint::new(EndpointConfig::new(server_address), Ids::seeded(rng.random()));
        let ids = endpoint.client_ids();
        let net = Net::new(rng, loss);
        let mut server =
            SipServer::new(config, server_address.into(), Box::new(move || ids.next()), seed, net.now);
        server.on_config(voice_config(full_time), Now { instant: net.now, wall: Timestamp(0) });
        let peers = vec![
            Peer::new("1001", address(11, 5060), server_address, false, seed + 1),
            Peer::new("1002", address(12, 5060), server_address, false, seed + 2),
            Peer::new("media", media, server_address, true, seed + 3),
            Peer::new("1003", address(13, 5060), server_address, false, seed + 4),
        ];
        let began = net.now;
        Self {
            net,
            server,
            endpoint,
            peers,
            events: Vec::new(),
            times: Vec::new(),
            kept: BTreeMap::new(),
            interaction: None,
            whose: Vec::new(),
            results: Vec::new(),
            looks: Vec::new(),
            answered: Vec::new(),
            address: server_address,
            config: voice_config(full_time),
            deadline: None,
            began,
        }
    }

    /// With both phones registered.
    pub fn registered(seed: u64, loss: f64, full_time: &[&str]) -> Self {
        // Five losses in a row are too much for the usual patience during set-up.
        let config = Config { setup_seconds: 30, ..Config::default() };
        let mut site = Self::new(seed, loss, config, full_time);
        let now = site.net.now;
        site.peers[A].register(3600, now);
        site.peers[B].register(3600, now);
        site.until("both registered", 40, |site| site.server.registered() == 2);
        site
    }

    /// What it is to know from now on.
    pub fn configure(&mut self, change: impl FnOnce(&mut VoiceConfig)) {
        change(&mut self.config);
        let now = self.now();
        self.server.on_config(self.config.clone(), now);
    }

    /// With 1001 and 1002 in a call.
    pub fn in_call(seed: u64, loss: f64, full_time: &[&str]) -> Self {
        let mut site = Self::registered(seed, loss, full_time);
        let now = site.net.now;
        site.peers[A].call("1002", true, now);
        site.until("established", 60, |site| {
            site.saw("call-established") && site.peers[A].dialogs.len() == 1
        });
        site
    }

    /// The server is lost in this moment, and its next process takes up what was kept.
    pub fn restart(&mut self, seed: u64, full_time: &[&str]) -> Restored {
        // Connections end with their process.
        self.net.lines.clear();
        let mut rng = StdRng::seed_from_u64(seed);
        let media = self.peers[MEDIA].address;
        let config = Config { resource_manager: media, setup_seconds: 30, ..Config::default() };
        self.endpoint = Endpoint::new(EndpointConfig::new(self.address), Ids::seeded(rng.random()));
        let ids = self.endpoint.client_ids();
        let now = self.now();
        self.server =
            SipServer::new(config, self.address.into(), Box::new(move || ids.next()), seed, now.instant);
        let kept = self.kept.iter().map(|(key, kept)| (key.clone(), serde_json::from_str(kept).unwrap()));
        let restored = self.server.restore(kept.collect(), now);
        self.config.dns = voice_config(full_time).dns;
        self.server.on_config(self.config.clone(), now);
        restored
    }

    pub fn now(&self) -> Now {
        let since = self.net.now.duration_since(self.began);
        Now { instant: self.net.now, wall: Timestamp(1_800_000_000_000_000 + since.as_micros() as i64) }
    }

    pub fn saw(&self, kind: &str) -> bool {
        self.kinds().iter().any(|known| known == kind)
    }

    pub fn kinds(&self) -> Vec<String> {
        let kind = |what: &What| serde_json::to_value(what).unwrap()["type"].as_str().unwrap().to_owned();
        self.events.iter().map(kind).collect()
    }

    pub fn control(&mut self, request: u64, action: RecordingAction) {
        let interaction = self.interaction.unwrap();
        let control = RecordingControl { interaction, action, by: "ann".into(), reason: "card".into() };
        let now = self.now();
        self.server.on_control(request, control, now);
    }

    /// A desktop at a DN asks.
    pub fn desktop(&mut self, request: u64, dn: &str, action: CallAction) {
        let interaction = self.interaction.unwrap();
        let control = CallControl { interaction, dn: dn.to_owned(), action, to: None, by: "ann".into() };
        let now = self.now();
        self.server.on_call_control(request, control, now);
    }

    /// What a request of a desktop came to.
    pub fn result(&self, request: u64) -> Option<&Option<String>> {
        self.results.iter().find(|(known, _)| *known == request).map(|(_, error)| error)
    }

    /// Runs until `done`, at most `seconds` of simulated time.
    pub fn until(&mut self, what: &str, seconds: u64, done: impl Fn(&Self) -> bool) {
        let limit = self.net.now + Duration::from_secs(seconds);
        loop {
            self.settle();
            if done(self) {
                return;
            }
            let deadlines = self.peers.iter().filter_map(Peer::deadline);
            let next = deadlines
                .chain(self.deadline)
                .chain(self.server.deadline())
                .chain(self.net.next_arrival())
                .min();
            let next = next.unwrap_or(limit);
            assert!(
                next <= limit,
                "never {what}: {:?} {:?}",
                self.kinds(),
                self.peers.iter().map(|p| &p.log).collect::<Vec<_>>()
            );
            self.net.now = self.net.now.max(next);
        }
    }

    pub fn pass(&mut self, seconds: u64) {
        let end = self.net.now + Duration::from_secs(seconds);
        self.until("passed", seconds + 40, |site| site.net.now >= end);
    }

    /// Everything that is due now.
    fn settle(&mut self) {
        while let Some((to, from, protocol, bytes)) = self.net.arrived() {
            let now = self.net.now;
            if to == self.address {
                receive(&mut self.endpoint, (to, from), protocol, &bytes, now);
            } else if let Some(peer) = self.peers.iter_mut().find(|peer| peer.is_at(to)) {
                peer.receive(from, protocol, &bytes, now);
            } else if let Ok(Some(Message::Response(response))) = parse_datagram(&bytes) {
                self.answered.push(format!("{} {}", response.call_id().unwrap(), response.status));
            }
        }
        for peer in &mut self.peers {
            peer.run(&mut self.net);
        }
        let now = self.now();
        self.endpoint.handle_timeout(now.instant);
        self.server.on_time(now);
        loop {
            self.perform(now);
            let (events, deadline) = self.net.drain(&mut self.endpoint, self.address);
            self.deadline = deadline;
            if events.is_empty() {
                return;
            }
            for event in events {
                self.server.on_event(event, now);
            }
        }
    }

    fn perform(&mut self, now: Now) {
        while let Some(output) = self.server.poll() {
            match output {
                Output::Sip(command) => self.endpoint.apply(command, now.instant),
                Output::Keep(key, Some(kept)) => {
                    self.kept.insert(key, serde_json::to_string(&kept).unwrap());
                }
                Output::Keep(key, None) => drop(self.kept.remove(&key)),
                Output::Journal(event) => {
                    self.interaction = Some(event.interaction);
                    self.times.push(event.at);
                    self.whose.push(event.interaction);
                    self.events.push(event.what);
                }
                Output::Result { request, error } => self.results.push((request, error)),
                Output::Look { trunk, host, port } => self.looks.push((trunk, host, port)),
            }
        }
    }

    /// Nobody has anything left: no call in the server or kept, no dialog in any peer.
    pub fn all_quiet(&self) -> bool {
        let kept = self.kept.keys().any(|key| matches!(key, Key::Call(_)));
        !kept && self.server.calls() == 0 && self.peers.iter().all(|peer| peer.dialogs.is_empty())
    }
}
