//! Domain events: what happened, by whose clock, to which interaction.
//!
//! Voice components journal them and deliver them over the link; the web services append them to the store's event log.
//! Consumers are idempotent: an event may arrive late and more than once.

use hindsight_wire::{
    CaptureId, InteractionId, PersonId, RecordingId, Timestamp, agent::Medium, manifest::Party,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One thing that happened to an interaction.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    /// Whose.
    pub interaction: InteractionId,
    /// When, on the clock of the component that saw it (voice components run on synchronised server hosts).
    pub at: Timestamp,
    /// What.
    #[serde(flatten)]
    pub what: What,
}

/// The kinds of events.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum What {
    /// An INVITE was accepted for routing.
    CallOffered {
        /// Who calls: user part of From.
        caller: String,
        /// What was dialled: user part of the Request-URI.
        dialled: String,
        /// DNs whose policy asks for a voice recording.
        record_voice: Vec<String>,
        /// DNs whose policy asks for their agents' screens.
        record_screen: Vec<String>,
    },
    /// The phone of a called DN rings.
    CallRinging {
        /// Where.
        dn: String,
        /// The phone can be told to answer (it takes `Event: talk`).
        answerable: bool,
    },
    /// A party has left the call to somebody else, who takes its place. Who speaks from here on, the next
    /// [`What::CallEstablished`] says.
    CallTransferred {
        /// DN or number of who left.
        by: String,
        /// DN or number of who joined.
        to: String,
        /// The two had spoken before, in the call that `consultation` names.
        attended: bool,
        /// DNs among those who joined whose policy asks for a voice recording.
        record_voice: Vec<String>,
        /// DNs among those who joined whose policy asks for their agents' screens.
        record_screen: Vec<String>,
        /// The call in which they spoke before; it ended with this.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        consultation: Option<InteractionId>,
    },
    /// A transfer came to nothing: the parties are who they were.
    TransferFailed {
        /// DN or number of who asked for it.
        by: String,
        /// Whom they asked for.
        to: String,
        /// SIP status that says why.
        status: u16,
    },
    /// Answered: the parties speak. Again when others speak: the newest word holds.
    CallEstablished {
        /// Caller first.
        parties: Vec<CallParty>,
    },
    /// A party put the other on hold.
    CallHeld {
        /// DN or number of who did.
        by: String,
        /// At the phone itself: no desktop can take the call back.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        at_phone: bool,
    },
    /// End of hold.
    CallRetrieved {
        /// DN or number of who did.
        by: String,
    },
    /// The call is over, also when it was never answered.
    CallEnded {
        /// Why.
        cause: EndCause,
        /// DN or number of who hung up, where a party did.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<String>,
    },
    /// The media server confirmed that it records.
    RecordingStarted {
        /// The run.
        capture: CaptureId,
        /// Full-time policy, or the login of who asked.
        by: String,
    },
    /// Confirmed: silence from here.
    RecordingPaused {
        /// Login or component.
        by: String,
        /// Why.
        reason: String,
    },
    /// Confirmed: recording goes on.
    RecordingResumed {
        /// Login or component.
        by: String,
    },
    /// Confirmed: closed.
    RecordingStopped {
        /// Login or component.
        by: String,
        /// Only the voice: whoever it was recorded for has left the call. Screens go by who takes part.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        voice_only: bool,
    },
    /// A recording that policy or a person asked for did not begin or broke.
    RecordingFailed {
        /// For people.
        reason: String,
    },
    /// Nothing of a recording that was opened survived its recorder's crash: it never arrives.
    RecordingLost {
        /// The file.
        recording: RecordingId,
        /// For people.
        reason: String,
    },
    /// The media server opened a recording (part).
    RecordingOpened {
        /// The file.
        recording: RecordingId,
        /// The run.
        capture: CaptureId,
    },
    /// Screens: a desktop reported its first frame.
    ScreenStarted {
        /// Who.
        person: PersonId,
        /// Where.
        dn: String,
        /// The run.
        capture: CaptureId,
        /// One per monitor.
        recordings: Vec<RecordingId>,
    },
    /// Screens that policy asked for are missing, and why.
    ScreenGap {
        /// Where.
        dn: String,
        /// For people.
        reason: String,
    },
    /// Call detail record of one SIP session through the resource manager.
    SessionEnded(SessionRecord),
    /// Another system announced an interaction of an agent: it goes on from here.
    InteractionAnnounced(Announcement),
    /// An announced interaction is over.
    InteractionEnded {
        /// Login, or name of the system.
        by: String,
    },
}

/// An interaction that another system announced.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Announcement {
    /// Of what kind.
    pub medium: Medium,
    /// Number or address of who began it.
    pub from: String,
    /// Number or address that it was for.
    pub to: String,
    /// Where its agent sits.
    pub dn: String,
    /// Its agent, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub person: Option<PersonId>,
    /// Whether policy asks for the agent's screens.
    pub record_screen: bool,
    /// Data that came with it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attached: BTreeMap<String, String>,
    /// Who announced it: login, or name of the system.
    pub by: String,
}

/// A party of an established call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CallParty {
    /// DN or number.
    pub number: String,
    /// Side, from the recorded DN's point of view; both DNs recorded: the called one is the agent.
    pub role: Party,
    /// Whether `number` is a DN of this site (and may have an agent signed in).
    pub is_dn: bool,
}

/// Why a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EndCause {
    /// BYE of a party.
    HungUp,
    /// Its two parties speak in other calls: it was the consultation before a transfer.
    Transferred,
    /// CANCEL before the answer.
    Cancelled,
    /// The called party speaks with somebody else (486, 600).
    Busy,
    /// Refused by the called party.
    Refused,
    /// No answer in time.
    NoAnswer,
    /// Called number unknown or not registered.
    NotFound,
    /// No media server would take it.
    NoMediaServer,
    /// The media server was lost in mid-call.
    MediaServerLost,
    /// The SIP server was lost in the call, and its next process did not find both parties there. The end is then the
    /// last moment at which that SIP server is known to have run.
    SipServerLost,
    /// Anything else: protocol error, shut-down.
    Failed,
}

/// Call detail record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SessionRecord {
    /// Call-ID of the session.
    pub call_id: String,
    /// Address of the media server that served it; absent: none did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_server: Option<String>,
    /// Whose: `tenant` of the conference URI; empty: nobody's in particular.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub tenant: String,
    /// INVITE seen.
    pub started_at: Timestamp,
    /// 2xx passed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answered_at: Option<Timestamp>,
    /// BYE or failure.
    pub ended_at: Timestamp,
    /// Final SIP status of the INVITE.
    pub status: u16,
}
