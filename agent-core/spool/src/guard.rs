//! How much room the spool's disk has, and what follows from it. No I/O: the sync thread measures.
//!
//! | room | new captures | running ones | uploads | leftovers of received items |
//! |---|---|---|---|---|
//! | enough | begin | go on | by the rules of the network | stay until their deletion succeeds |
//! | low | begin | go on | on any network | go, oldest first |
//! | full | are refused | go on | on any network | go, oldest first |
//! | exhausted | are refused | are closed | on any network | go, oldest first |
//! | unwritable | are refused | break off | what is finished, as far as it can be read | stay |
//!
//! What has no receipt is never deleted, however little room there is.

use crate::Limits;

/// How much room there is.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Room {
    /// Nothing to do.
    #[default]
    Enough,
    /// Little is left: people are told.
    Low,
    /// Nothing new is begun.
    Full,
    /// What runs is closed while it still can be.
    Exhausted,
    /// The directory cannot be written, and why.
    Unwritable(String),
}

impl Room {
    /// Whether a new recording may begin.
    pub fn takes_new(&self) -> bool {
        matches!(self, Self::Enough | Self::Low)
    }

    /// Whether running recordings have to end.
    pub fn ends_running(&self) -> bool {
        matches!(self, Self::Exhausted | Self::Unwritable(_))
    }

    /// Whether leftovers have to go and uploads may not wait.
    pub fn presses(&self) -> bool {
        matches!(self, Self::Low | Self::Full | Self::Exhausted)
    }
}

/// What a look at the disk found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// Free bytes.
    Free(u64),
    /// It cannot be written, and why.
    Unwritable(String),
}

/// The judgement of the last look. A state is left for a better one only with an eighth more than its threshold, so
/// that it does not flutter.
#[derive(Clone, Debug)]
pub struct Guard {
    limits: Limits,
    room: Room,
}

impl Guard {
    /// Before the first look.
    pub fn new(limits: Limits) -> Self {
        Self { limits, room: Room::Enough }
    }

    /// The judgement.
    pub fn room(&self) -> &Room {
        &self.room
    }

    /// Takes what was found; true when the judgement changed.
    pub fn look(&mut self, found: Found) -> bool {
        let room = match found {
            Found::Unwritable(reason) => Room::Unwritable(reason),
            Found::Free(free) => {
                let here = self.level(free, 0);
                let with_slack = self.level(free, 8);
                if here >= self.room || matches!(self.room, Room::Unwritable(_)) {
                    here
                } else {
                    with_slack.min(self.room.clone())
                }
            }
        };
        let changed = room != self.room;
        self.room = room;
        changed
    }

    /// `slack`: thresholds are higher by this part of themselves; 0: as they are. Thresholds out of order count as the
    /// next stricter one.
    fn level(&self, free: u64, slack: u64) -> Room {
        let Limits { low_free_bytes, min_free_bytes, stop_free_bytes, .. } = self.limits;
        let below = |bytes: u64| free < bytes.saturating_add(bytes.checked_div(slack).unwrap_or(0));
        if below(stop_free_bytes.min(min_free_bytes)) {
            Room::Exhausted
        } else if below(min_free_bytes) {
            Room::Full
        } else if below(low_free_bytes) {
            Room::Low
        } else {
            Room::Enough
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard() -> Guard {
        Guard::new(Limits {
            low_free_bytes: 1_000,
            min_free_bytes: 400,
            stop_free_bytes: 80,
            ..Limits::default()
        })
    }

    #[test]
    fn a_disk_that_fills_is_low_then_full_then_exhausted_and_each_is_told_once() {
        let mut guard = guard();
        let mut told = Vec::new();
        for free in (0..=1_100).rev() {
            if guard.look(Found::Free(free)) {
                told.push((free, guard.room().clone()));
            }
        }
        assert_eq!(told, [(999, Room::Low), (399, Room::Full), (79, Room::Exhausted)]);
        assert!(!Room::Full.takes_new() && !Room::Full.ends_running(), "capture stops last");
    }

    #[test]
    fn a_disk_around_a_threshold_does_not_flutter() {
        let mut guard = guard();
        assert!(guard.look(Found::Free(399)));
        for free in [401, 399, 449, 380, 420] {
            assert!(!guard.look(Found::Free(free)), "{free}");
        }
        assert!(guard.look(Found::Free(450)));
        assert_eq!(*guard.room(), Room::Low);
        assert!(!guard.look(Found::Free(1_124)));
        assert!(guard.look(Found::Free(1_125)));
        assert_eq!(*guard.room(), Room::Enough);
    }

    #[test]
    fn every_look_from_every_state_gives_a_state_between_the_strict_and_the_slack_judgement() {
        for before in (0..1_300).step_by(7) {
            for free in (0..1_300).step_by(11) {
                let mut guard = guard();
                guard.look(Found::Free(before));
                guard.look(Found::Free(free));
                let (strict, slack) = (guard.level(free, 0), guard.level(free, 8));
                assert!((strict..=slack).contains(guard.room()), "{before} {free} {:?}", guard.room());
            }
        }
    }

    #[test]
    fn a_directory_that_can_be_written_again_is_judged_anew() {
        let mut guard = guard();
        assert!(guard.look(Found::Unwritable("read-only".to_owned())));
        assert!(guard.room().ends_running() && !guard.room().takes_new());
        assert!(guard.look(Found::Free(2_000)));
        assert_eq!(*guard.room(), Room::Enough);
    }

    #[test]
    fn thresholds_out_of_order_never_close_what_may_still_begin() {
        let mut guard = Guard::new(Limits {
            low_free_bytes: 0,
            min_free_bytes: 10,
            stop_free_bytes: 99,
            ..Limits::default()
        });
        guard.look(Found::Free(50));
        assert_eq!(*guard.room(), Room::Enough);
        guard.look(Found::Free(9));
        assert!(guard.room().ends_running());
    }
}
