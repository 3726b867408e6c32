//! From a party's mouth to the media server: RTP, SRTP, and a network that loses, delays and reorders.

use hindsight_sip::sdp::Suite;
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use std::{
    io::{Read as _, Write as _},
    process::{Command, Stdio},
};

/// A datagram and when it is sent, or arrives: microseconds of the media server's clock.
pub type Datagram = (i64, Vec<u8>);

/// A source of RTP. The party's clock runs `ppm` slow against the media server's.
#[derive(Clone, Copy, Debug)]
pub struct Source {
    pub payload_type: u8,
    pub ssrc: u32,
    pub sequence: u16,
    pub timestamp: u32,
    /// RTP clock units of a packet.
    pub ticks: u32,
    pub ppm: f64,
}

impl Source {
    /// Numbers as they come, not far from their wraps.
    pub fn new(payload_type: u8, ssrc: u32, ticks: u32) -> Self {
        Self { payload_type, ssrc, sequence: 65_400, timestamp: u32::MAX - 40 * ticks, ticks, ppm: 0.0 }
    }

    /// The wall-clock time of a packet of a run that begins at `from_us`.
    pub fn at_us(&self, from_us: i64, packet: usize) -> i64 {
        from_us + (packet as f64 * 20_000.0 * (1.0 + self.ppm / 1e6)) as i64
    }

    /// Sends payloads, one after the other, from a moment on.
    pub fn send<'a>(
        &mut self,
        from_us: i64,
        payloads: impl Iterator<Item = &'a Vec<u8>>,
        to: &mut Vec<Datagram>,
    ) {
        for (n, payload) in payloads.enumerate() {
            let mut bytes = vec![0x80, self.payload_type | if n == 0 { 0x80 } else { 0 }];
            bytes.extend(self.sequence.to_be_bytes());
            bytes.extend(self.timestamp.to_be_bytes());
            bytes.extend(self.ssrc.to_be_bytes());
            bytes.extend(payload);
            to.push((self.at_us(from_us, n), bytes));
            self.sequence = self.sequence.wrapping_add(1);
            self.timestamp = self.timestamp.wrapping_add(self.ticks);
        }
    }
}

/// Words of RTCP: one packet with so many report blocks.
fn rtcp(blocks: u8, kind: u8, words: &[u32]) -> Vec<u8> {
    let mut bytes = vec![0x80 | blocks, kind];
    bytes.extend((words.len() as u16).to_be_bytes());
    bytes.extend(words.iter().flat_map(|word| word.to_be_bytes()));
    bytes
}

/// Whether a datagram is RTCP, protected or not.
pub fn is_rtcp(bytes: &[u8]) -> bool {
    (192..=223).contains(&bytes[1])
}

/// A sender report of a source, and its name: RTP time `timestamp` was at `wall_us` of the party's wall clock.
pub fn sender_report(ssrc: u32, wall_us: i64, timestamp: u32) -> Vec<u8> {
    let ntp = ((i128::from(wall_us) << 32) / 1_000_000) as u64;
    let words = [ssrc, (ntp >> 32) as u32 + 0xe000_0000, ntp as u32, timestamp, 1, 160];
    let name = [&[0x81, 202, 0, 2][..], &ssrc.to_be_bytes(), &[1, 1, b'a', 0]].concat();
    [rtcp(0, 200, &words), name].concat()
}

/// A receiver report of one party on the other: packets lost of 256 and in all, jitter in RTP clock units, and since when
/// it has the sender report of `answered_us` of the other's wall clock.
pub fn receiver_report(
    ssrc: u32,
    heard: u32,
    (fraction, lost, jitter): (u32, u32, u32),
    answered_us: i64,
    since_us: i64,
) -> Vec<u8> {
    let ntp = ((i128::from(answered_us) << 32) / 1_000_000) as u64 + (0xe000_0000 << 32);
    let since = ((since_us << 16) / 1_000_000) as u32;
    rtcp(1, 201, &[ssrc, heard, fraction << 24 | lost, 9, jitter, (ntp >> 16) as u32, since])
}

/// Protects datagrams, in the order sent, as a foreign sender does.
pub fn protect(suite: Suite, master: &[u8], sent: &mut [Datagram]) {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fidelity/protect.py");
    let mut python = Command::new("/usr/bin/python3")
        .args([script, suite.name(), &hex(master)])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = python.stdin.take().unwrap();
    let all: Vec<u8> = sent
        .iter()
        .flat_map(|(_, bytes)| [&(bytes.len() as u16).to_be_bytes()[..], bytes].concat())
        .collect();
    let writer = std::thread::spawn(move || input.write_all(&all).unwrap());
    let mut output = Vec::new();
    python.stdout.take().unwrap().read_to_end(&mut output).unwrap();
    writer.join().unwrap();
    assert!(python.wait().unwrap().success(), "packaging/setup.sh installs python3-pylibsrtp");
    let mut rest = &output[..];
    for (_, bytes) in sent {
        let (length, after) = rest.split_first_chunk::<2>().unwrap();
        let (packet, after) = after.split_at(usize::from(u16::from_be_bytes(*length)));
        assert_ne!(packet, bytes);
        *bytes = packet.to_vec();
        rest = after;
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What happens to datagrams on their way.
#[derive(Clone, Copy, Debug, Default)]
pub struct Network {
    /// Share of packets lost.
    pub loss: f64,
    /// Share of packets that come later than those behind them, by up to [`Network::reorder_ms`].
    pub reordered: f64,
    pub reorder_ms: i64,
    /// Every packet comes up to this late.
    pub jitter_ms: i64,
}

impl Network {
    /// What arrives, in the order of arrival.
    pub fn carry(self, seed: u64, sent: Vec<Datagram>) -> Vec<Datagram> {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut arrived: Vec<Datagram> = sent
            .into_iter()
            .filter_map(|(at, bytes)| {
                let lost = rng.random_bool(self.loss);
                let jitter = rng.random_range(0..=self.jitter_ms * 1000);
                let held = if rng.random_bool(self.reordered) { self.reorder_ms * 1000 } else { 0 };
                (!lost).then_some((at + jitter.max(held), bytes))
            })
            .collect();
        arrived.sort_by_key(|(at, _)| *at);
        arrived
    }
}
