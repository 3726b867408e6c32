//! Where messages come from and go to.

use std::fmt;
use std::net::SocketAddr;

use crate::message::Uri;

/// A transport protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Protocol {
    /// Datagrams; transactions repeat what is lost.
    Udp,
    /// Streams; nothing is repeated.
    Tcp,
}

impl Protocol {
    /// As written in a Via.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
        }
    }

    /// From a Via or from `;transport=`; `None` for what is not spoken here.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Udp, Self::Tcp].into_iter().find(|p| p.as_str().eq_ignore_ascii_case(text))
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
        let sip = uri.as_sip().filter(|sip| !sip.secure)?;
        let protocol = match sip.params.get("transport") {
            Some(name) => Protocol::parse(name)?,
            None => Protocol::Udp,
        };
        let ip = match sip.params.get("maddr") {
            Some(maddr) => crate::message::Host::parse(maddr).ok()?.ip()?,
            None => sip.host.host.ip()?,
        };
        Some(Self { protocol, addr: SocketAddr::new(ip, sip.port_or_default()) })
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
