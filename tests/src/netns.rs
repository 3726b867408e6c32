//! Two hosts on one machine: the site and a desktop, each in a network namespace, with a line between them that can
//! delay, drop, repeat and corrupt packets, be slow, stall, and be cut.
//!
//! The line is a program of ours between two TUN devices, not `tc netem`: its faults are seeded, so that a failure can
//! be repeated, and it needs nothing of the kernel but TUN. A corrupted packet reaches the other side with its wrong
//! checksum, or (`disguised`) with a right one, as a broken middle box makes it: TCP notices the first, only TLS the
//! second. The test itself reaches the site over a way of its own, a veth pair.

use crate::process::run;
use anyhow::{Context, Result, bail, ensure};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    fs::File,
    io::{Read as _, Write as _},
    os::fd::AsRawFd as _,
    process::Command,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

/// Packets longer than this have no place.
const LARGEST: usize = 2048;
/// Most time that packets wait for a slow line before they are dropped, as a router's queue does.
const LONGEST_QUEUE: Duration = Duration::from_millis(300);

/// What befalls packets, in both directions.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    /// Nothing goes through, in silence.
    pub stalled: bool,
    pub delay: Duration,
    /// At most this much more, at random: packets overtake each other.
    pub jitter: Duration,
    /// Shares from 0 to 1.
    pub loss: f64,
    pub duplicate: f64,
    pub corrupt: f64,
    /// Share of packets with data that are corrupted behind a right checksum.
    pub disguised: f64,
    /// Bytes a second, each way.
    pub rate: Option<u64>,
}

/// What the line did.
#[derive(Debug, Default)]
pub struct Counters {
    pub passed: AtomicU64,
    pub lost: AtomicU64,
    pub duplicated: AtomicU64,
    pub corrupted: AtomicU64,
    pub disguised: AtomicU64,
    /// Bytes of IP packets from the desktop.
    pub bytes_up: AtomicU64,
}

/// Both hosts and the line. Everything goes with it.
pub struct TwoHosts {
    pub site: Namespace,
    pub desktop: Namespace,
    /// Where the desktop, and the test, reach the site.
    pub site_address: String,
    /// Where the site reaches the desktop, and the test too after [`TwoHosts::reach_desktop`].
    pub desktop_address: String,
    line: Arc<Line>,
    threads: Vec<JoinHandle<()>>,
}

/// A network namespace; removed when dropped.
pub struct Namespace {
    pub name: String,
    device: String,
}

/// Another host: a network namespace with a plain line (a veth pair) to this one, and no other way.
pub struct Neighbour {
    pub namespace: Namespace,
    /// This host's address on the line.
    pub here: String,
    /// The other's.
    pub there: String,
}

struct Line {
    faults: Mutex<Faults>,
    counters: Counters,
    end: AtomicBool,
}

impl Namespace {
    fn make(name: String, device: String) -> Result<Self> {
        // SAFETY: no arguments, always succeeds.
        let user = unsafe { libc::geteuid() };
        ensure!(
            user == 0,
            "this test makes network namespaces, which needs root: run it as root or with sudo"
        );
        ip(&["netns", "add", &name]).context("making a network namespace")?;
        let namespace = Self { name, device };
        namespace.ip(&["link", "set", "lo", "up"])?;
        Ok(namespace)
    }

    /// What runs a program in it, to be put before its command line.
    pub fn wrapper(&self) -> Vec<String> {
        ["ip", "netns", "exec", &self.name].map(str::to_owned).to_vec()
    }

    fn ip(&self, arguments: &[&str]) -> Result<()> {
        ip(&[&["-n", self.name.as_str()], arguments].concat())
    }

    /// Pulls or plugs the cable: the kernel knows it at once.
    pub fn set_link(&self, up: bool) -> Result<()> {
        self.ip(&["link", "set", &self.device, if up { "up" } else { "down" }])
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        if let Err(error) = ip(&["netns", "del", &self.name]) {
            eprintln!("the network namespace {} stays: {error:#}", self.name);
        }
    }
}

impl Neighbour {
    /// Makes it; `number` tells those of one test apart.
    pub fn make(number: u32) -> Result<Self> {
        let id = std::process::id();
        let net = id % 250;
        let (here, there) =
            (format!("10.79.{net}.{}", 4 * number + 1), format!("10.79.{net}.{}", 4 * number + 2));
        let device = format!("hsn{number}-{id}");
        let namespace = Namespace::make(format!("hs{id}-n{number}"), device.clone())?;
        let outside = format!("hsm{number}-{id}");
        ip(&["link", "add", &outside, "type", "veth", "peer", "name", &device])?;
        ip(&["link", "set", &device, "netns", &namespace.name])?;
        ip(&["addr", "add", &format!("{here}/30"), "dev", &outside])?;
        ip(&["link", "set", &outside, "up"])?;
        namespace.ip(&["addr", "add", &format!("{there}/30"), "dev", &device])?;
        namespace.ip(&["link", "set", &device, "up"])?;
        Ok(Self { namespace, here, there })
    }

