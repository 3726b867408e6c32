//! Simulated time: no clock, no sockets.

use super::*;

const SSRC: u32 = 0x1111;

/// Feeds packets and keeps `(place in ms, first payload byte)`.
struct Sim {
    stream: Stream,
    frames: Vec<(i64, u8)>,
}

impl Sim {
    fn new() -> Self {
        Self { stream: Stream::new(8000), frames: Vec::new() }
    }

    fn packet(&mut self, at_ms: i64, ssrc: u32, sequence: u16, timestamp: u32, tag: u8) {
        let mut bytes = vec![0x80, 0];
        bytes.extend(sequence.to_be_bytes());
        bytes.extend(timestamp.to_be_bytes());
        bytes.extend(ssrc.to_be_bytes());
        bytes.extend([tag; 160]);
        let packet = Packet::parse(&bytes).unwrap();
        let arrived = Arrived { packet, at_us: at_ms * 1000, ticks: 160, wanted: true };
        let frames = &mut self.frames;
        self.stream.push(&arrived, &mut |frame| {
            frames.push((frame.at_us / 1000, frame.payload[0]));
            true
        });
    }

    /// Packet `n` of a steady run that began at `start_ms`, arriving `delay_ms` late.
    fn steady(&mut self, start_ms: i64, n: u16, delay_ms: i64) {
        let at = start_ms + i64::from(n) * 20 + delay_ms;
        self.packet(
            at,
            SSRC,
            n.wrapping_add(65_530),
            u32::from(n).wrapping_mul(160).wrapping_sub(320),
            n as u8,
        );
    }

    fn poll(&mut self, at_ms: i64) {
        let frames = &mut self.frames;
        self.stream.poll(at_ms * 1000, &mut |frame| {
            frames.push((frame.at_us / 1000, frame.payload[0]));
            true
        });
    }

    fn end(&mut self) -> Quality {
        let frames = &mut self.frames;
        self.stream.interrupt(&mut |frame| {
            frames.push((frame.at_us / 1000, frame.payload[0]));
            true
        });
        self.stream.take_quality()
    }

    fn places(&self) -> Vec<i64> {
        self.frames.iter().map(|(at, _)| *at).collect()
    }
}

#[test]
fn steady_packets_keep_their_places_across_the_wraps_of_number_and_time() {
    let mut sim = Sim::new();
    for n in 0..50 {
        sim.steady(100, n, 0);
    }
    let quality = sim.end();
    assert_eq!(sim.places(), (0..50).map(|n| 100 + n * 20).collect::<Vec<_>>());
    assert_eq!((quality.received, quality.expected, quality.lost, quality.reordered), (50, 50, 0, 0));
}

#[test]
fn loss_leaves_a_gap_in_time() {
    let mut sim = Sim::new();
    for n in (0..50).filter(|n| !(10..15).contains(n)) {
        sim.steady(0, n, 0);
    }
    let quality = sim.end();
    assert_eq!(sim.frames[9], (180, 9));
    assert_eq!(sim.frames[10], (300, 15));
    assert_eq!((quality.received, quality.expected, quality.lost), (45, 50, 5));
}

#[test]
fn a_packet_200_ms_late_is_put_in_its_place() {
    let mut sim = Sim::new();
    for n in 0..30u16 {
        if n != 12 {
            sim.steady(0, n, 0);
        }
        if n == 22 {
            sim.steady(0, 12, 201);
        }
    }
    let quality = sim.end();
    assert_eq!(sim.frames, (0..30).map(|n| (i64::from(n) * 20, n)).collect::<Vec<_>>());
    assert_eq!((quality.received, quality.lost, quality.reordered, quality.late), (30, 0, 1, 0));
}

#[test]
fn a_packet_later_than_the_wait_is_counted_and_not_written() {
    let mut sim = Sim::new();
    for n in 0..30u16 {
        if n != 5 {
            sim.steady(0, n, 0);
        }
        if n == 25 {
            sim.steady(0, 5, 400);
        }
    }
    let quality = sim.end();
    assert_eq!((quality.received, quality.expected, quality.lost, quality.late), (29, 30, 0, 1));
}

