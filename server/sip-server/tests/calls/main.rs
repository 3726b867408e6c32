//! Scripted phones and a scripted media server against the real SIP server, all over the real stack, on a simulated network.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod desktop;
mod digits;
mod line;
mod net;
mod peer;
mod restart;
mod site;
mod streams;
mod transfer;
mod trunks;

use hindsight_model::event::{EndCause, What};
use hindsight_sip::sdp::Direction;
use hindsight_sip_server::{Config, config::DigestAlgorithm};
use hindsight_wire::component::RecordingAction;
use peer::Manner;
use site::{A, B, MEDIA, Site};
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

fn ended(site: &Site) -> Option<(EndCause, Option<String>)> {
    site.events.iter().find_map(|what| match what {
        What::CallEnded { cause, by } => Some((*cause, by.clone())),
        _ => None,
    })
}

#[test]
fn a_phone_registers_and_one_with_a_wrong_password_does_not() {
    for algorithms in [vec![DigestAlgorithm::Md5], vec![DigestAlgorithm::Sha256, DigestAlgorithm::Md5]] {
        let mut site = Site::new(1, 0.0, Config { challenge: algorithms, ..Config::default() }, &[]);
        site.peers[B].set_password("wrong");
        let now = site.net.now;
        site.peers[A].register(60, now);
        site.peers[B].register(60, now);
        site.until("answered", 10, |site| !site.peers[A].log.is_empty() && !site.peers[B].log.is_empty());
        assert_eq!(
            (site.peers[A].log[0].as_str(), site.peers[B].log[0].as_str()),
            ("REGISTER 200", "REGISTER 401")
        );
        assert_eq!(site.server.registered(), 1);
        let now = site.net.now;
        site.peers[A].register(5, now);
        site.until("too brief", 10, |site| site.peers[A].log.len() == 2);
        assert_eq!(site.peers[A].log[1], "REGISTER 423");
        let now = site.net.now;
        site.peers[A].register(0, now);
        site.until("gone", 10, |site| site.server.registered() == 0);
    }
}

#[test]
fn a_call_goes_by_the_media_server_is_recorded_and_hung_up_by_either_side() {
    for (who, number) in [(A, "1001"), (B, "1002")] {
        let mut site = Site::in_call(2, 0.0, &["1002"]);
        for phone in [A, B] {
            let heard = site.peers[phone].heard.clone().unwrap();
            assert_eq!(
                heard.audio.address,
                site.peers[MEDIA].address.ip(),
                "RTP goes by the media server only"
            );
        }
        assert_eq!(site.peers[A].log, ["REGISTER 200", "180", "INVITE 200"]);
        let now = site.net.now;
        site.peers[who].hang_up(now);
        site.until("quiet", 40, Site::all_quiet);
        assert_eq!(
            site.kinds(),
            ["call-offered", "call-ringing", "call-established", "recording-started", "call-ended"]
        );
        assert_eq!(ended(&site), Some((EndCause::HungUp, Some(number.to_owned()))));
        assert_eq!(site.peers[MEDIA].log.iter().filter(|line| *line == "bye").count(), 2);
    }
}

#[test]
fn calls_survive_the_loss_of_a_fifth_of_all_messages() {
    for seed in 100..140 {
        let mut site = Site::in_call(seed, 0.2, &["1001"]);
        site.until("recorded", 60, |site| site.saw("recording-started") || site.saw("recording-failed"));
        let now = site.net.now;
        site.peers[B].hang_up(now);
        site.until("quiet", 120, Site::all_quiet);
        let (cause, _) = ended(&site).unwrap();
        assert_eq!(cause, EndCause::HungUp, "seed {seed}");
    }
}

#[test]
fn an_invite_without_an_offer_is_connected_too() {
    let mut site = Site::registered(3, 0.0, &["1002"]);
    let now = site.net.now;
    site.peers[A].call("1002", false, now);
    site.until("established", 20, |site| site.saw("recording-started"));
    assert_eq!(site.peers[A].heard.as_ref().unwrap().audio.address, site.peers[MEDIA].address.ip());
}

#[test]
fn busy_declined_absent_unknown_and_silent_callees_are_told_apart() {
    for (manner, number, status, cause) in [
        (Manner::Refuse(486), "1002", "INVITE 486", EndCause::Busy),
        (Manner::Refuse(603), "1002", "INVITE 603", EndCause::Refused),
        (Manner::Ignore, "1002", "INVITE 480", EndCause::NoAnswer),
        (Manner::Ignore, "1003", "INVITE 480", EndCause::NotFound),
        (Manner::Ignore, "999", "INVITE 404", EndCause::NotFound),
    ] {
        let mut site = Site::registered(4, 0.0, &[]);
        site.peers[B].manner = manner;
        let now = site.net.now;
        site.peers[A].call(number, true, now);
        site.until("refused", 70, |site| site.peers[A].log.last().is_some_and(|line| line == status));
        site.until("quiet", 70, Site::all_quiet);
        assert_eq!(ended(&site).unwrap().0, cause);
        assert!(!site.saw("call-established"));
    }
}

