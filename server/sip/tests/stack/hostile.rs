//! Hostile input: nothing that comes from the network makes anything panic, hang or grow without bound.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use hindsight_sip::digest::{Algorithm, DigestServer, Ha1, Realm};
use hindsight_sip::message::{MAX_MESSAGE, StreamFramer, multipart};
use hindsight_sip::rfc4475::capabilities;
use hindsight_sip::{
    Dialog, Endpoint, EndpointConfig, Event, Ids, Message, Method, NameAddr, Output, Protocol, Received,
    Request, Response, SipMessage, Source, StatusCode, Uri, Via, parse_datagram, proxy, sdp,
};
use proptest::prelude::*;

/// Every message that a mutation can start from.
fn corpus() -> Vec<Vec<u8>> {
    let folder = Path::new("../../tests/vectors/rfc4475");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|f| f.unwrap().path()).collect();
    files.sort();
    files.retain(|f| f.extension().is_some_and(|e| e == "dat"));
    files.iter().map(|f| std::fs::read(f).unwrap()).collect()
}

#[derive(Debug, Clone)]
enum Mutation {
    Set(usize, u8),
    Remove(usize, usize),
    Insert(usize, Vec<u8>),
    Repeat(usize, usize, usize),
    Cut(usize),
}

const MORSELS: &[&str] = &[
    "\r\n",
    "\r\n\r\n",
    "\n",
    "\r",
    "\0",
    ";",
    ",",
    "<",
    ">",
    "\"",
    "\\",
    "%",
    "%00",
    "@",
    ":",
    "=",
    " ",
    "\t",
    "[",
    "]",
    "SIP/2.0",
    "Content-Length: 99999999999999999999\r\n",
    "Content-Length: 0\r\n",
    "l: -1\r\n",
    "Via: ",
    "CSeq: ",
    ";branch=z9hG4bK",
    ";rport",
    ";tag=",
    "sip:",
    "Route: <sip:a;lr>\r\n",
    "\u{fffd}",
    "\u{10ffff}",
    "--",
    "Digest ",
    "Contact: *\r\n",
    "multipart/mixed;boundary=",
    "4294967296",
    "18446744073709551616",
    "a=rtpmap:",
    "m=audio ",
];

fn mutation() -> impl Strategy<Value = Mutation> {
    let at = any::<prop::sample::Index>().prop_map(|i| i.index(4096));
    prop_oneof![
        (at.clone(), any::<u8>()).prop_map(|(a, b)| Mutation::Set(a, b)),
        (at.clone(), 1..64usize).prop_map(|(a, n)| Mutation::Remove(a, n)),
        (at.clone(), prop::sample::select(MORSELS))
            .prop_map(|(a, m)| Mutation::Insert(a, m.as_bytes().to_vec())),
        (at.clone(), prop::collection::vec(any::<u8>(), 1..16)).prop_map(|(a, m)| Mutation::Insert(a, m)),
        (at.clone(), 1..80usize, 1..40usize).prop_map(|(a, n, t)| Mutation::Repeat(a, n, t)),
        at.prop_map(Mutation::Cut),
    ]
}

fn mutate(mut bytes: Vec<u8>, mutations: &[Mutation]) -> Vec<u8> {
    for mutation in mutations {
        let len = bytes.len();
        if len == 0 {
            break;
        }
        match mutation {
            Mutation::Set(at, byte) => bytes[at % len] = *byte,
            Mutation::Remove(at, count) => {
                let at = at % len;
                bytes.drain(at..(at + count).min(len));
            }
            Mutation::Insert(at, morsel) => {
                let at = at % len;
                bytes.splice(at..at, morsel.iter().copied());
            }
            Mutation::Repeat(at, count, times) => {
                let at = at % len;
                let piece = bytes[at..(at + count).min(len)].repeat(*times);
                bytes.splice(at..at, piece);
            }
            Mutation::Cut(at) => bytes.truncate(at % len),
        }
    }
    bytes
}

fn local() -> SocketAddr {
    "192.0.2.250:5060".parse().unwrap()
}

/// Everything that the crate does with a message, one after the other.
fn swallow(bytes: &[u8]) {
    let parsed = parse_datagram(bytes);
    if let Ok(Some(message)) = &parsed {
        let again = parse_datagram(&message.to_bytes());
        assert_eq!(again.as_ref().ok().and_then(Option::as_ref), Some(message), "written and read again");
    }
    match parsed {
        Ok(Some(Message::Request(request))) => swallow_request(&request),
        Ok(Some(Message::Response(response))) => {
            let _ = (response.record_routes(), response.parts());
            let _ = proxy::strip_via(&mut response.clone());
        }
        Ok(None) => {}
        Err(rejection) => drop(rejection.response.map(|r| r.with_to_tag("t").to_bytes())),
    }
    swallow_as_datagram(bytes);
    swallow_as_stream(bytes);
}

