//! Calls from and to the world outside, over two scripted carriers.

use crate::{
    ended,
    line::Guard,
    peer::{Manner, Peer},
    site::{A, B, MEDIA, Site},
};
use hindsight_model::event::{EndCause, What};
use hindsight_sip::{SipMessage, sdp::Direction};
use hindsight_sip_server::state::Restored;
use hindsight_wire::{
    component::VoiceConfig,
    manifest::Party,
    policy::VoicePolicy,
    trunk::{DirectNumber, Outside, Trunk},
};
use std::time::Duration;

/// The carriers' ends: peers of the site.
const ONE: usize = 4;
const TWO: usize = 5;
/// Somebody outside.
const CALLER: &str = "+4917112345";

fn trunk(name: &str, address: &str, priority: u16) -> Trunk {
    let numbers = [("+4930123401", "1001"), ("+4930123402", "1002")];
    Trunk {
        name: name.to_owned(),
        address: address.to_owned(),
        transport: Default::default(),
        priority,
        weight: 1,
        user: None,
        password: None,
        register: false,
        options: true,
        from: Vec::new(),
        record_voice: VoicePolicy::OnDemand,
        format: Default::default(),
        prefix: String::new(),
        caller: String::new(),
        numbers: numbers.map(|(number, dn)| DirectNumber { number: number.into(), dn: dn.into() }).into(),
    }
}

fn outside(config: &mut VoiceConfig) {
    config.outside = Some(Outside { prefix: "0".into(), country: "49".into(), ..Outside::default() });
    config.trunks = vec![trunk("one", "192.0.2.21", 1), trunk("two", "192.0.2.22:5060", 2)];
}

/// Both phones are registered and both trunks are up.
fn site(seed: u64, loss: f64, full_time: &[&str], change: impl FnOnce(&mut VoiceConfig)) -> Site {
    let mut site = Site::registered(seed, loss, full_time);
    for last in [21u8, 22] {
        let address = ([192, 0, 2, last], 5060).into();
        site.peers.push(Peer::new(CALLER, address, site.address, false, seed + u64::from(last)));
    }
    site.configure(|config| {
        outside(config);
        change(config);
    });
    site.pass(1);
    site
}

fn call(site: &mut Site, who: usize, number: &str) {
    let now = site.net.now;
    site.peers[who].call(number, true, now);
}

fn in_call(site: &mut Site, who: usize, number: &str) {
    call(site, who, number);
    site.until("established", 60, |site| site.saw("call-established") && site.peers[who].dialogs.len() == 1);
}

fn hang_up(site: &mut Site, who: usize) {
    let now = site.net.now;
    site.peers[who].hang_up(now);
    site.until("quiet", 120, Site::all_quiet);
}

fn invited(site: &Site, who: usize) -> Option<(String, String)> {
    let invite = site.peers[who].invite.as_ref()?;
    Some((invite.uri.user()?, invite.from().ok()?.uri.to_string()))
}

fn parties(site: &Site) -> Vec<(String, Party, bool)> {
    let parties = site.events.iter().rev().find_map(|what| match what {
        What::CallEstablished { parties } => Some(parties.clone()),
        _ => None,
    });
    parties.unwrap().into_iter().map(|party| (party.number, party.role, party.is_dn)).collect()
}

fn refused(site: &mut Site, who: usize, line: &str) {
    site.until(line, 70, |site| site.peers[who].log.last().is_some_and(|last| last == line));
    site.until("quiet", 70, Site::all_quiet);
}

#[test]
fn a_caller_outside_reaches_the_dn_of_the_number_and_is_recorded_as_its_policy_says() {
    for (seed, full_time) in [(1, &["1002"][..]), (2, &[])] {
        let mut site = site(seed, 0.0, full_time, |_| {});
        in_call(&mut site, ONE, "+4930123402");
        let (to, from) = invited(&site, B).unwrap();
        assert_eq!((to.as_str(), from.starts_with("sip:+4917112345@192.0.2.1")), ("1002", true), "{from}");
        let expected = [(CALLER.to_owned(), Party::Customer, false), ("1002".to_owned(), Party::Agent, true)];
        assert_eq!(parties(&site), expected);
        site.pass(2);
        assert_eq!(site.saw("recording-started"), !full_time.is_empty());
        for phone in [ONE, B] {
            let heard = site.peers[phone].heard.clone().unwrap();
            assert_eq!(heard.audio.address, site.peers[MEDIA].address.ip());
        }
        hang_up(&mut site, ONE);
        assert_eq!(ended(&site), Some((EndCause::HungUp, Some(CALLER.to_owned()))));
    }
}