#[test]
fn a_cancelled_call_rings_no_more() {
    for seed in 200..220 {
        let mut site = Site::registered(seed, 0.1, &["1002"]);
        site.peers[B].manner = Manner::Answer(Duration::from_millis(40 * (seed - 200)));
        let now = site.net.now;
        site.peers[A].call("1002", true, now);
        site.until("ringing", 60, |site| {
            !site.peers[B].log.is_empty() && site.peers[B].log.contains(&"ringing".into())
        });
        let now = site.net.now;
        site.peers[A].cancel_all(now);
        site.until("an end", 60, |site| {
            site.saw("call-ended") || (site.saw("call-established") && !site.peers[A].dialogs.is_empty())
        });
        let now = site.net.now;
        site.peers[A].hang_up(now);
        site.until("quiet", 120, Site::all_quiet);
    }
}

#[test]
fn hold_and_retrieve_reach_the_other_phone_and_survive_glare() {
    for seed in 300..320 {
        let mut site = Site::in_call(seed, if seed % 2 == 0 { 0.0 } else { 0.1 }, &["1002"]);
        let now = site.net.now;
        site.peers[A].change(Direction::SendOnly, now);
        site.until("held", 60, |site| site.saw("call-held"));
        let heard = site.peers[B].heard.clone().unwrap();
        assert_eq!(
            (heard.audio.direction, heard.audio.address),
            (Direction::SendOnly, site.peers[MEDIA].address.ip())
        );
        // Both at once: one of them is refused with 491 and tries again.
        let now = site.net.now;
        site.peers[A].change(Direction::SendRecv, now);
        site.peers[B].change(Direction::SendRecv, now);
        site.pass(3);
        for _ in 0..3 {
            let now = site.net.now;
            site.peers[A].change(Direction::SendRecv, now);
            site.pass(8);
        }
        assert!(site.saw("call-retrieved"), "{:?}", site.kinds());
        let now = site.net.now;
        site.peers[A].hang_up(now);
        site.until("quiet", 120, Site::all_quiet);
    }
}

#[test]
fn recording_is_controlled_in_mid_call_and_confirmed() {
    let mut site = Site::in_call(5, 0.1, &["1002"]);
    site.until("recording", 60, |site| site.saw("recording-started"));
    let steps = [
        (RecordingAction::Pause, "recording-paused"),
        (RecordingAction::Resume, "recording-resumed"),
        (RecordingAction::Stop, "recording-stopped"),
    ];
    for (request, (action, expected)) in (1..).zip(steps) {
        site.control(request, action);
        site.until(expected, 30, |site| site.saw(expected));
        assert_eq!(site.results.last(), Some(&(request, None)));
    }
    site.control(9, RecordingAction::Pause);
    site.until("refused", 5, |site| site.results.len() == 4);
    assert!(site.results[3].1.is_some());
    assert_eq!(
        site.peers[MEDIA]
            .log
            .iter()
            .filter(|l| ["Start", "Pause", "Resume", "Stop"].contains(&l.as_str()))
            .count(),
        4
    );
}

#[test]
fn a_call_whose_media_server_is_lost_ends_cleanly_for_both_phones() {
    for status in [408, 481] {
        let mut site = Site::in_call(6, 0.0, &["1002"]);
        let began = site.net.now;
        site.peers[MEDIA].failing = Some(status);
        site.peers[MEDIA].manner = Manner::Refuse(503);
        site.until("ended", 10, |site| site.peers[A].dialogs.is_empty() && site.peers[B].dialogs.is_empty());
        assert!(site.net.now - began < Duration::from_secs(3));
        assert_eq!(ended(&site), Some((EndCause::MediaServerLost, None)));
        assert!(site.peers[A].log.contains(&"bye".into()) && site.peers[B].log.contains(&"bye".into()));
        site.until("forgotten", 60, |site| site.server.calls() == 0);
    }
}

#[test]
fn a_call_goes_on_with_a_media_server_that_knows_nothing_of_it() {
    for seed in 500..530 {
        let loss = if seed % 2 == 0 { 0.0 } else { 0.1 };
        let mut site = Site::in_call(seed, loss, &["1002"]);
        site.until("recording", 60, |site| site.saw("recording-started") || site.saw("recording-failed"));
        // Its dialogs went with the one that was killed: the next one answers 481 to them.
        site.peers[MEDIA].dialogs.clear();
        let before = site.peers[MEDIA].log.len();
        site.until("both phones follow", 90, |site| {
            [A, B].iter().all(|phone| site.peers[*phone].log.contains(&"re-invited".into()))
        });
        site.until("recorded again", 60, |site| site.peers[MEDIA].log[before..].contains(&"Start".into()));
        site.until("two legs", 60, |site| site.peers[MEDIA].dialogs.len() == 2);
        site.pass(30);
        assert!(!site.saw("call-ended"), "seed {seed}");
        let now = site.net.now;
        site.peers[B].hang_up(now);
        site.until("quiet", 120, Site::all_quiet);
        assert_eq!(ended(&site), Some((EndCause::HungUp, Some("1002".into()))), "seed {seed}");
    }
}