/// What was understood of a description is written so that it is understood again.
fn swallow_description(body: &[u8]) {
    let _ = sdp::StreamsOffer::parse(body);
    if let Ok(description) = sdp::Description::parse(body) {
        let written = sdp::Writer::new(1).write(&description.audio, description.shape());
        let again = sdp::Description::parse(&written).unwrap();
        assert_eq!(again.audio.formats.len(), description.audio.formats.len());
    }
}

fn swallow_request(request: &Request) {
    let _ = (request.routes(), request.expires(), request.uri.user());
    for part in request.parts() {
        swallow_description(&part.body);
    }
    drop(capabilities().refuse(request));
    if let Ok(mut forwarded) = proxy::prepare(request, |uri| uri.host.to_string().contains('e')) {
        let _ = proxy::next_hop(&mut forwarded);
        drop(forwarded.to_bytes());
    }
    let now = Instant::now();
    let mut digest = DigestServer::new("pbx", Realm::Server, [1; 32], now);
    let lookup = |user: &str, algorithm| Some(Ha1::of(algorithm, user, "pbx", "x"));
    drop(digest.verify(request, lookup, now));
    drop(digest.challenge(request, true, &[Algorithm::Md5], now));
    let contact = NameAddr::new(Uri::parse("sip:b@192.0.2.2").unwrap());
    if let Ok(mut dialog) = Dialog::uas(request, "t", contact, 1) {
        let _ = dialog.receive(request);
        dialog.refresh_target(request);
        drop(dialog.request(Method::Bye).to_bytes());
        drop(dialog.response(request, StatusCode::OK).to_bytes());
    }
}

/// Messages of a call and commands of a user in any order, late, doubled, out of place.
fn any_order(steps: &[(u8, u8, u64)]) {
    let mut endpoint = Endpoint::new(EndpointConfig::new(local()), Ids::seeded(7));
    let source =
        Source { protocol: Protocol::Udp, local: local(), remote: "192.0.2.7:4000".parse().unwrap() };
    let to = hindsight_sip::Destination::udp(source.remote);
    let mut now = Instant::now();
    let (mut servers, mut clients, mut sent) = (Vec::new(), Vec::new(), Vec::new());
    for (kind, which, wait) in steps {
        let which = usize::from(*which);
        let method =
            [Method::Invite, Method::Ack, Method::Cancel, Method::Bye, Method::Options][which % 5].clone();
        let status = StatusCode::new([100, 180, 183, 200, 202, 302, 404, 487, 503, 603][which % 10]).unwrap();
        match kind {
            0 | 1 => {
                let mut request = crate::net::request(method);
                request
                    .headers
                    .push_front("Via", format!("SIP/2.0/UDP 192.0.2.7;branch=z9hG4bK{}", which % 3));
                endpoint.handle_input(Received { source, bytes: &request.to_bytes() }, now);
            }
            2 | 3 => {
                if let Some((id, request)) = servers.get(which % servers.len().max(1)) {
                    let response = Response::to(request, status).with_to_tag("t");
                    match kind {
                        2 => endpoint.respond(*id, response, now),
                        _ => endpoint.accept(*id, response, now),
                    }
                }
            }
            4 if method != Method::Ack => {
                clients.push(endpoint.send_request(crate::net::request(method), to, now))
            }
            5 => {
                if let Some(id) = clients.get(which % clients.len().max(1)).copied() {
                    match which % 3 {
                        0 => endpoint.cancel(id, now),
                        1 => endpoint.transport_failed(id, "gone", now),
                        _ => endpoint.acknowledge(id, crate::net::request(Method::Ack), to),
                    }
                }
            }
            _ => {
                if let Some(Message::Request(request)) = sent.get(which % sent.len().max(1)) {
                    let bytes = Response::to(request, status).with_to_tag("u").to_bytes();
                    endpoint.handle_input(Received { source, bytes: &bytes }, now);
                }
            }
        }
        now += Duration::from_millis(*wait);
        endpoint.handle_timeout(now);
        loop {
            match endpoint.poll_output() {
                Output::Event(Event::Request { transaction, request, .. }) => {
                    servers.push((transaction, request))
                }
                Output::Transmit(transmit) => sent.extend(parse_datagram(&transmit.bytes).ok().flatten()),
                Output::Wait(_) => break,
                _ => {}
            }
        }
    }
    for (id, request) in &servers {
        endpoint.respond(*id, Response::to(request, StatusCode::BUSY_HERE), now);
    }
    for _ in 0..600 {
        now += Duration::from_secs(1);
        endpoint.handle_timeout(now);
        while !matches!(endpoint.poll_output(), Output::Wait(_)) {}
    }
    assert_eq!(endpoint.transactions(), 0, "everything comes to an end");
}

