//! What can be asked.

use std::fmt;

/// Where a recording is: `conf:<conference>/dialog:<name>`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DialogId {
    /// Conference id.
    pub conference: String,
    /// Name of the dialog in its conference.
    pub name: String,
}

impl DialogId {
    /// Reads `conf:<conference>/dialog:<name>`.
    pub fn parse(text: &str) -> Option<Self> {
        let (conference, name) = text.trim().strip_prefix("conf:")?.split_once("/dialog:")?;
        let whole = !conference.is_empty() && !name.is_empty();
        whole.then(|| Self { conference: conference.to_owned(), name: name.to_owned() })
    }
}

impl fmt::Display for DialogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "conf:{}/dialog:{}", self.conference, self.name)
    }
}

/// Who asks and why; see the dialect in the crate's description.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Params {
    /// Id of the run of recording.
    pub capture: Option<String>,
    /// A login, or the name of a policy or component.
    pub by: Option<String>,
    /// Why, for people.
    pub reason: Option<String>,
    /// Of a start: which part of its run begins, from 1; absent: the first.
    pub part: Option<u32>,
    /// Of a start: it begins in a pause, by whom and why the other parameters say.
    pub paused: bool,
    /// Of a start: it records the whole call, so what the parties said since their answer and before this order belongs to
    /// it.
    pub whole: bool,
    /// Of a start: who is at the agent's side, where that is not who the leg was opened for.
    pub agent: Option<String>,
    /// Of a start: who is at the customer's side.
    pub customer: Option<String>,
    /// Of a start: the leg that was opened as the agent's is the customer's now, and the other way round.
    pub swapped: bool,
}

/// What the media server tells by itself: a recording has ended without a command (`msml.dialog.exit`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DialogExit {
    /// Which.
    pub dialog: DialogId,
    /// Why, for people.
    pub reason: String,
}

/// The one command of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// `dialogstart` with `record`.
    Start,
    /// `send event="pause"`.
    Pause,
    /// `send event="resume"`.
    Resume,
    /// `send event="terminate"` or `dialogend`.
    Stop,
}

/// A request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// What to do.
    pub command: Command,
    /// To which recording.
    pub dialog: DialogId,
    /// Who and why.
    pub params: Params,
}
