//! The 49 messages of RFC 4475 through real sockets, to a running user agent server.

use std::time::Duration;

use hindsight_sip::rfc4475::{capabilities, is_answer, reply_port};
use hindsight_sip::{Event, Response, SipConfig, SipHandle, SipStack, StatusCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::torture::{message, originals, ours, table};

/// Where the answers to a Via without a port go: an address that no other test listens on.
const CLIENT: &str = "127.0.0.175";

async fn answer_all(sip: SipHandle, mut events: mpsc::Receiver<Event>) {
    while let Some(event) = events.recv().await {
        let Event::Request { transaction, request, .. } = event else { continue };
        let response =
            capabilities().refuse(&request).unwrap_or_else(|| Response::to(&request, StatusCode::OK));
        sip.respond(transaction, response).await.unwrap();
    }
}

async fn serve() -> (SipHandle, std::net::SocketAddr) {
    let (sip, events) = SipStack::bind(SipConfig::new("127.0.0.1:0".parse().unwrap())).await.unwrap();
    tokio::spawn(answer_all(sip.clone(), events));
    let address = sip.local_addr();
    (sip, address)
}

/// The status of the final answer; `None`: silence, known by the answer to a request sent afterwards.
async fn final_status(server: std::net::SocketAddr, bytes: &[u8]) -> Option<u16> {
    let socket = UdpSocket::bind((CLIENT, reply_port(bytes))).await.unwrap();
    socket.send_to(bytes, server).await.unwrap();
    let probe = format!(
        "OPTIONS sip:probe SIP/2.0\r\nVia: SIP/2.0/UDP {CLIENT};rport;branch=z9hG4bKprobe{}\r\nFrom: <sip:p@h>;tag=1\r\n\
         To: <sip:probe@h>\r\nCall-ID: probe\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n",
        rand::random::<u64>()
    );
    socket.send_to(probe.as_bytes(), server).await.unwrap();
    let mut status = None;
    let mut buffer = vec![0; 65536];
    loop {
        let (count, _) =
            timeout(Duration::from_secs(10), socket.recv_from(&mut buffer)).await.expect("alive").unwrap();
        let text = String::from_utf8_lossy(&buffer[..count]);
        if text.contains("z9hG4bKprobe") {
            return status;
        }
        if is_answer(bytes, &buffer[..count]) {
            status = text[8..11].parse().ok().filter(|s| *s >= 200).or(status);
        }
    }
}

#[tokio::test]
async fn every_torture_message_gets_the_answer_of_the_table_over_udp() {
    let (_sip, server) = serve().await;
    for folder in [Some(ours()), originals()].into_iter().flatten() {
        for case in table() {
            let status = final_status(server, &message(&folder, &case.name)).await;
            assert!(case.live.allows(status), "{}: {status:?}, expected {:?}", case.name, case.live);
        }
    }
}

#[tokio::test]
async fn every_torture_message_leaves_the_server_alive_over_tcp() {
    let (_sip, server) = serve().await;
    let mut peers = tokio::task::JoinSet::new();
    for folder in [Some(ours()), originals()].into_iter().flatten() {
        for case in table() {
            let bytes = message(&folder, &case.name);
            peers.spawn(async move {
                let mut stream = TcpStream::connect(server).await.unwrap();
                stream.write_all(&bytes).await.unwrap();
                stream.shutdown().await.unwrap();
                let end = timeout(Duration::from_secs(10), stream.read_to_end(&mut Vec::new())).await;
                assert!(end.is_ok(), "{}: the connection hangs", case.name);
            });
        }
    }
    while let Some(peer) = peers.join_next().await {
        peer.unwrap();
    }
    let mut stream = TcpStream::connect(server).await.unwrap();
    stream.write_all(b"\r\n\r\n").await.unwrap();
    let mut pong = [0; 2];
    timeout(Duration::from_secs(10), stream.read_exact(&mut pong)).await.expect("alive").unwrap();
    assert_eq!(&pong, b"\r\n");
}
