//! Our registration with a trunk (RFC 3261 10.2): refreshed before it runs out, tried again at growing intervals. Pure.

use std::time::{Duration, Instant};

/// What is asked for, unless the registrar wants more (423).
const EXPIRES: u32 = 3600;
/// After the first failure; doubled each time.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
/// And after a refusal of the password: trying it again and again would lock the account.
const FIRST_PAUSE_REFUSED: Duration = Duration::from_secs(60);
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// The registration with one trunk.
pub(super) struct Registration {
    /// All REGISTERs of one registration have the same (RFC 3261 10.2).
    pub(super) call_id: String,
    pub(super) cseq: u32,
    expires: u32,
    stands: Option<bool>,
    next: Option<Instant>,
    pause: Duration,
}

impl Registration {
    pub(super) fn new(call_id: String, cseq: u32, now: Instant) -> Self {
        let (next, pause) = (Some(now), Duration::ZERO);
        Self { call_id, cseq, expires: EXPIRES, stands: None, next, pause }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.next
    }

    /// `None`: it was not answered yet.
    pub(super) fn stands(&self) -> Option<bool> {
        self.stands
    }

    /// Timers: for how many seconds to register now.
    pub(super) fn on_time(&mut self, now: Instant) -> Option<u32> {
        self.next.take_if(|at| *at <= now).map(|_| {
            self.cseq += 1;
            self.expires
        })
    }

    /// Its trunk was away: it may know us no more.
    pub(super) fn again(&mut self, now: Instant) {
        (self.next, self.pause) = (Some(now), Duration::ZERO);
    }

    /// Accepted, for so many seconds.
    pub(super) fn accepted(&mut self, granted: u32, now: Instant) {
        let granted = granted.clamp(10, 86_400);
        let early = (granted / 10).max(4);
        (self.stands, self.pause) = (Some(true), Duration::ZERO);
        self.next = Some(now + Duration::from_secs(u64::from(granted - early)));
    }

    /// 423: not for less than this.
    pub(super) fn too_brief(&mut self, least: Option<u32>, now: Instant) {
        match least.filter(|least| *least > self.expires && *least <= 86_400) {
            Some(least) => (self.expires, self.next) = (least, Some(now)),
            None => self.failed(false, now),
        }
    }

    /// Refused, or no answer. `password`: our credentials were refused.
    pub(super) fn failed(&mut self, password: bool, now: Instant) {
        let first = if password { FIRST_PAUSE_REFUSED } else { FIRST_PAUSE };
        self.pause = (self.pause * 2).clamp(first, LONGEST_PAUSE);
        (self.stands, self.next) = (Some(false), Some(now + self.pause));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn it_is_refreshed_before_it_runs_out() {
        let now = Instant::now();
        let mut this = Registration::new("a".into(), 7, now);
        assert_eq!((this.on_time(now), this.on_time(now), this.cseq), (Some(3600), None, 8));
        for (granted, after) in [(3600, 3240), (60, 54), (30, 26), (1, 6)] {
            this.accepted(granted, now);
            assert_eq!((this.deadline(), this.stands()), (Some(now + seconds(after)), Some(true)));
        }
        this.too_brief(Some(7200), now);
        assert_eq!(this.on_time(now), Some(7200));
    }

    #[test]
    fn a_failure_is_tried_again_at_growing_intervals_and_a_wrong_password_seldom() {
        let now = Instant::now();
        for (password, pauses) in
            [(false, [5, 10, 20, 40, 80, 160, 300, 300]), (true, [60, 120, 240, 300, 300, 300, 300, 300])]
        {
            let mut this = Registration::new("a".into(), 7, now);
            for pause in pauses {
                this.failed(password, now);
                assert_eq!((this.deadline(), this.stands()), (Some(now + seconds(pause)), Some(false)));
            }
            this.accepted(60, now);
            this.failed(password, now);
            assert_eq!(this.deadline(), Some(now + seconds(pauses[0])), "the next failure is a first one");
        }
        let mut this = Registration::new("a".into(), 7, now);
        this.too_brief(Some(1), now);
        assert_eq!(this.stands(), Some(false), "no registrar asks for less than it refuses");
    }
}
