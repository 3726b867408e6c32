//! What an agent sees and may do: their state, their interactions, the controls. Shared by the server's event stream
//! ([`crate::link::Down::Agent`]), the recorder and the desktop's window.

use crate::{InteractionId, Timestamp, component::RecordingAction};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Whether an agent takes interactions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AgentState {
    /// Takes interactions.
    pub ready: bool,
    /// Why not, one of the site's reasons; absent: none given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Since when, server clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
}

/// What kind of interaction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Medium {
    /// A call.
    #[default]
    Voice,
    /// A chat.
    Chat,
    /// An e-mail.
    Email,
    /// Any other piece of work.
    WorkItem,
}

impl Medium {
    /// Every kind.
    pub const ALL: [Medium; 4] = [Medium::Voice, Medium::Chat, Medium::Email, Medium::WorkItem];

    /// The name in messages, in the database and in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Medium::Voice => "voice",
            Medium::Chat => "chat",
            Medium::Email => "email",
            Medium::WorkItem => "work-item",
        }
    }

    /// The kind of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|medium| medium.as_str() == name)
    }
}

/// How far an interaction is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Progress {
    /// Offered, not answered.
    Ringing,
    /// The agent is on it.
    Established,
    /// On hold.
    Held,
    /// Over; after-call work may still be recorded.
    Ended,
}

/// One kind of recording of an interaction, as its agent is shown it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RecordingState {
    /// None.
    #[default]
    Off,
    /// Confirmed by who records.
    Recording,
    /// Paused and confirmed.
    Paused,
    /// Asked for, but broken or not begun.
    Failed,
}

/// What can be asked of an interaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CallAction {
    /// Answer, where the phone can be told to.
    Answer,
    /// Put the other party on hold.
    Hold,
    /// End the hold.
    Retrieve,
    /// Hang up.
    HangUp,
    /// Have somebody else called who takes the agent's place: asked for by [`AgentAction::Transfer`], and never among what
    /// an interaction is shown to allow, which desktops of an older version have to understand.
    Transfer,
}

/// A hold, as the agent can do something about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Hold {
    /// The agent's, by a desktop: [`CallAction::Retrieve`] ends it.
    Agent,
    /// The agent's, at the phone: only the phone can end it.
    AgentsPhone,
    /// The other party's.
    OtherParty,
    /// A kind that this version does not know.
    #[serde(other)]
    Unknown,
}

/// An interaction of an agent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InteractionView {
    /// Id.
    pub id: InteractionId,
    /// Kind.
    pub medium: Medium,
    /// Number or address of who began it.
    pub from: String,
    /// Number or address that it was for.
    pub to: String,
    /// How far.
    pub progress: Progress,
    /// Since when it is so far, server clock.
    pub since: Timestamp,
    /// Voice.
    pub voice: RecordingState,
    /// The agent's screens, as the server knows them.
    pub screen: RecordingState,
    /// What this agent may ask for now.
    pub calls: Vec<CallAction>,
    /// Who holds it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub holds: Vec<Hold>,
    /// What this agent may ask of the recording now.
    pub recording: Vec<RecordingAction>,
    /// Data that came with it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attached: BTreeMap<String, String>,
}

/// What an agent asks for; the server checks that it is theirs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum AgentAction {
    /// Ready or not ready.
    State {
        /// Takes interactions.
        ready: bool,
        /// Why not.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// Call control.
    Call {
        /// Which.
        interaction: InteractionId,
        /// What.
        action: CallAction,
    },
    /// Somebody else is called and takes the agent's place in a call that is established.
    Transfer {
        /// Which.
        interaction: InteractionId,
        /// Number of who is to be called.
        to: String,
    },
    /// Control of the recording: voice and screens as one.
    Recording {
        /// Which.
        interaction: InteractionId,
        /// What.
        action: RecordingAction,
        /// Why.
        #[serde(default)]
        reason: String,
    },
}

/// Where an event stream goes on: whoever has seen `sequence` of `stream` is sent what came after, or a snapshot when
/// the server has it no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Resume {
    /// Changes when the server starts or the person signs in anew.
    pub stream: uuid::Uuid,
    /// Grows by one.
    pub sequence: u64,
}

/// One step of an agent's event stream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum AgentEvent {
    /// Everything, in place of what was known.
    Snapshot {
        /// Name of the person, for people.
        name: String,
        /// Ready or not.
        state: AgentState,
        /// Reasons for "not ready" that the site offers.
        reasons: Vec<String>,
        /// All that are not over.
        interactions: Vec<InteractionView>,
        /// May see and replay their own recordings.
        own_recordings: bool,
    },
    /// Ready or not.
    State {
        /// As it is now.
        state: AgentState,
    },
    /// New or changed.
    Interaction {
        /// As it is now; gone from the list when [`Progress::Ended`].
        interaction: InteractionView,
    },
    /// A kind that this version does not know.
    #[serde(other)]
    Unknown,
}

/// Something that keeps a desktop from doing its work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// What.
    pub kind: ProblemKind,
    /// For people.
    pub detail: String,
    /// Desktop clock.
    pub since: Timestamp,
}

/// Kinds of problems.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProblemKind {
    /// The server cannot be reached.
    Link,
    /// The server refuses this desktop or this person.
    Refused,
    /// The screens cannot be captured.
    Capture,
    /// Little space is left for recordings.
    DiskLow,
    /// No space is left, or the spool cannot be written: new captures are not possible.
    DiskFull,
    /// The server refused a recording; it is kept.
    UploadRefused,
    /// Recordings wait longer than they should.
    UploadBacklog,
    /// The clock is wrong by more than a recording can correct.
    Clock,
    /// The key store of the system is locked or absent; what is done instead is in the detail.
    KeyStore,
    /// The recorder was restarted by its watchdog.
    Restarted,
    /// A kind that this version does not know.
    #[serde(other)]
    Other,
}
