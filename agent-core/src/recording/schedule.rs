//! When a picture of a monitor is worth encoding. Pure: times are arguments.

/// A change that nothing follows is shown once more after this long: then its duration is known and it can be
/// written, so that a crash loses no more than this.
pub const SETTLE_US: u64 = 2_000_000;
/// A still screen is shown again this often, so that its recording visibly goes on.
pub const KEEP_ALIVE_US: u64 = 10_000_000;

/// Why a picture is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shot {
    /// Something changed.
    Change,
    /// Nothing changed since the last picture.
    Repeat,
}

/// What is known of the pictures of one monitor.
#[derive(Debug, Default)]
pub struct Schedule {
    /// When the last picture was taken over, and why.
    last: Option<(u64, Shot)>,
    /// Something changed that is in no picture yet.
    unseen: bool,
}

impl Schedule {
    /// Whether to encode now. Call [`Schedule::taken`] when the picture found a place.
    pub fn look(&mut self, now_us: u64, changed: bool) -> Option<Shot> {
        self.unseen |= changed;
        let Some((last_us, shot)) = self.last else { return Some(Shot::Change) };
        let since = now_us.saturating_sub(last_us);
        match shot {
            _ if self.unseen => Some(Shot::Change),
            Shot::Change if since >= SETTLE_US => Some(Shot::Repeat),
            Shot::Repeat if since >= KEEP_ALIVE_US => Some(Shot::Repeat),
            Shot::Change | Shot::Repeat => None,
        }
    }

    /// The picture that [`Schedule::look`] asked for is on its way. A picture that is not is asked for again.
    pub fn taken(&mut self, now_us: u64, shot: Shot) {
        self.last = Some((now_us, shot));
        self.unseen = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Times of the pictures, in milliseconds, when changes happen at `changes`.
    fn pictures(changes: &[u64], until_ms: u64) -> Vec<u64> {
        let mut schedule = Schedule::default();
        let mut pictures = Vec::new();
        for now in (0..until_ms).step_by(200) {
            if let Some(shot) = schedule.look(now * 1000, changes.contains(&now)) {
                schedule.taken(now * 1000, shot);
                pictures.push(now);
            }
        }
        pictures
    }

    #[test]
    fn a_still_screen_is_shown_once_settled_and_then_every_ten_seconds() {
        assert_eq!(pictures(&[], 35_000), [0, 2_000, 12_000, 22_000, 32_000]);
    }

    #[test]
    fn a_change_is_shown_at_once_and_settles() {
        assert_eq!(pictures(&[5_000, 5_200], 18_000), [0, 2_000, 5_000, 5_200, 7_200, 17_200]);
    }

    #[test]
    fn a_picture_that_found_no_place_comes_with_the_next_look() {
        let mut schedule = Schedule::default();
        schedule.taken(0, Shot::Change);
        assert_eq!(schedule.look(200_000, true), Some(Shot::Change));
        assert_eq!(schedule.look(400_000, false), Some(Shot::Change));
        schedule.taken(400_000, Shot::Change);
        assert_eq!(schedule.look(600_000, false), None);
    }
}
