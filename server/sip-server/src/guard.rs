//! What this server understands (RFC 3261 8.2): everything else is refused before it is looked at.

use hindsight_sip::{Method, capability::Capabilities};

/// The one body that we read and write for calls.
pub const SDP: &str = "application/sdp";

/// Methods, schemes and bodies. No extension is supported that a peer could require.
pub fn capabilities() -> Capabilities {
    Capabilities {
        methods: vec![Method::Invite, Method::Bye, Method::Options, Method::Register, Method::Info],
        schemes: vec!["sip", "tel"],
        extensions: Vec::new(),
        content_types: vec![SDP, "multipart/mixed"],
    }
}
