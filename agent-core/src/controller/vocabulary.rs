//! What goes into the controller and what comes out of it.

use super::{Continuation, KeptPause, StartCapture};
use crate::recording::Mark;
use hindsight_wire::{
    CaptureId, InteractionId, RecordingId, Timestamp,
    agent::{AgentAction, InteractionView},
    link::Up,
    policy::CapturePolicy,
};
use std::time::Duration;

/// A moment: the time of day for people, and a clock that only goes forward for limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Recorder clock.
    pub at: Timestamp,
    /// Since some fixed point.
    pub up: Duration,
}

/// What happens to the recorder.
#[derive(Clone, Debug)]
pub enum Input {
    /// Somebody signed in at this desktop; before that nothing is captured.
    SignedIn,
    /// Nobody sits here any more: what runs ends.
    SignedOut,
    /// A capture that a crash cut may be gone on with.
    Recovered(Continuation),
    /// The link is open.
    LinkUp {
        /// This desktop's policy, if the server sent one.
        policy: Option<CapturePolicy>,
        /// Recipients (PEM) for the offline policy.
        recipients: Vec<String>,
        /// The server takes an agent's requests (version 2 of the link).
        requests: bool,
    },
    /// The server changed the policy or the recipients, for the time without it.
    Policy {
        /// This desktop's policy.
        policy: CapturePolicy,
        /// Recipients (PEM) for the offline policy.
        recipients: Vec<String>,
    },
    /// The link is lost.
    LinkLost,
    /// The server wants the screens of an interaction.
    Start {
        /// Whose.
        interaction: InteractionId,
        /// Recipients, PEM.
        recipients: Vec<String>,
        /// How.
        policy: CapturePolicy,
    },
    /// The interaction needs no capture any more.
    Stop(InteractionId),
    /// No pixel may be kept for now.
    Pause {
        /// Of whom.
        interaction: InteractionId,
        /// Who asked.
        by: String,
        /// Why.
        reason: String,
    },
    /// Ends the pause.
    Resume(InteractionId),
    /// A window asks for something; answered by [`Action::Answer`].
    Asked {
        /// For the answer.
        ask: u64,
        /// Who (login).
        by: String,
        /// What.
        action: AgentAction,
    },
    /// The server's answer to [`Action::Request`].
    Answered {
        /// As in the request.
        request: u64,
        /// `None`: done and confirmed.
        error: Option<String>,
    },
    /// The agent's interactions, as the server tells them.
    Known(Vec<InteractionView>),
    /// A window that policy does not let be recorded is in front, or is no more.
    Rule(Option<String>),
    /// The session is locked or switched away, or is back.
    Locked(bool),
    /// The spool's disk.
    Room {
        /// A capture may begin.
        takes_new: bool,
        /// What runs has to end.
        ends_running: bool,
    },
    /// The running capture took the first pictures of a part.
    PartStarted {
        /// Its number.
        part: u32,
        /// One per monitor.
        recordings: Vec<RecordingId>,
        /// When.
        at: Timestamp,
    },
    /// The running capture is over.
    Ended {
        /// Why, unless it was told to end.
        error: Option<String>,
    },
    /// Time passed.
    Tick,
    /// The program is to end, once nothing is being recorded.
    QuitWhenIdle,
    /// The program is to end.
    Shutdown,
}

/// What the recorder is to do, in this order.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Begin a capture; none is running.
    Start(StartCapture),
    /// Put a mark on the running capture.
    Mark(Mark),
    /// The running capture goes on in a new part.
    NextPart,
    /// The same, sealed for these (PEM) from now on.
    Recipients(Vec<String>),
    /// End the running capture.
    Finish,
    /// Tell the server.
    Send(Message),
    /// Ask the server; its answer is [`Input::Answered`].
    Request {
        /// For the answer.
        request: u64,
        /// What.
        action: AgentAction,
    },
    /// Answer a window.
    Answer {
        /// As in [`Input::Asked`].
        ask: u64,
        /// Not done: why.
        result: Result<(), String>,
    },
    /// Keep the pressed pauses for the next start.
    KeepPauses(Vec<KeptPause>),
    /// Keep for a start without the server.
    Keep {
        /// This desktop's policy.
        policy: CapturePolicy,
        /// Recipients, PEM.
        recipients: Vec<String>,
    },
}

/// What the server is told; becomes an [`Up`].
#[derive(Clone, Debug, PartialEq)]
pub enum Message {
    /// [`Up::CaptureStarted`].
    Started {
        /// For whom.
        interactions: Vec<InteractionId>,
        /// The run.
        capture: CaptureId,
        /// One per monitor.
        recordings: Vec<RecordingId>,
        /// Since when.
        at: Timestamp,
    },
    /// [`Up::CaptureEnded`].
    Ended {
        /// For whom.
        interactions: Vec<InteractionId>,
        /// The run, when there was one.
        capture: Option<CaptureId>,
        /// Why, unless as commanded.
        error: Option<String>,
        /// When.
        at: Timestamp,
    },
    /// [`Up::WasOffline`].
    WasOffline {
        /// From.
        from: Timestamp,
        /// To.
        to: Timestamp,
        /// Taken by the offline policy.
        captures: Vec<CaptureId>,
    },
}

impl From<Message> for Up {
    fn from(message: Message) -> Self {
        match message {
            Message::Started { interactions, capture, recordings, at } => {
                Up::CaptureStarted { interactions, capture, recordings, at }
            }
            Message::Ended { interactions, capture, error, at } => {
                Up::CaptureEnded { interactions, capture, error, at }
            }
            Message::WasOffline { from, to, captures } => Up::WasOffline { from, to, captures },
        }
    }
}
