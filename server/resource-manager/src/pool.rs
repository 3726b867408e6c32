//! The media servers: which are alive, how loaded, and which one a new conference gets.

use crate::member::{Member, Role};
use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

/// Loads that differ by less than this, thousandths, are alike: the sessions given out since they were told decide.
const ALIKE: u32 = 50;
/// Thousandths: no room.
const FULL: u32 = 1000;
/// The last media server that is left may miss so many times as many checks as one of several.
const PATIENCE_WITH_THE_LAST: u32 = 3;

/// What is known of a media server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Health {
    /// Not asked yet, or no answer yet: used when nothing better is there.
    Unknown,
    /// Answered its last checks.
    Up,
    /// Answers, and wants no new sessions (503).
    Draining,
    /// Missed its checks, or its process is gone.
    Lost,
}

struct Server {
    member: Member,
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
    /// It takes sessions (again).
    Found,
    /// It answers, and takes no new sessions.
    Drains,
    /// It is lost, and its sessions with it.
    Lost,
}

/// What a new conference asks for.
#[derive(Clone, Copy, Debug)]
pub struct Wish<'a> {
    /// What for.
    pub role: Role,
    /// Where, if that can be had; empty: anywhere.
    pub place: &'a str,
}

/// The pool.
pub struct Pool {
    servers: Vec<Server>,
    interval: Duration,
    allowed_misses: u32,
    next_check: Option<Instant>,
}

