//! How long a recorder waits for the spool, and how long bytes wait for the disk: `spool_load <directory> [items] [seconds]`.
//!
//! Each item is appended one segment every 250 ms, as a call with two G.711 tracks is.

// A tool that prints; what fails ends it.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use hindsight_spool::{ItemInfo, Limits, Spool};
use hindsight_wire::{CaptureId, ClockOffset, DeviceId, RecordingId, Timestamp, manifest::Media};
use std::time::{Duration, Instant};

fn info() -> ItemInfo {
    ItemInfo {
        capture: CaptureId::new(),
        part: 1,
        previous: None,
        device: DeviceId::new(),
        person: None,
        dn: None,
        media: Media::Voice { tracks: Vec::new() },
        interactions: Vec::new(),
        started_at: Timestamp::now(),
        clock: ClockOffset::default(),
        pauses: Vec::new(),
        notes: Vec::new(),
    }
}

fn percentile(times: &mut [Duration], share: f64) -> Duration {
    times.sort_unstable();
    times[((times.len() - 1) as f64 * share) as usize]
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let dir = arguments.next().unwrap();
    let items: usize = arguments.next().map_or(1_000, |text| text.parse().unwrap());
    let seconds: u64 = arguments.next().map_or(20, |text| text.parse().unwrap());
    let spool = Spool::open(dir, Limits::default()).unwrap();
    let segment = [0x5a; 4096];

    let (mut creations, mut open) = (Vec::new(), Vec::new());
    for _ in 0..items {
        let start = Instant::now();
        let mut item = spool.create(RecordingId::new(), info()).unwrap();
        item.append(&segment).unwrap();
        creations.push(start.elapsed());
        open.push(item);
    }
    let (start, mut appends, mut lag) = (Instant::now(), Vec::new(), Duration::ZERO);
    let mut unsynced: Vec<(u64, Instant)> = Vec::new();
    let mut round = 0u32;
    while start.elapsed() < Duration::from_secs(seconds) {
        let due = start + Duration::from_millis(250) * round;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        round += 1;
        for item in &mut open {
            let before = Instant::now();
            item.append(&segment).unwrap();
            appends.push(before.elapsed());
        }
        // The age of the oldest byte that a power cut would take now, seen on one item.
        let watched = spool.item(open[0].recording()).unwrap();
        unsynced.push((watched.bytes, Instant::now()));
        let durable = watched.sendable + 4096;
        unsynced.retain(|(bytes, _)| *bytes > durable);
        lag = lag.max(unsynced.first().map_or(Duration::ZERO, |(_, written)| written.elapsed()));
    }
    let count = appends.len();
    println!(
        "{items} items, {count} appends: create p50 {:?} max {:?}; append p50 {:?} p99 {:?} max {:?}; oldest unsynced {lag:?}",
        percentile(&mut creations, 0.5),
        percentile(&mut creations, 1.0),
        percentile(&mut appends, 0.5),
        percentile(&mut appends, 0.99),
        percentile(&mut appends, 1.0),
    );
    let start = Instant::now();
    for item in open {
        item.discard().unwrap();
    }
    println!("discarded in {:?}", start.elapsed());
}
