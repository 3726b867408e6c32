//! One open link, without I/O: when to ping, when it is lost, when to measure, which journal entries are under way.

use crate::clock::{ClockSchedule, ClockTask};
use std::time::{Duration, Instant};

/// A batch that the server does not accept within this is sent again.
const ACCEPT_WITHIN: Duration = Duration::from_secs(30);

/// What is due on a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// Nothing was heard for too long: the other side is gone, whatever the socket says.
    Lost,
    /// Send a ping.
    Ping,
    /// Ask the server for its clock.
    Exchange,
    /// A clock measurement is complete.
    Measured,
    /// Send the next journal entries.
    Deliver,
}

/// The timers and books of one open link.
#[derive(Clone, Debug)]
pub struct Session {
    ping_every: Duration,
    idle_timeout: Duration,
    heard: Instant,
    next_ping: Instant,
    clock: ClockSchedule,
    /// Highest sequence sent and not accepted, and when.
    under_way: Option<(u64, Instant)>,
    /// There may be entries to deliver.
    entries_waiting: bool,
}

impl Session {
    /// A link that opened now.
    pub fn new(now: Instant, ping_every: Duration, idle_timeout: Duration) -> Self {
        Self {
            ping_every,
            idle_timeout,
            heard: now,
            next_ping: now + ping_every,
            clock: ClockSchedule::new(now),
            under_way: None,
            entries_waiting: true,
        }
    }

    /// When [`Session::poll`] has something at the latest.
    pub fn next(&self) -> Instant {
        let timers = [
            Some(self.heard + self.idle_timeout),
            Some(self.next_ping),
            Some(self.clock.next()),
            self.under_way.map(|(_, sent)| sent + ACCEPT_WITHIN),
        ];
        timers.into_iter().flatten().min().unwrap_or(self.heard)
    }

    /// What is due; call until `None`.
    pub fn poll(&mut self, now: Instant) -> Option<Due> {
        if now >= self.heard + self.idle_timeout {
            return Some(Due::Lost);
        }
        if now >= self.next_ping {
            self.next_ping = now + self.ping_every;
            return Some(Due::Ping);
        }
        if let Some(task) = self.clock.poll(now) {
            return Some(match task {
                ClockTask::Exchange => Due::Exchange,
                ClockTask::Finish => Due::Measured,
            });
        }
        if self.under_way.is_some_and(|(_, sent)| now >= sent + ACCEPT_WITHIN) {
            (self.under_way, self.entries_waiting) = (None, true);
        }
        if self.entries_waiting && self.under_way.is_none() {
            self.entries_waiting = false;
            return Some(Due::Deliver);
        }
        None
    }

    /// A frame of any kind came in.
    pub fn heard(&mut self, now: Instant) {
        self.heard = now;
    }

    /// The journal has new durable entries.
    pub fn entries_waiting(&mut self) {
        self.entries_waiting = true;
    }

    /// Entries up to this sequence went out.
    pub fn delivered(&mut self, sequence: u64, now: Instant) {
        self.under_way = Some((sequence, now));
    }

    /// The server has everything up to this sequence.
    pub fn accepted(&mut self, sequence: u64) {
        if self.under_way.is_some_and(|(sent, _)| sequence >= sent) {
            self.under_way = None;
            self.entries_waiting = true;
        }
    }

    /// The device's clock was set: measure again now.
    pub fn measure_again(&mut self, now: Instant) {
        self.clock = ClockSchedule::new(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PING: Duration = Duration::from_secs(5);
    const IDLE: Duration = Duration::from_secs(15);

    fn drain(session: &mut Session, now: Instant) -> Vec<Due> {
        let mut due = Vec::new();
        while let Some(next) = session.poll(now) {
            due.push(next);
            if next == Due::Lost {
                break;
            }
        }
        due
    }

    #[test]
    fn a_half_open_link_is_lost_within_twenty_seconds() {
        let start = Instant::now();
        let mut session = Session::new(start, PING, IDLE);
        let (mut now, mut pings) = (start, 0);
        loop {
            let due = drain(&mut session, now);
            pings += due.iter().filter(|due| **due == Due::Ping).count();
            if due.contains(&Due::Lost) {
                break;
            }
            assert!(session.next() > now, "time goes on");
            now = session.next();
        }
        assert_eq!(now - start, IDLE);
        assert_eq!(pings, 2);
    }

    #[test]
    fn an_answered_ping_keeps_the_link() {
        let start = Instant::now();
        let mut session = Session::new(start, PING, IDLE);
        let mut now = start;
        while now - start < Duration::from_secs(600) {
            let due = drain(&mut session, now);
            assert!(!due.contains(&Due::Lost));
            if due.contains(&Due::Ping) {
                session.heard(now);
            }
            now = session.next();
        }
    }

    #[test]
    fn one_batch_is_under_way_at_a_time_and_goes_out_again_when_it_is_not_accepted() {
        let start = Instant::now();
        let mut session = Session::new(start, PING, IDLE);
        assert!(drain(&mut session, start).contains(&Due::Deliver));
        session.delivered(100, start);
        session.entries_waiting();
        assert!(!drain(&mut session, start).contains(&Due::Deliver));
        session.accepted(99);
        assert!(!drain(&mut session, start).contains(&Due::Deliver));
        session.accepted(100);
        assert!(drain(&mut session, start).contains(&Due::Deliver));
        session.delivered(200, start);
        let late = start + ACCEPT_WITHIN;
        session.heard(late);
        assert!(drain(&mut session, late).contains(&Due::Deliver));
    }
}
