//! The media servers: which are alive, how loaded, and which one a new conference gets.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

/// What is known of a media server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Health {
    /// Not asked yet, or no answer yet: used when nothing better is there.
    Unknown,
    /// Answered its last checks.
    Up,
    /// Answers, and wants no new sessions (503).
    Draining,
    /// Missed its checks.
    Lost,
}

struct Server {
    address: SocketAddr,
    health: Health,
    /// Of its capacity, thousandths, as it last said.
    load: Option<u32>,
    /// Sessions given to it and not yet ended.
    sessions: u32,
    missed: u32,
    /// A check is under way.
    asked: bool,
}

/// What became of a health check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Nothing new.
    Same,
    /// It is alive (again).
    Found,
    /// It is lost, and its sessions with it.
    Lost,
}

/// The pool.
pub struct Pool {
    servers: Vec<Server>,
    interval: Duration,
    allowed_misses: u32,
    next_check: Option<Instant>,
}

impl Pool {
    /// Of these addresses, checked at this interval; lost after so many misses in a row.
    pub fn new(addresses: &[SocketAddr], interval: Duration, allowed_misses: u32) -> Self {
        let server = |address: &SocketAddr| Server {
            address: *address,
            health: Health::Unknown,
            load: None,
            sessions: 0,
            missed: 0,
            asked: false,
        };
        Self {
            servers: addresses.iter().map(server).collect(),
            interval,
            allowed_misses: allowed_misses.max(1),
            next_check: None,
        }
    }

    /// When [`Pool::due`] wants to be called; `None`: at once.
    pub fn deadline(&self) -> Option<Instant> {
        self.next_check
    }

    /// Starts the next round of checks where it is due. Returns whom to ask, and who is lost by not having answered the
    /// round before.
    pub fn due(&mut self, now: Instant) -> (Vec<SocketAddr>, Vec<SocketAddr>) {
        if self.next_check.is_some_and(|at| at > now) {
            return (Vec::new(), Vec::new());
        }
        self.next_check = Some(now + self.interval);
        let mut lost = Vec::new();
        for server in &mut self.servers {
            if std::mem::replace(&mut server.asked, true) && miss(server, self.allowed_misses) == Change::Lost
            {
                lost.push(server.address);
            }
        }
        (self.servers.iter().map(|server| server.address).collect(), lost)
    }

    /// An answer to a check.
    pub fn answered(&mut self, address: SocketAddr, status: u16, load: Option<u32>) -> Change {
        let Some(server) = self.get_mut(address) else { return Change::Same };
        server.asked = false;
        server.missed = 0;
        server.load = load;
        let before = server.health;
        server.health = if status == 503 { Health::Draining } else { Health::Up };
        match before {
            Health::Lost | Health::Unknown => Change::Found,
            Health::Up | Health::Draining => Change::Same,
        }
    }

    /// A check could not even be sent.
    pub fn unreachable(&mut self, address: SocketAddr) -> Change {
        let allowed = self.allowed_misses;
        let Some(server) = self.get_mut(address) else { return Change::Same };
        if !std::mem::replace(&mut server.asked, false) {
            return Change::Same;
        }
        miss(server, allowed)
    }

    /// The least loaded server that was not tried yet: one that is known to be alive before one that nobody has heard of.
    pub fn choose(&self, tried: &[SocketAddr]) -> Option<SocketAddr> {
        let candidates = self.servers.iter().filter(|server| !tried.contains(&server.address));
        let usable = candidates.filter(|server| matches!(server.health, Health::Up | Health::Unknown));
        usable
            .min_by_key(|s| (s.health == Health::Unknown, s.load.unwrap_or(0), s.sessions))
            .map(|s| s.address)
    }

    /// Whether this is a media server of the pool that is lost.
    pub fn is_lost(&self, address: SocketAddr) -> bool {
        self.get(address).is_some_and(|server| server.health == Health::Lost)
    }

    /// Whether this is a media server of the pool.
    pub fn contains(&self, address: SocketAddr) -> bool {
        self.get(address).is_some()
    }

    /// Counts a session that is given to a server.
    pub fn take(&mut self, address: SocketAddr) {
        if let Some(server) = self.get_mut(address) {
            server.sessions += 1;
        }
    }

    /// Counts the end of a session.
    pub fn release(&mut self, address: SocketAddr) {
        if let Some(server) = self.get_mut(address) {
            server.sessions = server.sessions.saturating_sub(1);
        }
    }

    fn get(&self, address: SocketAddr) -> Option<&Server> {
        self.servers.iter().find(|server| server.address == address)
    }

    fn get_mut(&mut self, address: SocketAddr) -> Option<&mut Server> {
        self.servers.iter_mut().find(|server| server.address == address)
    }
}

fn miss(server: &mut Server, allowed: u32) -> Change {
    server.missed += 1;
    if server.missed < allowed || server.health == Health::Lost {
        return Change::Same;
    }
    server.health = Health::Lost;
    server.load = None;
    Change::Lost
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    fn pool() -> Pool {
        Pool::new(&[address(1), address(2), address(3)], Duration::from_secs(1), 2)
    }

    #[test]
    fn the_least_loaded_living_server_is_chosen() {
        let mut pool = pool();
        assert_eq!(pool.choose(&[]), Some(address(1)), "nothing is known yet: any will do");
        pool.answered(address(2), 200, Some(700));
        pool.answered(address(3), 200, Some(100));
        assert_eq!(pool.choose(&[]), Some(address(3)));
        assert_eq!(pool.choose(&[address(3)]), Some(address(2)));
        assert_eq!(pool.choose(&[address(3), address(2)]), Some(address(1)));
        assert_eq!(pool.choose(&[address(1), address(2), address(3)]), None);
        pool.answered(address(3), 503, Some(100));
        assert_eq!(pool.choose(&[]), Some(address(2)), "who drains gets nothing new");
    }

    #[test]
    fn of_equal_loads_the_one_with_fewer_sessions_is_chosen() {
        let mut pool = pool();
        for port in 1..4 {
            pool.answered(address(port), 200, None);
        }
        pool.take(address(1));
        pool.take(address(2));
        assert_eq!(pool.choose(&[]), Some(address(3)));
        pool.release(address(1));
        pool.take(address(3));
        assert_eq!(pool.choose(&[]), Some(address(1)));
    }

    #[test]
    fn a_server_that_misses_two_checks_is_lost_and_one_that_answers_is_found_again() {
        let (mut pool, mut now) = (pool(), Instant::now());
        assert_eq!(pool.due(now).0.len(), 3);
        assert_eq!(pool.answered(address(1), 200, None), Change::Found);
        assert!(pool.due(now).0.is_empty(), "not due yet");
        let mut lost = Vec::new();
        for _ in 0..3 {
            now += Duration::from_secs(1);
            pool.answered(address(1), 200, None);
            lost.push(pool.due(now).1);
        }
        assert_eq!(lost, [vec![], vec![address(2), address(3)], vec![]]);
        assert!(pool.is_lost(address(2)) && !pool.is_lost(address(1)) && !pool.is_lost(address(9)));
        assert_eq!(pool.answered(address(2), 200, None), Change::Found);
        assert_eq!(pool.answered(address(2), 200, None), Change::Same);
    }
}
