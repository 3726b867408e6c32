//! What this server understands (RFC 3261 8.2): everything else is refused before it is looked at.

use hindsight_sip::{Method, capability::Capabilities};

/// The one body that we read and write for calls.
pub const SDP: &str = "application/sdp";

/// Digits that a phone says by INFO instead of in its voice.
pub const DTMF: [&str; 2] = ["application/dtmf-relay", "application/dtmf"];

/// Methods, schemes and bodies. Two extensions: a REFER may want to hear nothing of what becomes of it (RFC 4488), and
/// proxies may name themselves in a REGISTER (RFC 3327).
pub fn capabilities() -> Capabilities {
    Capabilities {
        methods: vec![
            Method::Invite,
            Method::Bye,
            Method::Options,
            Method::Register,
            Method::Info,
            Method::Refer,
        ],
        schemes: vec!["sip", "tel"],
        extensions: vec!["norefersub", "path"],
        content_types: [SDP, "multipart/mixed"].into_iter().chain(DTMF).collect(),
    }
}
