//! Recording sessions of other systems (SIPREC, RFC 7866): which INVITE begins one, and from whom it is taken.

use hindsight_sip::{Request, message::multipart};
use std::net::IpAddr;

/// User part of the Request-URI with which a recording session reaches its media server, before the interaction's id.
pub const RECORDING_SESSION: &str = "siprec=";

/// Whether an INVITE asks for a recording session: it says so (RFC 7866 7.1.1), or it carries recording metadata, as of
/// clients that do not say so.
pub fn asks_for_recording(invite: &Request) -> bool {
    let says_so = invite.headers.tokens("Require").iter().any(|tag| tag.eq_ignore_ascii_case("siprec"));
    let carries = || {
        let content_type = invite.headers.get("Content-Type").unwrap_or_default();
        multipart::parts(content_type, &invite.body).iter().any(|part| {
            part.is(hindsight_siprec::CONTENT_TYPE) || part.is(hindsight_siprec::CONTENT_TYPE_DRAFT)
        })
    };
    says_so || carries()
}

/// Whether recording sessions are taken from this address.
pub fn is_client(clients: &[IpAddr], address: IpAddr) -> bool {
    clients.iter().any(|client| client.to_canonical() == address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;
    use hindsight_sip::{Method, Uri};

    fn invite() -> Request {
        Request::new(Method::Invite, Uri::parse("sip:recorder@192.0.2.1").unwrap())
    }

    #[test]
    fn a_recording_session_is_known_by_its_require_or_by_its_metadata() {
        assert!(!asks_for_recording(&invite().with_body("application/sdp", b"v=0\r\n".to_vec())));
        assert!(asks_for_recording(&invite().with_header("Require", "timer, SIPREC")));
        let body =
            b"--b\r\nContent-Type: Application/RS-Metadata+xml\r\n\r\n<recording/>\r\n--b--\r\n".to_vec();
        assert!(asks_for_recording(&invite().with_body("multipart/mixed;boundary=b", body)));
    }

    #[test]
    fn only_named_clients_are_taken() {
        let clients = ["192.0.2.7".parse().unwrap()];
        assert!(is_client(&clients, "::ffff:192.0.2.7".parse().unwrap()));
        assert!(!is_client(&clients, "192.0.2.8".parse().unwrap()));
        assert!(!is_client(&[], "127.0.0.1".parse().unwrap()));
    }
}
