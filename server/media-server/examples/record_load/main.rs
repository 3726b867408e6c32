//! CPU of the media server per call-minute while it relays and records, beside rtpengine that relays and writes pcap,
//! under the same load in turn.
//!
//! `record_load [calls] [seconds] [rounds]` (100, 30, 1) prints `bench record-cpu ours=… peer=… ratio=…`; without
//! rtpengine on the path only our figure. `record_load --serve DIR` is the media server under load.

// A program for the bench: what does not hold ends it, and its figures go to standard output.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod load;
mod ours;
mod rtpengine;
#[path = "../../tests/support/mod.rs"]
mod support;

use std::path::Path;

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
}

impl Figure {
    fn tell(&self, who: &str) {
        let load::Seen { sent, received, late_ticks } = self.load;
        println!(
            "{who}: {:.4} CPU-s per call-minute; sent {sent}, relayed {received} ({:.3} % lost), late ticks {late_ticks}",
            self.cpu,
            100.0 * (sent - received.min(sent)) as f64 / sent as f64
        );
    }
}

fn main() {
    tracing_subscriber::fmt().with_env_filter("warn").with_writer(std::io::stderr).init();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [flag, dir] = arguments.as_slice()
        && flag == "--serve"
    {
        return ours::serve(Path::new(dir));
    }
    let number = |index: usize, default: u64| {
        arguments.get(index).map_or(default, |text| text.parse().expect("a number"))
    };
    let (calls, seconds, rounds) = (number(0, 100) as usize, number(1, 30), number(2, 1));
    let (mut own, mut peer) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let figure = ours::measure(calls, seconds);
        figure.tell("hindsight media-server");
        own.push(figure.cpu);
        if let Some(figure) = rtpengine::measure(calls, seconds) {
            figure.tell("rtpengine + pcap");
            peer.push(figure.cpu);
        }
    }
    let (own, peer) = (median(own), median(peer));
    println!(
        "bench record-cpu ours={own:.4} peer={peer:.4} ratio={:.3} unit=cpu-s/call-min peer_name=rtpengine+pcap",
        own / peer
    );
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
