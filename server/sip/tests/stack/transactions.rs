//! Transactions over the simulated network: every timer, repetition and loss (RFC 3261 17, RFC 6026).

use std::time::Duration;

use hindsight_sip::{
    ClientTransactionId, Dialog, Event, Method, NameAddr, Protocol, Response, ServerTransactionId,
    SipMessage, StatusCode, Uri,
};

use crate::net::{A, B, Net, request};

fn got_request(event: Event) -> (ServerTransactionId, hindsight_sip::Request) {
    match event {
        Event::Request { transaction, request, .. } => (transaction, request),
        other => panic!("{other:?}"),
    }
}

fn got_response(event: Event) -> (ClientTransactionId, Response) {
    match event {
        Event::Response { transaction, response, .. } => (transaction, response),
        other => panic!("{other:?}"),
    }
}

fn status(event: Event) -> u16 {
    got_response(event).1.status.as_u16()
}

fn contact(user: &str) -> NameAddr {
    NameAddr::new(Uri::parse(&format!("sip:{user}@192.0.2.2")).unwrap())
}

/// An INVITE on its way to B, whose user has it.
fn invite(net: &mut Net) -> (ClientTransactionId, ServerTransactionId, hindsight_sip::Request) {
    let client = net.ends[A].send_request(request(Method::Invite), net.to(B), net.now());
    let event = net.next(B);
    let (server, invite) = got_request(event);
    (client, server, invite)
}

#[test]
fn a_request_that_nobody_answers_is_repeated_and_then_times_out() {
    let mut net = Net::new(Protocol::Udp);
    net.lose = Box::new(|_, _, _| true);
    net.ends[A].send_request(request(Method::Options), net.to(B), net.now());
    assert!(matches!(net.next(A), Event::TimedOut { .. }));
    assert_eq!(net.elapsed(), Duration::from_secs(32), "timer F");
    let expected = [0, 500, 1500, 3500, 7500, 11500, 15500, 19500, 23500, 27500, 31500];
    assert_eq!(net.times(A, "OPTIONS"), expected, "timer E, capped at T2");
    assert_eq!(net.ends[A].transactions(), 0);
}

#[test]
fn an_invite_that_nobody_answers_is_repeated_seven_times() {
    let mut net = Net::new(Protocol::Udp);
    net.lose = Box::new(|_, _, _| true);
    net.ends[A].send_request(request(Method::Invite), net.to(B), net.now());
    assert!(matches!(net.next(A), Event::TimedOut { .. }));
    assert_eq!(net.elapsed(), Duration::from_secs(32), "timer B");
    assert_eq!(
        net.times(A, "INVITE"),
        [0, 500, 1500, 3500, 7500, 15500, 31500],
        "timer A doubles without a cap"
    );
}

#[test]
fn nothing_is_repeated_over_a_stream() {
    let mut net = Net::new(Protocol::Tcp);
    net.lose = Box::new(|_, _, _| true);
    for method in [Method::Invite, Method::Options] {
        net.ends[A].send_request(request(method), net.to(B), net.now());
    }
    assert!(matches!(net.next(A), Event::TimedOut { .. }));
    assert!(matches!(net.next(A), Event::TimedOut { .. }));
    assert_eq!((net.log.len(), net.elapsed()), (2, Duration::from_secs(32)));
}

#[test]
fn a_slow_user_gets_one_request_and_the_peer_gets_100_after_200_ms() {
    let mut net = Net::new(Protocol::Udp);
    let (client, server, invite) = invite(&mut net);
    net.run(Duration::from_secs(5));
    assert_eq!(net.times(A, "INVITE"), [0], "the 100 stops the repetitions");
    assert_eq!(net.times(B, "SIP/2.0 100"), [210]);
    assert_eq!(status(net.next(A)), 100);
    net.ends[B].respond(server, Response::to(&invite, StatusCode::RINGING).with_to_tag("b"), net.now());
    let (id, ringing) = got_response(net.next(A));
    assert_eq!((id, ringing.status), (client, StatusCode::RINGING));
    assert!(net.events[B].is_empty(), "the INVITE came once");
}

#[test]
fn a_refusal_is_repeated_until_its_ack_and_the_ack_until_it_is_heard() {
    let mut net = Net::new(Protocol::Udp);
    // The first two ACKs are lost.
    let mut acks = 0;
    net.lose = Box::new(move |_, _, line| {
        acks += usize::from(line.starts_with("ACK"));
        line.starts_with("ACK") && acks <= 2
    });
    let (_, server, invite) = invite(&mut net);
    net.ends[B].respond(server, Response::to(&invite, StatusCode::BUSY_HERE).with_to_tag("b"), net.now());
    assert_eq!(status(net.next(A)), 486);
    net.run(Duration::from_secs(60));
    assert_eq!(net.times(B, "SIP/2.0 486"), [10, 510, 1510], "timer G");
    assert_eq!(net.times(A, "ACK"), [20, 520, 1520]);
    assert!(net.events[A].is_empty() && net.events[B].is_empty(), "the user hears of none of this");
    assert_eq!((net.ends[A].transactions(), net.ends[B].transactions()), (0, 0), "timers D and I");
}