#[test]
fn duplicates_are_written_once() {
    let mut sim = Sim::new();
    for n in 0..40 {
        sim.steady(0, n, 0);
        sim.steady(0, n, 3);
    }
    let quality = sim.end();
    assert_eq!((sim.frames.len(), quality.received, quality.duplicate, quality.expected), (40, 40, 40, 40));
}

#[test]
fn a_delayed_first_packet_does_not_shift_the_track() {
    let mut sim = Sim::new();
    sim.steady(0, 0, 35);
    sim.steady(0, 1, 16);
    sim.steady(0, 2, 0);
    for n in 3..20 {
        sim.steady(0, n, i64::from(n % 3));
    }
    sim.end();
    assert_eq!(sim.places(), (0..20).map(|n| n * 20).collect::<Vec<_>>());
}

#[test]
fn a_sender_that_stops_its_clock_on_hold_keeps_wall_clock_time() {
    let mut sim = Sim::new();
    for n in 0..10 {
        sim.steady(0, n, 0);
    }
    for n in 10..40 {
        sim.steady(30_000, n, 0);
    }
    sim.end();
    assert_eq!(sim.frames[9].0, 180);
    assert_eq!(sim.frames[10].0, 30_200);
    assert_eq!(sim.frames[39].0, 30_780);
    assert_eq!(sim.stream.take_jumps(), [Jump { at_us: 30_200_000, by_us: 30_000_000 }]);
}

#[test]
fn silence_suppression_keeps_rtp_time() {
    let mut sim = Sim::new();
    for n in 0..10u16 {
        sim.packet(i64::from(n) * 20, SSRC, n, u32::from(n) * 160, 1);
    }
    for n in 10..20u16 {
        sim.packet(5_000 + i64::from(n) * 20, SSRC, n, 40_000 + u32::from(n) * 160, 2);
    }
    let quality = sim.end();
    assert_eq!((sim.frames[9].0, sim.frames[10].0), (180, 5_200));
    assert_eq!(quality.lost, 0);
    assert!(sim.stream.take_jumps().is_empty());
}

#[test]
fn a_stalled_network_is_not_taken_for_a_stopped_clock() {
    let mut sim = Sim::new();
    for n in 0..10 {
        sim.steady(0, n, 0);
    }
    // Packets 10..60 arrive together at 1,200 ms, as if a queue had been released.
    for n in 10..60u16 {
        sim.steady(0, n, 1_200 - i64::from(n) * 20);
    }
    for n in 60..100 {
        sim.steady(0, n, 0);
    }
    sim.end();
    assert_eq!(sim.places(), (0..100).map(|n| n * 20).collect::<Vec<_>>());
}

#[test]
fn a_sender_that_stands_still_and_then_catches_up_keeps_its_packets_in_a_row() {
    for stall in [210, 244, 400] {
        let mut sim = Sim::new();
        for n in 0..50 {
            sim.steady(0, n, 0);
        }
        // For longer than packets are held, all are late; then the sender has made up for it, with jitter.
        for n in 50..75 {
            sim.steady(0, n, stall);
        }
        for n in 75..600u16 {
            sim.steady(0, n, (50 * 20 + stall + 25 * 20 - i64::from(n) * 20).max(i64::from(n * 7 % 14)));
        }
        sim.end();
        assert_eq!(sim.frames.len(), 600);
        let places = sim.places();
        assert_eq!(places[50] - places[49], 20 + stall, "the pause is told");
        for pair in places[50..].windows(2) {
            // 20 ms apart, but for a drift step of 10 ms.
            assert!([20, 10].contains(&(pair[1] - pair[0])), "{stall}: {pair:?}");
        }
        let lead = places[599] - 599 * 20;
        assert!(
            (0..=stall - 10).contains(&lead),
            "{stall}: still {lead} ms ahead, the drift steps stand still"
        );
    }
}

