//! Settings of the media server.

use serde::{Deserialize, Serialize};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Default SIP port.
pub const SIP_PORT: u16 = 5080;
/// Default first RTP port.
pub const RTP_FIRST: u16 = 20_000;
/// Default last RTP port.
pub const RTP_LAST: u16 = 29_999;
/// Default limit of concurrent legs.
pub const MAX_LEGS: u32 = 4_000;

/// Settings of the media server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where SIP is listened for, UDP and TCP: only SIP servers and resource managers come here, never phones.
    pub listen: SocketAddr,
    /// Address that phones are told to send media to (SDP), so one that they reach; absent: the address of `listen`, or
    /// 127.0.0.1 when that is unspecified.
    pub advertised: Option<IpAddr>,
    /// Address that media sockets are bound to; absent: as `advertised`. To be set where `advertised` is no address of
    /// this host (a router forwards the ports).
    pub media_address: Option<IpAddr>,
    /// First port for RTP and RTCP.
    pub rtp_first: u16,
    /// Last port for RTP and RTCP.
    pub rtp_last: u16,
    /// Threads that relay, each with a recorder thread beside it; 0: one per core.
    pub relay_threads: usize,
    /// Most legs at a time; two make a call.
    pub max_legs: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, SIP_PORT)),
            advertised: None,
            media_address: None,
            rtp_first: RTP_FIRST,
            rtp_last: RTP_LAST,
            relay_threads: 0,
            max_legs: MAX_LEGS,
        }
    }
}

impl Config {
    /// The address written into SDP.
    pub fn advertised(&self) -> IpAddr {
        match (self.advertised, self.listen.ip()) {
            (Some(address), _) => address,
            (None, address) if address.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
            (None, address) => address,
        }
    }

    /// What SIP peers are told of us, where that is not what we listen at. `advertised` is for media: it says nothing of
    /// where SIP is listened for, unless that is every address.
    pub fn sip_address(&self) -> Option<SocketAddr> {
        let everywhere = self.listen.ip().is_unspecified() && self.listen.port() != 0;
        everywhere.then(|| SocketAddr::new(self.advertised(), self.listen.port()))
    }

    /// The address of media sockets.
    pub fn media_address(&self) -> IpAddr {
        self.media_address.unwrap_or_else(|| self.advertised())
    }

    /// Relay threads, at least one.
    pub fn relay_threads(&self) -> usize {
        match self.relay_threads {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            threads => threads,
        }
    }

    /// Legs that the port range has room for: two ports each.
    pub fn legs_by_ports(&self) -> u32 {
        let first = u32::from(self.rtp_first) + u32::from(self.rtp_first % 2);
        (u32::from(self.rtp_last) + 1).saturating_sub(first) / 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_settings_are_refused_and_missing_ones_have_defaults() {
        assert!(toml::from_str::<Config>("rtp_frist = 1").is_err());
        let config: Config = toml::from_str("rtp_first = 30001\nrtp_last = 30004").unwrap();
        assert_eq!((config.legs_by_ports(), config.listen.port()), (1, SIP_PORT));
        assert_eq!(Config::default().legs_by_ports(), 5_000);
    }
}
