//! Which conferences their SIP server has left without a BYE. Pure.
//!
//! A conference as a whole is judged, not a leg: a party on hold, or one that only listens, sends nothing for as long as
//! it likes, and while anything comes on any leg of the call, somebody is there.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

/// A conference without any request and any packet for this long is over. More than a SIP server bears the silence of the
/// resource manager (five minutes): it must not lose a call on hold to this before.
pub const ABANDONED: Duration = Duration::from_secs(600);

/// When anything was last heard, by conference.
#[derive(Default)]
pub struct Presence<'a> {
    last: HashMap<&'a str, Instant>,
}

impl<'a> Presence<'a> {
    /// A leg of a conference was last heard then.
    pub fn heard(&mut self, conference: &'a str, at: Instant) {
        let last = self.last.entry(conference).or_insert(at);
        *last = (*last).max(at);
    }

    /// Whether no leg of it was heard for too long.
    pub fn is_abandoned(&self, conference: &str, now: Instant) -> bool {
        self.last.get(conference).is_some_and(|last| now.duration_since(*last) > ABANDONED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3600;

    /// Two legs through an hour, each heard every so many seconds or never again; when they are abandoned.
    fn abandoned_after(heard_every: [Option<u64>; 2]) -> Option<u64> {
        let start = Instant::now();
        let mut last = [start; 2];
        (0..HOUR).step_by(15).find(|seconds| {
            let now = start + Duration::from_secs(*seconds);
            for (last, every) in last.iter_mut().zip(heard_every) {
                if every.is_some_and(|every| seconds % every == 0) {
                    *last = now;
                }
            }
            let mut presence = Presence::default();
            presence.heard("other", now);
            for last in last {
                presence.heard("call", last);
            }
            presence.is_abandoned("call", now)
        })
    }

    #[test]
    fn a_call_on_hold_whose_sip_server_asks_is_kept() {
        assert_eq!(abandoned_after([Some(30), Some(30)]), None);
    }

    #[test]
    fn a_party_that_never_sends_media_is_kept_with_the_other() {
        assert_eq!(abandoned_after([None, Some(15)]), None);
        assert_eq!(abandoned_after([Some(300), None]), None);
    }

    #[test]
    fn a_call_of_which_nothing_is_heard_ends_after_ten_minutes() {
        assert_eq!(abandoned_after([None, None]), Some(615));
    }
}
