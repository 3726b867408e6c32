//! Phones by TLS, whose connections end with the SIP server: only they can open others.

use crate::{
    ended,
    site::{A, B, C, Site},
};
use hindsight_model::event::EndCause;
use std::{net::SocketAddr, time::Duration};

/// 1001 by UDP and 1002 by TLS, registered.
fn registered(seed: u64) -> Site {
    let mut site = Site::new(seed, 0.0, hindsight_sip_server::Config::default(), &[]);
    site.peers[B].connect(40_001, &mut site.net);
    let now = site.net.now;
    site.peers[A].register(3600, now);
    site.peers[B].register(3600, now);
    site.until("both registered", 40, |site| site.server.registered() == 2);
    site
}

/// The same, in a call.
fn in_call(seed: u64) -> Site {
    let mut site = registered(seed);
    let now = site.net.now;
    site.peers[A].call("1002", true, now);
    site.until("established", 60, |site| site.saw("call-established") && site.peers[A].dialogs.len() == 1);
    site.pass(5);
    site
}

/// 1002 opens another connection and registers over it.
fn come_back(site: &mut Site, port: u16) {
    let Site { peers, net, .. } = site;
    peers[B].connect(port, net);
    peers[B].register(3600, net.now);
}

/// 1003's phone becomes another one of 1002, at the same address; it registers.
fn another_at_1002(site: &mut Site, port: u16) {
    let Site { peers, net, .. } = site;
    let address = SocketAddr::new(peers[B].address.ip(), 5070);
    (peers[C].number, peers[C].address) = ("1002".to_owned(), address);
    peers[C].set_password("secret-1002");
    peers[C].connect(port, net);
    peers[C].register(3600, net.now);
}

fn was_told(site: &Site, what: &str) -> bool {
    site.peers[B].log.iter().any(|line| line == what)
}

#[test]
fn a_phone_that_comes_back_with_another_connection_keeps_its_call() {
    for (seed, away) in [(800, 0), (801, 5), (802, 10)] {
        let mut site = in_call(seed);
        assert_eq!(site.restart(seed + 1000, &[]).calls, 1);
        site.pass(away);
        assert!(!was_told(&site, "re-invited"), "there is no way to it");
        come_back(&mut site, 40_002);
        site.until("asked", 10, |site| was_told(site, "re-invited"));
        site.pass(60);
        assert!(!site.saw("call-ended"), "{:?}", site.kinds());
        // The connection breaks once more in mid-call, this time without us.
        site.net.lines.clear();
        come_back(&mut site, 40_003);
        site.pass(2);
        let now = site.net.now;
        site.peers[A].hang_up(now);
        site.until("quiet", 60, Site::all_quiet);
        assert!(was_told(&site, "bye"), "{:?}", site.peers[B].log);
        assert_eq!(ended(&site), Some((EndCause::HungUp, Some("1001".to_owned()))));
    }
}

#[test]
fn a_phone_that_names_itself_by_its_connection_keeps_its_call_too_and_no_other_phone_gets_it() {
    let mut site = registered(830);
    site.peers[B].named_by_line = true;
    come_back(&mut site, 40_002);
    site.pass(1);
    let now = site.net.now;
    site.peers[A].call("1002", true, now);
    site.until("established", 60, |site| site.saw("call-established") && site.peers[A].dialogs.len() == 1);
    site.pass(5);
    site.restart(831, &[]);
    come_back(&mut site, 40_003);
    site.until("asked", 10, |site| was_told(site, "re-invited"));
    another_at_1002(&mut site, 41_000);
    site.until("two of them", 5, |site| site.peers[C].log.iter().any(|line| line == "REGISTER 200"));
    site.pass(2);
    let now = site.net.now;
    site.peers[A].hang_up(now);
    site.until("quiet", 60, Site::all_quiet);
    assert!(was_told(&site, "bye"), "{:?}", site.peers[B].log);
    assert_eq!(ended(&site), Some((EndCause::HungUp, Some("1001".to_owned()))));
}

#[test]
fn a_phone_that_comes_back_too_late_is_told_that_its_call_is_over() {
    for (seed, hangs_up) in [(810, true), (811, false)] {
        let mut site = in_call(seed);
        site.restart(seed + 1000, &[]);
        if hangs_up {
            site.pass(3);
            let now = site.net.now;
            site.peers[A].hang_up(now);
        }
        site.pass(120);
        assert!(site.saw("call-ended") && site.server.calls() == 0);
        assert_eq!(site.peers[B].dialogs.len(), 1, "it knows nothing of it");
        come_back(&mut site, 40_002);
        site.until("told", 5, |site| site.peers[B].dialogs.is_empty());
        assert!(was_told(&site, "bye"));
        site.until("quiet", 60, Site::all_quiet);
    }
}

#[test]
fn a_phone_whose_connection_is_gone_gives_its_caller_480_at_once_and_is_called_when_it_is_back() {
    let mut site = registered(820);
    assert_eq!(site.restart(821, &[]).registered, 2);
    let now = site.net.now;
    site.peers[A].call("1002", true, now);
    site.until("refused", 3, |site| site.peers[A].log.contains(&"INVITE 480".to_owned()));
    assert!(site.net.now - now < Duration::from_secs(1), "{:?}", site.net.now - now);
    site.until("quiet", 60, Site::all_quiet);
    come_back(&mut site, 40_002);
    site.pass(1);
    let now = site.net.now;
    site.peers[A].call("1002", true, now);
    site.until("established", 20, |site| site.peers[A].dialogs.len() == 1);
}
