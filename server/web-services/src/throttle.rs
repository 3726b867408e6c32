//! Slows down an address that guesses (passwords, enrolment codes): pure, `now` is an argument.
//!
//! Management locks a login after a few wrong passwords; this is for those who try many logins or codes from one place.
//! The first failures cost nothing; each further one doubles a wait in which nothing is heard.

use std::{
    collections::HashMap,
    net::IpAddr,
    time::{Duration, Instant},
};

const FIRST_WAIT: Duration = Duration::from_secs(10);
const LONGEST_WAIT: Duration = Duration::from_secs(900);
/// Failures are forgotten when none follows for so long.
const FORGET_AFTER: Duration = Duration::from_secs(3600);
/// Most addresses remembered; beyond it the one longest without a failure goes.
const MOST_ADDRESSES: usize = 10_000;

struct Counter {
    failures: u32,
    last: Instant,
    wait_until: Option<Instant>,
}

/// Counts failures per address.
pub struct Throttle {
    free: u32,
    counters: HashMap<IpAddr, Counter>,
}

impl Throttle {
    /// `free`: failures that cost nothing. A whole floor may sit behind one address.
    pub fn new(free: u32) -> Self {
        Self { free, counters: HashMap::new() }
    }

    /// How long this address still has to wait; `None`: it may try.
    pub fn wait(&self, address: IpAddr, now: Instant) -> Option<Duration> {
        let until = self.counters.get(&network(address))?.wait_until?;
        until.checked_duration_since(now).filter(|wait| !wait.is_zero())
    }

    /// An attempt failed.
    pub fn failed(&mut self, address: IpAddr, now: Instant) {
        self.make_room(now);
        let fresh = Counter { failures: 0, last: now, wait_until: None };
        let counter = self.counters.entry(network(address)).or_insert(fresh);
        if now.saturating_duration_since(counter.last) > FORGET_AFTER {
            counter.failures = 0;
        }
        counter.failures = counter.failures.saturating_add(1);
        counter.last = now;
        if let Some(over) = counter.failures.checked_sub(self.free + 1) {
            counter.wait_until = Some(now + FIRST_WAIT.saturating_mul(1 << over.min(16)).min(LONGEST_WAIT));
        }
    }

    fn make_room(&mut self, now: Instant) {
        if self.counters.len() < MOST_ADDRESSES {
            return;
        }
        self.counters.retain(|_, counter| now.saturating_duration_since(counter.last) <= FORGET_AFTER);
        while self.counters.len() >= MOST_ADDRESSES {
            let oldest =
                self.counters.iter().min_by_key(|(_, counter)| counter.last).map(|(address, _)| *address);
            let Some(oldest) = oldest else { return };
            self.counters.remove(&oldest);
        }
    }
}

/// Who holds one IPv6 address holds its /64.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6((u128::from(v6) & !u128::from(u64::MAX)).into()),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, Ipv6Addr};

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    #[test]
    fn what_is_free_costs_nothing_and_then_each_failure_doubles_the_wait() {
        let (mut throttle, start) = (Throttle::new(3), Instant::now());
        for _ in 0..3 {
            throttle.failed(HERE, start);
            assert_eq!(throttle.wait(HERE, start), None);
        }
        throttle.failed(HERE, start);
        assert_eq!(throttle.wait(HERE, start), Some(FIRST_WAIT));
        throttle.failed(HERE, start);
        assert_eq!(throttle.wait(HERE, start), Some(FIRST_WAIT * 2));
        assert_eq!(throttle.wait(HERE, start + FIRST_WAIT * 2), None);
        for _ in 0..100 {
            throttle.failed(HERE, start);
        }
        assert_eq!(throttle.wait(HERE, start), Some(LONGEST_WAIT));
    }

    #[test]
    fn an_hour_without_a_failure_forgets() {
        let (mut throttle, start) = (Throttle::new(0), Instant::now());
        throttle.failed(HERE, start);
        throttle.failed(HERE, start);
        let later = start + FORGET_AFTER + Duration::from_secs(1);
        throttle.failed(HERE, later);
        assert_eq!(throttle.wait(HERE, later), Some(FIRST_WAIT));
    }

    #[test]
    fn the_addresses_of_one_ipv6_network_are_one() {
        let (mut throttle, start) = (Throttle::new(0), Instant::now());
        throttle.failed(IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 0, 0, 0, 1)), start);
        assert!(throttle.wait(IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 9, 9, 9, 9)), start).is_some());
        assert!(throttle.wait(IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 2, 0, 0, 0, 1)), start).is_none());
    }

    #[test]
    fn the_table_is_bounded() {
        let (mut throttle, start) = (Throttle::new(0), Instant::now());
        for n in 0..(MOST_ADDRESSES as u32 + 20) {
            throttle.failed(IpAddr::V4(Ipv4Addr::from(n)), start);
        }
        assert!(throttle.counters.len() <= MOST_ADDRESSES);
    }
}
