//! Process settings of the resource manager.

use crate::member::Member;
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

/// Settings; all have defaults.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// UDP and TCP listener.
    pub listen: SocketAddr,
    /// Host that SIP servers and media servers reach us at, for Record-Route and Via; empty: the address of the listener.
    pub advertised_host: String,
    /// The media servers: addresses, or tables with what is special about one (`address`, `place`, `roles`, `drain`).
    pub pool: Vec<Member>,
    /// Addresses of the session recording clients (SIPREC) whose recording sessions are taken; others are refused with 403.
    pub recording_clients: Vec<IpAddr>,
    /// Milliseconds between two health checks of a media server; what is unanswered by the next one is missed. Many quick
    /// checks tell a loss as early as few slow ones, and bear more lost packets.
    pub health_milliseconds: u64,
    /// Missed health checks in a row after which a media server counts as lost; three times as many for the last one
    /// that is left: its calls have nowhere to go.
    pub health_missed: u32,
    /// Milliseconds for a media server to say anything to an INVITE before the next one is asked.
    pub try_milliseconds: u64,
    /// Sessions at a time; more are refused with 503.
    pub max_sessions: usize,
    /// Sessions at a time of a tenant (parameter `tenant` of the conference URI); one that is not named has no limit of
    /// its own. A conference that was let in gets all its legs.
    pub tenant_sessions: BTreeMap<String, usize>,
    /// Hours after which a conference of which nothing was heard is forgotten.
    pub idle_hours: u64,
}

/// Default listener.
const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 5070);
/// Default pool: the media server of the same host.
const DEFAULT_MEDIA_SERVER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 5080);

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: DEFAULT_LISTEN,
            advertised_host: String::new(),
            pool: vec![DEFAULT_MEDIA_SERVER.into()],
            recording_clients: Vec::new(),
            health_milliseconds: 250,
            health_missed: 6,
            try_milliseconds: 1500,
            max_sessions: 4000,
            tenant_sessions: BTreeMap::new(),
            idle_hours: 12,
        }
    }
}

impl Config {
    /// Between two health checks.
    pub fn health_interval(&self) -> Duration {
        Duration::from_millis(self.health_milliseconds.max(50))
    }

    /// For a media server to say anything to an INVITE.
    pub fn try_limit(&self) -> Duration {
        Duration::from_millis(self.try_milliseconds)
    }

    /// After which a silent conference is forgotten.
    pub fn idle_limit(&self) -> Duration {
        Duration::from_secs(self.idle_hours.saturating_mul(3600))
    }
}