#[test]
fn a_refusal_that_is_never_acknowledged_is_given_up() {
    let mut net = Net::new(Protocol::Udp);
    net.lose = Box::new(|_, _, line| line.starts_with("ACK"));
    let (_, server, invite) = invite(&mut net);
    net.ends[B].respond(server, Response::to(&invite, StatusCode::DECLINE).with_to_tag("b"), net.now());
    net.run(Duration::from_secs(33));
    assert_eq!(net.times(B, "SIP/2.0 603").len(), 11, "timer G, capped at T2, until H");
    assert_eq!(net.ends[B].transactions(), 0, "timer H");
}

#[test]
fn a_lost_answer_is_given_again_when_the_request_is_repeated() {
    let mut net = Net::new(Protocol::Udp);
    net.lose = Box::new(|_, from, _| from == B && rand_once());
    let client = net.ends[A].send_request(request(Method::Options), net.to(B), net.now());
    let (server, options) = got_request(net.next(B));
    net.ends[B].respond(server, Response::to(&options, StatusCode::OK).with_to_tag("b"), net.now());
    let (id, _) = got_response(net.next(A));
    assert_eq!(id, client);
    net.run(Duration::from_secs(60));
    assert_eq!(net.times(A, "OPTIONS").len(), 2);
    assert_eq!(net.times(B, "SIP/2.0 200").len(), 2);
    assert!(net.events[A].is_empty() && net.events[B].is_empty());
    assert_eq!((net.ends[A].transactions(), net.ends[B].transactions()), (0, 0), "timers K and J");
}

/// True the first time on this thread.
fn rand_once() -> bool {
    thread_local!(static DONE: std::cell::Cell<bool> = const { std::cell::Cell::new(false) });
    !DONE.replace(true)
}

/// A call that B accepts; B's 200 and A's ACK pass through `lose`.
fn accepted_call(net: &mut Net) -> (ClientTransactionId, Response, hindsight_sip::Request) {
    let (client, server, invite) = invite(net);
    let dialog = Dialog::uas(&invite, "btag", contact("b"), 100).unwrap();
    net.ends[B].accept(server, dialog.response(&invite, StatusCode::OK), net.now());
    let (id, ok) = got_response(net.next(A));
    assert_eq!((id, ok.status), (client, StatusCode::OK));
    (client, ok, invite)
}

#[test]
fn an_accepted_call_is_acknowledged_though_the_first_acks_are_lost() {
    let mut net = Net::new(Protocol::Udp);
    let mut acks = 0;
    net.lose = Box::new(move |_, _, line| {
        acks += usize::from(line.starts_with("ACK"));
        line.starts_with("ACK") && acks <= 2
    });
    let (client, ok, _) = accepted_call(&mut net);
    let dialog = Dialog::uac(&request(Method::Invite), &ok).unwrap();
    let to = net.to(B);
    net.ends[A].acknowledge(client, dialog.ack(1), to);
    let Event::Ack { request: ack, .. } = net.next(B) else { panic!("the ACK") };
    assert_eq!((ack.method.clone(), ack.cseq().unwrap().number), (Method::Ack, 1));
    net.run(Duration::from_secs(60));
    assert_eq!(net.times(B, "SIP/2.0 200"), [10, 510, 1510], "repeated by T1, doubled, until the ACK");
    assert_eq!(net.times(A, "ACK"), [20, 520, 1520]);
    assert!(net.events[A].is_empty() && net.events[B].is_empty(), "each user heard of it once");
    assert_eq!((net.ends[A].transactions(), net.ends[B].transactions()), (0, 0), "timers L and M");
}

#[test]
fn a_2xx_that_nobody_acknowledges_is_reported_after_32_s() {
    for protocol in [Protocol::Udp, Protocol::Tcp] {
        let mut net = Net::new(protocol);
        let (_, ok, _) = accepted_call(&mut net);
        assert!(matches!(net.next(B), Event::AckMissing { .. }), "{protocol}");
        assert_eq!(net.elapsed(), Duration::from_millis(32_010));
        let repeated = net.times(B, "SIP/2.0 200").len();
        assert_eq!(repeated, 11, "also over streams: proxies may sit between");
        let again = net.events[A].iter().filter(|e| matches!(e, Event::Response { .. })).count();
        assert_eq!(again, repeated - 1, "a user that does not acknowledge hears each of them");
        assert!(ok.status.is_success());
    }
}