    /// Whether a TCP connection from there to an address is taken.
    pub fn connects(&self, address: &str, port: u16) -> Result<bool> {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.namespace.name, "timeout", "5", "bash", "-c"]);
        command.arg(format!("exec 3<>/dev/tcp/{address}/{port}"));
        Ok(command.output().context("ip netns exec")?.status.success())
    }
}

fn ip(arguments: &[&str]) -> Result<()> {
    run(Command::new("ip").args(arguments)).map(drop)
}

impl TwoHosts {
    /// Makes them; `seed` decides what the line does to which packet. Fails, and says so, where that is not allowed.
    pub fn make(seed: u64) -> Result<Self> {
        let id = std::process::id();
        let net = id % 250;
        let (site_address, desktop_address) = (format!("10.77.{net}.1"), format!("10.77.{net}.2"));
        let site = Namespace::make(format!("hs{id}-site"), format!("hss{id}"))?;
        let desktop = Namespace::make(format!("hs{id}-desk"), format!("hsd{id}"))?;
        let site_end = tun(&site, &site_address, &desktop_address)?;
        let desktop_end = tun(&desktop, &desktop_address, &site_address)?;
        // The test's own way to the site.
        let (here, there) = (format!("hsa{id}"), format!("hsb{id}"));
        ip(&["link", "add", &here, "type", "veth", "peer", "name", &there])?;
        ip(&["link", "set", &there, "netns", &site.name])?;
        ip(&["addr", "add", &format!("10.78.{net}.1/30"), "dev", &here])?;
        ip(&["link", "set", &here, "up"])?;
        site.ip(&["addr", "add", &format!("10.78.{net}.2/30"), "dev", &there])?;
        site.ip(&["link", "set", &there, "up"])?;
        ip(&["route", "replace", &format!("{site_address}/32"), "via", &format!("10.78.{net}.2")])?;

        let line = Arc::new(Line {
            faults: Mutex::default(),
            counters: Counters::default(),
            end: AtomicBool::new(false),
        });
        let mut threads = Vec::new();
        for (from, to, up, seed) in
            [(&desktop_end, &site_end, true, seed), (&site_end, &desktop_end, false, !seed)]
        {
            let (from, to, line) = (from.try_clone()?, to.try_clone()?, line.clone());
            threads.push(std::thread::spawn(move || carry(from, to, up, &line, seed)));
        }
        Ok(Self { site, desktop, site_address, desktop_address, line, threads })
    }

    /// A way of the test's own to the desktop, past the line.
    pub fn reach_desktop(&self) -> Result<()> {
        let id = std::process::id();
        let net = id % 250;
        let (here, there) = (format!("hsc{id}"), format!("hse{id}"));
        ip(&["link", "add", &here, "type", "veth", "peer", "name", &there])?;
        ip(&["link", "set", &there, "netns", &self.desktop.name])?;
        ip(&["addr", "add", &format!("10.80.{net}.1/30"), "dev", &here])?;
        ip(&["link", "set", &here, "up"])?;
        self.desktop.ip(&["addr", "add", &format!("10.80.{net}.2/30"), "dev", &there])?;
        self.desktop.ip(&["link", "set", &there, "up"])?;
        let desktop = format!("{}/32", self.desktop_address);
        ip(&["route", "replace", &desktop, "via", &format!("10.80.{net}.2")])
    }

    pub fn set(&self, faults: Faults) {
        *self.line.faults.lock().expect("no thread panics with it") = faults;
    }

    pub fn counters(&self) -> &Counters {
        &self.line.counters
    }
}

impl Drop for TwoHosts {
    fn drop(&mut self) {
        self.line.end.store(true, Ordering::Release);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// A TUN device in a namespace, up, with its address.
fn tun(namespace: &Namespace, address: &str, peer: &str) -> Result<File> {
    let file = File::options().read(true).write(true).open("/dev/net/tun").context("opening /dev/net/tun")?;
    let name = namespace.device.as_bytes();
    // SAFETY: zero bytes are a valid `ifreq`.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    ensure!(name.len() < request.ifr_name.len(), "the device's name is too long");
    for (to, from) in request.ifr_name.iter_mut().zip(name) {
        *to = *from as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_TUN | libc::IFF_NO_PI) as libc::c_short;
    // SAFETY: an open file and an `ifreq` that outlives the call.
    let made = unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF, &raw mut request) };
    if made < 0 {
        bail!("making a TUN device: {}", std::io::Error::last_os_error());
    }
    // SAFETY: an open file; the flag is one of those that `F_SETFL` takes.
    unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETFL, libc::O_NONBLOCK) };
    ip(&["link", "set", &namespace.device, "netns", &namespace.name])?;
    namespace.ip(&["addr", "add", address, "peer", peer, "dev", &namespace.device])?;
    namespace.ip(&["link", "set", &namespace.device, "up"])?;
    Ok(file)
}

