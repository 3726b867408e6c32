//! The resource manager between a scripted caller and scripted media servers, in virtual time.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod site;

use hindsight_resource_manager::{Config, member::Member};
use hindsight_sip::Method;
use hindsight_wire::InteractionId;
use site::{CALLER, Manner, Site, address};
use std::{collections::BTreeMap, time::Duration};

fn conference(number: u8) -> InteractionId {
    format!("0193aaaa-0000-7000-8000-0000000000{number:02x}").parse().unwrap()
}

#[test]
fn every_leg_of_a_conference_reaches_the_least_loaded_media_server_and_stays_there() {
    let mut site = Site::new(3, 0.0, 1);
    for (peer, load) in [(1, 500), (2, 20), (3, 300)] {
        site.peers[peer].load = load;
    }
    site.pass(100);
    site.invite(conference(1), "customer");
    site.until("first leg", 5, |site| site.caller_saw("INVITE 200") == 1);
    site.peers[2].load = 990;
    site.pass(2000);
    site.invite(conference(1), "agent");
    site.until("second leg", 5, |site| site.caller_saw("INVITE 200") == 2);
    assert_eq!(site.legs(), [0, 2, 0]);
    site.invite(conference(2), "agent");
    site.until("other conference", 5, |site| site.caller_saw("INVITE 200") == 3);
    assert_eq!(site.legs(), [0, 2, 1]);
    // INFO and BYE pass by Record-Route; so does the media server's own BYE.
    site.request(CALLER, 0, Method::Info);
    site.until("INFO passed", 5, |site| site.caller_saw("INFO 200") == 1);
    site.request(2, 0, Method::Bye);
    site.until("BYE of the media server", 5, |site| site.records.len() == 1);
    site.until("caller told", 5, |site| site.caller_saw("BYE") == 1);
    for dialog in 0..2 {
        site.request(CALLER, dialog, Method::Bye);
    }
    site.until("all records", 5, |site| site.records.len() == 3);
    assert_eq!(site.manager.sessions(), 0);
    let (interaction, record) = &site.records[0];
    assert_eq!((*interaction, record.media_server.as_deref()), (conference(1), Some("192.0.2.101:5060")));
    assert!(record.status == 200 && record.answered_at.is_some() && record.ended_at >= record.started_at);
}

#[test]
fn a_media_server_that_refuses_or_is_silent_is_passed_over_within_the_transaction() {
    for (manner, limit) in [(Manner::Refuse(503), 50), (Manner::Refuse(500), 50), (Manner::Deaf, 1700)] {
        let mut site = Site::new(2, 0.0, 2);
        site.peers[2].load = 10;
        site.peers[1].manner = manner;
        site.pass(100);
        let began = site.now;
        site.invite(conference(1), "agent");
        site.until("answered", 5, |site| site.caller_saw("INVITE 200") == 1);
        assert!(site.now - began <= Duration::from_millis(limit + 50));
        assert_eq!(site.peers[1].log[0], "INVITE", "the least loaded one was asked first");
        assert_eq!(site.legs(), [0, 1]);
        site.invite(conference(1), "customer");
        site.until("answered", 5, |site| site.caller_saw("INVITE 200") == 2);
        assert_eq!(site.legs(), [0, 2], "pinned to the one that answered");
    }
}

#[test]
fn a_refusal_of_the_caller_is_not_shopped_around() {
    let mut site = Site::new(2, 0.0, 3);
    site.peers[1].manner = Manner::Refuse(488);
    site.peers[2].load = 10;
    site.pass(100);
    site.invite(conference(1), "agent");
    site.until("refused", 5, |site| site.caller_saw("INVITE 488") == 1);
    assert!(site.peers[2].log.is_empty());
    assert_eq!((site.records.len(), site.records[0].1.status), (1, 488));
}

#[test]
fn without_a_living_media_server_the_answer_is_503() {
    let mut site = Site::new(2, 0.0, 4);
    site.peers[1].manner = Manner::Dead;
    site.peers[2].manner = Manner::Dead;
    site.pass(5000);
    site.invite(conference(1), "agent");
    site.until("refused", 1, |site| site.caller_saw("INVITE 503") == 1);
    assert_eq!(site.records[0].1.media_server, None);
    site.peers[2].manner = Manner::Answer;
    site.pass(3000);
    site.invite(conference(2), "agent");
    site.until("answered", 1, |site| site.caller_saw("INVITE 200") == 1);
}

#[test]
fn the_loss_of_a_media_server_is_told_in_its_dialogs_within_seconds() {
    let mut site = Site::new(2, 0.0, 5);
    site.peers[2].load = 10;
    site.pass(100);
    for role in ["agent", "customer"] {
        site.invite(conference(1), role);
    }
    site.until("two legs", 5, |site| site.legs() == [2, 0] && site.peers[CALLER].dialogs.len() == 2);
    site.peers[1].manner = Manner::Dead;
    let died = site.now;
    // Asked before the loss is known: answered when it is.
    site.request(CALLER, 0, Method::Options);
    site.until("408", 5, |site| site.caller_saw("OPTIONS 408") == 1);
    assert!(
        site.now - died <= Duration::from_millis(1800),
        "six checks of a quarter of a second, and a moment"
    );
    assert_eq!(site.records.len(), 2, "both sessions are over");
    let asked = site.now;
    site.request(CALLER, 1, Method::Options);
    site.until("408 at once", 5, |site| site.caller_saw("OPTIONS 408") == 2);
    assert!(site.now - asked < Duration::from_millis(50));
    site.invite(conference(1), "agent");
    site.until("a new leg elsewhere", 5, |site| site.legs()[1] == 1);
}