#[test]
fn a_proxy_forwards_a_2xx_once_each_time_it_comes() {
    let mut net = Net::new(Protocol::Udp);
    let (_, server, invite) = invite(&mut net);
    let ok = Response::to(&invite, StatusCode::OK).with_to_tag("b").with_header("Contact", contact("b"));
    net.ends[B].respond(server, ok.clone(), net.now());
    net.run(Duration::from_secs(3));
    assert_eq!(net.times(B, "SIP/2.0 200").len(), 1);
    net.ends[B].respond(server, ok, net.now());
    net.run(Duration::from_secs(3));
    assert_eq!(net.times(B, "SIP/2.0 200").len(), 2, "RFC 6026: further 2xx pass");
    net.ends[B].respond(server, Response::to(&invite, StatusCode::BUSY_HERE), net.now());
    net.run(Duration::from_secs(40));
    assert!(net.times(B, "SIP/2.0 486").is_empty(), "nothing else does");
}

#[test]
fn a_cancel_waits_for_the_first_provisional_response() {
    let mut net = Net::new(Protocol::Udp);
    let (client, server, invite) = invite(&mut net);
    net.ends[A].cancel(client, net.now());
    net.run(Duration::from_millis(100));
    assert!(net.times(A, "CANCEL").is_empty());
    net.ends[B].respond(server, Response::to(&invite, StatusCode::RINGING).with_to_tag("b"), net.now());
    let Event::Cancelled { transaction, .. } = net.next(B) else { panic!("cancelled") };
    assert_eq!(transaction, server);
    let terminated = Response::to(&invite, StatusCode::REQUEST_TERMINATED).with_to_tag("b");
    net.ends[B].respond(server, terminated, net.now());
    assert_eq!(status(net.next(A)), 180);
    assert_eq!(status(net.next(A)), 487);
    net.run(Duration::from_secs(60));
    assert!(net.events[A].is_empty(), "the 200 of the CANCEL is nobody's business");
    assert_eq!((net.times(A, "CANCEL").len(), net.times(A, "ACK").len()), (1, 1));
    assert_eq!((net.ends[A].transactions(), net.ends[B].transactions()), (0, 0));
}

#[test]
fn a_cancelled_call_whose_487_never_comes_ends_after_32_s() {
    let mut net = Net::new(Protocol::Udp);
    let (client, server, invite) = invite(&mut net);
    net.ends[B].respond(server, Response::to(&invite, StatusCode::RINGING).with_to_tag("b"), net.now());
    assert_eq!(status(net.next(A)), 180);
    let before = net.elapsed();
    net.ends[A].cancel(client, net.now());
    assert!(matches!(net.next(A), Event::TimedOut { .. }));
    assert_eq!(net.elapsed() - before, Duration::from_secs(32));
}

#[test]
fn a_phone_that_rings_for_ever_is_cancelled_by_timer_c() {
    let mut net = Net::new(Protocol::Udp);
    let (_, server, invite) = invite(&mut net);
    net.ends[B].respond(server, Response::to(&invite, StatusCode::RINGING).with_to_tag("b"), net.now());
    assert_eq!(status(net.next(A)), 180);
    net.run(Duration::from_secs(201));
    assert_eq!(net.times(A, "CANCEL").len(), 1);
}

#[test]
fn a_cancel_of_nothing_is_answered_481() {
    let mut net = Net::new(Protocol::Udp);
    let cancel = request(Method::Cancel).with_header("Via", "SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKnothing");
    net.inject(B, &cancel);
    net.run(Duration::from_secs(1));
    assert_eq!(net.times(B, "SIP/2.0 481").len(), 1);
    assert!(net.events[B].is_empty());
}

#[test]
fn a_cancel_that_crosses_the_final_answer_changes_nothing() {
    let mut net = Net::new(Protocol::Udp);
    let (client, server, invite) = invite(&mut net);
    net.ends[B].respond(server, Response::to(&invite, StatusCode::RINGING).with_to_tag("b"), net.now());
    assert_eq!(status(net.next(A)), 180);
    net.ends[A].cancel(client, net.now());
    net.ends[B].accept(server, Response::to(&invite, StatusCode::OK).with_to_tag("b"), net.now());
    assert_eq!(status(net.next(A)), 200, "the caller has to end it with BYE");
    net.run(Duration::from_millis(100));
    assert!(net.events[B].is_empty());
}

