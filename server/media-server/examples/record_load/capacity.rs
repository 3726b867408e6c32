//! The most two-party calls that a server carries on one core: no packet lost, 95 of 100 delayed by less than 5 ms more
//! than the quickest.

use crate::{BARE, Load, OURS, RTPENGINE, Server, tell};
use std::{process::Command, time::Duration};

const JITTER: Duration = Duration::from_millis(5);
/// The answer is within so many calls.
const STEP: usize = 50;
/// No more are tried.
const MOST: usize = 1_600;
/// A stage that fails is tried again: another program may have had the core for a moment.
const TRIES: usize = 2;
/// The servers' own; the load has the others.
const CORE: usize = 0;

/// Prints the most of each, and the figure.
pub fn measure(seconds: u64) {
    let cores = std::thread::available_parallelism().unwrap().get();
    assert!(cores > 1, "the load needs a core of its own");
    let others = format!("{}-{}", CORE + 1, cores - 1);
    let moved = Command::new("taskset")
        .args(["--cpu-list", "--pid", &others, &std::process::id().to_string()])
        .output()
        .unwrap();
    assert!(moved.status.success(), "{}", String::from_utf8_lossy(&moved.stderr));
    let [own, peer, bare] = [&OURS, &RTPENGINE, &BARE].map(|server| most(server, seconds));
    println!("{}: {own} of {MOST} calls, {}: {peer}, {}: {bare}", OURS.name, RTPENGINE.name, BARE.name);
    tell("record-calls-per-core", own as f64, peer as f64, "calls", RTPENGINE.name);
}

fn most(server: &Server, seconds: u64) -> usize {
    let (mut carried, mut too_many) = (0, MOST + STEP);
    while too_many - carried > STEP {
        let calls = (carried + too_many) / 2 / STEP * STEP;
        if (0..TRIES).any(|_| carries(server, Load { calls, seconds, core: Some(CORE) })) {
            carried = calls;
        } else {
            too_many = calls;
        }
    }
    carried
}

fn carries(server: &Server, load: Load) -> bool {
    let figure = (server.measure)(load);
    figure.tell(&format!("{} calls by {}", load.calls, server.name));
    let seen = &figure.load;
    seen.received == seen.sent
        && figure.recorded.is_none_or(|recorded| recorded == seen.sent)
        && seen.jitter < JITTER
}