#[test]
fn a_trunk_that_is_recorded_in_full_has_the_dn_recorded_in_both_directions() {
    for (seed, who, dialled) in [(3, ONE, "+4930123402"), (4, B, "00401234")] {
        let full = |config: &mut VoiceConfig| config.trunks[0].record_voice = VoicePolicy::FullTime;
        let mut site = site(seed, 0.0, &[], full);
        in_call(&mut site, who, dialled);
        site.until("recorded", 10, |site| site.saw("recording-started"));
        let asked = site.events.iter().find_map(|what| match what {
            What::CallOffered { record_voice, .. } => Some(record_voice.clone()),
            _ => None,
        });
        assert_eq!(asked, Some(vec!["1002".to_owned()]), "the DN, not the number outside");
        let agent = parties(&site).into_iter().find(|(_, role, _)| *role == Party::Agent);
        assert_eq!(agent, Some(("1002".to_owned(), Party::Agent, true)));
        hang_up(&mut site, B);
    }
}

#[test]
fn a_trunk_reaches_only_what_the_site_maps_and_nobody_else_comes_in_without_a_password() {
    let mut site = site(5, 0.0, &[], |_| {});
    for (number, line) in [
        ("+4930123499", "INVITE 404"),
        ("1002", "INVITE 404"),
        ("anna", "INVITE 404"),
        ("+43900123456", "INVITE 403"),
        ("0043900123456", "INVITE 403"),
        ("00900123456", "INVITE 403"),
        ("112", "INVITE 403"),
    ] {
        call(&mut site, ONE, number);
        refused(&mut site, ONE, line);
        assert!(site.peers[TWO].invite.is_none(), "{number} went out");
    }
    // The same words from elsewhere: a password is asked for.
    site.peers[TWO].address = "192.0.2.77:5060".parse().unwrap();
    call(&mut site, TWO, "+4930123402");
    refused(&mut site, TWO, "INVITE 407");
    assert!(site.peers[B].invite.is_none() && !site.saw("call-established"));
}

#[test]
fn a_caller_outside_in_a_dns_name_is_asked_for_its_password() {
    let mut site = site(6, 0.0, &[], |_| {});
    site.peers[ONE].number = "1001".to_owned();
    site.peers[ONE].set_password("guessed");
    call(&mut site, ONE, "1002");
    refused(&mut site, ONE, "INVITE 407");
    assert!(site.peers[B].invite.is_none());
}

#[test]
fn a_phone_calls_out_by_the_best_trunk_in_the_trunks_own_words() {
    let mut site = site(7, 0.0, &["1001"], |_| {});
    in_call(&mut site, A, "00401234");
    let (to, from) = invited(&site, ONE).unwrap();
    assert_eq!((to.as_str(), from.as_str()), ("+49401234", "sip:+4930123401@192.0.2.1:5060"));
    assert!(site.peers[TWO].invite.is_none());
    let expected =
        [("1001".to_owned(), Party::Agent, true), ("+49401234".to_owned(), Party::Customer, false)];
    assert_eq!(parties(&site), expected);
    site.until("recorded", 10, |site| site.saw("recording-started"));
    hang_up(&mut site, ONE);
    assert_eq!(ended(&site), Some((EndCause::HungUp, Some("+49401234".to_owned()))));

    let national = |config: &mut VoiceConfig| {
        config.trunks[0].format = hindsight_wire::trunk::NumberFormat::National;
        config.outside.as_mut().unwrap().barred = vec!["+49900".to_owned()];
    };
    site.configure(national);
    site.pass(1);
    in_call(&mut site, A, "+49401234");
    let (to, from) = invited(&site, ONE).unwrap();
    assert_eq!((to.as_str(), from.as_str()), ("0401234", "sip:030123401@192.0.2.1:5060"));
    hang_up(&mut site, A);
    for (number, line) in [("00900123", "INVITE 403"), ("401234", "INVITE 404"), ("0", "INVITE 404")] {
        call(&mut site, A, number);
        refused(&mut site, A, line);
    }
    site.configure(|config| config.outside = None);
    call(&mut site, A, "00401234");
    refused(&mut site, A, "INVITE 404");
}