impl Pool {
    /// Of these media servers, checked at this interval; lost after so many misses in a row.
    pub fn new(members: &[Member], interval: Duration, allowed_misses: u32) -> Self {
        let server = |member: &Member| Server {
            member: member.clone(),
            health: Health::Unknown,
            load: None,
            sessions: 0,
            missed: 0,
            asked: false,
        };
        Self {
            servers: members.iter().map(server).collect(),
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
    /// rounds before.
    pub fn due(&mut self, now: Instant) -> (Vec<SocketAddr>, Vec<SocketAddr>) {
        if self.next_check.is_some_and(|at| at > now) {
            return (Vec::new(), Vec::new());
        }
        self.next_check = Some(now + self.interval);
        let mut lost = Vec::new();
        for index in 0..self.servers.len() {
            if std::mem::replace(&mut self.servers[index].asked, true) && self.miss(index) == Change::Lost {
                lost.push(self.servers[index].member.address);
            }
        }
        (self.servers.iter().map(|server| server.member.address).collect(), lost)
    }

    /// An answer to a check.
    pub fn answered(&mut self, address: SocketAddr, status: u16, load: Option<u32>) -> Change {
        let Some(server) = self.get_mut(address) else { return Change::Same };
        server.asked = false;
        server.missed = 0;
        server.load = load;
        let before = server.health;
        server.health = if status == 503 { Health::Draining } else { Health::Up };
        match (before, server.health) {
            (Health::Up, Health::Up) | (Health::Draining, Health::Draining) => Change::Same,
            (_, Health::Draining) => Change::Drains,
            _ => Change::Found,
        }
    }

    /// A check could not even be sent.
    pub fn unreachable(&mut self, address: SocketAddr) -> Change {
        let Some(index) = self.servers.iter().position(|server| server.member.address == address) else {
            return Change::Same;
        };
        if !std::mem::replace(&mut self.servers[index].asked, false) {
            return Change::Same;
        }
        self.miss(index)
    }

    /// Its process is gone: its host said so.
    pub fn gone(&mut self, address: SocketAddr) -> Change {
        let Some(server) = self.get_mut(address) else { return Change::Same };
        lose(server)
    }

    fn miss(&mut self, index: usize) -> Change {
        let alive = |(other, server): (usize, &Server)| {
            other != index && matches!(server.health, Health::Up | Health::Draining)
        };
        let others = self.servers.iter().enumerate().any(alive);
        let allowed = if others { self.allowed_misses } else { self.allowed_misses * PATIENCE_WITH_THE_LAST };
        let server = &mut self.servers[index];
        server.missed += 1;
        if server.missed < allowed { Change::Same } else { lose(server) }
    }

    /// The best server for a new conference that was not tried yet: known to be alive before never heard of, with room
    /// before full, of the place wished for before any other, then the least loaded.
    pub fn choose(&self, wish: Wish<'_>, tried: &[SocketAddr]) -> Option<SocketAddr> {
        let usable = self.servers.iter().filter(|server| {
            matches!(server.health, Health::Up | Health::Unknown)
                && !server.member.drain
                && server.member.roles.contains(&wish.role)
                && !tried.contains(&server.member.address)
        });
        usable.min_by_key(|server| rank(server, wish.place)).map(|server| server.member.address)
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
        self.servers.iter().find(|server| server.member.address == address)
    }

    fn get_mut(&mut self, address: SocketAddr) -> Option<&mut Server> {
        self.servers.iter_mut().find(|server| server.member.address == address)
    }
}

/// The lower the better.
fn rank(server: &Server, place: &str) -> (bool, bool, bool, u32, u32) {
    let load = server.load.unwrap_or(0);
    let elsewhere = !place.is_empty() && server.member.place != place;
    (server.health == Health::Unknown, load >= FULL, elsewhere, load / ALIKE, server.sessions)
}

fn lose(server: &mut Server) -> Change {
    if server.health == Health::Lost {
        return Change::Same;
    }
    server.health = Health::Lost;
    server.load = None;
    Change::Lost
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANY: Wish<'static> = Wish { role: Role::Calls, place: "" };

    fn address(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    fn member(port: u16) -> Member {
        address(port).into()
    }

    fn pool() -> Pool {
        Pool::new(&[member(1), member(2), member(3)], Duration::from_secs(1), 2)
    }

    #[test]
    fn the_least_loaded_living_server_is_chosen() {
        let mut pool = pool();
        assert_eq!(pool.choose(ANY, &[]), Some(address(1)), "nothing is known yet: any will do");
        pool.answered(address(2), 200, Some(700));
        pool.answered(address(3), 200, Some(100));
        assert_eq!(pool.choose(ANY, &[]), Some(address(3)));
        assert_eq!(pool.choose(ANY, &[address(3)]), Some(address(2)));
        assert_eq!(pool.choose(ANY, &[address(3), address(2)]), Some(address(1)));
        assert_eq!(pool.choose(ANY, &[address(1), address(2), address(3)]), None);
        pool.answered(address(3), 503, Some(100));
        assert_eq!(pool.choose(ANY, &[]), Some(address(2)), "who drains gets nothing new");
    }

    #[test]
    fn of_equal_loads_the_one_with_fewer_sessions_is_chosen() {
        let mut pool = pool();
        for (port, load) in (1..4).zip([20, 10, 0]) {
            pool.answered(address(port), 200, Some(load));
        }
        pool.take(address(1));
        pool.take(address(2));
        assert_eq!(pool.choose(ANY, &[]), Some(address(3)));
        pool.release(address(1));
        pool.take(address(3));
        assert_eq!(pool.choose(ANY, &[]), Some(address(1)));
    }

    #[test]
    fn many_conferences_at_one_moment_are_spread_though_no_load_is_told_meanwhile() {
        let mut pool = pool();
        for port in 1..4 {
            pool.answered(address(port), 200, Some(100 + u32::from(port)));
        }
        for _ in 0..90 {
            let chosen = pool.choose(ANY, &[]).unwrap();
            pool.take(chosen);
        }
        assert!((1..4).all(|port| pool.get(address(port)).unwrap().sessions == 30));
    }

    #[test]
    fn role_and_drain_exclude_and_place_is_preferred_while_it_has_room() {
        let near = Member { place: "berlin".into(), ..member(1) };
        let sessions_only = Member { roles: vec![Role::RecordingSessions], ..member(2) };
        let draining = Member { drain: true, ..member(4) };
        let mut pool = Pool::new(&[near, sessions_only, member(3), draining], Duration::from_secs(1), 2);
        for (port, load) in (1..5).zip([900, 0, 10, 0]) {
            pool.answered(address(port), 200, Some(load));
        }
        let berlin = Wish { role: Role::Calls, place: "berlin" };
        assert_eq!(pool.choose(ANY, &[]), Some(address(3)), "the least loaded that takes calls");
        assert_eq!(pool.choose(berlin, &[]), Some(address(1)));
        pool.answered(address(1), 200, Some(1000));
        assert_eq!(pool.choose(berlin, &[]), Some(address(3)), "full: another place is better");
        pool.gone(address(3));
        assert_eq!(pool.choose(berlin, &[]), Some(address(1)), "it may know better than its last word");
        let session = Wish { role: Role::RecordingSessions, place: "" };
        assert_eq!(pool.choose(session, &[]), Some(address(2)));
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
        // It does not know yet whom to seal for, then it does.
        for (status, change) in [(503, Change::Drains), (503, Change::Same), (200, Change::Found)] {
            assert_eq!(pool.answered(address(2), status, None), change);
        }
    }

    #[test]
    fn the_last_one_is_waited_for_longer_unless_its_process_is_gone() {
        let mut pool = Pool::new(&[member(1)], Duration::from_secs(1), 2);
        let mut now = Instant::now();
        pool.due(now);
        pool.answered(address(1), 200, None);
        let mut lost_after = 0;
        pool.due(now + Duration::from_secs(1));
        while !pool.is_lost(address(1)) {
            now += Duration::from_secs(1);
            lost_after += 1;
            pool.due(now + Duration::from_secs(1));
            assert!(lost_after < 20);
        }
        assert_eq!(lost_after, 6);
        pool.answered(address(1), 200, None);
        assert_eq!(pool.gone(address(1)), Change::Lost);
        assert_eq!(pool.gone(address(1)), Change::Same);
    }
}
