//! What keeps this desktop from doing its work, as people are told it. Pure.

use hindsight_spool::{Room, UploadStatus};
use hindsight_wire::{
    Timestamp,
    agent::{Problem, ProblemKind},
};
use std::collections::BTreeMap;

/// A clock that is wrong by more than this breaks certificates and confuses people, however well recordings are corrected.
const CLOCK_LIMIT_MS: f64 = 300_000.0;

/// The problems that there are, each with its beginning.
#[derive(Clone, Debug, Default)]
pub struct Health {
    problems: BTreeMap<ProblemKind, Problem>,
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

    /// The uploads.
    pub fn uploads(&mut self, status: &UploadStatus, now: Timestamp) -> bool {
        let UploadStatus { waiting, refused, overdue_since, waits, .. } = status;
        let backlog = overdue_since.map(|since| {
            let why = waits.map_or_else(String::new, |why| format!(": {why}"));
            format!("{waiting} recordings wait for the server, the oldest since {since}{why}")
        });
        let refusal =
            (*refused > 0).then(|| format!("the server refused {refused} recordings; they are kept"));
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
    fn what_waits_too_long_and_what_is_refused_are_told_until_they_are_over() {
        let mut health = Health::default();
        let late = UploadStatus {
            waiting: 3,
            refused: 2,
            overdue_since: Some(Timestamp(0)),
            waits: Some("a metered network"),
            ..UploadStatus::default()
        };
        assert!(health.uploads(&late, Timestamp(9)));
        assert!(!health.uploads(&late, Timestamp(10)));
        let detail = &health.get(ProblemKind::UploadBacklog).unwrap().detail;
        assert!(detail.starts_with("3 recordings wait") && detail.ends_with("a metered network"), "{detail}");
        assert!(health.get(ProblemKind::UploadRefused).is_some());
        assert!(health.uploads(&UploadStatus::default(), Timestamp(11)));
        assert!(health.list().is_empty());
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
