//! Transfers between scripted phones: blind and attended, refused, lost on the way.

use crate::{
    ended,
    peer::{Manner, Peer},
    site::{A, B, C, MEDIA, Site},
};
use hindsight_model::event::{CallParty, EndCause, What};
use hindsight_sip::{Dialog, DialogId, Method, sdp::Direction};
use hindsight_sip_server::state::Restored;
use hindsight_wire::{agent::CallAction, component::CallControl};
use rand::{Rng, SeedableRng, rngs::StdRng};
use std::time::{Duration, Instant};

const RECORDED: &[&str] = &["1002", "1003"];
const TO_C: &str = "<sip:1003@192.0.2.1>";

impl Peer {
    /// The dialog of its call with this number.
    pub fn dialog_with(&self, number: &str) -> &DialogId {
        let with = |dialog: &&Dialog| dialog.remote().uri.user().as_deref() == Some(number);
        self.dialogs.values().find(with).expect("a call with that number").id()
    }

    /// The value of Refer-To that names its call with this number (RFC 5589 7.3).
    pub fn replacing(&self, number: &str) -> String {
        let DialogId { call_id, local_tag, remote_tag } = self.dialog_with(number);
        let call_id = call_id.replace('@', "%40");
        format!(
            "<sip:{number}@{}?Replaces={call_id}%3Bto-tag%3D{remote_tag}%3Bfrom-tag%3D{local_tag}>",
            self.server
        )
    }

    /// REFER in its call with this number.
    pub fn refer(&mut self, number: &str, refer_to: &str, more: &[(&str, &str)], now: Instant) {
        let id = self.dialog_with(number).clone();
        let dialog = self.dialogs.get_mut(&id).unwrap();
        let request = dialog.request(Method::Refer).with_header("Refer-To", refer_to);
        let request = more.iter().fold(request, |request, (name, value)| request.with_header(name, value));
        self.send(request, now);
    }
}

/// 1001 and 1002 in a call, 1003 registered.
fn with_third(seed: u64, loss: f64, full_time: &[&str]) -> Site {
    let mut site = Site::in_call(seed, loss, full_time);
    let now = site.net.now;
    site.peers[C].register(3600, now);
    site.until("1003 registered", 60, |site| site.server.registered() == 3);
    site
}

fn transferred(site: &Site) -> Vec<(String, String, bool)> {
    let of = |what: &What| match what {
        What::CallTransferred { by, to, attended, .. } => Some((by.clone(), to.clone(), *attended)),
        _ => None,
    };
    site.events.iter().filter_map(of).collect()
}

fn parties(site: &Site) -> Vec<&CallParty> {
    let mut parties = site.events.iter().filter_map(|what| match what {
        What::CallEstablished { parties } => Some(parties),
        _ => None,
    });
    parties.next_back().unwrap().iter().collect()
}

fn heard(site: &Site, phone: usize, line: &str) -> bool {
    site.peers[phone].log.iter().any(|heard| heard == line)
}

/// The parties speak, nothing is under way.
fn settled(site: &mut Site) {
    site.pass(4);
    assert_eq!(site.peers[MEDIA].dialogs.len(), 2, "the media server keeps two legs");
    for phone in site.peers.iter().filter(|phone| !phone.dialogs.is_empty() && phone.number != "media") {
        let audio = &phone.heard.as_ref().unwrap().audio;
        assert_eq!(audio.address, site.peers[MEDIA].address.ip());
    }
}

