//! The tokio transport over loopback sockets.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hindsight_sip::{
    Destination, Event, Limits, Method, Protocol, Response, SipConfig, SipHandle, SipMessage, SipStack,
    StatusCode,
};
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::net::request;

type Stack = (SipHandle, mpsc::Receiver<Event>);

async fn stack(change: impl FnOnce(&mut SipConfig)) -> Stack {
    let mut config = SipConfig::new("127.0.0.1:0".parse().unwrap());
    change(&mut config);
    SipStack::bind(config).await.unwrap()
}

async fn next(events: &mut mpsc::Receiver<Event>) -> Event {
    timeout(Duration::from_secs(10), events.recv()).await.expect("an event in time").expect("a running stack")
}

fn at(protocol: Protocol, handle: &SipHandle) -> Destination {
    Destination { protocol, addr: handle.local_addr() }
}

async fn answer_one(stack: &mut Stack) -> hindsight_sip::Source {
    match next(&mut stack.1).await {
        Event::Request { transaction, request, source } => {
            let ok = Response::to(&request, StatusCode::OK).with_to_tag("b");
            stack.0.respond(transaction, ok).await.unwrap();
            source
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_request_is_answered_over_udp_and_over_tcp() {
    let (mut a, mut b) = (stack(|_| {}).await, stack(|_| {}).await);
    for protocol in [Protocol::Udp, Protocol::Tcp, Protocol::Tcp] {
        let id = a.0.send_request(request(Method::Options), at(protocol, &b.0)).await.unwrap();
        let source = answer_one(&mut b).await;
        assert_eq!(source.protocol, protocol);
        match next(&mut a.1).await {
            Event::Response { transaction, response, .. } => {
                assert_eq!((transaction, response.status), (id, StatusCode::OK));
            }
            other => panic!("{other:?}"),
        }
    }
}

/// A certificate for `localhost`, and who trusts it.
fn certificate() -> (Arc<rustls::ServerConfig>, TlsConnector) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let server = rustls::ServerConfig::builder_with_provider(provider.clone());
    let server = server.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    let server = server.with_single_cert(vec![made.cert.der().clone()], key).unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let client = rustls::ClientConfig::builder_with_provider(provider);
    let client = client.with_safe_default_protocol_versions().unwrap();
    (Arc::new(server), Arc::new(client.with_root_certificates(roots).with_no_client_auth()).into())
}

#[tokio::test]
async fn by_tls_a_peer_is_answered_and_asked_over_the_connection_it_keeps_and_never_in_the_clear() {
    let (server, client) = certificate();
    let mut b = stack(|config| {
        config.tls = Some(("127.0.0.1:0".parse().unwrap(), server));
        config.message_timeout = Duration::from_secs(1);
    })
    .await;
    let listens = b.0.tls_addr().unwrap();
    // What is no TLS at all, and what says nothing, is closed.
    for first in ["OPTIONS sip:a@b SIP/2.0\r\n\r\n", ""] {
        let mut plain = TcpStream::connect(listens).await.unwrap();
        plain.write_all(first.as_bytes()).await.unwrap();
        assert!(!read_some(&mut plain).await.starts_with("SIP/2.0"));
    }
    let stream = TcpStream::connect(listens).await.unwrap();
    let own = stream.local_addr().unwrap();
    let mut peer = client.connect("localhost".try_into().unwrap(), stream).await.unwrap();
    let options = "OPTIONS sip:b@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/TLS 127.0.0.1:9;branch=z9hG4bKtls\r\n\
        From: <sip:a@127.0.0.1>;tag=a\r\nTo: <sip:b@127.0.0.1>\r\nCall-ID: tls\r\nCSeq: 1 OPTIONS\r\n\
        Max-Forwards: 70\r\nContent-Length: 0\r\n\r\n";
    peer.write_all(options.as_bytes()).await.unwrap();
    let source = answer_one(&mut b).await;
    assert_eq!((source.protocol, source.local, source.remote), (Protocol::Tls, listens, own));
    let mut buffer = [0; 4096];
    let count = peer.read(&mut buffer).await.unwrap();
    assert!(buffer[..count].starts_with(b"SIP/2.0 200"));
    // A request of ours finds the same connection, and names the port where TLS is spoken.
    b.0.send_request(request(Method::Options), source.into()).await.unwrap();
    let count = peer.read(&mut buffer).await.unwrap();
    let text = String::from_utf8_lossy(&buffer[..count]);
    assert!(text.contains(&format!("Via: SIP/2.0/TLS 127.0.0.1:{};", listens.port())), "{text}");
    // Over TCP that connection is not to be had, nor one by TLS once it is gone.
    b.0.send_request(request(Method::Info), Destination::tcp(own)).await.unwrap();
    assert!(matches!(next(&mut b.1).await, Event::TransportFailed { .. }));
    drop(peer);
    assert!(matches!(next(&mut b.1).await, Event::TransportFailed { .. }), "the OPTIONS was never answered");
    b.0.send_request(request(Method::Options), source.into()).await.unwrap();
    assert!(matches!(next(&mut b.1).await, Event::TransportFailed { .. }));
}

#[tokio::test]
async fn a_large_request_goes_by_tcp_or_by_udp_where_nobody_listens() {
    let (mut a, mut b) = (stack(|_| {}).await, stack(|_| {}).await);
    let large = || request(Method::Message).with_body("text/plain", vec![b'x'; 3000]);
    a.0.send_request(large(), at(Protocol::Udp, &b.0)).await.unwrap();
    assert_eq!(answer_one(&mut b).await.protocol, Protocol::Tcp);
    assert!(matches!(next(&mut a.1).await, Event::Response { .. }));

    let udp_only = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let to = Destination::udp(udp_only.local_addr().unwrap());
    a.0.send_request(large(), to).await.unwrap();
    let mut buffer = vec![0; 65536];
    let received = timeout(Duration::from_secs(10), udp_only.recv_from(&mut buffer)).await;
    let (count, _) = received.expect("the request comes by UDP").unwrap();
    assert!(count > 3000);
}

#[tokio::test]
async fn a_refused_connection_fails_the_request_at_once() {
    let mut a = stack(|_| {}).await;
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let id = a.0.send_request(request(Method::Options), Destination::tcp(closed)).await.unwrap();
    match next(&mut a.1).await {
        Event::TransportFailed { transaction, .. } => assert_eq!(transaction, id),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_connection_that_dies_fails_what_nobody_answered() {
    let mut a = stack(|_| {}).await;
    let peer = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let id =
        a.0.send_request(request(Method::Options), Destination::tcp(peer.local_addr().unwrap()))
            .await
            .unwrap();
    let (mut stream, _) = peer.accept().await.unwrap();
    let mut byte = [0];
    stream.read_exact(&mut byte).await.unwrap();
    drop(stream);
    match next(&mut a.1).await {
        Event::TransportFailed { transaction, .. } => assert_eq!(transaction, id),
        other => panic!("{other:?}"),
    }
}

async fn read_some(stream: &mut TcpStream) -> String {
    let mut buffer = vec![0; 65536];
    let count =
        timeout(Duration::from_secs(10), stream.read(&mut buffer)).await.expect("bytes in time").unwrap();
    String::from_utf8_lossy(&buffer[..count]).into_owned()
}

#[tokio::test]
async fn a_stream_is_answered_pinged_and_closed_when_it_cannot_be_followed() {
    let b = stack(|_| {}).await;
    let mut stream = TcpStream::connect(b.0.local_addr()).await.unwrap();
    stream.write_all(b"\r\n\r\n").await.unwrap();
    assert_eq!(read_some(&mut stream).await, "\r\n");
    let mut bad =
        request(Method::Options).with_header("Via", "SIP/2.0/TCP 127.0.0.1;branch=z9hG4bK1").to_bytes();
    let text = String::from_utf8(std::mem::take(&mut bad)).unwrap();
    stream.write_all(text.replace("Content-Length: 0", "Content-Length: zero").as_bytes()).await.unwrap();
    assert!(read_some(&mut stream).await.starts_with("SIP/2.0 400 Malformed Content-Length\r\n"));
    assert_eq!(read_some(&mut stream).await, "", "closed");
}

#[tokio::test]
async fn no_more_connections_than_configured_are_served() {
    let b = stack(|c| c.max_connections = 2).await;
    let mut streams = Vec::new();
    for _ in 0..3 {
        streams.push(TcpStream::connect(b.0.local_addr()).await.unwrap());
    }
    for stream in &mut streams {
        stream.write_all(b"\r\n\r\n").await.unwrap();
    }
    assert_eq!(read_some(&mut streams[0]).await, "\r\n");
    assert_eq!(read_some(&mut streams[1]).await, "\r\n");
    let mut third = [0];
    let silent = timeout(Duration::from_millis(200), streams[2].read(&mut third)).await;
    assert!(silent.is_err(), "the third waits in the kernel");
    drop(streams.remove(0));
    assert_eq!(read_some(streams.last_mut().unwrap()).await, "\r\n", "until there is room");
}

#[tokio::test]
async fn a_user_that_does_not_listen_stops_the_network_and_loses_nothing() {
    let mut b = stack(|c| c.queue = 4).await;
    let sender = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let to: SocketAddr = b.0.local_addr();
    const COUNT: usize = 200;
    for number in 0..COUNT {
        let mut options = request(Method::Options);
        options.headers.push_front("Via", format!("SIP/2.0/UDP 127.0.0.1;rport;branch=z9hG4bK{number}"));
        sender.send_to(&options.to_bytes(), to).await.unwrap();
    }
    let mut branches = std::collections::HashSet::new();
    for _ in 0..COUNT {
        match next(&mut b.1).await {
            Event::Request { request, .. } => {
                branches.insert(request.top_via().unwrap().branch().unwrap().to_owned());
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(branches.len(), COUNT);
}

#[tokio::test]
async fn answers_come_back_to_the_port_that_the_request_came_from() {
    let mut b = stack(|_| {}).await;
    let phone = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let mut options = request(Method::Options);
    options.headers.push_front("Via", "SIP/2.0/UDP 10.1.2.3:9;rport;branch=z9hG4bKnat");
    phone.send_to(&options.to_bytes(), b.0.local_addr()).await.unwrap();
    answer_one(&mut b).await;
    let mut buffer = vec![0; 65536];
    let (count, _) = timeout(Duration::from_secs(10), phone.recv_from(&mut buffer)).await.unwrap().unwrap();
    let text = String::from_utf8_lossy(&buffer[..count]);
    let port = phone.local_addr().unwrap().port();
    assert!(text.contains(&format!("rport={port}")) && text.contains("received=127.0.0.1"), "{text}");
}

#[tokio::test]
async fn the_last_words_of_either_side_are_heard() {
    let mut b = stack(|_| {}).await;
    let mut stream = TcpStream::connect(b.0.local_addr()).await.unwrap();
    let options = request(Method::Options).with_header("Via", "SIP/2.0/TCP 127.0.0.1;branch=z9hG4bK1");
    stream.write_all(&options.to_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    answer_one(&mut b).await;
    assert!(read_some(&mut stream).await.starts_with("SIP/2.0 200"), "after a half-close");

    let (a, mut c) = (stack(|_| {}).await, stack(|_| {}).await);
    a.0.send_request(request(Method::Options), at(Protocol::Tcp, &c.0)).await.unwrap();
    drop(a);
    answer_one(&mut c).await;
}

#[tokio::test]
async fn no_peer_is_told_an_unspecified_address() {
    let b = stack(|c| c.listen = "0.0.0.0:0".parse().unwrap()).await;
    let advertised = b.0.advertised();
    assert!(advertised.host.ip().is_some_and(|ip| !ip.is_unspecified()), "{advertised}");
    assert_eq!(advertised.port, Some(b.0.local_addr().port()));
}

fn limits(per_second: u32, burst: u32, connections: usize) -> Option<Limits> {
    Some(Limits { per_second, burst, connections, trusted: Vec::new() })
}

#[tokio::test]
async fn a_source_that_asks_for_too_much_is_answered_503_and_counted() {
    let mut b = stack(|c| c.limits = limits(0, 3, 9)).await;
    let mut a = stack(|_| {}).await;
    let to = at(Protocol::Udp, &b.0);
    for n in 0..5 {
        a.0.send_request(request(Method::Options), to).await.unwrap();
        if n < 3 {
            answer_one(&mut b).await;
        }
        let Event::Response { response, .. } = next(&mut a.1).await else { panic!("no response") };
        assert_eq!(response.status.as_u16(), if n < 3 { 200 } else { 503 }, "request {n}");
    }
    assert_eq!(b.0.turned().counts()[0], ("over-limit", 2));
    // Whoever proves to be somebody is served again.
    b.0.send(hindsight_sip::Command::Credit([127, 0, 0, 1].into(), 1)).await.unwrap();
    a.0.send_request(request(Method::Options), to).await.unwrap();
    answer_one(&mut b).await;
}

#[tokio::test]
async fn one_source_has_a_few_connections_and_a_message_has_its_time() {
    let b = stack(|c| {
        c.limits = limits(100, 100, 2);
        c.message_timeout = Duration::from_secs(1);
    })
    .await;
    let mut streams = Vec::new();
    for _ in 0..3 {
        streams.push(TcpStream::connect(b.0.local_addr()).await.unwrap());
    }
    assert_eq!(read_some(&mut streams[2]).await, "", "one too many: closed");
    // The first says nothing at all, the second one byte at a time.
    streams[1].write_all(b"OPTIONS ").await.unwrap();
    assert_eq!(read_some(&mut streams[0]).await, "");
    assert_eq!(read_some(&mut streams[1]).await, "");
    let counts = b.0.turned().counts();
    assert_eq!((counts[3], counts[4]), (("slow", 2), ("connections", 1)));
    // Whoever sends whole messages stays, also when each read ends in the middle of one.
    let mut busy = TcpStream::connect(b.0.local_addr()).await.unwrap();
    busy.write_all(b"\r\n\r\n\r").await.unwrap();
    for _ in 0..15 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        busy.write_all(b"\n\r\n\r").await.unwrap();
    }
    assert_eq!(&read_some(&mut busy).await[..2], "\r\n");
    assert_eq!(b.0.turned().counts()[3], ("slow", 2));
}