#[test]
fn a_2xx_that_comes_too_late_is_not_repeated() {
    let mut net = Net::new(Protocol::Udp);
    let (_, server, invite) = invite(&mut net);
    net.ends[B].respond(server, Response::to(&invite, StatusCode::REQUEST_TERMINATED), net.now());
    net.ends[B].accept(server, Response::to(&invite, StatusCode::OK).with_to_tag("b"), net.now());
    assert_eq!(status(net.next(A)), 487);
    net.run(Duration::from_secs(60));
    assert_eq!(net.times(B, "SIP/2.0 487").len(), 1);
    assert!(net.times(B, "SIP/2.0 200").is_empty() && net.events[B].is_empty());
}

#[test]
fn all_responses_to_a_request_get_the_same_tag() {
    let mut net = Net::new(Protocol::Udp);
    let (_, server, invite) = invite(&mut net);
    net.ends[B].respond(server, Response::to(&invite, StatusCode::RINGING), net.now());
    net.ends[B].respond(server, Response::to(&invite, StatusCode::BUSY_HERE), net.now());
    let tag = |event| got_response(event).1.to().unwrap().tag().map(str::to_owned);
    let (first, second) = (tag(net.next(A)), tag(net.next(A)));
    assert!(first.is_some() && first == second);
}

#[test]
fn late_and_foreign_responses_are_dropped() {
    let mut net = Net::new(Protocol::Udp);
    let (_, server, invite) = invite(&mut net);
    net.ends[B].respond(server, Response::to(&invite, StatusCode::BUSY_HERE).with_to_tag("b"), net.now());
    assert_eq!(status(net.next(A)), 486);
    net.ends[B].respond(server, Response::to(&invite, StatusCode::OK).with_to_tag("b"), net.now());
    net.run(Duration::from_secs(60));
    assert!(net.events[A].is_empty());
    assert!(net.times(B, "SIP/2.0 200").is_empty());
}

#[test]
fn a_large_request_goes_by_tcp_and_by_udp_when_there_is_none() {
    let mut net = Net::new(Protocol::Udp);
    net.lose = Box::new(|number, _, _| number == 0);
    let large = request(Method::Message).with_body("text/plain", vec![b'x'; 2000]);
    let id = net.ends[A].send_request(large, net.to(B), net.now());
    net.run(Duration::from_millis(1));
    assert_eq!(net.log[0].protocol, Protocol::Tcp);
    let now = net.now();
    net.ends[A].transport_failed(id, "connection refused", now);
    net.run(Duration::from_millis(1));
    assert_eq!(net.log[1].protocol, Protocol::Udp);
    let (_, udp_request) = got_request(net.next(B));
    assert_eq!(udp_request.vias().unwrap().len(), 1);
    assert_eq!(udp_request.top_via().unwrap().transport, "UDP");
}

#[test]
fn a_request_that_cannot_be_sent_fails_at_once() {
    let mut net = Net::new(Protocol::Udp);
    let id = net.ends[A].send_request(request(Method::Options), net.to(B), net.now());
    let now = net.now();
    net.ends[A].transport_failed(id, "network unreachable", now);
    assert!(matches!(net.next(A), Event::TransportFailed { transaction, .. } if transaction == id));
    assert_eq!(net.ends[A].transactions(), 0);
}

#[test]
fn a_thousand_calls_through_a_network_that_loses_a_third_all_come_to_an_end() {
    use rand::{Rng, SeedableRng, rngs::StdRng};
    for seed in 0..20 {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut net = Net::new(Protocol::Udp);
        net.lose = Box::new(move |_, _, _| rng.random_ratio(1, 3));
        let mut ended = 0;
        for number in 0..50 {
            let mut invite = request(Method::Invite);
            invite.headers.set("Call-ID", format!("call-{number}"));
            net.ends[A].send_request(invite, net.to(B), net.now());
        }
        for _ in 0..400 {
            net.run(Duration::from_millis(500));
            let now = net.now();
            while let Some(event) = net.events[B].pop_front() {
                if let Event::Request { transaction, request, .. } = event {
                    let dialog = Dialog::uas(&request, "btag", contact("b"), 1).unwrap();
                    net.ends[B].accept(transaction, dialog.response(&request, StatusCode::OK), now);
                }
            }
            while let Some(event) = net.events[A].pop_front() {
                match event {
                    Event::Response { transaction, response, .. } if response.status.is_success() => {
                        let mut sent = request(Method::Invite);
                        sent.headers.set("Call-ID", response.call_id().unwrap());
                        let dialog = Dialog::uac(&sent, &response).unwrap();
                        let to = net.to(B);
                        net.ends[A].acknowledge(transaction, dialog.ack(1), to);
                        ended += 1;
                    }
                    Event::TimedOut { .. } => ended += 1,
                    _ => {}
                }
            }
        }
        assert_eq!(ended, 50, "seed {seed}");
        assert_eq!((net.ends[A].transactions(), net.ends[B].transactions()), (0, 0), "seed {seed}");
    }
}