#[test]
fn an_agent_transfers_a_customer_blind_and_leaves() {
    for seed in 700..740 {
        let loss = if seed % 2 == 0 { 0.0 } else { 0.15 };
        let mut site = with_third(seed, loss, RECORDED);
        site.until("recorded", 60, |site| site.saw("recording-started") || site.saw("recording-failed"));
        site.peers[B].polite = seed % 3 != 0;
        let now = site.net.now;
        site.peers[B].refer("1001", TO_C, &[], now);
        site.until("transferred", 90, |site| site.saw("call-transferred"));
        site.until("the agent left", 60, |site| site.peers[B].dialogs.is_empty());
        settled(&mut site);
        assert_eq!(transferred(&site), [("1002".to_owned(), "1003".to_owned(), false)], "seed {seed}");
        let numbers: Vec<&str> = parties(&site).iter().map(|party| party.number.as_str()).collect();
        assert_eq!(numbers, ["1001", "1003"]);
        if loss == 0.0 {
            assert_eq!(
                site.kinds()[4..],
                [
                    "call-ringing",
                    "recording-stopped",
                    "call-transferred",
                    "call-established",
                    "recording-started"
                ]
            );
            for line in ["REFER 202", "referred 100", "referred 180", "referred 200"] {
                assert!(heard(&site, B, line), "{line}: {:?}", site.peers[B].log);
            }
            assert_eq!(heard(&site, B, "bye"), seed % 3 == 0, "only who does not hang up is ended");
        }
        let who = if seed % 4 < 2 { A } else { C };
        let now = site.net.now;
        site.peers[who].hang_up(now);
        site.until("quiet", 120, Site::all_quiet);
        let number = site.peers[who].number.clone();
        assert_eq!(ended(&site), Some((EndCause::HungUp, Some(number))), "seed {seed}");
        assert_eq!(site.kinds().iter().filter(|kind| *kind == "call-ended").count(), 1);
    }
}

#[test]
fn a_transfer_that_fails_leaves_the_call_as_it_was_and_says_why() {
    for (manner, to, status, seconds) in [
        (Manner::Refuse(486), "1003", 486, 10),
        (Manner::Refuse(603), "1003", 603, 10),
        (Manner::Refuse(404), "1003", 404, 10),
        (Manner::Ignore, "1003", 480, 70),
        (Manner::Ignore, "4711", 404, 10),
    ] {
        let mut site = with_third(750, 0.0, &["1002"]);
        site.peers[C].manner = manner;
        let now = site.net.now;
        site.peers[A].refer("1002", &format!("<sip:{to}@192.0.2.1>"), &[], now);
        let told = format!("referred {status}");
        site.until(&told, seconds, |site| heard(site, A, &told));
        assert!(!site.saw("call-transferred") && !site.saw("call-ended") && !site.saw("recording-stopped"));
        let event = site.events.iter().rev().find(|what| matches!(what, What::TransferFailed { .. }));
        let (by, to) = ("1001".to_owned(), to.to_owned());
        assert_eq!(event, Some(&What::TransferFailed { by, to, status }));
        // Another one, to somebody who answers.
        site.peers[C].manner = Manner::Answer(Duration::from_millis(100));
        let now = site.net.now;
        site.peers[A].refer("1002", TO_C, &[], now);
        site.until("transferred", 20, |site| site.saw("call-transferred"));
        settled(&mut site);
        let now = site.net.now;
        site.peers[B].hang_up(now);
        site.until("quiet", 120, Site::all_quiet);
    }
}

#[test]
fn whom_nobody_is_registered_at_is_told_to_be_absent() {
    let mut site = Site::in_call(751, 0.0, &[]);
    let now = site.net.now;
    site.peers[A].refer("1002", TO_C, &[], now);
    site.until("told", 10, |site| heard(site, A, "referred 480"));
}

#[test]
fn only_a_party_of_the_call_has_it_transferred_and_only_to_somebody() {
    for (password, refer_to, status) in [
        ("secret-1001", "nobody", "REFER 400"),
        ("secret-1001", "<sip:1003@192.0.2.1;method=BYE>", "REFER 400"),
        ("secret-1001", "<sip:1003@192.0.2.1?Replaces=1%3Bto-tag%3D2>", "REFER 400"),
        ("wrong", TO_C, "REFER 407"),
    ] {
        let mut site = with_third(752, 0.0, &[]);
        site.peers[A].set_password(password);
        let now = site.net.now;
        site.peers[A].refer("1002", refer_to, &[], now);
        site.until(status, 10, |site| heard(site, A, status));
        assert!(site.peers[C].log.iter().all(|line| line != "ringing"));
        assert_eq!((site.peers[A].dialogs.len(), site.peers[B].dialogs.len()), (1, 1));
    }
}

