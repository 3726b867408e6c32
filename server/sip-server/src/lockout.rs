//! Who guesses passwords: after some wrong ones an account is locked for the address that they came from, and for nobody
//! else, so that a stranger cannot lock an agent out. Pure.

use hindsight_sip::gate::Origin;
use std::{
    collections::HashMap,
    net::IpAddr,
    time::{Duration, Instant},
};

/// Pairs of account and address that are remembered; beyond it the oldest quiet ones make room.
const MAX_ENTRIES: usize = 16_384;
/// Each lock-out in a row lasts twice as long, up to so many times the first.
const LONGEST: u32 = 64;

/// When and for how long.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// Wrong passwords that lock.
    pub wrong: u32,
    /// How long the first lock-out lasts; also how long wrong passwords are remembered, ten times that.
    pub lasts: Duration,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    wrong: u32,
    locks: u32,
    until: Option<Instant>,
    last: Instant,
}

/// Who is locked out.
#[derive(Debug)]
pub struct LockOut {
    terms: Terms,
    entries: HashMap<(String, Origin), Entry>,
}

impl LockOut {
    /// Nobody.
    pub fn new(terms: Terms) -> Self {
        Self { terms, entries: HashMap::new() }
    }

    /// How much longer an account is locked for an address.
    pub fn remaining(&self, account: &str, address: IpAddr, now: Instant) -> Option<Duration> {
        let entry = self.entries.get(&(account.to_owned(), address.into()))?;
        entry.until.and_then(|until| until.checked_duration_since(now)).filter(|left| !left.is_zero())
    }

    /// A wrong password; true: that was one too many, and the account is locked from here on.
    pub fn wrong(&mut self, account: &str, address: IpAddr, now: Instant) -> bool {
        let key = (account.to_owned(), Origin::from(address));
        if self.entries.len() >= MAX_ENTRIES && !self.entries.contains_key(&key) {
            self.make_room(now);
        }
        let (terms, memory) = (self.terms, self.memory());
        let fresh = Entry { wrong: 0, locks: 0, until: None, last: now };
        let entry = self.entries.entry(key).or_insert(fresh);
        if now.saturating_duration_since(entry.last) > memory {
            *entry = fresh;
        }
        entry.last = now;
        entry.wrong += 1;
        if entry.wrong < terms.wrong {
            return false;
        }
        let times = 1u32.checked_shl(entry.locks).unwrap_or(LONGEST).min(LONGEST);
        entry.until = Some(now + terms.lasts * times);
        entry.locks += 1;
        entry.wrong = 0;
        true
    }

    /// The right password: what was wrong before is forgiven.
    pub fn right(&mut self, account: &str, address: IpAddr) {
        self.entries.remove(&(account.to_owned(), address.into()));
    }

    /// Forgets what is long ago.
    pub fn expire(&mut self, now: Instant) {
        let memory = self.memory();
        self.entries.retain(|_, entry| {
            let locked = entry.until.is_some_and(|until| until > now);
            locked || now.saturating_duration_since(entry.last) <= memory
        });
    }

    fn memory(&self) -> Duration {
        self.terms.lasts * 10
    }

    /// An eighth of the table, so that this is rare.
    fn make_room(&mut self, now: Instant) {
        self.expire(now);
        if self.entries.len() < MAX_ENTRIES {
            return;
        }
        let mut times: Vec<Instant> = self.entries.values().map(|entry| entry.last).collect();
        let (_, oldest, _) = times.select_nth_unstable(MAX_ENTRIES / 8);
        let oldest = *oldest;
        self.entries.retain(|_, entry| entry.last > oldest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TERMS: Terms = Terms { wrong: 3, lasts: Duration::from_secs(60) };

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_guesser_is_locked_out_and_the_agent_elsewhere_is_not() {
        let (mut this, now) = (LockOut::new(TERMS), Instant::now());
        let (guesser, agent) = (ip("203.0.113.1"), ip("192.0.2.1"));
        assert_eq!([(); 3].map(|()| this.wrong("1001", guesser, now)), [false, false, true]);
        assert_eq!(this.remaining("1001", guesser, now), Some(TERMS.lasts));
        assert_eq!(this.remaining("1001", agent, now), None);
        assert_eq!(this.remaining("1002", guesser, now), None);
        let later = now + TERMS.lasts;
        assert_eq!(this.remaining("1001", guesser, later), None);
        assert_eq!([(); 3].map(|()| this.wrong("1001", guesser, later)), [false, false, true]);
        assert_eq!(this.remaining("1001", guesser, later), Some(2 * TERMS.lasts), "twice as long");
    }

    #[test]
    fn the_right_password_and_time_forgive() {
        let (mut this, now) = (LockOut::new(TERMS), Instant::now());
        let phone = ip("192.0.2.1");
        for _ in 0..50 {
            this.wrong("1001", phone, now);
            this.wrong("1001", phone, now);
            this.right("1001", phone);
        }
        assert_eq!(this.remaining("1001", phone, now), None);
        this.wrong("1001", phone, now);
        this.wrong("1001", phone, now);
        assert!(!this.wrong("1001", phone, now + TERMS.lasts * 11));
        this.expire(now + TERMS.lasts * 30);
        assert!(this.entries.is_empty());
    }

    #[test]
    fn the_table_is_bounded() {
        let (mut this, now) = (LockOut::new(TERMS), Instant::now());
        for n in 0..3 * MAX_ENTRIES as u32 {
            let address = IpAddr::from(std::net::Ipv4Addr::from(0x0a00_0000 + n));
            this.wrong("1001", address, now + Duration::from_millis(n.into()));
        }
        assert!(this.entries.len() <= MAX_ENTRIES, "{}", this.entries.len());
    }
}
