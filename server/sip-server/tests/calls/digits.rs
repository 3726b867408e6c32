//! DTMF by INFO between scripted phones.

use crate::site::{A, B, C, MEDIA, Site};

const RELAY: &str = "application/dtmf-relay";

fn counted(site: &Site, phone: usize, line: &str) -> usize {
    site.peers[phone].log.iter().filter(|heard| *heard == line).count()
}

#[test]
fn digits_reach_the_other_phone_in_order_as_they_came_whatever_is_lost() {
    for seed in 850..870 {
        let mut site = Site::in_call(seed, if seed % 2 == 0 { 0.0 } else { 0.15 }, &["1002"]);
        site.pass(3);
        for (n, digit) in "4711".chars().enumerate() {
            let (from, with, to) = if seed % 4 < 2 { (A, "1002", B) } else { (B, "1001", A) };
            let body = format!("Signal={digit}\r\nDuration=160\r\n");
            let (kind, before) =
                (if n % 2 == 0 { RELAY } else { "application/dtmf" }, counted(&site, from, "INFO 200"));
            let now = site.net.now;
            site.peers[from].info(with, kind, &body, now);
            site.until("answered", 40, |site| counted(site, from, "INFO 200") > before);
            let heard = format!("{kind} {body}");
            site.until("passed on", 40, |site| site.peers[to].log.contains(&heard));
        }
        let told = serde_json::to_string(&site.events).unwrap();
        assert!(
            !told.contains("Signal") && site.peers[MEDIA].log.iter().all(|line| !line.contains("Signal"))
        );
        let now = site.net.now;
        site.peers[A].hang_up(now);
        site.until("quiet", 120, Site::all_quiet);
    }
}

#[test]
fn what_is_no_digit_is_refused_and_a_phone_that_takes_none_does_no_harm() {
    let mut site = Site::in_call(871, 0.0, &[]);
    let info = |site: &mut Site, kind: &str, body: &str, told: &str| {
        let (before, now) = (counted(site, A, told), site.net.now);
        site.peers[A].info("1002", kind, body, now);
        site.until(told, 10, |site| counted(site, A, told) > before);
    };
    info(&mut site, "text/plain", "hello", "INFO 415");
    info(&mut site, "application/sdp", "v=0", "INFO 415");
    assert!(site.peers[B].log.iter().all(|line| !line.contains("hello")));
    site.peers[B].takes_digits = false;
    info(&mut site, RELAY, "Signal=1", "INFO 200");
    site.pass(3);
    assert!(!site.saw("call-ended"));
    // It goes to whoever speaks with the phone now.
    let now = site.net.now;
    site.peers[C].register(3600, now);
    site.until("registered", 10, |site| site.server.registered() == 3);
    let now = site.net.now;
    site.peers[B].refer("1001", "<sip:1003@192.0.2.1>", &[], now);
    site.until("transferred", 10, |site| site.saw("call-transferred"));
    site.pass(2);
    info(&mut site, RELAY, "Signal=2", "INFO 200");
    site.pass(1);
    assert!(site.peers[C].log.contains(&format!("{RELAY} Signal=2")));
    assert_eq!(counted(&site, B, &format!("{RELAY} Signal=2")), 0);
}