#[test]
fn who_wants_to_hear_nothing_of_it_is_hung_up_when_it_is_done() {
    let mut site = with_third(753, 0.0, &[]);
    let now = site.net.now;
    site.peers[A].refer("1002", TO_C, &[("Refer-Sub", "false"), ("Require", "norefersub")], now);
    site.until("transferred", 10, |site| site.saw("call-transferred") && site.peers[A].dialogs.is_empty());
    assert!(heard(&site, A, "REFER 202") && heard(&site, A, "bye"));
    assert!(site.peers[A].log.iter().all(|line| !line.starts_with("referred")));
    settled(&mut site);
}

#[test]
fn an_attended_transfer_makes_one_call_of_two() {
    for seed in 760..800 {
        let loss = if seed % 2 == 0 { 0.0 } else { 0.15 };
        let mut site = with_third(seed, loss, RECORDED);
        // 1002 consults 1003 while 1001 waits.
        let now = site.net.now;
        site.peers[B].call("1003", true, now);
        site.until("consulted", 90, |site| {
            site.kinds().iter().filter(|kind| *kind == "call-established").count() == 2
                && site.peers[B].dialogs.len() == 2
        });
        site.pass(6);
        let (customer, consultation) = (site.whose[0], *site.whose.last().unwrap());
        assert_ne!(customer, consultation);
        let now = site.net.now;
        let refer_to = site.peers[B].replacing("1003");
        site.peers[B].refer("1001", &refer_to, &[], now);
        site.until("transferred", 90, |site| site.saw("call-transferred"));
        site.until("the agent left both", 60, |site| site.peers[B].dialogs.is_empty());
        site.until("the legs of the other call ended", 60, |site| site.peers[MEDIA].dialogs.len() == 2);
        settled(&mut site);
        assert_eq!(transferred(&site), [("1002".to_owned(), "1003".to_owned(), true)], "seed {seed}");
        let at = site.events.iter().position(|what| matches!(what, What::CallTransferred { .. })).unwrap();
        assert_eq!(site.whose[at], customer);
        assert!(
            matches!(&site.events[at], What::CallTransferred { consultation: Some(of), .. } if *of == consultation)
        );
        let over = site.events.iter().position(|what| matches!(what, What::CallEnded { .. })).unwrap();
        assert_eq!(site.whose[over], consultation);
        let by = Some("1002".to_owned());
        assert_eq!(site.events[over], What::CallEnded { cause: EndCause::Transferred, by });
        let numbers: Vec<&str> = parties(&site).iter().map(|party| party.number.as_str()).collect();
        assert_eq!(numbers, ["1001", "1003"]);
        site.until("one call left", 60, |site| site.server.calls() == 1);
        let now = site.net.now;
        site.peers[C].hang_up(now);
        site.until("quiet", 120, Site::all_quiet);
        assert_eq!(site.kinds().iter().filter(|kind| *kind == "call-ended").count(), 2, "seed {seed}");
    }
}

