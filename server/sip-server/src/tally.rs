//! Tells what was turned away: as metrics (`/metrics` of the web services in the same process) and now and then in the log.

use crate::state::TurnedAway;
use hindsight_sip::SipHandle;
use std::time::{Duration, Instant};

/// The log is told this often at most.
const LOG: Duration = Duration::from_secs(60);

#[derive(Default)]
pub struct Tally {
    logged: u64,
    logged_at: Option<Instant>,
}

impl Tally {
    /// Sets the counts, which only grow.
    pub fn tell(&mut self, sip: &SipHandle, turned: TurnedAway) {
        let at_the_door = sip.turned().counts();
        let inside = [
            ("wrong-password", turned.wrong_passwords),
            ("lock-out", turned.lock_outs),
            ("locked-out", turned.locked_out),
        ];
        let counts = || at_the_door.into_iter().chain(inside);
        for (reason, count) in counts() {
            metrics::counter!("hindsight_sip_turned_away_total", "reason" => reason).absolute(count);
        }
        let all = counts().map(|(_, count)| count).sum();
        let now = Instant::now();
        if all == self.logged || self.logged_at.is_some_and(|at| now.duration_since(at) < LOG) {
            return;
        }
        (self.logged, self.logged_at) = (all, Some(now));
        let text: Vec<String> = counts()
            .filter(|(_, count)| *count > 0)
            .map(|(reason, count)| format!("{reason}: {count}"))
            .collect();
        tracing::warn!(since_start = text.join(", "), "requests and connections were turned away");
    }
}