#[test]
fn a_call_that_one_trunk_does_not_take_goes_by_the_next_before_the_caller_hears_of_it() {
    for (seed, status) in [(10, 503), (11, 500), (12, 504), (13, 408)] {
        let mut site = site(seed, 0.0, &["1001"], |_| {});
        site.peers[ONE].manner = Manner::Refuse(status);
        let began = site.net.now;
        in_call(&mut site, A, "00401234");
        assert!(site.net.now - began < Duration::from_secs(1), "{:?}", site.net.now - began);
        assert!(site.peers[ONE].invite.is_some() && site.peers[TWO].invite.is_some());
        assert!(!site.peers[A].log.iter().any(|line| line == &format!("INVITE {status}")));
        site.until("recorded", 10, |site| site.saw("recording-started"));
        hang_up(&mut site, A);
        assert_eq!(site.kinds().iter().filter(|kind| *kind == "call-offered").count(), 1);
    }
    // Somebody's decision is no trunk's fault.
    for (seed, status, cause) in [(14, 486, EndCause::Busy), (15, 404, EndCause::NotFound)] {
        let mut site = site(seed, 0.0, &[], |_| {});
        site.peers[ONE].manner = Manner::Refuse(status);
        call(&mut site, A, "00401234");
        refused(&mut site, A, &format!("INVITE {status}"));
        assert!(site.peers[TWO].invite.is_none());
        assert_eq!(ended(&site).unwrap().0, cause);
    }
}

#[test]
fn a_silent_trunk_is_given_up_in_seconds_skipped_while_it_is_down_and_used_when_it_is_back() {
    let mut site = site(20, 0.0, &[], |_| {});
    site.peers[ONE].silent = true;
    let began = site.net.now;
    in_call(&mut site, A, "00401234");
    let took = site.net.now - began;
    println!("connected by the second trunk after {took:?}");
    assert!(took < Duration::from_secs(4), "{took:?}");
    hang_up(&mut site, A);
    // Asked at once, it is known to be down by now: the next call does not wait for it.
    site.pass(5);
    let began = site.net.now;
    in_call(&mut site, A, "00401235");
    assert!(site.net.now - began < Duration::from_secs(1), "{:?}", site.net.now - began);
    assert!(site.peers[ONE].invite.is_none());
    hang_up(&mut site, A);

    site.peers[TWO].silent = true;
    site.pass(40);
    call(&mut site, A, "00401236");
    refused(&mut site, A, "INVITE 503");

    site.peers[ONE].silent = false;
    site.pass(6);
    in_call(&mut site, A, "00401237");
    assert_eq!(invited(&site, ONE).unwrap().0, "+49401237");
    hang_up(&mut site, A);
}

fn with_account(config: &mut VoiceConfig) {
    let one = &mut config.trunks[0];
    (one.user, one.password) = (Some("site".to_owned()), Some("open sesame".to_owned()));
}

#[test]
fn a_trunk_that_asks_for_a_password_gets_it_for_every_request_of_a_call() {
    for seed in 30..40 {
        let loss = if seed % 2 == 0 { 0.0 } else { 0.1 };
        let mut site = site(seed, loss, &[], with_account);
        site.peers[ONE].guard = Some(Guard::new("open sesame", site.net.now));
        in_call(&mut site, A, "00401234");
        assert!(site.peers[TWO].invite.is_none(), "seed {seed}");
        let from = invited(&site, ONE).unwrap().1;
        assert_eq!(from, "sip:+4930123401@192.0.2.21", "somebody of the trunk's own");
        let now = site.net.now;
        site.peers[A].change(Direction::SendOnly, now);
        site.until("held outside", 60, |site| {
            site.peers[ONE].heard.as_ref().is_some_and(|heard| heard.audio.direction == Direction::SendOnly)
        });
        site.pass(40);
        assert!(!site.saw("call-ended"), "seed {seed}: asked by OPTIONS all the while");
        hang_up(&mut site, A);
        assert!(site.peers[ONE].log.contains(&"bye".to_owned()), "seed {seed}: {:?}", site.peers[ONE].log);
    }
}

