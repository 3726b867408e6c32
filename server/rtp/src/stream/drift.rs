//! An hour of a sender whose clock is wrong, on simulated time: how far what it said stands from when it said it, with
//! and without its own word on its clocks.

use super::*;

const SSRC: u32 = 0x1111;
const HOUR: i64 = 180_000;
/// The sender's wall clock at the start, seconds.
const EPOCH: u64 = 3_900_000_000;

/// A small deterministic generator.
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: i64) -> i64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit as u64) as i64
    }
}

/// How packets arrive.
#[derive(Clone, Copy, Debug)]
struct Network {
    /// Per cent.
    loss: i64,
    /// Each packet comes up to this late, microseconds.
    jitter_us: i64,
    /// Of many small delays, so that few packets are in time.
    is_heaped: bool,
    /// In every fifth minute nothing comes earlier than this, microseconds.
    busy_us: i64,
}

const FAIR: Network = Network { loss: 5, jitter_us: 20_000, is_heaped: false, busy_us: 0 };
const POOR: Network = Network { loss: 5, jitter_us: 120_000, is_heaped: true, busy_us: 60_000 };

impl Network {
    fn delay_us(self, chance: &mut Chance, at_us: i64) -> i64 {
        let rounds = if self.is_heaped { 6 } else { 1 };
        let jitter: i64 = (0..rounds).map(|_| chance.below(self.jitter_us / rounds + 1)).sum();
        let is_busy = at_us / 60_000_000 % 5 == 4;
        jitter + if is_busy { self.busy_us } else { 0 }
    }
}

/// What a sender says of its wall clock after so many microseconds.
type Wall = fn(i64) -> Option<u64>;

fn true_wall(us: i64) -> Option<u64> {
    Some(ntp(us))
}

fn ntp(us: i64) -> u64 {
    (EPOCH << 32) + ((i128::from(us / 1000) << 32) / 1_000) as u64
}

/// Worst and mean distance from the wall clock, milliseconds, after the first packets have set the start.
fn hour(ppm: i64, network: Network, wall: Wall, seed: u64) -> (f64, f64) {
    let mut chance = Chance(seed);
    let said_us = |n: i64| n * 20_000 + n * 20_000 / 1_000_000 * ppm;
    let (mut stream, mut arrived) = (Stream::new(8000), Vec::new());
    for n in 0..HOUR {
        let delay_us = network.delay_us(&mut chance, said_us(n));
        if chance.below(100) >= network.loss {
            arrived.push((said_us(n) + delay_us, n, false));
        }
        // A report every five seconds, made a few milliseconds after a packet.
        if n % 250 == 150 && chance.below(100) >= network.loss {
            arrived.push((said_us(n) + network.delay_us(&mut chance, said_us(n)) + 3_000, n, true));
        }
    }
    arrived.sort_unstable();
    let mut places = Vec::new();
    for (at_us, n, is_report) in arrived {
        let timestamp = (n * 160) as u32;
        if is_report {
            if let Some(ntp) = wall(said_us(n) + 3_000) {
                let timestamp = timestamp.wrapping_add(24);
                stream.report(&SenderReport { ssrc: SSRC, ntp, timestamp }, at_us);
            }
            continue;
        }
        let mut bytes = vec![0x80, 0];
        bytes.extend((n as u16).to_be_bytes());
        bytes.extend(timestamp.to_be_bytes());
        bytes.extend(SSRC.to_be_bytes());
        bytes.extend((n as u32).to_be_bytes());
        let packet = Packet::parse(&bytes).unwrap();
        stream.push(&Arrived { packet, at_us, ticks: 160, wanted: true }, &mut |frame| {
            let n = u32::from_be_bytes(frame.payload.try_into().unwrap());
            places.push((i64::from(n), frame.at_us));
            true
        });
    }
    let off = |(n, at_us): &(i64, i64)| (at_us - said_us(*n)) as f64 / 1000.0;
    // The start is set by the least delayed of the first packets, whatever follows.
    let start = places.iter().map(off).nth(5).unwrap();
    let offs: Vec<f64> = places.iter().map(|place| (off(place) - start).abs()).collect();
    assert!(offs.len() as i64 > HOUR * (99 - network.loss) / 100, "{} of {HOUR} are there", offs.len());
    (offs.iter().copied().fold(0.0, f64::max), offs.iter().sum::<f64>() / offs.len() as f64)
}