#[test]
fn a_sip_server_is_told_at_once_that_a_process_is_gone_whatever_the_number_of_its_calls() {
    let mut site = Site::new(2, 0.0, 6);
    site.peers[2].load = 60;
    site.pass(100);
    for number in 1..20 {
        site.invite(conference(number), "agent");
        site.pass(20);
    }
    site.until("all legs", 5, |site| site.legs() == [19, 0]);
    let went = site.now;
    site.process_gone(1);
    site.until("told", 1, |site| site.caller_saw("lost 192.0.2.100:5060") == 1);
    assert!(site.now - went < Duration::from_millis(20));
    assert_eq!(site.records.len(), 19, "every session there is over");
    site.request(CALLER, 3, Method::Options);
    site.until("408", 1, |site| site.caller_saw("OPTIONS 408") == 1);
    for number in 1..20 {
        site.invite(conference(number), "agent");
    }
    site.until("all elsewhere", 2, |site| site.legs()[1] == 19);
    assert!(site.now - went < Duration::from_millis(100));
    site.pass(5000);
    assert_eq!(site.caller_saw("lost 192.0.2.100:5060"), 1, "the missed checks are no news");
}

#[test]
fn a_media_server_that_dies_with_an_invite_under_way_is_passed_over_unless_its_conference_is_there() {
    let mut site = Site::new(3, 0.0, 7);
    (site.peers[2].load, site.peers[3].load) = (100, 200);
    site.pass(100);
    site.peers[1].manner = Manner::Deaf;
    site.invite(conference(1), "agent");
    site.pass(50);
    site.process_gone(1);
    site.until("answered by the next", 1, |site| site.caller_saw("INVITE 200") == 1);
    assert_eq!(site.legs(), [0, 1, 0]);
    site.peers[2].manner = Manner::Deaf;
    site.invite(conference(1), "customer");
    site.pass(50);
    site.process_gone(2);
    site.until("the second leg cannot be without the first", 1, |site| site.caller_saw("INVITE 408") == 1);
    assert_eq!(site.manager.sessions(), 0);
}

#[test]
fn a_tenant_has_its_own_limit_and_a_conference_that_began_gets_all_its_legs() {
    let limits = BTreeMap::from([("blue".to_owned(), 2)]);
    let config = Config { tenant_sessions: limits, max_sessions: 4, ..Config::default() };
    let mut site = Site::with(vec![address(100).into()], config, 0.0, 8);
    site.pass(100);
    let of = |tenant| [("role", "agent"), ("tenant", tenant)];
    for number in 1..4 {
        site.invite_with(conference(number), &of("blue"));
        site.pass(50);
    }
    assert_eq!((site.caller_saw("INVITE 200"), site.caller_saw("INVITE 503")), (2, 1));
    site.invite_with(conference(1), &of("blue"));
    site.invite_with(conference(4), &of("red"));
    site.until("legs", 1, |site| site.legs() == [4]);
    site.invite_with(conference(5), &of("red"));
    site.until("no room at all", 1, |site| site.caller_saw("INVITE 503") == 2);
    site.invite_with(conference(4), &of("red"));
    site.until("second leg", 1, |site| site.legs() == [5]);
    site.request(CALLER, 0, Method::Bye);
    site.until("one less", 1, |site| site.legs() == [4]);
}

#[test]
fn what_drains_keeps_its_conferences_and_gets_no_new_ones_and_a_place_is_preferred() {
    let draining = |drain| Member { drain, ..address(100).into() };
    let berlin = Member { place: "berlin".into(), ..address(102).into() };
    let mut site = Site::with(vec![draining(true), address(101).into(), berlin], Config::default(), 0.0, 9);
    (site.peers[2].load, site.peers[3].load) = (10, 500);
    site.pass(100);
    site.invite(conference(1), "agent");
    site.invite_with(conference(2), &[("role", "agent"), ("place", "berlin")]);
    site.until("legs", 1, |site| site.legs() == [0, 1, 1]);
    site.peers[2].manner = Manner::Refuse(503);
    site.invite_with(conference(2), &[("role", "customer"), ("place", "berlin")]);
    site.until("pinned", 1, |site| site.legs() == [0, 1, 2]);
}

#[test]
fn a_cancelled_session_leaves_no_leg_behind_even_when_the_answer_crosses() {
    for (seed, manner) in (10..40).zip([Manner::Ring, Manner::Answer, Manner::Deaf].into_iter().cycle()) {
        let mut site = Site::new(1, 0.0, seed);
        site.peers[1].manner = manner;
        site.pass(100);
        let invite = site.invite(conference(1), "agent");
        site.pass(seed % 20);
        site.cancel(invite);
        let over = |site: &Site| site.caller_saw("INVITE 487") == 1 || !site.peers[CALLER].dialogs.is_empty();
        site.until("over", 40, over);
        if site.caller_saw("INVITE 487") == 1 {
            site.until("no leg", 40, |site| site.legs() == [0] && site.manager.sessions() == 0);
            assert_eq!(site.records[0].1.status, 487, "seed {seed}");
        }
    }
}

#[test]
fn sessions_survive_the_loss_of_a_fifth_of_all_messages() {
    for seed in 100..130 {
        let mut site = Site::new(2, 0.2, seed);
        site.pass(3000);
        site.invite(conference(1), "agent");
        site.until("answered", 40, |site| {
            !site.peers[CALLER].dialogs.is_empty()
                || site.caller_saw("INVITE 503") + site.caller_saw("INVITE 408") > 0
        });
        if site.peers[CALLER].dialogs.is_empty() {
            continue;
        }
        site.request(CALLER, 0, Method::Bye);
        site.until("ended", 40, |site| !site.records.is_empty());
        site.until("no leg", 100, |site| site.legs() == [0, 0]);
    }
}