#[test]
fn a_call_can_be_replaced_only_by_whose_it_is_and_by_its_right_name() {
    let consulted = |seed| {
        let mut site = with_third(seed, 0.0, &[]);
        let now = site.net.now;
        site.peers[B].call("1003", true, now);
        site.until("consulted", 20, |site| site.peers[B].dialogs.len() == 2);
        site.pass(4);
        site
    };
    let refused = |site: &mut Site, by: usize, with: &str, refer_to: &str, told: &str| {
        let now = site.net.now;
        site.peers[by].refer(with, refer_to, &[], now);
        site.until(told, 10, |site| heard(site, by, told));
        assert_eq!(site.server.calls(), 2, "both go on");
        assert!(!site.saw("call-transferred"));
    };
    let mut site = consulted(810);
    let right = site.peers[B].replacing("1003");
    refused(&mut site, B, "1001", &right.replace("to-tag%3D", "to-tag%3Dx"), "referred 481");
    // A dialog of somebody else's, its name got hold of.
    refused(&mut site, A, "1002", &right, "referred 403");
    refused(&mut site, B, "1001", &right.replace(">", "%3Bearly-only>"), "referred 486");
    // A call by itself.
    let mut alone = consulted(811);
    let own = alone.peers[B].replacing("1001");
    refused(&mut alone, B, "1001", &own, "referred 403");
    // It was right all the same.
    let now = site.net.now;
    site.peers[B].refer("1001", &right, &[], now);
    site.until("transferred", 20, |site| site.saw("call-transferred"));
}

#[test]
fn one_that_rings_cannot_be_given_away() {
    let mut site = with_third(812, 0.0, &[]);
    site.peers[C].manner = Manner::Ignore;
    let now = site.net.now;
    site.peers[B].call("1003", true, now);
    site.until("ringing", 10, |site| heard(site, C, "ringing"));
    let wanted = "<sip:1003@192.0.2.1?Replaces=no-such-call%3Bto-tag%3D1%3Bfrom-tag%3D2>";
    let now = site.net.now;
    site.peers[B].refer("1001", wanted, &[], now);
    site.until("told", 10, |site| heard(site, B, "referred 481"));
}

#[test]
fn a_transferred_call_outlives_its_sip_server_and_its_media_server() {
    for seed in 820..840 {
        let loss = if seed % 2 == 0 { 0.0 } else { 0.1 };
        let mut site = with_third(seed, loss, RECORDED);
        let by = if seed % 4 < 2 { B } else { A };
        let (stays, with) = if by == B { (A, "1001") } else { (B, "1002") };
        let now = site.net.now;
        site.peers[by].refer(with, TO_C, &[], now);
        site.until("transferred", 90, |site| site.saw("call-transferred"));
        site.until("left", 60, |site| site.peers[by].dialogs.is_empty());
        site.pass(8);
        let restored = site.restart(seed + 1000, RECORDED);
        assert_eq!(restored, Restored { calls: 1, registered: 3, ..Restored::default() }, "seed {seed}");
        let before: Vec<usize> = [stays, C].map(|phone| site.peers[phone].log.len()).into();
        site.until("both asked", 60, |site| {
            [stays, C]
                .iter()
                .zip(&before)
                .all(|(phone, from)| site.peers[*phone].log[*from..].iter().any(|line| line == "re-invited"))
        });
        site.pass(20);
        // The media server that it had knows nothing any more.
        site.peers[MEDIA].dialogs.clear();
        site.until("two legs again", 60, |site| site.peers[MEDIA].dialogs.len() == 2);
        site.pass(30);
        assert!(!site.saw("call-ended"), "seed {seed}: {:?}", site.events.last());
        let now = site.net.now;
        site.peers[C].hang_up(now);
        site.until("quiet", 120, Site::all_quiet);
        assert_eq!(ended(&site), Some((EndCause::HungUp, Some("1003".to_owned()))), "seed {seed}");
    }
}

