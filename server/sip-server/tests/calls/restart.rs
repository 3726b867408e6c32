//! The SIP server is lost in the middle of calls and its next process takes up what was kept.

use crate::{
    ended,
    peer::Manner,
    site::{A, B, MEDIA, Site},
};
use hindsight_model::event::{EndCause, What};
use hindsight_sip_server::{kept::Key, state::Restored};
use hindsight_wire::{Timestamp, component::RecordingAction};
use std::time::Duration;

const RECORDED: &[&str] = &["1002"];

fn recorded_call(seed: u64, loss: f64) -> Site {
    let mut site = Site::in_call(seed, loss, RECORDED);
    site.until("recording", 60, |site| site.saw("recording-started"));
    site.pass(5);
    site
}

fn restart(site: &mut Site, seed: u64) {
    let restored = site.restart(seed, RECORDED);
    assert_eq!(restored, Restored { calls: 1, registered: 2, ..Restored::default() });
}

fn both_asked(site: &mut Site) {
    site.until("both phones are asked", 60, |site| {
        [A, B].iter().all(|phone| site.peers[*phone].log.contains(&"re-invited".into()))
    });
}

fn ended_at(site: &Site) -> Timestamp {
    let is_end = |what: &What| matches!(what, What::CallEnded { .. });
    let index = site.events.iter().position(is_end).unwrap();
    site.times[index]
}

#[test]
fn a_call_outlives_its_sip_server_and_the_hang_up_of_either_side_is_understood() {
    for (seed, loss, who, number) in (0..40).map(|n| {
        let loss = if n < 20 { 0.0 } else { 0.2 };
        if n % 2 == 0 { (600 + n, loss, A, "1001") } else { (600 + n, loss, B, "1002") }
    }) {
        let mut site = recorded_call(seed, loss);
        let legs: Vec<_> = site.peers[MEDIA].dialogs.keys().cloned().collect();
        for round in 0..3 {
            restart(&mut site, seed + 1000 + round);
            both_asked(&mut site);
            site.pass(40);
        }
        assert!(!site.saw("call-ended"), "seed {seed}: {:?}", site.events.last());
        let after: Vec<_> = site.peers[MEDIA].dialogs.keys().cloned().collect();
        assert_eq!(legs.len(), 2);
        assert!(legs.iter().all(|leg| after.contains(leg)), "seed {seed}: the media server keeps its legs");
        let starts = site.peers[MEDIA].log.iter().filter(|line| *line == "Start").count();
        assert_eq!(starts, 1, "seed {seed}: the recording goes on");
        let now = site.net.now;
        site.peers[who].hang_up(now);
        site.until("quiet", 120, Site::all_quiet);
        assert_eq!(ended(&site), Some((EndCause::HungUp, Some(number.to_owned()))), "seed {seed}");
    }
}

#[test]
fn a_hang_up_while_the_sip_server_is_away_is_understood_when_it_is_back() {
    let mut site = recorded_call(650, 0.0);
    let now = site.net.now;
    site.peers[A].hang_up(now);
    restart(&mut site, 651);
    site.until("quiet", 40, Site::all_quiet);
    assert_eq!(ended(&site), Some((EndCause::HungUp, Some("1001".to_owned()))));
}

#[test]
fn a_recording_is_controlled_after_the_restart_as_before() {
    let mut site = recorded_call(655, 0.0);
    site.control(1, RecordingAction::Pause);
    site.until("paused", 10, |site| site.saw("recording-paused"));
    restart(&mut site, 656);
    both_asked(&mut site);
    site.control(2, RecordingAction::Pause);
    site.control(3, RecordingAction::Resume);
    site.until("resumed", 10, |site| site.saw("recording-resumed"));
    assert_eq!(site.result(2), Some(&Some("the recording is paused already".to_owned())));
    site.control(4, RecordingAction::Stop);
    site.until("stopped", 10, |site| site.saw("recording-stopped"));
    assert_eq!((site.result(3), site.result(4)), (Some(&None), Some(&None)));
}

#[test]
fn a_call_whose_media_server_was_lost_with_it_goes_on_when_there_is_one_again() {
    for (seed, loss) in (0..20).map(|n| (660 + n, if n < 10 { 0.0 } else { 0.2 })) {
        for paused in [false, true] {
            let mut site = recorded_call(seed, loss);
            if paused {
                site.control(1, RecordingAction::Pause);
                site.until("paused", 30, |site| site.saw("recording-paused"));
            }
            let (events, before) = (site.events.len(), site.peers[MEDIA].log.len());
            site.peers[MEDIA].dialogs.clear();
            site.peers[MEDIA].manner = Manner::Refuse(503);
            restart(&mut site, seed + 1000);
            both_asked(&mut site);
            site.pass(5);
            assert!(!site.saw("call-ended"), "seed {seed}");
            site.peers[MEDIA].manner = Manner::Answer(Duration::ZERO);
            site.until("recorded again", 60, |site| {
                site.peers[MEDIA].log[before..].contains(&"Start".into())
            });
            site.until("two legs", 60, |site| site.peers[MEDIA].dialogs.len() == 2);
            site.pass(40);
            let kinds = &site.kinds()[events..];
            let again = if paused { "recording-paused" } else { "recording-started" };
            assert_eq!(kinds, ["recording-failed", again], "seed {seed}");
            let now = site.net.now;
            site.peers[B].hang_up(now);
            site.until("quiet", 120, Site::all_quiet);
            assert_eq!(ended(&site), Some((EndCause::HungUp, Some("1002".to_owned()))), "seed {seed}");
        }
    }
}

