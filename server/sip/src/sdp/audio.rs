//! One audio line.

use super::{Direction, Format, Key, SdpError};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

const DISCARD_PORT: u16 = 9;
/// More keys than any phone offers; the rest is passed over.
const MAX_KEYS: usize = 16;

/// How RTP travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// RTP/AVP: plain, or protected where both sides give keys all the same.
    Avp,
    /// RTP/SAVP: protected.
    Savp,
}

impl Profile {
    /// As in the m-line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Avp => "RTP/AVP",
            Self::Savp => "RTP/SAVP",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        [Self::Avp, Self::Savp].into_iter().find(|profile| profile.name().eq_ignore_ascii_case(name))
    }
}

/// One audio line: where, what, which way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audio {
    /// Where to send RTP.
    pub address: IpAddr,
    /// RTP port.
    pub port: u16,
    /// Where to send RTCP (RFC 3605), unless it is the next port.
    pub rtcp: Option<SocketAddr>,
    /// Plain or protected.
    pub profile: Profile,
    /// With what the party protects what it sends; of an offer, most wanted first; empty: it does not.
    pub keys: Vec<Key>,
    /// In order of preference; at least one is a voice.
    pub formats: Vec<Format>,
    /// Which way.
    pub direction: Direction,
    /// Packet time in milliseconds, where stated.
    pub ptime: Option<u16>,
}

/// What two sides have agreed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agreed {
    /// One voice, and what goes with it.
    pub formats: Vec<Format>,
    /// The offerer's key that the answerer chose.
    pub offerer: Vec<Key>,
    /// The answerer's key.
    pub answerer: Vec<Key>,
}

impl Audio {
    /// An endpoint that sends and receives plain RTP.
    pub fn at(address: SocketAddr, formats: Vec<Format>) -> Self {
        Self {
            address: address.ip(),
            port: address.port(),
            rtcp: None,
            profile: Profile::Avp,
            keys: Vec::new(),
            formats,
            direction: Direction::SendRecv,
            ptime: None,
        }
    }

