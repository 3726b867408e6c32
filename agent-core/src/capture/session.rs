//! What happens to the session while it is captured: screens switched off, the screen saver or lock comes on, another
//! session is in front. The capture goes on; what happened is told, and stands in the manifest.

use super::Backend;

#[cfg(target_os = "linux")]
#[path = "session/linux.rs"]
mod system;
#[cfg(not(target_os = "linux"))]
#[path = "session/other.rs"]
mod system;

/// Between two looks.
const LOOK_EVERY_US: u64 = 1_000_000;

/// What the system says of the session; `None`: it does not say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Condition {
    /// Power saving has switched the screens off.
    pub screens_off: Option<bool>,
    /// The screen saver shows, as a rule with a lock.
    pub saver: Option<bool>,
    /// The session is locked.
    pub locked: Option<bool>,
    /// Another session is in front.
    pub background: Option<bool>,
}

impl Condition {
    /// What happened between `before` and this, in words.
    fn changes_since(&self, before: &Condition) -> impl Iterator<Item = &'static str> + use<> {
        let changes = [
            (
                before.screens_off,
                self.screens_off,
                "the screens were switched off",
                "the screens are on again",
            ),
            (before.saver, self.saver, "the screen saver came on", "the screen saver ended"),
            (before.locked, self.locked, "the session was locked", "the session was unlocked"),
            (
                before.background,
                self.background,
                "another session came to the front",
                "the session is in front again",
            ),
        ];
        changes.into_iter().filter_map(|(before, now, began, ended)| {
            // What is so from the start is worth a word, what is not is not.
            match (before.unwrap_or(false), now?) {
                (false, true) => Some(began),
                (true, false) => Some(ended),
                (false, false) | (true, true) => None,
            }
        })
    }
}

/// Watches the session.
pub struct Session {
    source: system::Source,
    last: Condition,
    next_us: u64,
}

impl Session {
    /// For what `backend` captures on `display`. Where nothing can be learned, nothing is told.
    pub fn open(backend: Backend, display: Option<&str>) -> Self {
        Self { source: system::Source::open(backend, display), last: Condition::default(), next_us: 0 }
    }

    /// What happened since the last call; looks once a second at most.
    pub fn poll(&mut self, now_us: u64) -> Vec<&'static str> {
        if now_us < self.next_us {
            return Vec::new();
        }
        self.next_us = now_us + LOOK_EVERY_US;
        let now = self.source.look();
        let happened = now.changes_since(&self.last).collect();
        self.last = now;
        happened
    }
}

impl Session {
    /// Nobody who may see the session's screens sits before them, as of the last [`Session::poll`].
    pub fn is_away(&self) -> bool {
        self.last.locked == Some(true) || self.last.background == Some(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_changes_are_told() {
        let on = Condition { screens_off: Some(false), ..Condition::default() };
        let off = Condition { screens_off: Some(true), locked: Some(true), ..on };
        let told = |before: &Condition, now: &Condition| now.changes_since(before).collect::<Vec<_>>();
        assert!(told(&Condition::default(), &on).is_empty());
        assert_eq!(told(&on, &off), ["the screens were switched off", "the session was locked"]);
        assert!(told(&off, &off).is_empty());
        assert_eq!(told(&off, &on), ["the screens are on again"]);
    }
}
