//! Between the desktop's window and the recorder on the same machine: one JSON object a line over a local socket that
//! only the same user can open. The window sends [`Request`], the recorder [`Message`]; the recorder sends a
//! [`Message::Status`] first and after every change.

use crate::{
    InteractionId, RecordingId,
    agent::{AgentAction, AgentState, InteractionView, Problem},
    link::PROTOCOL_VERSION,
};
use serde::{Deserialize, Serialize};

/// Version of these messages: the same as the link's, one program is installed with the other.
pub const LOCAL_PROTOCOL: u32 = PROTOCOL_VERSION;

/// Longest line, bytes.
pub const LONGEST_LINE: usize = 1 << 20;

/// Most bytes of a recording in one [`ReplayPiece`]: in base64 far below [`LONGEST_LINE`].
pub const LARGEST_PIECE: u32 = 256 << 10;

/// A password or code: never in a log.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(pub String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

/// From the window.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Request {
    /// For the answer.
    pub id: u64,
    /// What.
    #[serde(flatten)]
    pub ask: Ask,
}

/// What a window asks for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum Ask {
    /// Sign in with a password.
    SignIn {
        /// Login name.
        login: String,
        /// Password.
        password: Secret,
        /// Where they sit; absent: their own DN.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        dn: Option<String>,
    },
    /// Begin single sign-on; answered with `{"url": …}` to open in the browser.
    BeginSso {
        /// Where they sit; absent: their own DN.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        dn: Option<String>,
    },
    /// The browser came back by the deep link with this code.
    EndSso {
        /// One-time.
        code: Secret,
    },
    /// Sign out; a capture that policy asks for ends first.
    SignOut,
    /// Enrol this desktop with the string that the administrator gave.
    Enrol {
        /// Enrolment string.
        string: Secret,
    },
    /// For the server.
    Agent(AgentAction),
    /// The agent's own recordings, newest first; answered with the page as the REST API gives it.
    History {
        /// From the page before.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cursor: Option<String>,
    },
    /// Replay one of the agent's own interactions; answered with [`Replay`]. Another replay ends the one before.
    Play {
        /// Which.
        interaction: InteractionId,
    },
    /// Some bytes of a recording that is being replayed; answered with [`ReplayPiece`].
    Piece {
        /// Which.
        recording: RecordingId,
        /// First byte.
        from: u64,
        /// At most so many bytes, and never more than [`LARGEST_PIECE`].
        most: u32,
    },
    /// The watchdog started the recorder again; the server is told.
    Restarted {
        /// How the one before ended.
        cause: String,
    },
    /// End, once nothing is being recorded: for an update (`now` false), or at once.
    Quit {
        /// Also in the middle of a recording.
        now: bool,
    },
}

/// What there is to replay of an interaction.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Replay {
    /// Voice first, in order of time.
    pub files: Vec<ReplayFile>,
}

/// One recording to replay.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReplayFile {
    /// For [`Ask::Piece`].
    pub id: RecordingId,
    /// `voice` (WAV) or `screen` (fragmented MP4 with a `sidx`).
    pub kind: String,
    /// Start of the media after the interaction's start, milliseconds.
    pub offset_ms: i64,
    /// What of the media is this interaction's, milliseconds of media time; a capture may serve several. To its end, when
    /// that is not known.
    pub from_ms: u64,
    /// See `from_ms`.
    pub to_ms: Option<u64>,
}

/// Some bytes of a recording. They are in memory only, here and wherever they go.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReplayPiece {
    /// Bytes of the whole recording.
    pub total: u64,
    /// Base64 (RFC 4648, section 4); empty past the end.
    pub data: String,
}

impl std::fmt::Debug for ReplayPiece {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ReplayPiece of {}", self.total)
    }
}

/// From the recorder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum Message {
    /// Everything there is to show.
    Status(Box<DesktopStatus>),
    /// Done.
    Done {
        /// As in the request.
        id: u64,
        /// What was asked for, where something was.
        #[serde(default, skip_serializing_if = "serde_json::Value::is_null")]
        value: serde_json::Value,
    },
    /// Not done.
    Failed {
        /// As in the request.
        id: u64,
        /// For people.
        reason: String,
    },
}

/// What the tray shows; the first that holds, in this order: problem, paused, recording, uploading, idle.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TrayState {
    /// Nobody signed in, or nothing to do.
    #[default]
    Idle,
    /// Screens are being captured, or the voice of a call of this agent.
    Recording,
    /// By a person or a rule.
    Paused,
    /// Sealed recordings are on their way.
    Uploading,
    /// See [`DesktopStatus::problems`].
    Problem,
}

/// Why no pixel is kept now.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PauseView {
    /// Who asked: a login, `rule`, or `system`.
    pub by: String,
    /// Why.
    pub reason: String,
    /// Why the voice is not paused too, when it was asked for and is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub voice_not: Option<String>,
}

/// The link to the server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LinkState {
    /// Not enrolled: an enrolment string is needed.
    #[default]
    NotEnrolled,
    /// Being opened.
    Connecting,
    /// Open.
    Up,
    /// Lost or refused; tried again.
    Down,
}

/// Screens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CaptureState {
    /// None.
    #[default]
    Idle,
    /// Running.
    Recording,
    /// Running; no pixel is kept.
    Paused,
    /// Wanted, but it cannot be done; tried again.
    Failed,
}

/// Who signed in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SignedInPerson {
    /// Login name.
    pub login: String,
    /// For people; empty until the server told it.
    pub name: String,
    /// Where they sit.
    pub dn: String,
}

/// The spool.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SpoolStatus {
    /// Recordings without a receipt.
    pub waiting: u64,
    /// Their bytes.
    pub waiting_bytes: u64,
    /// Refused by the server, kept.
    pub refused: u64,
    /// Free bytes on its disk.
    pub free_bytes: u64,
}

/// Everything a window shows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DesktopStatus {
    /// [`LOCAL_PROTOCOL`].
    pub protocol: u32,
    /// Version of the recorder.
    pub version: String,
    /// Its process id.
    pub pid: u32,
    /// For the tray.
    pub tray: TrayState,
    /// Address of the server, when enrolled.
    pub server: Option<String>,
    /// Whether single sign-on is offered by the server.
    pub sso: bool,
    /// Why the last sign-in in the browser was refused at its end, until the next begins.
    pub sso_failure: Option<String>,
    /// Link.
    pub link: LinkState,
    /// Nobody, or who.
    pub person: Option<SignedInPerson>,
    /// Ready or not.
    pub agent: AgentState,
    /// Reasons offered for "not ready".
    pub reasons: Vec<String>,
    /// Screens.
    pub capture: CaptureState,
    /// Why no pixel is kept, also while nothing is captured.
    pub pause: Option<PauseView>,
    /// Monitors being captured.
    pub monitors: u32,
    /// Backend of the capture.
    pub backend: String,
    /// Not over.
    pub interactions: Vec<InteractionView>,
    /// Spool.
    pub spool: SpoolStatus,
    /// This machine's clock minus the server's, milliseconds, when measured.
    pub clock_offset_ms: Option<f64>,
    /// What is wrong.
    pub problems: Vec<Problem>,
    /// May see their own recordings.
    pub own_recordings: bool,
    /// Policy lets the agent end the program.
    pub may_quit: bool,
    /// Directory of logs and spool, for people in IT.
    pub data_dir: String,
}
