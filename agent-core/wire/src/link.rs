//! The live link: a WebSocket of JSON text frames at `/api/v2/link`, opened by a device with its certificate (mutual TLS).
//!
//! The device sends [`Up`], the server [`Down`]. Nothing durable rests on the link alone: events are journalled by the
//! device until accepted, captures are bounded by their own limits when the link is lost.

use crate::{
    CaptureId, InteractionId, PersonId, RecordingId, Timestamp,
    agent::{AgentAction, AgentEvent, Problem, Resume},
    component::{CallControl, RecordingControl, VoiceConfig},
    policy::CapturePolicy,
    trace::CallTrace,
};
use serde::{Deserialize, Serialize};

/// Version of these messages; a server accepts this and the two before it.
pub const PROTOCOL_VERSION: u32 = 2;

/// Path of the WebSocket.
pub const LINK_PATH: &str = "/api/v2/link";

/// Path of the desktop's sign-in ([`SignIn`] → [`SignedIn`]), over mutual TLS.
pub const SIGN_IN_PATH: &str = "/api/v2/desktop/sign-in";

/// A person signs in at a desktop.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SignIn {
    /// Login name.
    pub login: String,
    /// Password.
    pub password: String,
    /// Where they sit; absent: their own DN.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dn: Option<String>,
}

/// Answer to [`SignIn`].
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SignedIn {
    /// Bearer token for [`Up::Hello`]; bound to the device's certificate.
    pub token: String,
    /// Who signed in.
    pub person: PersonId,
    /// Where they sit.
    pub dn: String,
}

/// From a device to the server.
#[derive(Clone, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum Up {
    /// First message.
    Hello {
        /// [`PROTOCOL_VERSION`].
        protocol: u32,
        /// Version of the program.
        version: String,
        /// From [`SignedIn`]; desktops only.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        token: Option<String>,
        /// Where the agent's event stream goes on; absent: from a snapshot. Since version 2.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        resume: Option<Resume>,
    },
    /// Asks for [`Down::Clock`].
    Clock {
        /// Device clock now, microseconds since the Unix epoch.
        sent_us: i64,
    },
    /// Journalled domain events, oldest first; the server answers [`Down::Accepted`].
    Events {
        /// At most 100 at a time.
        entries: Vec<JournalEntry>,
    },
    /// Answer to [`Down::Control`] and [`Down::CallControl`].
    ControlResult {
        /// As in the request.
        request: u64,
        /// `None`: done and confirmed. Else the reason for people.
        error: Option<String>,
    },
    /// The calls that this SIP server serves. Whatever it journalled of others up to `as_of` was all that it knows of
    /// them. Only to servers that say [`Down::Welcome`]'s `journalled`.
    Calls {
        /// The newest sequence of the journal when this was so.
        as_of: u64,
        /// Their interactions.
        calls: Vec<InteractionId>,
    },
    /// What this SIP server saw of the signalling of calls; the server answers [`Down::TraceStored`], and the next batch
    /// follows then. Only to servers that say [`Down::Welcome`]'s `traces`.
    Trace {
        /// Grows by one with each batch of a process.
        batch: u64,
        /// At most [`crate::trace::MOST_IN_BATCH`] messages in all.
        calls: Vec<CallTrace>,
    },
    /// A desktop's capture began: first frame taken.
    CaptureStarted {
        /// For these interactions (empty: offline policy).
        interactions: Vec<InteractionId>,
        /// The run.
        capture: CaptureId,
        /// One per monitor.
        recordings: Vec<RecordingId>,
        /// First frame, device clock.
        at: Timestamp,
    },
    /// A desktop's capture ended, or could not begin.
    CaptureEnded {
        /// For these interactions.
        interactions: Vec<InteractionId>,
        /// The run, when there was one.
        capture: Option<CaptureId>,
        /// `None`: as commanded. Else why not.
        error: Option<String>,
        /// When, device clock.
        at: Timestamp,
    },
    /// The desktop had no link in this span; what it did then.
    WasOffline {
        /// Device clock.
        from: Timestamp,
        /// Device clock.
        to: Timestamp,
        /// Captures taken by the offline policy; empty when it is `none`.
        captures: Vec<CaptureId>,
    },
    /// Health of the spool, at every change and once a minute.
    Spool {
        /// Recordings not yet acknowledged by a receipt.
        waiting: u64,
        /// Their bytes.
        waiting_bytes: u64,
        /// Recordings that the server refused, kept.
        refused: u64,
        /// Free bytes on the spool's disk.
        free_bytes: u64,
    },
    /// The agent asks for something; the server answers [`Down::Answer`]. Since version 2.
    Request {
        /// For the answer.
        request: u64,
        /// What.
        action: AgentAction,
    },
    /// All that is wrong with this desktop now, at every change; empty: nothing. Since version 2.
    Problems {
        /// Most severe first.
        problems: Vec<Problem>,
    },
    /// The person signs out; the server forgets the session and closes the link. Since version 2.
    SignOut,
}