#[test]
fn a_call_whose_media_server_never_comes_back_ends() {
    let mut site = recorded_call(690, 0.0);
    site.peers[MEDIA].dialogs.clear();
    site.peers[MEDIA].manner = Manner::Refuse(503);
    restart(&mut site, 691);
    let began = site.net.now;
    site.until("quiet", 90, Site::all_quiet);
    assert_eq!(ended(&site), Some((EndCause::MediaServerLost, None)));
    assert!(site.net.now - began > Duration::from_secs(40), "{:?}", site.net.now - began);
}

#[test]
fn a_call_that_a_phone_knows_no_more_ended_when_the_sip_server_was_lost() {
    for (seed, gone, stays) in [(700, A, B), (701, B, A)] {
        let mut site = recorded_call(seed, 0.0);
        let lost = site.now().wall;
        site.peers[gone].dialogs.clear();
        let before = site.peers[MEDIA].log.len();
        site.net.now += Duration::from_secs(60);
        restart(&mut site, seed + 1000);
        let began = site.net.now;
        site.until("quiet", 10, Site::all_quiet);
        assert!(site.net.now - began < Duration::from_secs(1));
        assert_eq!(ended(&site), Some((EndCause::SipServerLost, None)));
        assert!(ended_at(&site) <= lost, "{} is later than {lost}", ended_at(&site));
        assert!(site.peers[stays].log.contains(&"bye".to_owned()));
        assert!(!site.peers[MEDIA].log[before..].contains(&"Start".to_owned()));
    }
}

#[test]
fn a_call_of_which_a_phone_is_silent_ends_within_some_seconds() {
    let mut site = recorded_call(710, 0.0);
    let lost = site.now().wall;
    site.peers[B].dialogs.clear();
    site.peers[B].address = "192.0.2.99:5060".parse().unwrap();
    restart(&mut site, 711);
    let began = site.net.now;
    site.until("ended", 20, |site| site.saw("call-ended"));
    println!("ended {:?} after the restart", site.net.now - began);
    assert_eq!(ended(&site), Some((EndCause::SipServerLost, None)));
    assert!(ended_at(&site) <= lost);
    assert!(site.peers[A].log.contains(&"re-invited".to_owned()));
    site.until("quiet", 60, Site::all_quiet);
}

#[test]
fn a_call_that_was_being_set_up_ended_with_the_sip_server() {
    let mut site = Site::registered(720, 0.0, RECORDED);
    site.peers[B].manner = Manner::Ignore;
    let now = site.net.now;
    site.peers[A].call("1002", true, now);
    site.until("ringing", 10, |site| site.saw("call-ringing"));
    let restored = site.restart(721, RECORDED);
    assert_eq!(restored, Restored { ended: 1, registered: 2, ..Restored::default() });
    site.until("ended", 1, |site| site.saw("call-ended"));
    assert_eq!(ended(&site), Some((EndCause::SipServerLost, None)));
    assert!(!site.kept.keys().any(|key| matches!(key, Key::Call(_))));
}

#[test]
fn a_phone_that_does_not_register_anew_is_called_all_the_same_until_its_registration_runs_out() {
    let mut site = Site::registered(730, 0.0, &[]);
    site.pass(100);
    assert_eq!(site.restart(731, &[]).registered, 2);
    let now = site.net.now;
    site.peers[A].call("1002", true, now);
    site.until("established", 20, |site| site.peers[A].dialogs.len() == 1);
    let now = site.net.now;
    site.peers[A].hang_up(now);
    site.until("quiet", 60, Site::all_quiet);

    // A DN that is no longer configured, and entries that cannot be read.
    let damaged = site.kept[&Key::Dn("1001".into())].replace("sip:", "mailto:");
    site.kept.insert(Key::Dn("1001".into()), damaged);
    let elsewhere = site.kept[&Key::Dn("1002".into())].clone();
    site.kept.insert(Key::Dn("4711".into()), elsewhere);
    let restored = site.restart(732, &[]);
    assert_eq!(restored, Restored { registered: 2, damaged: 1, ..Restored::default() });
    assert_eq!(site.server.registered(), 1);
    site.pass(1);
    assert_eq!(site.kept.keys().collect::<Vec<_>>(), [&Key::Dn("1002".into())]);

    // An hour later.
    site.restart(733, &[]);
    site.pass(3700);
    assert!(site.server.registered() == 0 && site.kept.is_empty(), "{:?}", site.kept);
}

#[test]
fn a_call_of_which_something_cannot_be_read_ended_with_the_sip_server_and_does_no_other_harm() {
    for (good, bad) in [("\"fork\":0", "\"fork\":9"), ("PCMU", "nothing"), ("\"local\":\"", "\"local\":\"<<")]
    {
        let mut site = recorded_call(740, 0.0);
        let key = Key::Call(site.interaction.unwrap());
        let kept = &site.kept[&key];
        assert!(kept.contains(good), "{kept}");
        let damaged = kept.replace(good, bad);
        site.kept.insert(key, damaged);
        let restored = site.restart(741, RECORDED);
        assert_eq!(restored.registered, 2);
        if restored.calls == 1 {
            // Another number for the same leg is as good.
            assert_eq!(good, "\"fork\":0");
            both_asked(&mut site);
            continue;
        }
        assert_eq!((restored.ended, restored.damaged), (1, 1));
        site.until("ended", 1, |site| site.saw("call-ended"));
        assert_eq!(ended(&site), Some((EndCause::SipServerLost, None)));
    }
}