#[test]
fn a_senders_own_word_keeps_it_nearer_to_the_wall_clock_than_arrival_alone() {
    let networks = [("fair", FAIR), ("poor", POOR)];
    for (seed, (name, network)) in (1..=3).flat_map(|seed| networks.map(|network| (seed, network))) {
        for ppm in [-200, -100, 0, 100, 200] {
            let (worst, mean) = hour(ppm, network, |_| None, seed);
            let (worst_told, mean_told) = hour(ppm, network, true_wall, seed);
            println!(
                "{name} network, {ppm} ppm: worst {worst:.1} ms, mean {mean:.1} ms; with reports {worst_told:.1} and {mean_told:.1}"
            );
            assert!(worst_told <= worst && mean_told <= mean, "{name}, {ppm} ppm");
            if name == "poor" {
                assert!(mean_told * 2.0 < mean && worst_told * 1.2 < worst, "{ppm} ppm: no better");
            }
        }
    }
}

#[test]
fn a_wall_clock_that_is_wrong_does_not_carry_the_voice_away() {
    let walls: [(&str, Wall); 7] = [
        ("none", |_| Some(0)),
        ("stands still", |_| Some(EPOCH << 32)),
        ("as wrong as its RTP clock", |us| Some(ntp(us - us / 10_000))),
        ("50 ppm fast", |us| Some(ntp(us + us / 20_000))),
        ("200 ppm slow", |us| Some(ntp(us - us / 5_000))),
        ("1 % fast", |us| Some(ntp(us + us / 100))),
        ("set by an hour now and then", |us| Some(ntp(us + us / 600_000_000 * 3_600_000_000))),
    ];
    for (seed, ppm) in (1..=3).flat_map(|seed| [-100, 0, 100].map(|ppm| (seed, ppm))) {
        let (worst, mean) = hour(ppm, FAIR, |_| None, seed);
        for (name, wall) in walls {
            let (worst_told, mean_told) = hour(ppm, FAIR, wall, seed);
            println!(
                "{ppm} ppm, a wall clock {name}: worst {worst:.1} ms, mean {mean:.1} ms; with reports {worst_told:.1} and {mean_told:.1}"
            );
            assert!(worst_told <= 20.0, "{name}");
        }
    }
}

#[test]
fn a_report_of_another_source_or_a_wild_one_moves_nothing() {
    let mut stream = Stream::new(8000);
    let mut places = Vec::new();
    for n in 0..9_000i64 {
        let mut bytes = vec![0x80, 0];
        bytes.extend((n as u16).to_be_bytes());
        bytes.extend(((n * 160) as u32).to_be_bytes());
        bytes.extend(SSRC.to_be_bytes());
        let packet = Packet::parse(&bytes).unwrap();
        stream.push(&Arrived { packet, at_us: n * 20_000, ticks: 160, wanted: true }, &mut |frame| {
            places.push(frame.at_us);
            true
        });
        if n % 50 == 0 {
            let wild = SenderReport { ssrc: SSRC + 1, ntp: ntp(n * 40_000), timestamp: (n * 160) as u32 };
            stream.report(&wild, n * 20_000);
            let own =
                SenderReport { ssrc: SSRC, ntp: u64::MAX - n as u64, timestamp: 0x8000_0000 ^ (n as u32) };
            stream.report(&own, n * 20_000);
        }
    }
    assert_eq!(stream.ssrc(), Some(SSRC));
    assert!(places.iter().zip(0i64..).all(|(place, n)| *place == n * 20_000));
}
