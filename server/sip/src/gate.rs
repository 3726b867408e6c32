//! How much one source may ask for (RFC 3261 26.3.2.4): a token bucket per address, pure.
//!
//! A request that begins something costs a token; who proves to be somebody gets it back ([`Gate::credit`]), and who tries
//! passwords pays more. So a thousand phones behind one address are no flood, and a flood has to prove itself. A phone's
//! own bucket is out of a stranger's reach. IPv6 sources count by their /64: that is one customer.

use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// What one source may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Tokens that come back, a second.
    pub per_second: u32,
    /// Tokens that are there at the start, and at most.
    pub burst: u32,
    /// TCP connections at a time.
    pub connections: usize,
    /// Sources without limits: trunks, proxies, components of the site.
    pub trusted: Vec<Network>,
}

/// Sources with a bucket of their own. Beyond that number newcomers share one.
pub const MAX_SOURCES: usize = 65_536;
/// How often the table is looked over for buckets that are full again.
const PRUNE: Duration = Duration::from_secs(1);
const THOUSAND: i64 = 1000;

/// Addresses with the same first bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u32,
}

/// Not an address or `address/bits`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an address or a network such as 192.0.2.0/24")]
pub struct NotANetwork(String);

impl FromStr for Network {
    type Err = NotANetwork;

    fn from_str(text: &str) -> Result<Self, NotANetwork> {
        let wrong = || NotANetwork(text.to_owned());
        let (address, bits) =
            text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Ok(most), |bits| bits.parse::<u32>().map_err(|_| wrong()))?;
        if bits > most { Err(wrong()) } else { Ok(Self { address, bits }) }
    }
}

impl Network {
    /// Whether an address is one of these.
    pub fn contains(&self, address: IpAddr) -> bool {
        let (own, other, width) = match (self.address, address.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => (u32::from(own).into(), u32::from(other).into(), 32),
            (IpAddr::V6(own), IpAddr::V6(other)) => (u128::from(own), u128::from(other), 128),
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => return false,
        };
        (own ^ other).checked_shr(width - self.bits).unwrap_or(0) == 0
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

/// Who is counted as one: an IPv4 address, or the /64 of an IPv6 address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Origin(IpAddr);

impl From<IpAddr> for Origin {
    fn from(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V6(v6) => Ipv6Addr::from(u128::from(v6) & !u128::from(u64::MAX)).into(),
            v4 @ IpAddr::V4(_) => v4,
        })
    }
}

/// Thousandths of tokens.
#[derive(Debug, Clone, Copy)]
struct Bucket {
    level: i64,
    at: Instant,
}

/// The buckets.
#[derive(Debug)]
pub struct Gate {
    limits: Limits,
    buckets: HashMap<Origin, Bucket>,
    /// For those who find no room in the table.
    others: Bucket,
    pruned_at: Instant,
}

impl Gate {
    /// Everybody's bucket is full.
    pub fn new(limits: Limits, now: Instant) -> Self {
        let others = Bucket { level: i64::from(limits.burst) * THOUSAND, at: now };
        Self { limits, buckets: HashMap::new(), others, pruned_at: now }
    }

    /// Whether a source has no limits.
    pub fn trusts(&self, address: IpAddr) -> bool {
        self.limits.trusted.iter().any(|network| network.contains(address))
    }

    /// Connections that one source may have.
    pub fn connections(&self) -> usize {
        self.limits.connections
    }

    /// Takes a token; false: there is none, the request is not served.
    pub fn admit(&mut self, address: IpAddr, now: Instant) -> bool {
        if self.trusts(address) {
            return true;
        }
        let bucket = self.bucket(address, now);
        let there = bucket.level >= THOUSAND;
        if there {
            bucket.level -= THOUSAND;
        }
        there
    }

    /// Gives tokens back to a source that proved itself, or takes some from one that did wrong. A debt is never larger than
    /// a full bucket.
    pub fn credit(&mut self, address: IpAddr, tokens: i32, now: Instant) {
        if self.trusts(address) {
            return;
        }
        let most = i64::from(self.limits.burst) * THOUSAND;
        let bucket = self.bucket(address, now);
        bucket.level = (bucket.level + i64::from(tokens) * THOUSAND).clamp(-most, most);
    }

    /// Sources that are remembered.
    pub fn sources(&self) -> usize {
        self.buckets.len()
    }

    fn bucket(&mut self, address: IpAddr, now: Instant) -> &mut Bucket {
        let origin = Origin::from(address);
        if self.buckets.len() >= MAX_SOURCES && !self.buckets.contains_key(&origin) {
            self.prune(now);
        }
        let (rate, most) = (i64::from(self.limits.per_second), i64::from(self.limits.burst) * THOUSAND);
        let bucket = if self.buckets.len() >= MAX_SOURCES && !self.buckets.contains_key(&origin) {
            &mut self.others
        } else {
            self.buckets.entry(origin).or_insert(Bucket { level: most, at: now })
        };
        bucket.level = filled(bucket, rate, most, now);
        bucket.at = bucket.at.max(now);
        bucket
    }

    /// A bucket that is full again says no more than none. Not at every packet: the table is large then.
    fn prune(&mut self, now: Instant) {
        if now.saturating_duration_since(self.pruned_at) < PRUNE {
            return;
        }
        self.pruned_at = now;
        let (rate, most) = (i64::from(self.limits.per_second), i64::from(self.limits.burst) * THOUSAND);
        self.buckets.retain(|_, bucket| filled(bucket, rate, most, now) < most);
    }
}