/// Through an endpoint whose user answers everything, with all its timers run down.
fn swallow_as_datagram(bytes: &[u8]) {
    let mut endpoint = Endpoint::new(EndpointConfig::new(local()), Ids::seeded(1));
    let start = Instant::now();
    for (protocol, pieces) in [(Protocol::Udp, bytes.len().max(1)), (Protocol::Tcp, 97)] {
        let source = Source { protocol, local: local(), remote: "192.0.2.7:4000".parse().unwrap() };
        for piece in bytes.chunks(pieces) {
            endpoint.handle_input(Received { source, bytes: piece }, start);
            drain(&mut endpoint, start);
        }
    }
    for second in 1..240 {
        let now = start + Duration::from_secs(second);
        endpoint.handle_timeout(now);
        drain(&mut endpoint, now);
    }
    assert_eq!(endpoint.transactions(), 0, "everything comes to an end");
}

fn drain(endpoint: &mut Endpoint, now: Instant) {
    for _ in 0..10_000 {
        match endpoint.poll_output() {
            Output::Event(Event::Request { transaction, request, .. }) => {
                let response = Response::to(&request, StatusCode::OK).with_to_tag("t");
                endpoint.accept(transaction, response, now);
            }
            Output::Wait(_) => return,
            _ => {}
        }
    }
    panic!("an endpoint that never rests");
}

fn swallow_as_stream(bytes: &[u8]) {
    let mut framer = StreamFramer::new();
    for piece in bytes.chunks(13) {
        framer.push(piece);
        for _ in 0..100 {
            match framer.next_frame() {
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => break,
            }
        }
    }
}

/// A second's worth; `PROPTEST_CASES` asks for more.
fn config() -> ProptestConfig {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|c| c.parse().ok()).unwrap_or(1500);
    ProptestConfig { cases, max_shrink_iters: 2000, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn mutated_messages_do_no_harm(
        which in any::<prop::sample::Index>(),
        mutations in prop::collection::vec(mutation(), 1..12),
    ) {
        let corpus = corpus();
        swallow(&mutate(corpus[which.index(corpus.len())].clone(), &mutations));
    }

    #[test]
    fn any_order_of_messages_answers_and_commands_comes_to_an_end(
        steps in prop::collection::vec((0..8u8, any::<u8>(), 0..3000u64), 1..60),
    ) {
        any_order(&steps);
    }

    #[test]
    fn arbitrary_bytes_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        swallow(&bytes);
    }

    #[test]
    fn arbitrary_text_in_every_reader_does_no_harm(text in "\\PC{0,60}") {
        let _ = (Uri::parse(&text), NameAddr::parse_list(&text), Via::parse(&text), multipart::parts(&text, b"--a"));
        swallow_description(text.as_bytes());
        if let Ok(uri) = Uri::parse(&text) {
            prop_assert_eq!(Uri::parse(&uri.to_string()), Ok(uri));
        }
        if let Ok(address) = NameAddr::parse(&text) {
            prop_assert_eq!(NameAddr::parse(&address.to_string()), Ok(address));
        }
    }
}

#[test]
fn the_longest_and_the_deepest_messages_are_refused_quickly() {
    let start = Instant::now();
    let head = "OPTIONS sip:h SIP/2.0\r\nVia: SIP/2.0/UDP a;branch=z9hG4bK1\r\nFrom: sip:a@h;tag=1\r\nTo: sip:b@h\r\n\
                Call-ID: x\r\nCSeq: 1 OPTIONS\r\n";
    let fill = |unit: &str| format!("{head}X: {}\r\n\r\n", unit.repeat((MAX_MESSAGE - 1000) / unit.len()));
    for unit in ["a", ",", "\"", "\\", "<", "\r\n ", "\r\nX: ", "\r\nVia: SIP/2.0/UDP a;branch=z9hG4bK1", "%"]
    {
        swallow(fill(unit).as_bytes());
    }
    for name in ["Contact", "Route", "Authorization", "Content-Type"] {
        swallow(fill("<sip:a@h>;p=\"x\",").replace("X: ", &format!("{name}: ")).as_bytes());
    }
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
}

#[test]
fn a_stream_that_drips_bytes_costs_linear_time() {
    let mut framer = StreamFramer::new();
    let start = Instant::now();
    for _ in 0..MAX_MESSAGE {
        framer.push(b"a");
        assert!(framer.next_frame().unwrap().is_none());
    }
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
}

#[test]
fn more_transactions_than_configured_are_refused_with_503() {
    let mut config = EndpointConfig::new(local());
    config.max_transactions = 3;
    let mut endpoint = Endpoint::new(config, Ids::seeded(1));
    let source =
        Source { protocol: Protocol::Udp, local: local(), remote: "192.0.2.7:4000".parse().unwrap() };
    let mut refused = 0;
    for number in 0..10 {
        let mut options = crate::net::request(Method::Options);
        options.headers.push_front("Via", format!("SIP/2.0/UDP 192.0.2.7;branch=z9hG4bK{number}"));
        endpoint.handle_input(Received { source, bytes: &options.to_bytes() }, Instant::now());
        loop {
            match endpoint.poll_output() {
                Output::Transmit(transmit) => {
                    refused += usize::from(transmit.bytes.starts_with(b"SIP/2.0 503"))
                }
                Output::Wait(_) => break,
                _ => {}
            }
        }
    }
    assert_eq!(refused, 7);
}
