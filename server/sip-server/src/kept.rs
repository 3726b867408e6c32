//! What outlives this process: the calls that are going on, and who is registered. No secret is in it: neither passwords
//! nor the keys of protected media (RFC 4568).
//!
//! SIP and SDP are kept as their own text, so that what is read again is parsed like anything from the network.

use crate::trunks::Way;
use hindsight_sip::{Destination, Dialog, DialogParts, NameAddr, Protocol, Source, Uri};
use hindsight_wire::{CaptureId, InteractionId, Timestamp};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// Requests that a dialog can have sent since it was kept: at one every two seconds, three days of them.
const SKIPPED: u32 = 1 << 17;

/// What is kept is found, replaced and forgotten by this.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Key {
    /// A call.
    Call(InteractionId),
    /// The registrations of a DN.
    Dn(String),
    /// When this process was last known to run.
    Alive,
}

/// What is kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "kebab-case")]
pub enum Kept {
    /// A call that is not established: nothing of it can go on.
    Offered {
        /// Since when.
        at: Timestamp,
    },
    /// An established call.
    Call(Box<KeptCall>),
    /// Where a DN is registered.
    Registered {
        /// Its contacts.
        bindings: Vec<KeptBinding>,
    },
    /// The process runs.
    Alive {
        /// At this time.
        at: Timestamp,
    },
}

/// An established call with its four dialogs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KeptCall {
    /// When this was true.
    pub at: Timestamp,
    /// Caller, callee.
    pub phones: [KeptPhone; 2],
    /// The media server's side of each.
    pub media: [KeptMedia; 2],
    /// The fork that the callee answered at, or whoever took its place.
    pub fork: u8,
    /// The fork of whoever took the caller's place; absent: the caller is still there.
    #[serde(default)]
    pub caller_fork: Option<u8>,
    /// The forks of who has left by a transfer and has not hung up yet; of the first caller, none.
    #[serde(default)]
    pub leaving: Vec<Option<u8>>,
    /// The callee is the agent, and the media server's legs were opened so; absent: as the policies say.
    #[serde(default)]
    pub callee_is_agent: Option<(bool, bool)>,
    /// A description with the formats that were agreed on.
    pub formats: String,
    /// What is being recorded.
    pub recording: Option<KeptRecording>,
    /// Dialogs of caller, callee, the caller's media leg, the callee's, and of those who have left.
    pub dialogs: Vec<KeptDialog>,
}

/// A phone of a call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KeptPhone {
    /// Its number.
    pub number: String,
    /// As in [`crate::call::Participant`].
    pub is_dn: bool,
    /// As there.
    pub record_voice: bool,
    /// As there.
    pub record_screen: bool,
    /// What it last described and we accepted.
    pub accepted: String,
    /// What we last described to it.
    pub said: String,
    /// Its media are protected, by keys that are not kept.
    pub protected: bool,
    /// Holds the other.
    pub holds: bool,
    /// Its desktop does.
    pub held_by_desktop: bool,
}

/// The media server's side of a party.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KeptMedia {
    /// Its last answer.
    pub answered: String,
    /// What we last described to it.
    pub said: String,
}

/// A recording that runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KeptRecording {
    /// The run.
    pub capture: CaptureId,
    /// Who started it.
    pub by: String,
    /// Why.
    pub reason: String,
    /// From 1.
    pub part: u32,
    /// By whom and why.
    pub paused: Option<(String, String)>,
}

/// A dialog ([`DialogParts`]), and the way to its far end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KeptDialog {
    call_id: String,
    local: String,
    remote: String,
    contact: String,
    target: String,
    routes: Vec<String>,
    local_seq: u32,
    remote_seq: Option<u32>,
    /// The address that the phone's own requests came from, by UDP: connections end with their process.
    from: Option<SocketAddr>,
    /// The trunk that it goes by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    trunk: Option<KeptWay>,
}

/// A way to a trunk.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct KeptWay {
    name: String,
    protocol: String,
    at: SocketAddr,
}

impl KeptDialog {
    /// This one.
    pub(crate) fn of(dialog: &Dialog, flow: Option<Destination>, trunk: Option<&Way>) -> Self {
        let kept = |way: &Way| KeptWay {
            name: way.trunk.clone(),
            protocol: way.to.protocol.to_string(),
            at: way.to.addr,
        };
        let parts = dialog.parts();
        Self {
            call_id: parts.call_id,
            local: parts.local.to_string(),
            remote: parts.remote.to_string(),
            contact: parts.contact.to_string(),
            target: parts.remote_target.to_string(),
            routes: parts.route_set.iter().map(ToString::to_string).collect(),
            local_seq: parts.local_seq,
            remote_seq: parts.remote_seq,
            from: flow.filter(|flow| flow.protocol == Protocol::Udp).map(|flow| flow.addr),
            trunk: trunk.map(kept),
        }
    }

    /// The dialog and the way to its far end; `None`: it cannot be read.
    pub(crate) fn restored(&self) -> Option<(Dialog, Option<Destination>, Option<Way>)> {
        let address = |text: &String| NameAddr::parse(text).ok();
        let dialog = Dialog::of_parts(DialogParts {
            call_id: self.call_id.clone(),
            local: address(&self.local)?,
            remote: address(&self.remote)?,
            contact: address(&self.contact)?,
            remote_target: Uri::parse(&self.target).ok()?,
            route_set: self.routes.iter().map(address).collect::<Option<_>>()?,
            local_seq: self.local_seq.checked_add(SKIPPED).filter(|number| *number < 1 << 31)?,
            remote_seq: self.remote_seq,
        });
        let trunk = match &self.trunk {
            Some(KeptWay { name, protocol, at }) => {
                let to = Destination { protocol: Protocol::parse(protocol)?, addr: *at };
                Some(Way { trunk: name.clone(), to })
            }
            None => None,
        };
        Some((dialog, self.from.map(Destination::udp), trunk))
    }
}

/// A contact of a DN.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KeptBinding {
    /// As it registered.
    pub contact: String,
    /// Where its REGISTER came from and reached us, by UDP and straight from the phone.
    pub source: Option<(SocketAddr, SocketAddr)>,
    /// The proxies on the way to it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub path: Vec<String>,
    /// Of its last REGISTER.
    pub call_id: String,
    /// Of its last REGISTER.
    pub cseq: u32,
    /// Until when.
    pub until: Timestamp,
    /// Preference, thousandths.
    pub q: u16,
}

/// A way by UDP, to be kept.
pub(crate) fn kept_source(source: Source) -> Option<(SocketAddr, SocketAddr)> {
    (source.protocol == Protocol::Udp).then_some((source.local, source.remote))
}

/// The way that was kept.
pub(crate) fn restored_source((local, remote): (SocketAddr, SocketAddr)) -> Source {
    Source { protocol: Protocol::Udp, local, remote }
}