#[test]
fn a_trunk_that_refuses_the_password_is_passed_over() {
    let mut site = site(41, 0.0, &[], with_account);
    site.peers[ONE].guard = Some(Guard::new("another word", site.net.now));
    in_call(&mut site, A, "00401234");
    assert!(site.peers[ONE].invite.is_none() && site.peers[TWO].invite.is_some());
    hang_up(&mut site, A);
}

#[test]
fn a_trunk_is_registered_with_refreshed_and_calls_the_account_by_its_name() {
    let mut site = site(42, 0.0, &[], |config| {
        with_account(config);
        config.trunks[0].register = true;
    });
    let registered = |site: &Site| {
        let contact = |line: &&String| line.starts_with("registered sip:site@192.0.2.1:5060");
        site.peers[ONE].log.iter().filter(contact).count()
    };
    assert_eq!(registered(&site), 1, "{:?}", site.peers[ONE].log);
    site.peers[ONE].guard = Some(Guard::new("open sesame", site.net.now));
    site.pass(3600);
    assert_eq!(registered(&site), 2);
    // One that was away may know us no more, so it is told as soon as it is back.
    site.peers[ONE].silent = true;
    site.pass(60);
    site.peers[ONE].silent = false;
    site.pass(10);
    assert_eq!(registered(&site), 3);
    // A trunk that nobody watches: asked again and again until it answers.
    site.configure(|config| config.trunks[0].options = false);
    site.pass(1);
    assert_eq!(registered(&site), 4);
    site.peers[ONE].silent = true;
    site.pass(7200);
    site.peers[ONE].silent = false;
    site.pass(340);
    assert_eq!(registered(&site), 5);
    // Now the Request-URI is our Contact, and To the number.
    let now = site.net.now;
    site.peers[B].register(3600, now);
    site.pass(1);
    let text = "INVITE sip:site@192.0.2.1:5060 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.21:5060;branch=z9hG4bKq\r\n\
        From: <sip:017112345@192.0.2.21>;tag=1\r\nTo: <sip:+4930123402@192.0.2.21>\r\nCall-ID: account\r\n\
        CSeq: 1 INVITE\r\nMax-Forwards: 70\r\nContact: <sip:192.0.2.21>\r\nContent-Length: 0\r\n\r\n";
    let (from, to) = (site.peers[ONE].address, site.address);
    site.net.inject(from, to, text.as_bytes());
    site.until("it rings", 10, |site| site.peers[B].invite.is_some());
    let (_, from) = invited(&site, B).unwrap();
    assert!(from.starts_with("sip:+4917112345@"), "{from}");
}

#[test]
fn a_trunk_by_name_is_looked_up_and_has_no_calls_until_it_has_an_address() {
    let mut site = site(43, 0.0, &[], |config| {
        config.trunks.remove(1);
        config.trunks[0].address = "sbc.example:5060".to_owned();
    });
    assert_eq!(site.looks.last(), Some(&("one".to_owned(), "sbc.example".to_owned(), 5060)));
    call(&mut site, A, "00401234");
    refused(&mut site, A, "INVITE 503");
    let (now, address) = (site.now(), site.peers[ONE].address);
    site.server.on_looked("one", Err("no such name".to_owned()), now);
    let other = "192.0.2.99:5060".parse().unwrap();
    site.server.on_looked("one", Ok(vec![address, other]), now);
    in_call(&mut site, A, "00401234");
    let invite = site.peers[ONE].invite.as_ref().unwrap();
    assert_eq!(invite.uri.to_string(), "sip:+49401234@sbc.example:5060");
    hang_up(&mut site, A);
    // The order of a name's addresses means nothing, and all of them are its own.
    let now = site.now();
    site.server.on_looked("one", Ok(vec![other, address]), now);
    site.server.on_looked("one", Err("no answer".to_owned()), now);
    in_call(&mut site, A, "00401235");
    assert_eq!(invited(&site, ONE).unwrap().0, "+49401235");
    hang_up(&mut site, A);
    site.peers[ONE].address = other;
    in_call(&mut site, ONE, "+4930123402");
    hang_up(&mut site, B);
}