/// Three phones do what they like for a while: call, hold, transfer, consult, hang up, over a network that loses messages.
/// Then everybody hangs up, and nothing is left of any call, and every call has one beginning and one end.
#[test]
fn no_history_of_calls_and_transfers_leaves_anything_behind() {
    let mut transfers = 0;
    for seed in 900..960 {
        let mut rng = StdRng::seed_from_u64(seed);
        let loss = [0.0, 0.05, 0.1][rng.random_range(0..3)];
        let mut site = with_third(seed, loss, RECORDED);
        for _ in 0..rng.random_range(10..40) {
            act(&mut site, &mut rng);
            let end = site.net.now + Duration::from_millis(rng.random_range(0..2500));
            site.until("passed", 60, |site| site.net.now >= end);
        }
        for _ in 0..6 {
            for phone in [A, B, C] {
                let now = site.net.now;
                site.peers[phone].hang_up(now);
            }
            site.pass(20);
        }
        site.until("quiet", 200, Site::all_quiet);
        transfers += transferred(&site).len();
        let of = |kind: &str| {
            let kinds = site.kinds();
            let of = site.whose.iter().zip(&kinds).filter(|(_, of)| *of == kind).map(|(call, _)| *call);
            let mut calls: Vec<_> = of.collect();
            calls.sort();
            calls
        };
        let begun = of("call-offered");
        assert_eq!(begun, of("call-ended"), "seed {seed}");
        assert!(begun.windows(2).all(|two| two[0] != two[1]), "seed {seed}");
    }
    assert!(transfers > 60, "{transfers} transfers");
}

fn act(site: &mut Site, rng: &mut StdRng) {
    let phone = [A, B, C][rng.random_range(0..3)];
    let other = ["1001", "1002", "1003"][rng.random_range(0..3)];
    let now = site.net.now;
    let peer = &mut site.peers[phone];
    let partners: Vec<String> =
        peer.dialogs.values().filter_map(|dialog| dialog.remote().uri.user()).collect();
    match (rng.random_range(0..10), partners.as_slice()) {
        (0..=2, _) if other != peer.number => drop(peer.call(other, true, now)),
        (3, [_, ..]) => peer.hang_up(now),
        (4, [_, ..]) => {
            let direction = [Direction::SendRecv, Direction::SendOnly][rng.random_range(0..2)];
            peer.change(direction, now);
        }
        (5..=6, [with, ..]) => {
            let to = format!("<sip:{other}@192.0.2.1>");
            peer.refer(&with.clone(), &to, &[], now);
        }
        (7..=9, [with, and, ..]) => {
            let to = peer.replacing(&and.clone());
            peer.refer(&with.clone(), &to, &[], now);
        }
        _ => {}
    }
}

#[test]
fn a_desktop_has_its_call_transferred() {
    let mut site = with_third(845, 0.0, RECORDED);
    let interaction = site.interaction.unwrap();
    let ask = |site: &mut Site, request, dn: &str, to: Option<&str>| {
        let (dn, to, by) = (dn.to_owned(), to.map(str::to_owned), "ben".to_owned());
        let control = CallControl { interaction, dn, action: CallAction::Transfer, to, by };
        let now = site.now();
        site.server.on_call_control(request, control, now);
        site.until("answered", 30, |site| site.result(request).is_some());
        site.result(request).unwrap().clone()
    };
    for (request, dn, to, why) in [
        (1, "1003", Some("1003"), "this DN takes no part in the call"),
        (2, "1002", None, "nobody to transfer to"),
        (3, "1002", Some("4711"), "the transfer failed: there is no such number"),
    ] {
        assert_eq!(ask(&mut site, request, dn, to).as_deref(), Some(why));
    }
    site.peers[C].manner = Manner::Refuse(486);
    let busy = ask(&mut site, 4, "1002", Some("1003"));
    assert_eq!(busy.as_deref(), Some("the transfer failed: the line is busy"));
    site.peers[C].manner = Manner::Answer(Duration::from_millis(200));
    assert_eq!(ask(&mut site, 5, "1002", Some("1003")), None);
    site.until("left", 10, |site| site.peers[B].dialogs.is_empty());
    assert!(heard(&site, B, "bye"));
    settled(&mut site);
    assert_eq!(transferred(&site), [("1002".to_owned(), "1003".to_owned(), false)]);
    let now = site.net.now;
    site.peers[A].hang_up(now);
    site.until("quiet", 60, Site::all_quiet);
}
