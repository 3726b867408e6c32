//! What a conference's recording may do next. Pure: changes only when the recorder confirmed.

use hindsight_msml::{Command, ResultCode};

/// A recording, as confirmed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Recording {
    /// There is none.
    #[default]
    Off,
    /// Packets are written.
    On(Dialog),
    /// Packets are dropped before the recorder.
    Paused(Dialog),
}

/// A running MSML dialog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dialog {
    /// Its name in the conference.
    pub name: String,
    /// The recorder's token.
    pub token: u32,
}

/// What has to be done for a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Open a recording.
    Open,
    /// End the taps, then pause.
    Pause(u32),
    /// Resume, then begin the taps.
    Resume(u32),
    /// End the taps, then close.
    Close(u32),
    /// It is so already: confirm again (a repeated request must not fail).
    Nothing,
}

impl Recording {
    /// The step for a command to the dialog of this name.
    pub fn step(&self, command: Command, name: &str) -> Result<Step, (ResultCode, &'static str)> {
        let dialog = match self {
            Recording::Off if command == Command::Start => return Ok(Step::Open),
            Recording::Off => return Err((ResultCode::NoSuchObject, "no recording runs in this conference")),
            Recording::On(dialog) | Recording::Paused(dialog) => dialog,
        };
        if command == Command::Start {
            return Err((ResultCode::NameInUse, "a recording runs in this conference already"));
        }
        if dialog.name != name {
            return Err((ResultCode::NoSuchObject, "no dialog of this name runs in this conference"));
        }
        Ok(match (command, self) {
            (Command::Pause, Recording::On(_)) => Step::Pause(dialog.token),
            (Command::Resume, Recording::Paused(_)) => Step::Resume(dialog.token),
            (Command::Stop, _) => Step::Close(dialog.token),
            (Command::Pause | Command::Resume | Command::Start, _) => Step::Nothing,
        })
    }

    /// The recorder has confirmed a step; `paused`: an opened recording begins in a pause.
    pub fn confirm(&mut self, step: &Step, opened: Option<Dialog>, paused: bool) {
        *self = match (step, std::mem::take(self)) {
            (Step::Open, Recording::Off) => match opened {
                Some(dialog) if paused => Recording::Paused(dialog),
                Some(dialog) => Recording::On(dialog),
                None => Recording::Off,
            },
            (Step::Pause(_), Recording::On(dialog)) => Recording::Paused(dialog),
            (Step::Resume(_), Recording::Paused(dialog)) => Recording::On(dialog),
            (Step::Close(_), _) => Recording::Off,
            (Step::Open | Step::Pause(_) | Step::Resume(_) | Step::Nothing, same) => same,
        };
    }

    /// The token, while packets are to be written.
    pub fn recording(&self) -> Option<u32> {
        match self {
            Recording::On(dialog) => Some(dialog.token),
            Recording::Off | Recording::Paused(_) => None,
        }
    }

    /// The token of whatever runs.
    pub fn token(&self) -> Option<u32> {
        match self {
            Recording::On(dialog) | Recording::Paused(dialog) => Some(dialog.token),
            Recording::Off => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on() -> Recording {
        Recording::On(Dialog { name: "rec".into(), token: 7 })
    }

    #[test]
    fn a_recording_starts_pauses_resumes_and_stops() {
        let mut state = Recording::Off;
        let mut go = |command| {
            let step = state.step(command, "rec").unwrap();
            state.confirm(&step, Some(Dialog { name: "rec".into(), token: 7 }), false);
            (step, state.recording())
        };
        assert_eq!(go(Command::Start), (Step::Open, Some(7)));
        assert_eq!(go(Command::Pause), (Step::Pause(7), None));
        assert_eq!(go(Command::Pause), (Step::Nothing, None));
        assert_eq!(go(Command::Resume), (Step::Resume(7), Some(7)));
        assert_eq!(go(Command::Resume), (Step::Nothing, Some(7)));
        assert_eq!(go(Command::Stop), (Step::Close(7), None));
        assert_eq!(go(Command::Start), (Step::Open, Some(7)));
    }

    #[test]
    fn a_recording_that_begins_in_a_pause_takes_packets_from_its_resumption_on() {
        let mut state = Recording::Off;
        let step = state.step(Command::Start, "rec").unwrap();
        state.confirm(&step, Some(Dialog { name: "rec".into(), token: 7 }), true);
        assert_eq!((state.recording(), state.token()), (None, Some(7)));
        let step = state.step(Command::Resume, "rec").unwrap();
        state.confirm(&step, None, false);
        assert_eq!(state.recording(), Some(7));
    }

    #[test]
    fn what_does_not_fit_is_refused_and_changes_nothing() {
        assert_eq!(Recording::Off.step(Command::Pause, "rec").unwrap_err().0, ResultCode::NoSuchObject);
        assert_eq!(on().step(Command::Start, "rec").unwrap_err().0, ResultCode::NameInUse);
        assert_eq!(on().step(Command::Stop, "other").unwrap_err().0, ResultCode::NoSuchObject);
        assert_eq!(on().token(), Some(7));
    }
}
