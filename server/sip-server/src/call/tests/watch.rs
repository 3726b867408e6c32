//! The watch over the far ends: silence, long holds, phones that are gone.

use super::*;

#[test]
fn silence_of_the_resource_manager_alone_is_borne_for_five_minutes() {
    let mut bench = Bench::established([false; 2]);
    let answers = |bench: &mut Bench| {
        for side in Side::BOTH {
            bench.feed(Input::Probed { leg: Leg::Media(side), status: 200 });
        }
    };
    let silence = |bench: &mut Bench, seconds: u64| {
        let mut seen = Vec::new();
        for _ in 0..seconds {
            let actions = bench.pass(Duration::from_secs(1));
            // Refused by its host, or not answered in the time of a transaction.
            for side in Side::BOTH.into_iter().filter(|_| actions.contains(&"probe MB".to_owned())) {
                bench.feed(Input::ProbeUnanswered { leg: Leg::Media(side) });
            }
            seen.extend(actions);
        }
        seen.retain(|name| !name.ends_with(" A") && !name.ends_with(" B0"));
        seen
    };
    let asked = silence(&mut bench, 299);
    assert!(!bench.call.is_over());
    assert_eq!(asked.len(), 2 * 149, "asked again every two seconds: {asked:?}");
    answers(&mut bench);
    silence(&mut bench, 299);
    assert!(!bench.call.is_over(), "an answer in between begins the time anew");
    let last = silence(&mut bench, 2);
    assert_eq!(last.last().unwrap(), "ended MediaServerLost -");
}

#[test]
fn both_media_legs_are_asked_through_a_long_hold() {
    let mut bench = Bench::established([false; 2]);
    let hold = PHONE_A.replace("sendrecv", "inactive");
    bench.feed(Input::Offered { leg: Leg::Caller, body: Some(hold.into_bytes()) });
    bench.answer(Leg::Callee(0), PHONE_B.replace("sendrecv", "inactive"));
    bench.media_answers(Side::Caller);
    assert!(bench.media_answers(Side::Callee).contains(&"held 1001 at the phone".to_owned()));
    let mut asked = [0, 0];
    for _ in 0..3600 {
        for name in bench.pass(Duration::from_secs(1)) {
            let Some(side) = ["probe MA", "probe MB"].iter().position(|probe| *probe == name) else {
                continue;
            };
            asked[side] += 1;
            bench.feed(Input::Probed { leg: Leg::Media(Side::BOTH[side]), status: 200 });
        }
    }
    assert!(!bench.call.is_over());
    assert_eq!(asked, [1800, 1800]);
}

#[test]
fn a_phone_that_vanished_ends_the_call() {
    let mut bench = Bench::established([false; 2]);
    let mut probes = Vec::new();
    for _ in 0..15 {
        probes.extend(bench.pass(Duration::from_secs(2)));
        bench.feed(Input::Probed { leg: Leg::Media(Side::Callee), status: 200 });
    }
    assert!(probes.ends_with(&["probe MA", "probe MB", "probe A", "probe B0"].map(str::to_owned)));
    assert!(bench.feed(Input::Probed { leg: Leg::Caller, status: 405 }).is_empty());
    let gone = bench.feed(Input::Probed { leg: Leg::Callee(0), status: 408 });
    assert_eq!(gone, ["end A", "end B0", "end MA", "end MB", "ended Failed -"]);
}

#[test]
fn what_is_kept_of_a_protected_call_holds_no_key_and_a_phone_that_is_gone_ends_it() {
    const KEY: &str = "WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz";
    let protected = |phone: &str| {
        let phone = phone.replace("RTP/AVP", "RTP/SAVP");
        phone + &format!("a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}\r\n")
    };
    let mut bench = Bench::new(1, [false, true], Some(&protected(PHONE_A)));
    bench.media_answers(Side::Callee);
    bench.answer(Leg::Callee(0), protected(PHONE_B));
    bench.media_answers(Side::Callee);
    bench.media_answers(Side::Caller);
    bench.ordered(Ok(()));
    assert!(matches!(bench.call.phase, Phase::Established(_)));
    assert!(bench.seen.iter().any(|action| format!("{action:?}").contains("Accept")));
    let mut kept = bench.call.kept(bench.now).unwrap();
    let text = serde_json::to_string(&kept).unwrap();
    assert!(!text.contains("inline") && !text.contains(&KEY[..8]), "{text}");
    assert!(kept.phones.iter().all(|phone| phone.protected));
    kept.recording = None;
    let restored = |bench: &Bench| {
        let (id, limits) = (bench.call.interaction(), crate::config::Config::default().limits());
        Call::restored(id, &kept, limits, bench.now.wall.plus_ms(-900), 8, bench.now).unwrap()
    };
    for (status, expected) in
        [(481, vec!["end A", "end B0", "end MA", "end MB"]), (200, vec!["probe MA", "probe MB"])]
    {
        bench.call = restored(&bench);
        assert_eq!(bench.pass(Duration::ZERO), ["probe A", "probe B0"], "nothing can be told to them");
        assert!(bench.feed(Input::Probed { leg: Leg::Caller, status: 200 }).is_empty());
        let mut names = bench.feed(Input::Probed { leg: Leg::Callee(0), status });
        names.extend(bench.pass(Duration::ZERO));
        if status == 481 {
            let end = names.pop().unwrap();
            assert!(end.ends_with("ended SipServerLost -"), "{end}");
        }
        assert_eq!(names, expected);
    }
    // Without keys nobody can be told of another media server.
    let names = bench.feed(Input::Probed { leg: Leg::Media(Side::Caller), status: 481 });
    assert_eq!(names.last().unwrap(), "ended MediaServerLost -");
}
