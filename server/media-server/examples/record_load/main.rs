//! What a recorded call costs the media server, beside a peer under the same load in turn.
//!
//! | `record_load …` | prints |
//! |---|---|
//! | `cpu [calls] [seconds] [rounds]` (100, 30, 1) | `bench record-cpu …`: CPU beside rtpengine that relays and writes pcap |
//! | `limit [calls] [seconds] [rounds]` | `bench record-limit …`: CPU beside an epoll loop that relays and does nothing else |
//! | `capacity [seconds]` (6) | `bench record-calls-per-core …`: the most calls on one core, beside rtpengine; and of the bare relay |
//!
//! `record_load --serve DIR` is the media server under load, `record_load --bare PORT…` the bare relay.

// A program for the bench: what does not hold ends it, and its figures go to standard output.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod bare;
mod capacity;
mod load;
mod ours;
mod rtpengine;
#[path = "../../tests/support/mod.rs"]
mod support;

use std::{ffi::OsStr, path::Path, process::Command};

/// CPU seconds (user and system) that a process has used.
pub fn cpu_seconds(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    // SAFETY: no pointers.
    ticks as f64 / unsafe { libc::sysconf(libc::_SC_CLK_TCK) } as f64
}

/// What one run found.
pub struct Figure {
    /// CPU seconds of the process per call-minute.
    pub cpu: f64,
    /// What the load saw.
    pub load: load::Seen,
    /// Packets in the recordings, where they can be counted.
    pub recorded: Option<u64>,
}

impl Figure {
    /// Prints it.
    pub fn tell(&self, who: &str) {
        let load::Seen { sent, received, late, jitter } = self.load;
        println!(
            "{who}: {:.4} CPU-s per call-minute; sent {sent}, relayed {received}, recorded {}, jitter {jitter:.1?}, late {late}",
            self.cpu,
            self.recorded.map_or("?".to_owned(), |recorded| recorded.to_string())
        );
    }
}

/// How a server is started and loaded.
#[derive(Clone, Copy)]
pub struct Load {
    /// Of two parties each.
    pub calls: usize,
    /// How long they speak.
    pub seconds: u64,
    /// The one core that the server has; any where it is not given.
    pub core: Option<usize>,
}

impl Load {
    /// A command that runs on that core.
    pub fn command(self, program: impl AsRef<OsStr>) -> Command {
        let Some(core) = self.core else { return Command::new(program) };
        let mut command = Command::new("taskset");
        command.args(["--cpu-list", &core.to_string()]).arg(program);
        command
    }

    /// CPU seconds as of one call for one minute.
    pub fn per_call_minute(self, seconds: f64) -> f64 {
        seconds / (self.calls as f64 * self.seconds as f64 / 60.0)
    }
}

/// The media server or a peer.
pub struct Server {
    /// For the figures.
    pub name: &'static str,
    /// One run of it.
    pub measure: fn(Load) -> Figure,
}

const OURS: Server = Server { name: "hindsight media-server", measure: ours::measure };
const RTPENGINE: Server = Server { name: "rtpengine+pcap", measure: rtpengine::measure };
const BARE: Server = Server { name: "bare-epoll-relay", measure: bare::measure };

fn main() {
    tracing_subscriber::fmt().with_env_filter("warn").with_writer(std::io::stderr).init();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |index: usize, default: usize| {
        arguments.get(index).map_or(default, |text| text.parse().expect("a number"))
    };
    let load = || Load { calls: number(1, 100), seconds: number(2, 30) as u64, core: None };
    match arguments.first().map(String::as_str) {
        Some("--serve") => ours::serve(Path::new(&arguments[1])),
        Some("--bare") => bare::serve(&arguments[1..]),
        Some("cpu") => beside("record-cpu", load(), number(3, 1), &RTPENGINE),
        Some("limit") => beside("record-limit", load(), number(3, 1), &BARE),
        Some("capacity") => capacity::measure(number(1, 6) as u64),
        _ => panic!("cpu, limit or capacity"),
    }
}

/// CPU of ours and of a peer in turn, so often.
fn beside(figure: &str, load: Load, rounds: usize, peer: &Server) {
    let (mut own, mut others) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        for (server, values) in [(&OURS, &mut own), (peer, &mut others)] {
            let figure = (server.measure)(load);
            figure.tell(server.name);
            values.push(figure.cpu);
        }
    }
    tell(figure, median(own), median(others), "cpu-s/call-min", peer.name);
}

/// The line of a figure.
pub fn tell(name: &str, own: f64, peer: f64, unit: &str, who: &str) {
    println!("bench {name} ours={own:.4} peer={peer:.4} ratio={:.3} unit={unit} peer_name={who}", own / peer);
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