    /// What a party without a media address yet offers: the formats, nowhere to send, inactive.
    pub fn placeholder(formats: Vec<Format>) -> Self {
        let nowhere = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), DISCARD_PORT);
        Self { direction: Direction::Inactive, ..Self::at(nowhere, formats) }
    }

    /// The same line with these formats.
    pub fn with_formats(&self, formats: Vec<Format>) -> Self {
        Self { formats, ..self.clone() }
    }

    /// The same line in this direction.
    pub fn with_direction(&self, direction: Direction) -> Self {
        Self { direction, ..self.clone() }
    }

    /// The same line with these keys.
    pub fn with_keys(&self, keys: Vec<Key>) -> Self {
        Self { keys, ..self.clone() }
    }

    /// This address, protected as the line of the party whose packets will be sent from it.
    pub fn on_behalf_of(&self, party: &Self) -> Self {
        Self { profile: party.profile, keys: party.keys.clone(), ..self.clone() }
    }

    /// Of several keys that were offered, the one that the other side has chosen.
    pub fn keep_key_of(&mut self, other: Option<&Self>) {
        let chosen = other.and_then(|other| other.keys.first()).map(|key| (key.tag, key.suite));
        self.keys.retain(|key| Some((key.tag, key.suite)) == chosen);
    }

    /// Where RTP goes; `None`: nowhere yet (`0.0.0.0`).
    pub fn rtp(&self) -> Option<SocketAddr> {
        (!self.address.is_unspecified()).then(|| SocketAddr::new(self.address, self.port))
    }

    /// Where RTCP goes.
    pub fn rtcp(&self) -> SocketAddr {
        let next = SocketAddr::new(self.address, self.port.checked_add(1).unwrap_or(self.port));
        self.rtcp.unwrap_or(next)
    }

    /// The line that answers this one from `address`: everything that we carry of it, in the offerer's order, the flow
    /// mirrored, `key` where the offerer protects.
    pub fn answered_at(&self, address: SocketAddr, key: Option<Key>) -> Self {
        Self {
            profile: self.profile,
            keys: key.into_iter().collect(),
            direction: self.direction.flipped(),
            ..Self::at(address, self.formats.clone())
        }
    }

    /// What this offer and that answer, its formats taken out of `carried`, come to; `None`: nothing in common. A key is
    /// agreed on when the answer repeats its tag and suite (RFC 4568 5.1.2).
    pub fn agreed(&self, carried: &[Format], answer: &Self) -> Option<Agreed> {
        let formats = Format::agreed(carried, &answer.formats)?;
        let chosen = answer.keys.iter().find_map(|ours| {
            let same = |offered: &&Key| (offered.tag, offered.suite) == (ours.tag, ours.suite);
            Some((self.keys.iter().find(same)?.clone(), ours.clone()))
        });
        let protected = [self.profile, answer.profile].contains(&Profile::Savp);
        match chosen {
            None if protected || self.profile != answer.profile => None,
            None => Some(Agreed { formats, offerer: Vec::new(), answerer: Vec::new() }),
            Some((offerer, answerer)) => {
                Some(Agreed { formats, offerer: vec![offerer], answerer: vec![answerer] })
            }
        }
    }

    /// An m-line as audio that can be carried; `None`: other media, refused, or nothing that we carry.
    pub(super) fn read(
        session: &sdp_types::Session,
        media: &sdp_types::Media,
    ) -> Result<Option<Self>, SdpError> {
        let Some(profile) = Profile::from_name(&media.proto) else { return Ok(None) };
        if !is_audio(media) {
            return Ok(None);
        }
        let formats: Vec<Format> =
            media.fmt.split_ascii_whitespace().filter_map(|text| Format::read(media, text)).collect();
        let keys: Vec<Key> =
            values(&media.attributes, "crypto").filter_map(Key::read).take(MAX_KEYS).collect();
        if !formats.iter().any(|format| format.codec().is_some())
            || (profile == Profile::Savp && keys.is_empty())
        {
            return Ok(None);
        }
        let connection =
            media.connections.first().or(session.connection.as_ref()).ok_or(SdpError::Malformed)?;
        let address: IpAddr = connection.connection_address.parse().map_err(|_| SdpError::Malformed)?;
        let said = direction(&media.attributes).or_else(|| direction(&session.attributes));
        let said = said.unwrap_or(Direction::SendRecv);
        // RFC 3264 8.4: the hold of RFC 2543, still in use.
        let direction = if address.is_unspecified() { Direction::new(said.sends(), false) } else { said };
        let ptime = values(&media.attributes, "ptime").next().and_then(|value| value.trim().parse().ok());
        let rtcp = rtcp(media, address);
        Ok(Some(Self { address, port: media.port, rtcp, profile, keys, formats, direction, ptime }))
    }
}

/// An audio line that is not refused.
pub(super) fn is_audio(media: &sdp_types::Media) -> bool {
    media.media.eq_ignore_ascii_case("audio") && media.port != 0
}

/// The values of an attribute.
pub(super) fn values<'a>(
    attributes: &'a [sdp_types::Attribute],
    name: &'a str,
) -> impl Iterator<Item = &'a str> {
    attributes.iter().filter(move |a| a.attribute == name).filter_map(|a| a.value.as_deref())
}

fn direction(attributes: &[sdp_types::Attribute]) -> Option<Direction> {
    attributes.iter().find_map(|a| Direction::from_name(&a.attribute))
}

/// RFC 3605: a port, and perhaps an address.
fn rtcp(media: &sdp_types::Media, address: IpAddr) -> Option<SocketAddr> {
    let mut fields = values(&media.attributes, "rtcp").next()?.split_ascii_whitespace();
    let port = fields.next()?.parse().ok().filter(|port| *port != 0)?;
    let other = fields.nth(2).and_then(|text| text.parse().ok());
    Some(SocketAddr::new(other.unwrap_or(address), port))
}
