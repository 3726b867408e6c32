//! What a core does: printed, with a floor far below what any machine reaches.

use std::time::{Duration, Instant};

use hindsight_sip::{
    Dialog, Endpoint, EndpointConfig, Event, Ids, Method, NameAddr, Output, Protocol, Received, SipMessage,
    Source, StatusCode, Uri,
};

use crate::net::{parsed, request};

#[test]
fn messages_are_read_and_written_fast_enough() {
    let invite = request(Method::Invite)
        .with_header("Via", "SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK776asdhds;rport")
        .with_header("Allow", "INVITE, ACK, BYE, CANCEL, OPTIONS, INFO, UPDATE")
        .with_header("Supported", "timer, replaces")
        .with_header("User-Agent", "baresip v1.0.0 (x86_64/linux)")
        .with_header("Session-ID", "ab30317f1a784dc48ff824d0d3715d86;remote=00000000000000000000000000000000")
        .with_body("application/sdp", vec![b'x'; 300])
        .to_bytes();
    let start = Instant::now();
    let mut count = 0u32;
    while start.elapsed() < Duration::from_millis(300) {
        for _ in 0..100 {
            let message = parsed(&invite);
            assert!(message.to_bytes().len() > 300);
        }
        count += 100;
    }
    let rate = f64::from(count) / start.elapsed().as_secs_f64();
    println!("parse + validate + serialise an INVITE of {} bytes: {rate:.0} /s of a core", invite.len());
    assert!(rate > 2_000.0);
}

/// INVITE, 180, 200, ACK, BYE, 200 between two endpoints in one thread, bytes and all.
#[test]
fn whole_calls_are_set_up_and_ended_fast_enough() {
    let address = |n: u8| format!("192.0.2.{n}:5060").parse().unwrap();
    let mut ends = [1, 2].map(|n| {
        Endpoint::new(
            EndpointConfig::new(std::net::SocketAddr::new([192, 0, 2, n].into(), 5060)),
            Ids::seeded(n.into()),
        )
    });
    let udp = hindsight_sip::Destination::udp;
    let contact = NameAddr::new(Uri::parse("sip:b@192.0.2.2").unwrap());
    let (start, mut calls) = (Instant::now(), 0u32);
    let mut dialogs = std::collections::HashMap::new();
    while start.elapsed() < Duration::from_millis(500) {
        for _ in 0..50 {
            calls += 1;
            let mut invite = request(Method::Invite).with_body("application/sdp", vec![b'x'; 300]);
            invite.headers.set("Call-ID", calls);
            ends[0].send_request(invite, udp(address(2)), Instant::now());
        }
        loop {
            let mut idle = true;
            for n in 0..2 {
                loop {
                    let now = Instant::now();
                    match ends[n].poll_output() {
                        Output::Transmit(transmit) => {
                            idle = false;
                            let source = Source {
                                protocol: Protocol::Udp,
                                local: transmit.remote,
                                remote: address(n as u8 + 1),
                            };
                            ends[1 - n].handle_input(Received { source, bytes: &transmit.bytes }, now);
                        }
                        Output::Event(Event::Request { transaction, request, .. })
                            if request.method == Method::Invite =>
                        {
                            let dialog = Dialog::uas(&request, "btag", contact.clone(), 1).unwrap();
                            ends[n].respond(transaction, dialog.response(&request, StatusCode::RINGING), now);
                            ends[n].accept(transaction, dialog.response(&request, StatusCode::OK), now);
                            dialogs.insert(dialog.id().call_id.clone(), dialog);
                        }
                        Output::Event(Event::Request { transaction, request, .. }) => {
                            let dialog = dialogs.remove(request.call_id().unwrap()).unwrap();
                            ends[n].respond(transaction, dialog.response(&request, StatusCode::OK), now);
                        }
                        Output::Event(Event::Response { transaction, response, .. }) => {
                            if response.status.is_success()
                                && response.cseq().unwrap().method == Method::Invite
                            {
                                let mut sent = request(Method::Invite);
                                sent.headers.set("Call-ID", response.call_id().unwrap());
                                let mut dialog = Dialog::uac(&sent, &response).unwrap();
                                ends[n].acknowledge(transaction, dialog.ack(1), udp(address(2)));
                                ends[n].send_request(dialog.request(Method::Bye), udp(address(2)), now);
                            }
                        }
                        Output::Event(_) | Output::Heard(..) | Output::Close(_) => {}
                        Output::Wait(_) => break,
                    }
                }
            }
            if idle {
                break;
            }
        }
    }
    let rate = f64::from(calls) / start.elapsed().as_secs_f64();
    println!("whole calls, both ends: {rate:.0} calls/s of a core ({:.0} transactions/s)", rate * 4.0);
    assert!(dialogs.is_empty() && rate > 200.0);
}