#[test]
fn calls_over_trunks_survive_the_loss_of_a_fifth_of_all_messages() {
    for seed in 200..230 {
        let mut site = site(seed, 0.2, &["1001"], with_account);
        site.peers[ONE].guard = Some(Guard::new("open sesame", site.net.now));
        let (who, number, other) =
            if seed % 2 == 0 { (A, "00401234", "+49401234") } else { (TWO, "+4930123401", CALLER) };
        in_call(&mut site, who, number);
        assert!(parties(&site).iter().any(|(number, _, is_dn)| number == other && !is_dn), "seed {seed}");
        hang_up(&mut site, A);
        assert_eq!(ended(&site).unwrap().0, EndCause::HungUp, "seed {seed}");
    }
}

#[test]
fn a_call_over_a_trunk_outlives_its_sip_server() {
    for (seed, out) in [(300, true), (301, false)] {
        let mut site = site(seed, 0.0, &["1001"], with_account);
        site.peers[ONE].guard = Some(Guard::new("open sesame", site.net.now));
        let (who, number) = if out { (A, "00401234") } else { (ONE, "+4930123401") };
        in_call(&mut site, who, number);
        site.until("recording", 60, |site| site.saw("recording-started"));
        site.pass(5);
        let restored = site.restart(seed + 1000, &["1001"]);
        assert_eq!(restored, Restored { calls: 1, registered: 2, ..Restored::default() });
        site.until("both are asked", 60, |site| {
            [A, ONE].iter().all(|phone| site.peers[*phone].log.contains(&"re-invited".into()))
        });
        site.pass(60);
        assert!(!site.saw("call-ended"), "{:?}", site.events.last());
        let starts = site.peers[MEDIA].log.iter().filter(|line| *line == "Start").count();
        assert_eq!(starts, 1, "the recording goes on");
        hang_up(&mut site, A);
        assert!(site.peers[ONE].log.contains(&"bye".to_owned()));
        assert_eq!(ended(&site), Some((EndCause::HungUp, Some("1001".to_owned()))));
    }
}

#[test]
fn a_caller_outside_is_transferred_inside_and_outside_only_where_the_site_allows_it() {
    for (seed, to, allowed, done) in
        [(310, "1002", false, true), (311, "00401234", false, false), (312, "00401234", true, true)]
    {
        let mut site = site(seed, 0.0, &["1001"], |config| {
            config.trunks[0].record_voice = VoicePolicy::FullTime;
            config.outside.as_mut().unwrap().trunk_to_trunk = allowed;
        });
        in_call(&mut site, ONE, "+4930123401");
        let now = site.net.now;
        let refer_to = format!("<sip:{to}@192.0.2.1>");
        site.peers[A].refer(CALLER, &refer_to, &[], now);
        let kind = if done { "call-transferred" } else { "transfer-failed" };
        site.until(kind, 20, |site| site.saw(kind));
        if done {
            site.until("left", 20, |site| site.peers[A].dialogs.is_empty());
            let joined = if to == "1002" { B } else { ONE };
            assert!(site.peers[joined].invite.is_some());
            site.until("together", 10, |site| site.peers[joined].dialogs.len() > usize::from(joined == ONE));
            site.pass(5);
            assert!(!site.saw("call-ended"));
        } else {
            let failed =
                site.events.iter().any(|what| matches!(what, What::TransferFailed { status: 403, .. }));
            assert!(failed && site.peers[TWO].invite.is_none(), "{:?}", site.kinds());
        }
        for who in [ONE, A] {
            let now = site.net.now;
            site.peers[who].hang_up(now);
        }
        site.until("quiet", 120, Site::all_quiet);
    }
}

#[test]
fn a_trunk_cannot_have_a_call_go_elsewhere() {
    let mut site = site(320, 0.0, &[], |config| config.outside.as_mut().unwrap().trunk_to_trunk = true);
    in_call(&mut site, ONE, "+4930123401");
    let now = site.net.now;
    site.peers[ONE].refer("+4930123401", "<sip:+43900123456@192.0.2.1>", &[], now);
    site.until("refused", 10, |site| site.peers[ONE].log.last().is_some_and(|line| line == "REFER 403"));
    assert!(site.peers[TWO].invite.is_none());
    hang_up(&mut site, A);
}
