//! When a picture of a monitor is worth encoding. Pure: times are arguments.

/// The first picture is followed by another after this long at most, changed or not: then its duration is known and
/// it can be written and leave, so that a recorder killed in its first second leaves a recording that can be replayed.
pub const FIRST_LEAVES_US: u64 = 200_000;
/// A change that nothing follows is shown once more after this long: then its duration is known and it can be
/// written and leave, so that a crash loses no more than this.
pub const SETTLE_US: u64 = 2_000_000;
/// A still screen is shown again this often, so that its recording visibly goes on.
pub const KEEP_ALIVE_US: u64 = 10_000_000;

/// A picture to encode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shot {
    /// Whether something changed since the last picture.
    pub changed: bool,
    /// Whether what was shown before it is to be sealed and kept now, rather than when its segment is full.
    pub release: bool,
}

/// What is known of the pictures of one monitor.
#[derive(Debug, Default)]
pub struct Schedule {
    /// When the last picture was taken over, and whether it showed something new.
    last: Option<(u64, bool)>,
    /// When the first picture is to leave, until it has.
    first_leaves_us: Option<u64>,
    /// Something changed that is in no picture yet.
    unseen: bool,
}

impl Schedule {
    /// Whether to encode now. Call [`Schedule::taken`] when the picture found a place.
    pub fn look(&mut self, now_us: u64, changed: bool) -> Option<Shot> {
        self.unseen |= changed;
        let changed = self.unseen;
        let Some((last_us, showed_change)) = self.last else {
            return Some(Shot { changed: true, release: false });
        };
        if self.first_leaves_us.is_some_and(|due| now_us >= due) {
            return Some(Shot { changed, release: true });
        }
        let still_us = if showed_change { SETTLE_US } else { KEEP_ALIVE_US };
        let still = now_us.saturating_sub(last_us) >= still_us;
        (changed || still).then_some(Shot { changed, release: !changed && showed_change })
    }

    /// The picture that [`Schedule::look`] asked for is on its way. A picture that is not is asked for again.
    pub fn taken(&mut self, now_us: u64, shot: Shot) {
        if self.last.is_none() {
            self.first_leaves_us = Some(now_us + FIRST_LEAVES_US);
        } else if shot.release {
            self.first_leaves_us = None;
        }
        self.last = Some((now_us, shot.changed));
        self.unseen = false;
    }

    /// A moment at which to look that cannot wait for the next tick of the frame rate.
    pub fn due_us(&self) -> Option<u64> {
        self.first_leaves_us
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Times of the pictures in milliseconds, and those of them that release what came before, when changes happen
    /// at `changes`.
    fn pictures(changes: &[u64], until_ms: u64) -> (Vec<u64>, Vec<u64>) {
        let mut schedule = Schedule::default();
        let (mut pictures, mut releases) = (Vec::new(), Vec::new());
        for now in (0..until_ms).step_by(100) {
            if let Some(shot) = schedule.look(now * 1000, changes.contains(&now)) {
                schedule.taken(now * 1000, shot);
                pictures.push(now);
                if shot.release {
                    releases.push(now);
                }
            }
        }
        (pictures, releases)
    }

    #[test]
    fn a_still_screen_leaves_at_once_and_is_shown_every_ten_seconds() {
        let (pictures, releases) = pictures(&[], 35_000);
        assert_eq!(pictures, [0, 200, 10_200, 20_200, 30_200]);
        assert_eq!(releases, [200]);
    }

    #[test]
    fn a_change_is_shown_at_once_and_leaves_when_it_settles() {
        let (pictures, releases) = pictures(&[5_000, 5_200], 18_000);
        assert_eq!(pictures, [0, 200, 5_000, 5_200, 7_200, 17_200]);
        assert_eq!(releases, [200, 7_200]);
    }

    #[test]
    fn the_first_picture_leaves_although_the_screen_goes_on_changing() {
        let (pictures, releases) = pictures(&[100, 200, 300], 4_000);
        assert_eq!(pictures, [0, 100, 200, 300, 2_300]);
        assert_eq!(releases, [200, 2_300]);
    }

    #[test]
    fn a_picture_that_found_no_place_comes_with_the_next_look() {
        let mut schedule = Schedule::default();
        let first = schedule.look(0, true).unwrap();
        schedule.taken(0, first);
        let due = Shot { changed: true, release: true };
        assert_eq!(schedule.look(200_000, true), Some(due));
        assert_eq!(schedule.look(400_000, false), Some(due));
        schedule.taken(400_000, due);
        assert_eq!(schedule.look(600_000, false), None);
    }
}