#[test]
fn the_resource_managers_word_has_the_calls_look_at_once() {
    let mut site = Site::in_call(540, 0.0, &["1002"]);
    site.until("recording", 10, |site| site.saw("recording-started"));
    site.peers[MEDIA].dialogs.clear();
    let said = |site: &mut Site, from: std::net::SocketAddr, number: u8| {
        let text = format!(
            "OPTIONS sip:192.0.2.1:5060 SIP/2.0\r\nVia: SIP/2.0/UDP {from};branch=z9hG4bKx{number}\r\n\
             From: <sip:resource-manager@{from}>;tag=1\r\nTo: <sip:192.0.2.1:5060>\r\nCall-ID: h{number}\r\n\
             CSeq: 1 OPTIONS\r\nMax-Forwards: 70\r\nX-Lost-Media-Server: 192.0.2.2:5070\r\nContent-Length: 0\r\n\r\n"
        );
        site.net.inject(from, site.address, text.as_bytes());
    };
    // From anybody else it is an OPTIONS like any other.
    said(&mut site, "192.0.2.66:5060".parse().unwrap(), 1);
    let began = site.net.now;
    site.until("answered", 1, |site| site.answered.contains(&"h1 200".to_owned()));
    assert!(!site.peers[A].log.contains(&"re-invited".into()));
    let media = site.peers[MEDIA].address;
    said(&mut site, media, 2);
    site.until("both phones follow", 2, |site| {
        [A, B].iter().all(|phone| site.peers[*phone].log.contains(&"re-invited".into()))
    });
    assert!(site.net.now - began < Duration::from_millis(300), "{:?}", site.net.now - began);
}

#[test]
fn a_phone_that_lost_its_dialog_ends_the_call_and_nothing_of_it_is_kept() {
    let mut site = Site::in_call(7, 0.0, &[]);
    site.peers[B].failing = Some(481);
    site.until("ended", 40, |site| ended(site).is_some());
    assert_eq!(ended(&site), Some((EndCause::Failed, None)));
    site.until("forgotten", 60, |site| site.server.calls() == 0);
}

/// Collects what is logged at info and above.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn no_number_reaches_a_log_at_info() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::INFO)
        .with_writer(move || writer.clone())
        .finish();
    tracing::subscriber::with_default(subscriber, || {
        let mut site = Site::in_call(8, 0.0, &["1002"]);
        let now = site.net.now;
        site.peers[A].call("999", true, now);
        site.until("refused", 20, |site| site.peers[A].log.iter().any(|line| line == "INVITE 404"));
        site.peers[A].hang_up(now);
        site.until("quiet", 40, Site::all_quiet);
    });
    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(text.contains("call offered"), "{text}");
    for secret in ["1001", "1002", "999", "192.0.2.1"] {
        // Ids of interactions are hexadecimal and may hold any digits.
        let words = text.split(|c: char| !(c.is_alphanumeric() || c == '-' || c == '.'));
        assert!(
            !words.into_iter().any(|word| word == secret || word.starts_with("192.0.2")),
            "{secret} in {text}"
        );
    }
}

#[test]
fn requests_that_cannot_be_served_are_answered_as_the_rfc_says() {
    let mut site = Site::registered(7, 0.0, &[]);
    let from = "192.0.2.99:5060".parse().unwrap();
    let cases = [
        ("INVITE sip:1002@192.0.2.1", "INVITE", "Max-Forwards: 0\r\n", "", 483),
        ("INVITE sip:1002@192.0.2.1", "INVITE", "", "", 407),
        ("REGISTER sip:192.0.2.1", "REGISTER", "", "", 401),
        ("REGISTER sip:elsewhere.example", "REGISTER", "", "", 404),
        ("OPTIONS nobodyKnowsThisScheme:x", "OPTIONS", "", "", 416),
        ("OPTIONS sip:192.0.2.1", "OPTIONS", "Require: nothing\r\n", "", 420),
        ("INVITE sip:1002@192.0.2.1", "INVITE", "Content-Type: application/unknown\r\n", "x", 415),
        ("BYE sip:192.0.2.1", "BYE", "", "", 481),
        ("REFER sip:1002@192.0.2.1", "REFER", "", "", 403),
        ("FROBNICATE sip:1002@192.0.2.1", "FROBNICATE", "", "", 501),
        ("OPTIONS sip:192.0.2.1", "OPTIONS", "", "", 200),
    ];
    for (index, (line, method, headers, body, status)) in cases.into_iter().enumerate() {
        let message = format!(
            "{line} SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.99;branch=z9hG4bK{index}\r\nFrom: <sip:1001@192.0.2.1>;tag=1\r\n\
             To: <sip:1002@192.0.2.1>\r\nCall-ID: {index}\r\nCSeq: 1 {method}\r\nContact: <sip:x@192.0.2.99>\r\n{headers}\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let to = site.address;
        site.net.inject(from, to, message.as_bytes());
        site.until(&format!("{status} to {line}"), 5, |site| {
            site.answered.iter().any(|a| a == &format!("{index} {status}"))
        });
    }
}
