//! Which windows are on the screens: what masks and `pauseWhile` go by. One trait, an implementation per system beside its
//! backend; a system without one has no list, and then everything that a mask could be about is masked.

use super::{CaptureError, Monitor, Rect};
use hindsight_wire::policy::WindowMatch;

#[cfg(target_os = "linux")]
#[path = "linux.rs"]
mod system;
#[cfg(not(target_os = "linux"))]
#[path = "other.rs"]
mod system;

pub use system::open;

/// What a window calls itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// Its titles, in lower case: a system may keep more than one.
    pub titles: Vec<String>,
    /// Names of its program, in lower case.
    pub programs: Vec<String>,
}

/// Who is behind a window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owner {
    /// It stands for itself.
    Itself,
    /// One of these windows opened it, and it may show what belongs to any of them.
    Among(Vec<Identity>),
    /// It opened by itself and does not say for whom: a menu, a tooltip, something dragged.
    Unknown,
}

/// A window that may show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// What it calls itself.
    pub identity: Identity,
    /// Who is behind it.
    pub owner: Owner,
    /// Where it may show, pixels of the desktop, frame included.
    pub area: Vec<Rect>,
    /// Where nothing below it shows through. Within `area`.
    pub opaque: Vec<Rect>,
}

/// A place at which a window was since the look before, however short.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// Which window, where it still can be told: number in [`Desktop::windows`].
    pub window: Option<usize>,
    /// Where.
    pub area: Rect,
}

/// What is on the screens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Desktop {
    /// The topmost first.
    pub windows: Vec<Window>,
    /// Where windows were between the look before and this one.
    pub traces: Vec<Trace>,
    /// The window that has the input: number in `windows`.
    pub front: Option<usize>,
}

/// A source of lists of windows.
pub trait Windows {
    /// What is on the screens now. Every change that the system made before this call is in it.
    fn look(&mut self) -> Result<&Desktop, CaptureError>;
}

impl Desktop {
    /// The first of `matches` that the window in front answers to, itself or by its owner.
    pub fn front_matches<'a>(
        &self,
        matches: &'a [WindowMatch],
        monitors: &[Monitor],
    ) -> Option<&'a WindowMatch> {
        let window = self.windows.get(self.front?)?;
        let on = |rule: &&WindowMatch| match &rule.monitor {
            None => true,
            Some(name) => monitors.iter().any(|monitor| {
                monitor.name == *name
                    && window.area.iter().any(|area| area.intersection(&monitor.area).is_some())
            }),
        };
        matches.iter().filter(on).find(|rule| {
            let owners = match &window.owner {
                Owner::Among(owners) => owners.as_slice(),
                Owner::Itself | Owner::Unknown => &[],
            };
            window.identity.answers_to(rule) || owners.iter().any(|owner| owner.answers_to(rule))
        })
    }
}

impl Identity {
    /// Whether title and program are those of `rule`, its monitor aside. A rule with neither matches no window.
    pub fn answers_to(&self, rule: &WindowMatch) -> bool {
        let title = rule.title.as_deref().filter(|title| !title.is_empty());
        let program = rule.program.as_deref().filter(|program| !program.is_empty());
        if title.is_none() && program.is_none() {
            return false;
        }
        let titled = |part: &str| {
            let part = part.to_lowercase();
            self.titles.iter().any(|title| title.contains(&part))
        };
        let named = |name: &str| self.programs.contains(&name.to_lowercase());
        title.is_none_or(titled) && program.is_none_or(named)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_matches_by_part_of_the_title_and_whole_program_and_an_empty_one_matches_nothing() {
        let mail = Identity {
            titles: vec!["inbox - mail".to_owned()],
            programs: vec!["thunderbird".to_owned(), "mail".to_owned()],
        };
        let rule = |title: Option<&str>, program: Option<&str>| WindowMatch {
            title: title.map(str::to_owned),
            program: program.map(str::to_owned),
            monitor: None,
        };
        assert!(mail.answers_to(&rule(Some("INBOX"), None)));
        assert!(mail.answers_to(&rule(Some("inbox"), Some("Mail"))));
        assert!(!mail.answers_to(&rule(Some("inbox"), Some("thunder"))));
        assert!(!mail.answers_to(&rule(None, None)));
        assert!(!mail.answers_to(&rule(Some(""), None)));
    }
}