/// One event of a component's journal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct JournalEntry {
    /// Grows by one; never used twice by a device. The server ignores what it has seen.
    pub sequence: u64,
    /// A domain event of `server/model`.
    pub event: serde_json::Value,
}

/// From the server to a device.
#[derive(Clone, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum Down {
    /// First answer: the link is open.
    Welcome {
        /// [`PROTOCOL_VERSION`] of the server.
        protocol: u32,
        /// Policy of this desktop; also sent again when it changes.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        policy: Option<CapturePolicy>,
        /// Certificates (PEM) of the recipients of new screen recordings; cached for the offline policy.
        #[serde(default)]
        recipients: Vec<String>,
        /// Highest sequence of this component's journal that the server has. Absent: it is a desktop, or the server is
        /// older and knows no [`Up::Calls`].
        #[serde(default, skip_serializing_if = "Option::is_none")]
        journalled: Option<u64>,
        /// Whether this SIP server is to tell of its calls' signalling ([`Up::Trace`]). Sent again when it changes.
        #[serde(default)]
        traces: bool,
    },
    /// The link is refused; the server closes it.
    Refused {
        /// For people.
        reason: String,
        /// Whether trying again with the same credentials can help.
        retry: bool,
    },
    /// Answer to [`Up::Clock`] (as NTP: RFC 5905 8).
    Clock {
        /// As in the request.
        sent_us: i64,
        /// Server clock at receipt, microseconds since the Unix epoch.
        server_received_us: i64,
        /// Server clock at sending.
        server_sent_us: i64,
    },
    /// Everything up to this sequence is durable.
    Accepted {
        /// Highest sequence.
        sequence: u64,
    },
    /// A batch of [`Up::Trace`] is durable, or this server wants none.
    TraceStored {
        /// As in the message.
        batch: u64,
    },
    /// Configuration of a voice component: sent after `Welcome` and at every change.
    Config(VoiceConfig),
    /// A command for the SIP server.
    Control {
        /// For [`Up::ControlResult`].
        request: u64,
        /// The command.
        control: RecordingControl,
    },
    /// Call control for one party of a call; only to SIP servers that speak version 2.
    CallControl {
        /// For [`Up::ControlResult`].
        request: u64,
        /// The command.
        control: CallControl,
    },
    /// Capture the screens for this interaction.
    StartCapture {
        /// Who it is for.
        interaction: InteractionId,
        /// Recipients' certificates, PEM.
        recipients: Vec<String>,
        /// How.
        policy: CapturePolicy,
    },
    /// The interaction needs no capture any more.
    StopCapture {
        /// Who it was for.
        interaction: InteractionId,
    },
    /// No pixel of what follows may be kept; the timeline goes on.
    PauseCapture {
        /// Of whom.
        interaction: InteractionId,
        /// Who asked.
        by: String,
        /// Why.
        reason: String,
    },
    /// Ends [`Down::PauseCapture`].
    ResumeCapture {
        /// Of whom.
        interaction: InteractionId,
    },
    /// A step of the agent's event stream; only to desktops that speak version 2.
    Agent {
        /// With [`Resume`], where it goes on.
        at: Resume,
        /// What.
        event: AgentEvent,
    },
    /// Answer to [`Up::Request`].
    Answer {
        /// As in the request.
        request: u64,
        /// `None`: done and confirmed. Else the reason for people.
        error: Option<String>,
    },
    /// A message that this version does not know: left out.
    #[serde(other)]
    Unknown,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_of_a_later_version_is_left_out() {
        let down: Down = serde_json::from_str(r#"{"type":"from-the-future","a":1}"#).unwrap();
        assert!(matches!(down, Down::Unknown));
    }

    #[test]
    fn a_hello_of_version_1_is_understood() {
        let up: Up =
            serde_json::from_str(r#"{"type":"hello","protocol":1,"version":"0.1.0","token":"t"}"#).unwrap();
        assert!(matches!(up, Up::Hello { protocol: 1, resume: None, .. }));
    }
}
