//! A media server of the pool, as it is configured: its address, or a table.

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, MapAccess, Visitor, value::MapAccessDeserializer},
};
use std::{fmt, net::SocketAddr};

/// What a media server is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Legs of calls of our SIP servers.
    Calls,
    /// Recording sessions of other systems (SIPREC).
    RecordingSessions,
}

/// A media server of the pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Where it listens for SIP.
    pub address: SocketAddr,
    /// Where it stands: sessions that name this place (parameter `place` of their URI) come here first; empty: nowhere.
    pub place: String,
    /// What it is used for.
    pub roles: Vec<Role>,
    /// Gets nothing new: what it has ends or goes on there.
    pub drain: bool,
}

impl From<SocketAddr> for Member {
    fn from(address: SocketAddr) -> Self {
        Self { address, place: String::new(), roles: all_roles(), drain: false }
    }
}

fn all_roles() -> Vec<Role> {
    vec![Role::Calls, Role::RecordingSessions]
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    address: SocketAddr,
    #[serde(default)]
    place: String,
    #[serde(default = "all_roles")]
    roles: Vec<Role>,
    #[serde(default)]
    drain: bool,
}

impl Serialize for Member {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { address, place, roles, drain } = self.clone();
        if self == &Member::from(address) {
            return address.serialize(serializer);
        }
        Table { address, place, roles, drain }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Member {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(MemberVisitor)
    }
}

struct MemberVisitor;

impl<'de> Visitor<'de> for MemberVisitor {
    type Value = Member;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a media server: an address, or a table with one")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Member, E> {
        let address: SocketAddr =
            text.parse().map_err(|_| E::custom(format!("`{text}` is no address and port")))?;
        Ok(address.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Member, A::Error> {
        let Table { address, place, roles, drain } = Table::deserialize(MapAccessDeserializer::new(map))?;
        Ok(Member { address, place, roles, drain })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn a_pool_of_addresses_and_tables_is_read_and_written_back() {
        let text = "pool = [\"10.0.0.1:5080\", { address = \"10.0.0.2:5080\", place = \"berlin\", drain = true, \
                    roles = [\"recording-sessions\"] }]";
        let config: Config = toml::from_str(text).unwrap();
        let [plain, special] = &config.pool[..] else { panic!("{config:?}") };
        assert_eq!(*plain, Member::from("10.0.0.1:5080".parse::<SocketAddr>().unwrap()));
        assert_eq!((special.place.as_str(), special.drain), ("berlin", true));
        assert_eq!(special.roles, [Role::RecordingSessions]);
        let again: Config = toml::from_str(&toml::to_string(&config).unwrap()).unwrap();
        assert_eq!(again, config);
    }

    #[test]
    fn what_is_wrong_with_a_media_server_is_named() {
        for (text, named) in [
            ("pool = [\"nowhere\"]", "`nowhere` is no address and port"),
            ("pool = [{ address = \"10.0.0.2:5080\", role = 1 }]", "unknown field `role`"),
            ("pool = [{ place = \"berlin\" }]", "missing field `address`"),
            ("pool = [7]", "a media server: an address"),
        ] {
            let error = toml::from_str::<Config>(text).unwrap_err().to_string();
            assert!(error.contains(named), "{error}");
        }
    }
}
