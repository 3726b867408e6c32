//! Call control by the desktop of one party, over the real stack.

use crate::{
    ended,
    peer::Manner,
    site::{A, B, MEDIA, Site},
};
use hindsight_model::event::{EndCause, What};
use hindsight_sip::sdp::Direction;
use hindsight_wire::agent::CallAction;

fn heard(site: &Site, phone: usize) -> Direction {
    site.peers[phone].heard.as_ref().unwrap().audio.direction
}

#[test]
fn hold_and_retrieve_by_the_desktop_reach_both_phones_and_the_media_server() {
    for seed in 400..420 {
        let mut site = Site::in_call(seed, if seed % 2 == 0 { 0.0 } else { 0.1 }, &["1002"]);
        site.until("recording", 60, |site| site.saw("recording-started") || site.saw("recording-failed"));
        site.desktop(1, "1002", CallAction::Hold);
        site.until("held", 90, |site| site.result(1).is_some());
        assert_eq!(site.result(1), Some(&None), "seed {seed}");
        assert!(site.events.contains(&What::CallHeld { by: "1002".into(), at_phone: false }));
        assert_eq!((heard(&site, A), heard(&site, B)), (Direction::SendOnly, Direction::RecvOnly));
        assert!(site.peers[MEDIA].log.contains(&"told Inactive".into()), "no word reaches who is held");
        site.desktop(2, "1002", CallAction::Retrieve);
        site.until("retrieved", 90, |site| site.result(2).is_some());
        assert_eq!(site.result(2), Some(&None), "seed {seed}");
        assert_eq!((heard(&site, A), heard(&site, B)), (Direction::SendRecv, Direction::SendRecv));
        site.desktop(3, "1002", CallAction::HangUp);
        site.until("quiet", 120, Site::all_quiet);
        assert_eq!(ended(&site), Some((EndCause::HungUp, Some("1002".into()))), "seed {seed}");
        assert_eq!(site.result(3), Some(&None), "seed {seed}");
    }
}

#[test]
fn a_hang_up_is_reported_when_both_phones_have_confirmed_it() {
    let mut site = Site::in_call(430, 0.0, &[]);
    site.desktop(1, "1001", CallAction::HangUp);
    assert_eq!(site.result(1), None, "nobody has confirmed anything yet");
    site.until("reported", 10, |site| site.result(1).is_some());
    for phone in [A, B] {
        assert!(site.peers[phone].log.contains(&"bye".into()) && site.peers[phone].dialogs.is_empty());
    }
    assert_eq!(site.server.calls(), 0);
}

#[test]
fn a_phone_that_refuses_the_hold_keeps_the_call_as_it_was() {
    let mut site = Site::in_call(440, 0.0, &[]);
    site.peers[A].refuses = Some(488);
    site.desktop(1, "1002", CallAction::Hold);
    site.until("refused", 10, |site| site.result(1).is_some());
    assert_eq!(site.result(1), Some(&Some("the other phone refused: 488".into())));
    assert!(!site.saw("call-held"));
    site.desktop(2, "1002", CallAction::Hold);
    site.until("held", 10, |site| site.result(2) == Some(&None));
    assert_eq!(heard(&site, A), Direction::SendOnly);
}

#[test]
fn a_ringing_call_is_declined_or_given_up_by_the_desktop() {
    for (dn, status, cause) in
        [("1002", "INVITE 603", EndCause::Refused), ("1001", "INVITE 487", EndCause::Cancelled)]
    {
        let mut site = Site::registered(450, 0.0, &[]);
        site.peers[B].manner = Manner::Ignore;
        let now = site.net.now;
        site.peers[A].call("1002", true, now);
        site.until("ringing", 10, |site| site.saw("call-ringing"));
        assert!(site.events.contains(&What::CallRinging { dn: "1002".into(), answerable: false }));
        site.desktop(1, "1002", CallAction::Answer);
        site.until("told", 5, |site| site.result(1).is_some());
        assert_eq!(site.result(1), Some(&Some("this phone can only be answered by hand".into())));
        site.desktop(2, dn, CallAction::HangUp);
        site.until("reported", 40, |site| site.result(2) == Some(&None));
        assert!(site.peers[A].log.iter().any(|line| line == status), "{:?}", site.peers[A].log);
        assert!(site.peers[B].log.contains(&"cancelled".into()));
        assert_eq!(ended(&site), Some((cause, Some(dn.to_owned()))));
    }
}

#[test]
fn a_phone_that_takes_it_is_answered_by_the_desktop() {
    for seed in 460..480 {
        let mut site = Site::registered(seed, if seed % 2 == 0 { 0.0 } else { 0.1 }, &[]);
        site.peers[B].manner = Manner::Ignore;
        site.peers[B].talks = true;
        let now = site.net.now;
        site.peers[A].call("1002", true, now);
        site.until("ringing", 60, |site| site.saw("call-ringing"));
        assert!(site.events.contains(&What::CallRinging { dn: "1002".into(), answerable: true }));
        site.desktop(1, "1002", CallAction::Answer);
        site.until("answered", 60, |site| site.result(1).is_some());
        assert_eq!(site.result(1), Some(&None), "seed {seed}");
        assert!(site.saw("call-established"));
        site.pass(1);
        // The next request of the dialog has a sequence number that the phone has not seen.
        site.desktop(2, "1002", CallAction::Hold);
        site.until("held", 60, |site| site.result(2) == Some(&None));
        let now = site.net.now;
        site.peers[A].hang_up(now);
        site.until("quiet", 120, Site::all_quiet);
    }
}
