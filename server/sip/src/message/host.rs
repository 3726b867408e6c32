//! Hosts and ports: `host`, `1.2.3.4`, `[::1]`, with an optional port.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use super::error::Fault;
use super::lex;

/// The host part of a URI or of a Via.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Host {
    /// An address.
    Ip(IpAddr),
    /// A name, in lower case.
    Name(String),
}

impl Host {
    /// Reads a host without a port.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        if let Some(inner) = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')) {
            return inner
                .parse::<Ipv6Addr>()
                .map(|ip| Self::Ip(ip.into()))
                .map_err(|_| Fault::syntax("Malformed IPv6 Address"));
        }
        let named = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
        if text.is_empty() || text.len() > 255 || !text.bytes().all(named) {
            return Err(Fault::syntax("Malformed Host"));
        }
        Ok(match text.parse::<std::net::Ipv4Addr>() {
            Ok(ip) => Self::Ip(ip.into()),
            Err(_) => Self::Name(text.to_ascii_lowercase()),
        })
    }

    /// The address, when it is one.
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::Ip(ip) => Some(*ip),
            Self::Name(_) => None,
        }
    }
}

impl From<IpAddr> for Host {
    fn from(ip: IpAddr) -> Self {
        Self::Ip(ip)
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(IpAddr::V6(ip)) => write!(f, "[{ip}]"),
            Self::Ip(ip) => write!(f, "{ip}"),
            Self::Name(name) => f.write_str(name),
        }
    }
}

/// A host and perhaps a port.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HostPort {
    /// The host.
    pub host: Host,
    /// The port, when written.
    pub port: Option<u16>,
}

impl HostPort {
    /// Reads `host[:port]`; spaces are allowed round the colon, as Via has them.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let (host, port) = match text.strip_prefix('[') {
            Some(_) => {
                let end = text.find(']').ok_or(Fault::syntax("Malformed IPv6 Address"))? + 1;
                let rest = lex::trim(&text[end..]);
                match rest.strip_prefix(':') {
                    Some(port) => (&text[..end], Some(port)),
                    None if rest.is_empty() => (&text[..end], None),
                    None => return Err(Fault::syntax("Malformed Host")),
                }
            }
            None => match text.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (text, None),
            },
        };
        let port = match port {
            Some(port) => {
                let number = lex::digits(lex::trim(port)).and_then(|n| u16::try_from(n).ok());
                Some(number.ok_or(Fault::syntax("Malformed Port"))?)
            }
            None => None,
        };
        Ok(Self { host: Host::parse(lex::trim(host))?, port })
    }
}

impl From<SocketAddr> for HostPort {
    fn from(addr: SocketAddr) -> Self {
        Self { host: addr.ip().into(), port: Some(addr.port()) }
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            Some(port) => write!(f, "{}:{port}", self.host),
            None => write!(f, "{}", self.host),
        }
    }
}
