//! Which trunk a call goes by, and what is known of trunks, in simulated time.

use super::*;
use hindsight_sip::{Endpoint, EndpointConfig, HostPort, Ids, Method, Protocol};
use hindsight_wire::trunk::TrunkTransport;
use rand::{SeedableRng, rngs::StdRng};
use std::collections::BTreeMap;

struct Bench {
    trunks: Trunks,
    wires: Wires,
    now: Instant,
    rng: StdRng,
}

fn trunk(name: &str, address: &str, priority: u16, weight: u16) -> Trunk {
    let text = format!(
        r#"{{"name":"{name}","address":"{address}","priority":{priority},"weight":{weight},"options":true}}"#
    );
    serde_json::from_str(&text).unwrap()
}

impl Bench {
    fn new(trunks: Vec<Trunk>) -> Self {
        let own: SocketAddr = "192.0.2.1:5060".parse().unwrap();
        let ids = Endpoint::new(EndpointConfig::new(own), Ids::seeded(1)).client_ids();
        let next = Box::new(move || ids.next());
        let wires = Wires::new(Ids::seeded(2), "192.0.2.2:5070".parse().unwrap(), HostPort::from(own), next);
        let mut bench =
            Self { trunks: Trunks::default(), wires, now: Instant::now(), rng: StdRng::seed_from_u64(3) };
        let config = VoiceConfig { trunks, outside: Some(Outside::default()), ..VoiceConfig::default() };
        bench.trunks.configure(&config, &mut bench.wires, bench.now);
        bench
    }

    /// The order in which a call would try them.
    fn order(&mut self) -> Vec<String> {
        let routes = self.trunks.routes("+49301", "1001", None, &self.wires, &mut self.rng);
        routes.into_iter().map(|route| route.way.trunk).collect()
    }

    /// Runs for so many seconds; `answers`: the status of each trunk by its last octet, 0: silence.
    fn run(&mut self, seconds: u64, answers: impl Fn(u8) -> u16) -> BTreeMap<u8, u32> {
        let mut asked = BTreeMap::new();
        let end = self.now + Duration::from_secs(seconds);
        while self.now < end {
            self.trunks.on_time(&mut self.wires, self.now);
            while let Some(output) = self.wires.out.pop_front() {
                let Output::Sip(Command::Request(id, request, to)) = output else { panic!("{output:?}") };
                assert_eq!(request.method, Method::Options);
                let std::net::IpAddr::V4(ip) = to.addr.ip() else { panic!("{to}") };
                *asked.entry(ip.octets()[3]).or_default() += 1;
                let status = answers(ip.octets()[3]);
                if status > 0 {
                    let response = Response::to(&request, StatusCode::new(status).unwrap());
                    let source = Source { protocol: Protocol::Udp, local: to.addr, remote: to.addr };
                    let event = Event::Response { transaction: id, response, source };
                    assert!(self.trunks.outcome(id, &event, &mut self.wires, self.now));
                }
            }
            let next = self.trunks.deadline().unwrap_or(end);
            assert!(next > self.now, "nothing is due twice");
            self.now = next.min(end);
        }
        asked
    }
}

#[test]
fn the_best_priority_comes_first_and_equals_share_by_weight() {
    let mut bench = Bench::new(vec![
        trunk("spare", "192.0.2.13", 2, 9),
        trunk("three", "192.0.2.11", 1, 3),
        trunk("one", "192.0.2.12", 1, 1),
        trunk("never", "192.0.2.14", 1, 0),
    ]);
    let mut first: BTreeMap<String, u32> = BTreeMap::new();
    for _ in 0..10_000 {
        let order = bench.order();
        assert_eq!((order.len(), order[3].as_str()), (4, "spare"), "{order:?}");
        *first.entry(order[0].clone()).or_default() += 1;
    }
    assert_eq!(first.get("never"), None);
    assert!((7300..7700).contains(&first["three"]), "{first:?}");
}

#[test]
fn a_trunk_that_is_down_is_skipped_and_one_that_is_back_is_not() {
    let mut bench = Bench::new(vec![trunk("a", "192.0.2.11", 1, 1), trunk("b", "192.0.2.12", 2, 1)]);
    assert_eq!(bench.order(), ["a", "b"], "before anything is known");
    assert_eq!(bench.run(60, |_| 200), BTreeMap::from([(11, 2), (12, 2)]));
    assert_eq!(bench.trunks.state("a"), Some(State::Up));
    bench.run(35, |last| if last == 11 { 0 } else { 405 });
    assert_eq!((bench.order(), bench.trunks.state("a")), (vec!["b".to_owned()], Some(State::Down)));
    assert_eq!(bench.run(60, |last| if last == 11 { 0 } else { 405 }), BTreeMap::from([(11, 12), (12, 2)]));
    bench.run(6, |_| 200);
    assert_eq!(bench.order(), ["a", "b"]);
}

#[test]
fn a_change_of_the_site_keeps_what_is_known_of_trunks_that_stay() {
    let mut bench = Bench::new(vec![trunk("a", "192.0.2.11", 1, 1), trunk("b", "192.0.2.12", 2, 1)]);
    bench.run(10, |last| if last == 11 { 0 } else { 200 });
    let changed = vec![trunk("b", "192.0.2.15", 2, 1), trunk("a", "192.0.2.11", 1, 1)];
    let config = VoiceConfig { trunks: changed, ..VoiceConfig::default() };
    bench.trunks.configure(&config, &mut bench.wires, bench.now);
    let states = ["a", "b", "c"].map(|name| bench.trunks.state(name));
    assert_eq!(states, [Some(State::Down), Some(State::Unknown), None]);
}

#[test]
fn a_call_is_its_trunks_by_address_and_network_and_of_two_at_one_address_by_port() {
    let from = |name: &str, address: &str, networks: &[&str]| Trunk {
        from: networks.iter().map(|text| (*text).to_owned()).collect(),
        ..trunk(name, address, 1, 1)
    };
    let bench = Bench::new(vec![
        from("a", "192.0.2.11:5060", &[]),
        from("b", "192.0.2.11:5070", &[]),
        from("c", "192.0.2.13", &["198.51.100.0/24"]),
        from("d", "[2001:db8::1]", &[]),
        from("e", "sbc.example", &[]),
    ]);
    for (remote, expected) in [
        ("192.0.2.11:5060", Some("a")),
        ("192.0.2.11:5070", Some("b")),
        ("192.0.2.11:40000", Some("a")),
        ("198.51.100.7:5060", Some("c")),
        ("192.0.2.13:5060", None),
        ("[2001:db8::1]:5060", Some("d")),
        ("192.0.2.99:5060", None),
    ] {
        let remote = remote.parse().unwrap();
        let source = Source { protocol: Protocol::Udp, local: "192.0.2.1:5060".parse().unwrap(), remote };
        let found = bench.trunks.whose(source).map(|trunk| trunk.name.as_str());
        assert_eq!(found, expected, "{remote}");
    }
}

#[test]
fn a_trunk_by_tcp_is_called_by_tcp() {
    let by_tcp = Trunk { transport: TrunkTransport::Tcp, ..trunk("a", "192.0.2.11:5070", 1, 1) };
    let mut bench = Bench::new(vec![by_tcp]);
    let routes = bench.trunks.routes("+49301", "1001", None, &bench.wires, &mut bench.rng);
    assert_eq!(routes[0].way.to, Destination::tcp("192.0.2.11:5070".parse().unwrap()));
    assert_eq!(routes[0].target.to_string(), "sip:+49301@192.0.2.11:5070;transport=tcp");
}