fn filled(bucket: &Bucket, rate: i64, most: i64, now: Instant) -> i64 {
    let ms = i64::try_from(now.saturating_duration_since(bucket.at).as_millis()).unwrap_or(i64::MAX);
    bucket.level.saturating_add(ms.saturating_mul(rate)).min(most)
}

/// What was turned away since the start.
#[derive(Debug, Default)]
pub struct Turned {
    /// Requests of sources that asked for too much.
    pub over_limit: AtomicU64,
    /// Messages that could not be read.
    pub malformed: AtomicU64,
    /// TCP connections closed because a message was too large or had no end.
    pub unfollowable: AtomicU64,
    /// TCP connections closed because a message took too long.
    pub slow: AtomicU64,
    /// TCP connections closed because their source had too many.
    pub connections: AtomicU64,
}

impl Turned {
    /// Names and numbers, for who shows them.
    pub fn counts(&self) -> [(&'static str, u64); 5] {
        let get = |count: &AtomicU64| count.load(Ordering::Relaxed);
        [
            ("over-limit", get(&self.over_limit)),
            ("malformed", get(&self.malformed)),
            ("too-large", get(&self.unfollowable)),
            ("slow", get(&self.slow)),
            ("connections", get(&self.connections)),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate() -> (Gate, Instant) {
        let now = Instant::now();
        let trusted = vec!["192.0.2.0/24".parse().unwrap()];
        (Gate::new(Limits { per_second: 10, burst: 5, connections: 2, trusted }, now), now)
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn admitted(gate: &mut Gate, address: &str, times: usize, now: Instant) -> usize {
        (0..times).filter(|_| gate.admit(ip(address), now)).count()
    }

    #[test]
    fn a_source_gets_its_burst_and_then_its_rate_and_no_other_pays_for_it() {
        let (mut gate, now) = gate();
        assert_eq!(admitted(&mut gate, "203.0.113.1", 100, now), 5);
        assert_eq!(admitted(&mut gate, "::ffff:203.0.113.1", 100, now), 0, "the same written otherwise");
        assert_eq!(admitted(&mut gate, "203.0.113.1", 100, now + Duration::from_millis(300)), 3);
        assert_eq!(admitted(&mut gate, "203.0.113.1", 100, now + Duration::from_secs(3600)), 5);
        assert_eq!(admitted(&mut gate, "203.0.113.2", 100, now), 5);
        assert_eq!(admitted(&mut gate, "192.0.2.77", 100, now), 100, "trusted");
    }

    #[test]
    fn an_ipv6_customer_is_one_source() {
        let (mut gate, now) = gate();
        assert_eq!(admitted(&mut gate, "2001:db8:1:2::1", 4, now), 4);
        assert_eq!(admitted(&mut gate, "2001:db8:1:2:ffff::9", 4, now), 1);
        assert_eq!(admitted(&mut gate, "2001:db8:1:3::1", 4, now), 4);
    }

    #[test]
    fn who_proves_to_be_somebody_pays_nothing_and_who_guesses_pays_more() {
        let (mut gate, now) = gate();
        for _ in 0..1000 {
            assert!(gate.admit(ip("203.0.113.1"), now));
            gate.credit(ip("203.0.113.1"), 1, now);
        }
        gate.credit(ip("203.0.113.1"), 99, now);
        assert_eq!(admitted(&mut gate, "203.0.113.1", 100, now), 5, "nobody saves up more than a burst");
        gate.credit(ip("203.0.113.1"), -1000, now);
        assert_eq!(admitted(&mut gate, "203.0.113.1", 9, now + Duration::from_millis(500)), 0);
        assert_eq!(admitted(&mut gate, "203.0.113.1", 9, now + Duration::from_millis(700)), 2);
    }

    #[test]
    fn the_table_is_bounded_and_forgets_who_is_quiet() {
        let (mut gate, now) = gate();
        let nth = |n: u32| IpAddr::from(std::net::Ipv4Addr::from(0x0a00_0000 + n));
        for n in 0..2 * MAX_SOURCES as u32 {
            gate.admit(nth(n), now);
        }
        assert_eq!(gate.sources(), MAX_SOURCES);
        assert!(!gate.admit(nth(900_000), now), "newcomers share one bucket, and it is empty");
        assert!(gate.admit(nth(900_000), now + Duration::from_secs(2)));
        assert_eq!(gate.sources(), 1);
    }

    #[test]
    fn networks_are_read_and_compared() {
        for (network, inside, outside) in [
            ("127.0.0.0/8", "127.9.9.9", "128.0.0.1"),
            ("0.0.0.0/0", "203.0.113.7", "::1"),
            ("203.0.113.7", "203.0.113.7", "203.0.113.8"),
            ("2001:db8::/32", "2001:db8:ffff::1", "2001:db9::1"),
            ("::1", "::1", "::2"),
        ] {
            let network: Network = network.parse().unwrap();
            assert!(network.contains(ip(inside)) && !network.contains(ip(outside)), "{network}");
        }
        for wrong in ["", "x", "1.2.3.4/33", "1.2.3.4/x", "1.2.3/8", "::/129"] {
            assert!(wrong.parse::<Network>().is_err(), "{wrong}");
        }
    }
}
