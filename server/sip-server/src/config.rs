//! Process settings of the SIP server.

use crate::{call::Limits, lockout, tls::TlsConfig};
use hindsight_sip::gate::{Network, NotANetwork};
use serde::{Deserialize, Serialize};
use std::{net::SocketAddr, time::Duration};

/// Settings; all have defaults.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// UDP and TCP listener for phones.
    pub listen: SocketAddr,
    /// Listener for phones that speak TLS; absent: none.
    pub tls: Option<TlsConfig>,
    /// Host that phones reach us at, for Contact and Via; empty: the address of the listener, or of the route to the
    /// peer where that is unspecified.
    pub advertised_host: String,
    /// The resource manager.
    pub resource_manager: SocketAddr,
    /// Where this SIP server and its phones are: media servers of the same place are preferred; empty: any.
    pub place: String,
    /// Whose calls these are, for the resource manager's limits; empty: nobody's in particular.
    pub tenant: String,
    /// Digest algorithms to challenge with, best first; both are always accepted. Phones built on libre before 2.0
    /// (baresip 1.x) give up when they meet a SHA-256 challenge, even beside one in MD5; so it is not the default.
    pub challenge: Vec<DigestAlgorithm>,
    /// Shortest registration granted, seconds (423 below it).
    pub min_expires: u32,
    /// Longest registration granted, seconds.
    pub max_expires: u32,
    /// Contacts of one DN at a time.
    pub max_contacts: usize,
    /// Requests outside of calls that one address (IPv6: one /64) may send, a second, beyond those that prove to come from
    /// a DN: a registration costs nothing, a call one, a wrong password five more. Others are refused with 503.
    pub requests_per_second: u32,
    /// How many of them may come at once.
    pub requests_burst: u32,
    /// TCP connections of one address at a time; more are closed.
    pub connections_per_address: usize,
    /// Seconds in which a message over TCP has to be there whole, and the first one to begin; else the connection is closed.
    pub message_seconds: u64,
    /// Wrong passwords for one DN from one address that lock this DN for this address (403).
    pub wrong_passwords: u32,
    /// Seconds for which it is locked; every time in a row twice as long, up to 64 times that.
    pub lock_out_seconds: u64,
    /// Addresses and networks without these limits: trunks, proxies, and by default what runs on the same host.
    pub trusted: Vec<String>,
    /// Calls at a time; more are refused with 503.
    pub max_calls: usize,
    /// Seconds that a callee may ring.
    pub ring_seconds: u64,
    /// Seconds for each step with the media server during set-up.
    pub setup_seconds: u64,
    /// Milliseconds for the recorder to confirm a full-time recording before the parties are connected all the same.
    pub arm_milliseconds: u64,
    /// Seconds for the recorder to confirm a command.
    pub control_seconds: u64,
    /// Seconds between two probes of a call's media legs.
    pub probe_seconds: u64,
    /// Seconds without any answer to probes (not even from the resource manager) that end a call. Its media flows
    /// without the resource manager, and a media server that is lost is told by that one at once: so this is long.
    pub silence_seconds: u64,
    /// Seconds between two probes of a call's phones.
    pub phone_probe_seconds: u64,
}

/// A digest algorithm (RFC 8760).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DigestAlgorithm {
    /// SHA-256.
    Sha256,
    /// MD5.
    Md5,
}

/// A day: doubled six times it is two months.
const MAX_LOCK_OUT: u64 = 86_400;
/// Default port of SIP.
const DEFAULT_LISTEN: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED), 5060);
/// Default address of the resource manager.
const DEFAULT_RESOURCE_MANAGER: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 5070);

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: DEFAULT_LISTEN,
            tls: None,
            advertised_host: String::new(),
            resource_manager: DEFAULT_RESOURCE_MANAGER,
            place: String::new(),
            tenant: String::new(),
            challenge: vec![DigestAlgorithm::Md5],
            min_expires: 30,
            max_expires: 3600,
            max_contacts: 5,
            requests_per_second: 100,
            requests_burst: 1000,
            connections_per_address: 100,
            message_seconds: 10,
            wrong_passwords: 10,
            lock_out_seconds: 60,
            trusted: vec!["127.0.0.0/8".to_owned(), "::1".to_owned()],
            max_calls: 2000,
            ring_seconds: 60,
            setup_seconds: 8,
            arm_milliseconds: 300,
            control_seconds: 5,
            probe_seconds: 2,
            silence_seconds: 300,
            phone_probe_seconds: 30,
        }
    }
}

impl Config {
    /// Which sources have no limits.
    pub fn trusted(&self) -> Result<Vec<Network>, NotANetwork> {
        self.trusted.iter().map(|text| text.parse()).collect()
    }

    /// When an account is locked.
    pub fn lock_out(&self) -> lockout::Terms {
        let lasts = Duration::from_secs(self.lock_out_seconds.clamp(1, MAX_LOCK_OUT));
        lockout::Terms { wrong: self.wrong_passwords.max(1), lasts }
    }

    /// How long a call waits for what.
    pub fn limits(&self) -> Limits {
        Limits {
            setup: Duration::from_secs(self.setup_seconds),
            ring: Duration::from_secs(self.ring_seconds),
            arm: Duration::from_millis(self.arm_milliseconds),
            control: Duration::from_secs(self.control_seconds),
            probe: Duration::from_secs(self.probe_seconds),
            silence: Duration::from_secs(self.silence_seconds),
            phone_probe: Duration::from_secs(self.phone_probe_seconds),
        }
    }
}