#[test]
fn a_jump_of_rtp_time_follows_the_wall_clock() {
    let mut sim = Sim::new();
    for n in 0..10u16 {
        sim.packet(i64::from(n) * 20, SSRC, n, u32::from(n) * 160, 1);
    }
    for n in 10..40u16 {
        sim.packet(i64::from(n) * 20, SSRC, n, 0x7000_0000 + u32::from(n) * 160, 2);
    }
    sim.end();
    assert_eq!(sim.places(), (0..40).map(|n| n * 20).collect::<Vec<_>>());
}

#[test]
fn another_ssrc_goes_on_in_the_same_recording() {
    let mut sim = Sim::new();
    for n in 0..10 {
        sim.steady(0, n, 0);
    }
    for n in 0..10u16 {
        sim.packet(400 + i64::from(n) * 20, 0x2222, 9_000 + n, 77 + u32::from(n) * 160, 100);
    }
    let quality = sim.end();
    assert_eq!(sim.frames.len(), 20);
    assert_eq!((sim.frames[10].0, sim.frames[19].0), (400, 580));
    assert_eq!((quality.expected, quality.received, quality.restarts, quality.lost), (20, 20, 1, 0));
}

#[test]
fn one_stray_packet_of_another_source_changes_nothing() {
    let mut sim = Sim::new();
    for n in 0..10 {
        sim.steady(0, n, 0);
        if n == 5 {
            sim.packet(101, 0x2222, 7, 7, 200);
        }
    }
    let quality = sim.end();
    assert_eq!((sim.frames.len(), quality.restarts), (10, 0));
}

#[test]
fn held_packets_leave_by_time_alone() {
    let mut sim = Sim::new();
    for n in 0..10 {
        sim.steady(0, n, 0);
    }
    sim.steady(0, 11, 0);
    assert_eq!(sim.frames.len(), 10);
    sim.poll(220 + 249);
    assert_eq!(sim.frames.len(), 10);
    sim.poll(220 + 250);
    assert_eq!(sim.frames.len(), 11);
}

#[test]
fn what_is_missed_in_an_interruption_is_not_lost() {
    let mut sim = Sim::new();
    for n in 0..10 {
        sim.steady(0, n, 0);
    }
    sim.stream.interrupt(&mut |_| true);
    for n in 500..520 {
        sim.steady(0, n, 0);
    }
    let quality = sim.end();
    assert_eq!(sim.frames.last().unwrap().0, 519 * 20);
    assert_eq!((quality.expected, quality.lost), (30, 0));
}

#[test]
fn figures_of_a_second_part_start_from_zero() {
    let mut sim = Sim::new();
    for n in 0..10 {
        sim.steady(0, n, 0);
    }
    assert_eq!(sim.end().expected, 10);
    for n in 10..25 {
        sim.steady(0, n, 0);
    }
    let quality = sim.end();
    assert_eq!((quality.expected, quality.received, quality.lost), (15, 15, 0));
}

#[test]
fn any_packets_in_any_order_never_panic_and_stay_near_their_arrival() {
    // A small deterministic generator: the seed is in the failure's loop variable.
    for seed in 1..300u64 {
        let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        let mut sim = Sim::new();
        let mut at = 0;
        for n in 0..400u64 {
            at += (next() % 40) as i64;
            let wild = next() % 50 == 0;
            let sequence = if wild { next() as u16 } else { (n + next() % 4) as u16 };
            let timestamp = if wild { next() as u32 } else { (n * 160) as u32 };
            let ssrc = if next() % 100 < 95 { SSRC } else { SSRC + 1 };
            sim.packet(at, ssrc, sequence, timestamp, 0);
            sim.poll(at + 1);
        }
        let quality = sim.end();
        assert!(quality.received <= 400, "seed {seed}");
        assert!(
            sim.frames.iter().all(|(ms, _)| (0..=at + 2_000).contains(ms)),
            "seed {seed}: placed far away"
        );
    }
}
