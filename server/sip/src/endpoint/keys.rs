//! How messages find their transactions (RFC 3261 17.1.3, 17.2.3).

use crate::message::{Method, Request, Response, SipMessage, Via};

/// Branch and method of a request of ours.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct ClientKey {
    pub(super) branch: String,
    pub(super) method: Method,
}

impl ClientKey {
    pub(super) fn of_response(response: &Response) -> Option<Self> {
        let branch = response.top_via().ok()?.branch()?.to_owned();
        Some(Self { branch, method: response.cseq().ok()?.method })
    }
}

/// What makes a request the same request. An ACK has the key of its INVITE.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct ServerKey {
    identity: String,
    method: Method,
}

impl ServerKey {
    pub(super) fn of(request: &Request, via: &Via) -> Option<Self> {
        let method = match &request.method {
            Method::Ack => Method::Invite,
            other => other.clone(),
        };
        let identity = match via.rfc3261_branch() {
            Some(branch) => format!("{branch}\n{}", via.sent_by),
            // RFC 2543 peers: the topmost Via is the same in repetitions and in the ACK of a refusal.
            None => {
                let from_tag = request.from().ok()?.tag().unwrap_or_default().to_owned();
                let (call_id, number) = (request.call_id().ok()?, request.cseq().ok()?.number);
                format!("{call_id}\n{number}\n{from_tag}\n{}\n{}", request.uri, plain(via))
            }
        };
        Some(Self { identity, method })
    }

    /// The key of the INVITE that a CANCEL cancels.
    pub(super) fn of_cancelled(cancel: &Request, via: &Via) -> Option<Self> {
        Some(Self { method: Method::Invite, ..Self::of(cancel, via)? })
    }
}

/// A Via without what the receiver added to it.
fn plain(via: &Via) -> String {
    let mut via = via.clone();
    via.params.remove("received");
    via.params.remove("rport");
    via.to_string()
}

/// The dialog and the INVITE that an ACK of a 2xx acknowledges.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct AckKey {
    call_id: String,
    to_tag: String,
    number: u32,
}

impl AckKey {
    pub(super) fn of(message: &impl SipMessage) -> Option<Self> {
        Some(Self {
            call_id: message.call_id().ok()?.to_owned(),
            to_tag: message.to().ok()?.tag()?.to_owned(),
            number: message.cseq().ok()?.number,
        })
    }
}