/// One direction of the line.
fn carry(mut from: File, mut to: File, up: bool, line: &Line, seed: u64) {
    let (mut rng, counters) = (StdRng::seed_from_u64(seed), &line.counters);
    let mut buffer = [0; LARGEST];
    let mut waiting: BinaryHeap<Reverse<(Instant, u64, Vec<u8>)>> = BinaryHeap::new();
    let (mut number, mut free_at) = (0, Instant::now());
    let one_more = |counter: &AtomicU64| {
        counter.fetch_add(1, Ordering::Relaxed);
    };
    while !line.end.load(Ordering::Acquire) {
        let now = Instant::now();
        while let Some(Reverse((at, ..))) = waiting.peek()
            && *at <= now
        {
            let Some(Reverse((_, _, packet))) = waiting.pop() else { break };
            // A device that is down takes nothing: lost, as on any cable.
            let passed = to.write(&packet).is_ok();
            one_more(if passed { &counters.passed } else { &counters.lost });
        }
        let wait = waiting.peek().map_or(Duration::from_millis(20), |Reverse((at, ..))| {
            at.saturating_duration_since(now).min(Duration::from_millis(20))
        });
        if !readable(&from, wait) {
            continue;
        }
        while let Ok(length) = from.read(&mut buffer) {
            let faults = *line.faults.lock().expect("no thread panics with it");
            let mut packet = buffer[..length].to_vec();
            if up {
                counters.bytes_up.fetch_add(length as u64, Ordering::Relaxed);
            }
            let now = Instant::now();
            free_at = free_at.max(now);
            if faults.stalled || rng.random_bool(faults.loss) || free_at > now + LONGEST_QUEUE {
                one_more(&counters.lost);
                continue;
            }
            if rng.random_bool(faults.disguised) && corrupt_behind_checksum(&mut packet, &mut rng) {
                one_more(&counters.disguised);
            }
            if rng.random_bool(faults.corrupt) {
                let at = rng.random_range(20.min(length - 1)..length);
                packet[at] ^= 1 << rng.random_range(0..8);
                one_more(&counters.corrupted);
            }
            if let Some(rate) = faults.rate {
                free_at += Duration::from_secs_f64(length as f64 / rate as f64);
            }
            let copies = if rng.random_bool(faults.duplicate) { 2 } else { 1 };
            counters.duplicated.fetch_add(copies - 1, Ordering::Relaxed);
            for _ in 0..copies {
                number += 1;
                let jitter = faults.jitter.mul_f64(rng.random_range(0.0..=1.0));
                waiting.push(Reverse((free_at + faults.delay + jitter, number, packet.clone())));
            }
        }
    }
}

fn readable(file: &File, wait: Duration) -> bool {
    let mut poll = libc::pollfd { fd: file.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    let timeout = libc::timespec { tv_sec: 0, tv_nsec: i64::from(wait.subsec_nanos()) };
    // SAFETY: one valid `pollfd` and a `timespec` that outlive the call.
    unsafe { libc::ppoll(&raw mut poll, 1, &raw const timeout, std::ptr::null()) };
    poll.revents & libc::POLLIN != 0
}

/// Flips a bit of a TCP segment's data and makes its checksum right again; false where there is no data.
fn corrupt_behind_checksum(packet: &mut [u8], rng: &mut StdRng) -> bool {
    const TCP: u8 = 6;
    if packet.len() < 40 || packet[0] >> 4 != 4 || packet[9] != TCP {
        return false;
    }
    let header = usize::from(packet[0] & 15) * 4;
    let Some(offset) = packet.get(header + 12) else { return false };
    let data = header + usize::from(offset >> 4) * 4;
    if data >= packet.len() {
        return false;
    }
    let at = rng.random_range(data..packet.len());
    packet[at] ^= 1 << rng.random_range(0..8);
    packet[header + 16..header + 18].fill(0);
    let sum = tcp_checksum(packet, header);
    packet[header + 16..header + 18].copy_from_slice(&sum.to_be_bytes());
    true
}

/// RFC 9293 3.1: over addresses, protocol, length and segment.
fn tcp_checksum(packet: &[u8], header: usize) -> u16 {
    let words = |bytes: &[u8]| -> u32 {
        let pair = |pair: &[u8]| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0));
        bytes.chunks(2).map(pair).sum()
    };
    let mut sum = words(&packet[12..20]) + 6 + (packet.len() - header) as u32 + words(&packet[header..]);
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disguised_corruption_keeps_a_right_checksum() {
        // A segment of 3 bytes of data from 10.0.0.1 to 10.0.0.2.
        let mut packet = vec![0x45, 0, 0, 43, 0, 0, 0, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2];
        packet.extend([0x12, 0x34, 0, 80, 0, 0, 0, 1, 0, 0, 0, 2, 0x50, 0x18, 1, 0, 0, 0, 0, 0]);
        packet.extend(b"abc");
        let sum = tcp_checksum(&packet, 20);
        packet[36..38].copy_from_slice(&sum.to_be_bytes());
        assert_eq!(tcp_checksum(&packet, 20), 0, "right before");
        assert!(corrupt_behind_checksum(&mut packet, &mut StdRng::seed_from_u64(1)));
        assert_eq!(tcp_checksum(&packet, 20), 0, "and after");
        assert_ne!(&packet[40..], b"abc");
    }
}
