//! RFC 4475: our own 49 messages, and the originals where they are at hand.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Instant;

use hindsight_sip::message::{Frame, StreamFramer};
use hindsight_sip::rfc4475::{Case, Outcome, cases, judge, refusal};
use hindsight_sip::{
    Endpoint, EndpointConfig, Event, Ids, Message, Method, Output, Protocol, Received, SipMessage, Source,
    Uri,
};

fn root() -> PathBuf {
    PathBuf::from("../..")
}

pub fn ours() -> PathBuf {
    root().join("tests/vectors/rfc4475")
}

pub fn table() -> Vec<Case> {
    cases(&ours().join("expectations.txt")).unwrap()
}

/// The folder of the originals; `None`, said loudly, where they are not at hand (they are never committed).
pub fn originals() -> Option<PathBuf> {
    let folder =
        std::env::var_os("HINDSIGHT_RFC4475").map_or_else(|| root().join("../shared/rfc4475"), PathBuf::from);
    if folder.join("wsinv.dat").exists() {
        return Some(folder);
    }
    eprintln!("SKIPPED: the original RFC 4475 messages are not in {}", folder.display());
    None
}

pub fn message(folder: &Path, name: &str) -> Vec<u8> {
    std::fs::read(folder.join(format!("{name}.dat"))).unwrap()
}

