//! The lock-out after wrong passwords: pure.
//!
//! Who guesses is locked out of a login at the address that they come from, and nobody else is, so that a stranger who
//! knows a name cannot keep its person out. Guesses from many addresses are counted together with a limit far above what
//! one address reaches; that lock is the only one that holds everywhere, and it is short.

use hindsight_wire::{PersonId, Timestamp};
use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
};

/// Wrong passwords for one person from one address that lock this person there; each further one doubles the lock.
const WRONG_AT_AN_ADDRESS: u32 = 5;
/// Wrong passwords for one person from all addresses, without a right one between, that lock this person everywhere.
const WRONG_EVERYWHERE: u32 = 50;
/// First lock, milliseconds.
const FIRST_LOCK_MS: i64 = 30_000;
/// Longest lock, milliseconds; also that of a person everywhere.
const LONGEST_LOCK_MS: i64 = 15 * 60_000;
/// Wrong passwords from an address are forgotten when none follows for so long, milliseconds.
const FORGOTTEN_AFTER_MS: i64 = 60 * 60_000;
/// Pairs of person and address that are remembered; beyond it the ones longest without a wrong password make room.
const MOST_PAIRS: usize = 16_384;

/// What a wrong password does to the person everywhere: the count to keep, and until when nothing is heard. The count
/// begins anew with the lock: a patient stranger must not lock a person out for good.
pub fn after_failure(failed_attempts: u32, now: Timestamp) -> (u32, Option<Timestamp>) {
    match failed_attempts.saturating_add(1) {
        failed if failed >= WRONG_EVERYWHERE => (0, Some(now.plus_ms(LONGEST_LOCK_MS))),
        failed => (failed, None),
    }
}

/// Whether a person locked until then must still wait.
pub fn is_locked(locked_until: Option<Timestamp>, now: Timestamp) -> bool {
    locked_until.is_some_and(|until| now < until)
}

#[derive(Clone, Copy)]
struct Entry {
    wrong: u32,
    last: Timestamp,
    until: Option<Timestamp>,
}

/// Who is locked out where.
#[derive(Default)]
pub struct LockOut {
    entries: HashMap<(PersonId, IpAddr), Entry>,
}

impl LockOut {
    /// Until when nothing is heard of a person from an address.
    pub fn locked(&self, person: PersonId, address: IpAddr, now: Timestamp) -> Option<Timestamp> {
        let entry = self.entries.get(&(person, network(address)))?;
        entry.until.filter(|_| is_locked(entry.until, now))
    }

    /// A wrong password.
    pub fn wrong(&mut self, person: PersonId, address: IpAddr, now: Timestamp) {
        self.make_room(now);
        let fresh = Entry { wrong: 0, last: now, until: None };
        let entry = self.entries.entry((person, network(address))).or_insert(fresh);
        if now.ms_since(entry.last) > FORGOTTEN_AFTER_MS {
            *entry = fresh;
        }
        entry.wrong = entry.wrong.saturating_add(1);
        entry.last = now;
        entry.until = entry.wrong.checked_sub(WRONG_AT_AN_ADDRESS).map(|over| {
            let lock = FIRST_LOCK_MS.saturating_mul(1 << over.min(16)).min(LONGEST_LOCK_MS);
            now.plus_ms(lock)
        });
    }

    /// The right password: what was wrong before is forgiven.
    pub fn right(&mut self, person: PersonId, address: IpAddr) {
        self.entries.remove(&(person, network(address)));
    }

    /// An eighth of the table, so that this is rare.
    fn make_room(&mut self, now: Timestamp) {
        if self.entries.len() < MOST_PAIRS {
            return;
        }
        self.entries.retain(|_, entry| now.ms_since(entry.last) <= FORGOTTEN_AFTER_MS);
        if self.entries.len() < MOST_PAIRS {
            return;
        }
        let mut times: Vec<Timestamp> = self.entries.values().map(|entry| entry.last).collect();
        let oldest = *times.select_nth_unstable(MOST_PAIRS / 8).1;
        self.entries.retain(|_, entry| entry.last > oldest);
    }
}

/// Who holds one IPv6 address holds its /64.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => Ipv6Addr::from(u128::from(v6) & !u128::from(u64::MAX)).into(),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn the_fifth_wrong_password_locks_at_its_address_and_each_further_one_for_twice_as_long() {
        let (mut this, anna, now) = (LockOut::default(), PersonId::new(), Timestamp(0));
        let (guesser, own) = (ip("203.0.113.1"), ip("192.0.2.1"));
        (0..4).for_each(|_| this.wrong(anna, guesser, now));
        assert_eq!(this.locked(anna, guesser, now), None);
        this.wrong(anna, guesser, now);
        assert_eq!(this.locked(anna, guesser, now), Some(Timestamp(30_000_000)));
        assert_eq!(this.locked(anna, own, now), None, "the person elsewhere is not locked");
        assert_eq!(this.locked(PersonId::new(), guesser, now), None, "nor is another one there");
        this.wrong(anna, guesser, now);
        assert_eq!(this.locked(anna, guesser, now), Some(Timestamp(60_000_000)));
        assert_eq!(this.locked(anna, guesser, Timestamp(60_000_000)), None, "a lock ends");
        (0..100).for_each(|_| this.wrong(anna, guesser, now));
        assert_eq!(this.locked(anna, guesser, now), Some(Timestamp(900_000_000)));
    }

    #[test]
    fn the_right_password_and_an_hour_forgive() {
        let (mut this, anna, here) = (LockOut::default(), PersonId::new(), ip("2001:db8::1"));
        for round in 0..50 {
            (0..4).for_each(|_| this.wrong(anna, here, Timestamp(round)));
            this.right(anna, ip("2001:db8::9"));
        }
        assert_eq!(this.locked(anna, here, Timestamp(50)), None, "the addresses of one network are one");
        (0..4).for_each(|_| this.wrong(anna, here, Timestamp(50)));
        let later = Timestamp(50).plus_ms(FORGOTTEN_AFTER_MS + 1);
        this.wrong(anna, here, later);
        assert_eq!(this.locked(anna, here, later), None);
    }

    #[test]
    fn guesses_from_many_addresses_lock_for_a_while_and_the_count_begins_anew() {
        let now = Timestamp(0);
        let (mut failed, mut locks) = (0, 0);
        for _ in 0..2 * WRONG_EVERYWHERE {
            let until;
            (failed, until) = after_failure(failed, now);
            locks += u32::from(until.is_some());
            assert!(until.is_none_or(|until| until == now.plus_ms(LONGEST_LOCK_MS)));
        }
        assert_eq!((failed, locks), (0, 2));
    }

    #[test]
    fn one_address_alone_does_not_lock_a_person_everywhere_within_a_working_day() {
        let (mut this, anna, here) = (LockOut::default(), PersonId::new(), ip("203.0.113.1"));
        let (mut now, mut failed) = (Timestamp(0), 0);
        while now < Timestamp(0).plus_ms(9 * 60 * 60_000) {
            this.wrong(anna, here, now);
            let (count, until) = after_failure(failed, now);
            assert_eq!(until, None, "after {now}");
            failed = count;
            now = this.locked(anna, here, now).unwrap_or(now);
        }
    }

    #[test]
    fn the_table_is_bounded() {
        let (mut this, anna) = (LockOut::default(), PersonId::new());
        for n in 0..3 * MOST_PAIRS as u32 {
            this.wrong(anna, std::net::Ipv4Addr::from(n).into(), Timestamp(n.into()));
        }
        assert!(this.entries.len() <= MOST_PAIRS, "{}", this.entries.len());
    }
}
