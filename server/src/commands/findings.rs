//! What `check` finds: a line each, and the worst of all.

use crate::output::say;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// As it should be.
    #[default]
    Ok,
    /// To be looked at.
    Warn,
    /// It will not run well.
    Fail,
}

/// Says each finding as it comes.
#[derive(Default)]
pub struct Findings(Level);

impl Findings {
    pub fn add(&mut self, level: Level, what: &str, text: &str) {
        let word = match level {
            Level::Ok => "ok  ",
            Level::Warn => "warn",
            Level::Fail => "FAIL",
        };
        say(&format!("{word}  {what}: {text}"));
        self.0 = self.0.max(level);
    }

    pub fn worst(&self) -> Level {
        self.0
    }
}
