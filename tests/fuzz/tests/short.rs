//! Every target for a moment, in a process of its own.

use hindsight_fuzz::{
    run::{Limit, run},
    targets::named,
};
use std::time::Duration;

/// So many inputs, or as many as there is time for.
const LIMIT: Limit = Limit { time: Duration::from_secs(3), runs: 400_000 };
/// What the memory in use may grow by once everything is warm, KiB.
const GROWTH: u64 = 16 * 1024;

fn feed(name: &str) {
    let target = named(name).expect("a target of this name");
    // Not the same every day; a failure prints it.
    let seed = std::env::var("FUZZ_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(rand::random);
    match run(target, seed, LIMIT) {
        Ok(report) => {
            let grown = report.memory_end.saturating_sub(report.memory_warm + report.kept_kib);
            let warm = report.memory_warm > 0;
            assert!(!warm || grown < GROWTH, "{name}: {grown} KiB more in use, seed {seed}: {report:?}");
            assert!(report.runs > 100, "{report:?}");
        }
        Err(crash) => {
            let kept = crash.keep(name);
            panic!("{name}: panic after {} inputs, FUZZ_SEED={seed}, input {kept:?}", crash.runs);
        }
    }
}

#[test]
fn hostile_sip_is_survived() {
    feed("sip");
}

#[test]
fn hostile_streams_of_sip_are_survived() {
    feed("sip-stream");
}

#[test]
fn hostile_session_descriptions_are_survived() {
    feed("sdp");
}

#[test]
fn hostile_recording_metadata_is_survived() {
    feed("siprec");
}

#[test]
fn hostile_msml_is_survived() {
    feed("msml");
}

#[test]
fn hostile_rtp_is_survived() {
    feed("rtp");
}

#[test]
fn hostile_rtcp_is_survived() {
    feed("rtcp");
}

#[test]
fn hostile_srtp_is_survived() {
    feed("srtp");
}
