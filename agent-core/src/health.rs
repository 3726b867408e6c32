//! What keeps this desktop from doing its work, as people are told it. Pure.

use hindsight_spool::Room;
use hindsight_wire::{
    Timestamp,
    agent::{Problem, ProblemKind},
};
use std::{collections::BTreeMap, time::Duration};

/// A clock that is wrong by more than this breaks certificates and confuses people, however well recordings are corrected.
const CLOCK_LIMIT_MS: f64 = 300_000.0;
/// Finished recordings that wait so long, with none received meanwhile, wait longer than they should.
const BACKLOG: Duration = Duration::from_secs(30 * 60);

/// The problems that there are, each with its beginning.
#[derive(Clone, Debug, Default)]
pub struct Health {
    problems: BTreeMap<ProblemKind, Problem>,
    /// Recordings received, and since when it is this many while some wait.
    received: (u64, Option<Duration>),
}

impl Health {
    /// There is this problem (detail for people), or it is over. True when something changed.
    pub fn set(&mut self, kind: ProblemKind, detail: Option<String>, now: Timestamp) -> bool {
        match (detail, self.problems.get_mut(&kind)) {
            (Some(detail), Some(problem)) if problem.detail == detail => false,
            (Some(detail), Some(problem)) => {
                problem.detail = detail;
                true
            }
            (Some(detail), None) => {
                self.problems.insert(kind, Problem { kind, detail, since: now });
                true
            }
            (None, Some(_)) => self.problems.remove(&kind).is_some(),
            (None, None) => false,
        }
    }

    /// The problem of this kind, if there is one.
    pub fn get(&self, kind: ProblemKind) -> Option<&Problem> {
        self.problems.get(&kind)
    }

    /// All, most severe first.
    pub fn list(&self) -> Vec<Problem> {
        let mut list: Vec<Problem> = self.problems.values().cloned().collect();
        list.sort_by_key(|problem| severity(problem.kind));
        list
    }

    /// Whether one of them keeps recordings from being made or from arriving; the others are notices.
    pub fn is_serious(&self) -> bool {
        self.problems.keys().any(|kind| severity(*kind) < severity(ProblemKind::KeyStore))
    }

    /// The room on the spool's disk.
    pub fn room(&mut self, room: &Room, free_bytes: u64, now: Timestamp) -> bool {
        let megabytes = free_bytes >> 20;
        let (low, full) = match room {
            Room::Enough => (None, None),
            Room::Low => (Some(format!("{megabytes} MB are free for recordings")), None),
            Room::Full | Room::Exhausted => {
                (None, Some(format!("{megabytes} MB are free: no capture can begin")))
            }
            Room::Unwritable(reason) => (None, Some(format!("recordings cannot be written: {reason}"))),
        };
        let low = self.set(ProblemKind::DiskLow, low, now);
        self.set(ProblemKind::DiskFull, full, now) || low
    }

    /// The uploads: how many wait, are refused, were received since the start.
    pub fn uploads(
        &mut self,
        waiting: u64,
        refused: u64,
        received: u64,
        up: Duration,
        now: Timestamp,
    ) -> bool {
        let since = match self.received {
            _ if waiting == 0 => None,
            (known, Some(since)) if known == received => Some(since),
            _ => Some(up),
        };
        self.received = (received, since);
        let late = since.is_some_and(|since| up.saturating_sub(since) >= BACKLOG);
        let backlog = late.then(|| format!("{waiting} recordings wait for the server"));
        let refusal =
            (refused > 0).then(|| format!("the server refused {refused} recordings; they are kept"));
        let backlog = self.set(ProblemKind::UploadBacklog, backlog, now);
        self.set(ProblemKind::UploadRefused, refusal, now) || backlog
    }

    /// This machine's clock minus the server's.
    pub fn clock(&mut self, offset_ms: Option<f64>, now: Timestamp) -> bool {
        let wrong = offset_ms.filter(|offset| offset.abs() > CLOCK_LIMIT_MS);
        let detail = wrong.map(|offset| {
            let how = if offset > 0.0 { "fast" } else { "slow" };
            format!("this machine's clock is {:.0} s {how}", offset.abs() / 1000.0)
        });
        self.set(ProblemKind::Clock, detail, now)
    }
}

/// Smaller is worse.
fn severity(kind: ProblemKind) -> u8 {
    match kind {
        ProblemKind::DiskFull => 0,
        ProblemKind::Capture => 1,
        ProblemKind::Refused => 2,
        ProblemKind::UploadRefused => 3,
        ProblemKind::Link => 4,
        ProblemKind::DiskLow => 5,
        ProblemKind::UploadBacklog => 6,
        ProblemKind::Clock => 7,
        ProblemKind::KeyStore => 8,
        ProblemKind::Restarted => 9,
        ProblemKind::Other => 10,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_keeps_its_beginning_and_the_worst_comes_first() {
        let mut health = Health::default();
        assert!(health.set(ProblemKind::KeyStore, Some("file".to_owned()), Timestamp(1)));
        assert!(!health.is_serious());
        assert!(health.set(ProblemKind::Link, Some("lost".to_owned()), Timestamp(2)));
        assert!(!health.set(ProblemKind::Link, Some("lost".to_owned()), Timestamp(3)));
        assert!(health.set(ProblemKind::Link, Some("refused".to_owned()), Timestamp(4)));
        assert!(health.room(&Room::Full, 5 << 20, Timestamp(5)));
        assert!(health.is_serious());
        let list: Vec<_> = health.list().into_iter().map(|problem| (problem.kind, problem.since.0)).collect();
        assert_eq!(list, [(ProblemKind::DiskFull, 5), (ProblemKind::Link, 2), (ProblemKind::KeyStore, 1)]);
        assert!(health.set(ProblemKind::Link, None, Timestamp(6)));
        assert!(!health.set(ProblemKind::Link, None, Timestamp(6)));
    }

    #[test]
    fn a_backlog_is_told_when_nothing_arrives_and_not_while_something_does() {
        let (mut health, minute) = (Health::default(), Duration::from_secs(60));
        for after in 0..29 {
            assert!(!health.uploads(3, 0, 0, minute * after, Timestamp(0)));
        }
        assert!(!health.uploads(3, 0, 1, minute * 29, Timestamp(0)), "one arrived");
        assert!(!health.uploads(3, 0, 1, minute * 58, Timestamp(0)));
        assert!(health.uploads(3, 0, 1, minute * 59, Timestamp(0)));
        assert!(health.get(ProblemKind::UploadBacklog).is_some());
        assert!(health.uploads(0, 0, 4, minute * 60, Timestamp(0)));
        assert!(health.uploads(0, 2, 4, minute * 60, Timestamp(0)), "refused");
    }

    #[test]
    fn a_clock_that_no_certificate_survives_is_a_problem() {
        let mut health = Health::default();
        assert!(!health.clock(Some(-299_000.0), Timestamp(0)));
        assert!(health.clock(Some(-301_000.0), Timestamp(0)));
        assert!(health.get(ProblemKind::Clock).unwrap().detail.contains("301 s slow"));
        assert!(health.clock(None, Timestamp(0)));
    }
}