fn check_all(folder: &Path) {
    let table = table();
    assert_eq!(table.len(), 49);
    let mut wrong = Vec::new();
    for case in &table {
        let bytes = message(folder, &case.name);
        let (outcome, parsed) = judge(&bytes);
        if outcome != case.parser {
            wrong.push(format!("{}: parser {outcome:?}, expected {:?}", case.name, case.parser));
        }
        if let Some(Message::Request(request)) = &parsed {
            let uas = refusal(request);
            if uas != case.uas {
                wrong.push(format!("{}: user agent server {uas:?}, expected {:?}", case.name, case.uas));
            }
        }
        let through = through_endpoint(&bytes);
        let expected = match parsed {
            // A response to nothing that was asked goes nowhere.
            Some(Message::Response(_)) => Outcome::Dropped,
            _ => case.parser,
        };
        if through != expected {
            wrong.push(format!("{}: endpoint {through:?}, expected {expected:?}", case.name));
        }
        through_stream(&bytes);
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// What an endpoint does with the datagram: an event, an answer, or nothing.
fn through_endpoint(bytes: &[u8]) -> Outcome {
    let local: SocketAddr = "192.0.2.250:5060".parse().unwrap();
    let mut endpoint = Endpoint::new(EndpointConfig::new(local), Ids::seeded(4475));
    let source = Source { protocol: Protocol::Udp, local, remote: "192.0.2.77:40000".parse().unwrap() };
    endpoint.handle_input(Received { source, bytes }, Instant::now());
    let mut outcome = Outcome::Dropped;
    loop {
        match endpoint.poll_output() {
            Output::Event(Event::Request { .. }) => outcome = Outcome::Accepted,
            Output::Event(event) => panic!("{event:?}"),
            Output::Transmit(transmit) => {
                assert_eq!(
                    transmit.remote.ip(),
                    source.remote.ip(),
                    "answers go to the sender's address only"
                );
                let Ok(Some(Message::Response(response))) = hindsight_sip::parse_datagram(&transmit.bytes)
                else {
                    // Echoed as it came: what could not be read is still not readable.
                    let text = String::from_utf8_lossy(&transmit.bytes);
                    outcome = Outcome::Refused(text[8..11].parse().unwrap());
                    continue;
                };
                outcome = Outcome::Refused(response.status.as_u16());
            }
            Output::Heard(..) => panic!("nobody observes"),
            Output::Close(_) => panic!("a datagram closes nothing"),
            Output::Wait(_) => return outcome,
        }
    }
}

/// Over a stream: no panic, no endless loop, whatever is said about the length.
fn through_stream(bytes: &[u8]) {
    let mut framer = StreamFramer::new();
    for piece in bytes.chunks(7) {
        framer.push(piece);
        while let Ok(Some(_)) = framer.next_frame() {}
    }
}

fn accepted(folder: &Path, name: &str) -> Message {
    judge(&message(folder, name)).1.unwrap_or_else(|| panic!("{name} is understood"))
}

fn request(folder: &Path, name: &str) -> hindsight_sip::Request {
    match accepted(folder, name) {
        Message::Request(request) => request,
        Message::Response(_) => panic!("{name} is a request"),
    }
}

#[test]
fn every_message_of_ours_is_judged_as_the_table_says() {
    check_all(&ours());
}

#[test]
fn every_original_is_judged_as_the_table_says() {
    if let Some(folder) = originals() {
        check_all(&folder);
    }
}

#[test]
fn the_table_keeps_to_the_verdicts_of_the_rfc() {
    for case in table() {
        match case.verdict.as_str() {
            "valid" => assert_eq!(case.parser, Outcome::Accepted, "{}", case.name),
            "invalid" => assert_ne!(case.parser, Outcome::Accepted, "{}", case.name),
            "lenient" | "upper" => assert_ne!(case.parser, Outcome::Dropped, "{}", case.name),
            other => panic!("{other}"),
        }
    }
}

#[test]
fn our_messages_are_not_copies_of_the_originals() {
    let Some(folder) = originals() else { return };
    for case in table() {
        assert_ne!(message(&folder, &case.name), message(&ours(), &case.name), "{}", case.name);
    }
}

#[test]
fn what_is_accepted_is_understood_as_it_was_meant() {
    let ours = ours();
    let wsinv = request(&ours, "wsinv");
    assert_eq!(wsinv.from().unwrap().display.as_deref(), Some(r#"Ada "the first" \"#));
    assert_eq!((wsinv.to().unwrap().tag(), wsinv.from().unwrap().tag()), (Some("b7720x"), Some("k31hh")));
    assert_eq!(wsinv.vias().unwrap().len(), 3);
    assert_eq!(wsinv.vias().unwrap()[2].branch(), Some("z9hG4bKq72"));
    assert_eq!((wsinv.max_forwards(), wsinv.cseq().unwrap().number), (Ok(Some(41)), 12));
    assert_eq!(wsinv.headers.get("BrandNewHeader"), Some("first half second half"));
    assert_eq!(wsinv.contacts().unwrap()[0].params.get("q"), Some("0.5"));
    assert_eq!(wsinv.sdp().unwrap().len(), wsinv.body.len());

    let escaped = request(&ours, "esc01");
    assert_eq!(
        escaped.uri.as_sip().unwrap().host.to_string(),
        "pbx.example.net",
        "escapes never move the host"
    );
    assert_eq!(escaped.uri.user().as_deref(), Some("sips:bob@desk.example.com"));
    assert_eq!(request(&ours, "esc02").headers.all("Route").count(), 0, "R%6Fute is no Route");
    assert_eq!(request(&ours, "esc02").method, Method::Other("IN%46%4F".into()));
    assert_eq!(request(&ours, "escnull").contacts().unwrap()[1].uri.user().as_deref(), Some("\0\0\0"));
    assert_eq!(request(&ours, "semiuri").uri.user().as_deref(), Some("ada;dept=a@b"));
    assert_eq!(request(&ours, "longreq").vias().unwrap().len(), 34);
    assert_eq!(request(&ours, "dblreq").cseq().unwrap().method, Method::Register);
    assert_eq!(
        request(&ours, "badaspec").to().unwrap().uri,
        Uri::parse("sip:desk7@pbx.example.net").unwrap()
    );
    assert_eq!(request(&ours, "baddn").from().unwrap().display.as_deref(), Some("Lovelace, Ada"));

    let bare = request(&ours, "cparam01").contacts().unwrap().remove(0);
    assert!(bare.params.has("mysterious") && bare.uri.param("mysterious").is_none());
    let angled = request(&ours, "cparam02").contacts().unwrap().remove(0);
    assert!(!angled.params.has("mysterious") && angled.uri.as_sip().unwrap().params.has("mysterious"));

    let parts = request(&ours, "mpart01").parts();
    assert_eq!((parts.len(), parts[0].body.as_slice()), (2, &b"Good morning"[..]));
    assert!(
        parts[1].body.ends_with(b"--notthisone\r\n") && parts[1].body.len() > 256,
        "binary parts stay whole"
    );
    match accepted(&ours, "unreason") {
        Message::Response(response) => assert!(response.reason.contains("άριστα — 成功")),
        Message::Request(_) => panic!("a response"),
    }
}

#[test]
fn every_accepted_message_survives_being_written_and_read_again() {
    for folder in [Some(ours()), originals()].into_iter().flatten() {
        for case in table() {
            let Some(message) = judge(&message(&folder, &case.name)).1 else { continue };
            assert_eq!(judge(&message.to_bytes()).1.as_ref(), Some(&message), "{}", case.name);
        }
    }
}

#[test]
fn a_stream_with_two_messages_in_one_piece_yields_both() {
    let mut framer = StreamFramer::new();
    framer.push(&message(&ours(), "dblreq"));
    let methods: Vec<_> = std::iter::from_fn(|| framer.next_frame().unwrap())
        .map(|frame| match frame {
            Frame::Message(Message::Request(request)) => request.method,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(methods, [Method::Register, Method::Invite]);
}
