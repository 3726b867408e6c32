//! Where messages come from and go to.

use std::fmt;
use std::net::SocketAddr;

use crate::message::{SipUri, Uri};

/// A transport protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Protocol {
    /// Datagrams; transactions repeat what is lost.
    Udp,
    /// Streams; nothing is repeated.
    Tcp,
    /// TLS over TCP. Connections are taken, never made: phones keep theirs open.
    Tls,
}

impl Protocol {
    /// As written in a Via.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
            Self::Tls => "TLS",
        }
    }

    /// From a Via or from `;transport=`; `None` for what is not spoken here.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Udp, Self::Tcp, Self::Tls].into_iter().find(|p| p.as_str().eq_ignore_ascii_case(text))
    }

    /// What a URI asks for (RFC 3263 4.1, without NAPTR); `None` for what is not spoken here.
    pub fn of(uri: &SipUri) -> Option<Self> {
        match (uri.params.get("transport").map(Self::parse), uri.secure) {
            (Some(None) | Some(Some(Self::Udp)), true) | (Some(None), false) => None,
            (_, true) => Some(Self::Tls),
            (Some(named), false) => named,
            (None, false) => Some(Self::Udp),
        }
    }

    /// The port of a URI, or the transport's own.
    pub fn port_of(self, uri: &SipUri) -> u16 {
        uri.host.port.unwrap_or(if self == Self::Tls { 5061 } else { 5060 })
    }

    /// Does the transport deliver reliably?
    pub fn is_reliable(self) -> bool {
        self != Self::Udp
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Where a message came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Source {
    /// The transport.
    pub protocol: Protocol,
    /// Our address that it reached.
    pub local: SocketAddr,
    /// The address that it was sent from.
    pub remote: SocketAddr,
}

/// Where a request is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Destination {
    /// The transport.
    pub protocol: Protocol,
    /// The address.
    pub addr: SocketAddr,
}

impl Destination {
    /// By UDP to this address.
    pub fn udp(addr: SocketAddr) -> Self {
        Self { protocol: Protocol::Udp, addr }
    }

    /// By TCP to this address.
    pub fn tcp(addr: SocketAddr) -> Self {
        Self { protocol: Protocol::Tcp, addr }
    }

    /// Where a URI points (RFC 3263 4 for numeric hosts): `maddr` before host, `transport`, port or its default.
    /// `None` for a name (the transport resolves those), another scheme, or a transport not spoken here.
    pub fn of_uri(uri: &Uri) -> Option<Self> {
        let sip = uri.as_sip()?;
        let protocol = Protocol::of(sip)?;
        let ip = match sip.params.get("maddr") {
            Some(maddr) => crate::message::Host::parse(maddr).ok()?.ip()?,
            None => sip.host.host.ip()?,
        };
        Some(Self { protocol, addr: SocketAddr::new(ip, protocol.port_of(sip)) })
    }
}

impl From<Source> for Destination {
    fn from(source: Source) -> Self {
        Self { protocol: source.protocol, addr: source.remote }
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.protocol, self.addr)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uri_names_its_transport_and_port_and_a_secure_one_is_never_sent_in_the_clear() {
        for (uri, expected) in [
            ("sip:a@192.0.2.1", Some("UDP 192.0.2.1:5060")),
            ("sip:a@192.0.2.1;transport=tcp", Some("TCP 192.0.2.1:5060")),
            ("sip:a@192.0.2.1;transport=tls", Some("TLS 192.0.2.1:5061")),
            ("sip:a@192.0.2.1:7;transport=TLS", Some("TLS 192.0.2.1:7")),
            ("sips:a@192.0.2.1", Some("TLS 192.0.2.1:5061")),
            ("sips:a@192.0.2.1;transport=tcp", Some("TLS 192.0.2.1:5061")),
            ("sips:a@192.0.2.1;transport=udp", None),
            ("sips:a@192.0.2.1;transport=sctp", None),
            ("sip:a@192.0.2.1;transport=sctp", None),
        ] {
            let found = Destination::of_uri(&Uri::parse(uri).unwrap()).map(|found| found.to_string());
            assert_eq!(found.as_deref(), expected, "{uri}");
        }
    }
}
