//! When an outage of the link is worth a warning: pure, `now` is an argument.
//!
//! A link that is back within seconds (the web services were restarted) wakes nobody; one that stays away is told once, and
//! again now and then, because whatever is wrong with it will not mend itself: a port, a name, a certificate.

use std::time::{Duration, Instant};

/// An outage is told when it has lasted so long.
const TOLD_AFTER: Duration = Duration::from_secs(5);
/// And then this often.
const TOLD_AGAIN: Duration = Duration::from_secs(600);

/// The outage under way, if there is one.
#[derive(Debug, Default)]
pub(crate) struct Outage {
    began: Option<Instant>,
    told: Option<Instant>,
}

impl Outage {
    /// The link could not be opened, or was lost; for how long it has been away, when that is to be told now.
    pub fn failed(&mut self, now: Instant) -> Option<Duration> {
        let began = *self.began.get_or_insert(now);
        let lasted = now.saturating_duration_since(began);
        let due = match self.told {
            None => lasted >= TOLD_AFTER,
            Some(told) => now.saturating_duration_since(told) >= TOLD_AGAIN,
        };
        due.then(|| {
            self.told = Some(now);
            lasted
        })
    }

    /// [`Outage::failed`], into the log.
    pub fn warn(&mut self, now: Instant, address: &str, reason: &str) {
        if let Some(away) = self.failed(now) {
            let seconds = away.as_secs();
            tracing::warn!(address, reason, seconds, "no link to the web services: is the address right?");
        }
    }

    /// The link is open; whether an outage that was told is over.
    pub fn over(&mut self) -> bool {
        std::mem::take(self).told.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_is_told_once_and_then_seldom() {
        let (mut outage, start) = (Outage::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        let told: Vec<u64> = (0..1500).filter(|second| outage.failed(at(*second)).is_some()).collect();
        assert_eq!(told, [5, 605, 1205]);
        assert!(outage.over(), "its end is told too");
        assert_eq!(outage.failed(at(2000)), None, "the next one begins anew");
        assert_eq!(outage.failed(at(2007)), Some(Duration::from_secs(7)));
    }

    #[test]
    fn a_link_that_comes_back_at_once_is_not_told() {
        let (mut outage, start) = (Outage::default(), Instant::now());
        for restart in 0..100u64 {
            let at = start + Duration::from_secs(10 * restart);
            assert_eq!(outage.failed(at), None);
            assert_eq!(outage.failed(at + Duration::from_secs(4)), None);
            assert!(!outage.over());
        }
    }
}
