//! Session descriptions: a thin layer over `sdp-types` for audio offers and answers (RFC 3264, RFC 8866).
//!
//! What is not looked at is kept as it came: other m-lines, unknown attributes.

use std::net::{IpAddr, SocketAddr};

use sdp_types::{Attribute, Connection, Media, Origin, Time};

/// Why a description cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SdpError {
    /// Not a session description.
    #[error("malformed session description")]
    Malformed,
    /// No usable audio line (RFC 3261 13.3.1.3: 488).
    #[error("no usable audio")]
    NoAudio,
    /// No format in common (488).
    #[error("no codec in common")]
    NoCommonCodec,
}

/// Who may send, seen from the describing side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Both.
    SendRecv,
    /// The describing side only.
    SendOnly,
    /// The other side only.
    RecvOnly,
    /// Nobody.
    Inactive,
}

impl Direction {
    /// The attribute's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SendRecv => "sendrecv",
            Self::SendOnly => "sendonly",
            Self::RecvOnly => "recvonly",
            Self::Inactive => "inactive",
        }
    }

    const ALL: [Self; 4] = [Self::SendRecv, Self::SendOnly, Self::RecvOnly, Self::Inactive];

    fn flags(self) -> (bool, bool) {
        (matches!(self, Self::SendRecv | Self::SendOnly), matches!(self, Self::SendRecv | Self::RecvOnly))
    }

    fn of_flags(send: bool, receive: bool) -> Self {
        match (send, receive) {
            (true, true) => Self::SendRecv,
            (true, false) => Self::SendOnly,
            (false, true) => Self::RecvOnly,
            (false, false) => Self::Inactive,
        }
    }

    /// The same flow seen from the other side.
    pub fn mirrored(self) -> Self {
        let (send, receive) = self.flags();
        Self::of_flags(receive, send)
    }

    /// What may be answered to an offer of this direction by a side that wants `ours` (RFC 3264 6.1).
    pub fn answer(self, ours: Self) -> Self {
        let ((may_send, may_receive), (send, receive)) = (self.mirrored().flags(), ours.flags());
        Self::of_flags(send && may_send, receive && may_receive)
    }
}

/// One format of an m-line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Codec {
    /// The RTP payload type.
    pub payload_type: u8,
    /// The encoding name as written (`PCMU`).
    pub name: String,
    /// Clock rate in Hz.
    pub rate: u32,
    /// Channels, 1 unless said.
    pub channels: u8,
    /// Format parameters.
    pub fmtp: Option<String>,
}

impl Codec {
    /// A codec without format parameters.
    pub fn new(payload_type: u8, name: &str, rate: u32) -> Self {
        Self { payload_type, name: name.to_owned(), rate, channels: 1, fmtp: None }
    }

    /// The same encoding, whatever payload type either side gave it.
    pub fn matches(&self, other: &Self) -> bool {
        self.name.eq_ignore_ascii_case(&other.name)
            && self.rate == other.rate
            && self.channels == other.channels
    }

    /// Is it telephone-event (RFC 4733)?
    pub fn is_telephone_event(&self) -> bool {
        self.name.eq_ignore_ascii_case("telephone-event")
    }
}

/// Payload types that need no `rtpmap` (RFC 3551 table 4), as far as telephony meets them.
const STATIC: &[(u8, &str, u32)] = &[
    (0, "PCMU", 8000),
    (3, "GSM", 8000),
    (4, "G723", 8000),
    (8, "PCMA", 8000),
    (9, "G722", 8000),
    (13, "CN", 8000),
    (18, "G729", 8000),
];

/// A session description with one audio line that matters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session(sdp_types::Session);

impl Session {
    /// Reads a description.
    pub fn parse(bytes: &[u8]) -> Result<Self, SdpError> {
        sdp_types::Session::parse(bytes).map(Self).map_err(|_| SdpError::Malformed)
    }

    /// A description of one audio line.
    pub fn audio_of(
        address: SocketAddr,
        codecs: &[Codec],
        direction: Direction,
        id: u64,
        version: u64,
    ) -> Self {
        let origin = Origin::with_ip_addr(id, version, address.ip());
        let mut session = sdp_types::Session::new(origin, "-");
        session.connection = Some(Connection::from_ip_addr(address.ip()));
        session.times.push(Time::new(0, 0));
        session.medias.push(audio_line(address.port(), codecs, direction));
        Self(session)
    }

    /// The description as it goes into a body.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.0.write(&mut out).expect("writing to memory does not fail");
        out
    }

    /// Everything in it.
    pub fn inner(&self) -> &sdp_types::Session {
        &self.0
    }

    /// The first audio line that is not refused (port 0), over plain RTP.
    pub fn audio(&self) -> Result<Audio<'_>, SdpError> {
        let usable = |m: &&Media| m.media.eq_ignore_ascii_case("audio") && m.port != 0 && is_rtp(&m.proto);
        let media = self.0.medias.iter().find(usable).ok_or(SdpError::NoAudio)?;
        Ok(Audio { session: &self.0, media })
    }

    /// The answer to this offer (RFC 3264 6): the codecs of ours that are offered, in the offer's order and numbering;
    /// every other m-line refused with port 0.
    pub fn answer(
        &self,
        address: SocketAddr,
        ours: &[Codec],
        wanted: Direction,
        id: u64,
        version: u64,
    ) -> Result<Self, SdpError> {
        let audio = self.audio()?;
        let common = audio.common(ours);
        if !common.iter().any(|c| !c.is_telephone_event()) {
            return Err(SdpError::NoCommonCodec);
        }
        let direction = audio.direction().answer(wanted);
        let mut answer = Self::audio_of(address, &common, direction, id, version).0;
        let chosen = audio_line(address.port(), &common, direction);
        answer.medias = (self.0.medias.iter())
            .map(|offered| if std::ptr::eq(offered, audio.media) { chosen.clone() } else { refused(offered) })
            .collect();
        Ok(Self(answer))
    }

    /// Sets the direction of every m-line (hold: `SendOnly` or `Inactive`) and counts the version up.
    pub fn with_direction(mut self, direction: Direction) -> Self {
        let is_direction = |a: &Attribute| Direction::ALL.iter().any(|d| d.as_str() == a.attribute);
        self.0.attributes.retain(|a| !is_direction(a));
        for media in &mut self.0.medias {
            media.attributes.retain(|a| !is_direction(a));
            media.attributes.push(Attribute::new(direction.as_str()));
        }
        self.0.origin.sess_version = self.0.origin.sess_version.saturating_add(1);
        self
    }
}

/// One audio line of a description.
#[derive(Debug, Clone, Copy)]
pub struct Audio<'a> {
    session: &'a sdp_types::Session,
    media: &'a Media,
}

impl Audio<'_> {
    /// Where its RTP is wanted; `None` when the address is a name. `0.0.0.0` is an old way to hold.
    pub fn address(&self) -> Option<SocketAddr> {
        let connection = self.media.connections.first().or(self.session.connection.as_ref())?;
        let ip: IpAddr = connection.try_address().ok()?.ip;
        Some(SocketAddr::new(ip, self.media.port))
    }

    /// The direction of the line, of the session, or `sendrecv`; an unspecified address counts as hold (RFC 3264 8.4).
    pub fn direction(&self) -> Direction {
        let attributes = self.media.attributes.iter().chain(&self.session.attributes);
        let said =
            attributes.filter_map(|a| Direction::ALL.into_iter().find(|d| d.as_str() == a.attribute)).next();
        let said = said.unwrap_or(Direction::SendRecv);
        match self.address() {
            Some(address) if address.ip().is_unspecified() => Direction::of_flags(said.flags().0, false),
            _ => said,
        }
    }

    /// Its formats in order of preference; dynamic ones without `rtpmap` are left out.
    pub fn codecs(&self) -> Vec<Codec> {
        self.media
            .fmt
            .split_whitespace()
            .filter_map(|f| f.parse().ok())
            .filter_map(|pt| self.codec(pt))
            .collect()
    }

    /// The codecs of ours that are offered here, in the offer's order and numbering.
    pub fn common(&self, ours: &[Codec]) -> Vec<Codec> {
        self.codecs().into_iter().filter(|offered| ours.iter().any(|o| o.matches(offered))).collect()
    }

    /// The value of an attribute of this line.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.media.attributes.iter().find(|a| a.attribute == name).and_then(|a| a.value.as_deref())
    }

    fn codec(&self, payload_type: u8) -> Option<Codec> {
        let fmtp = self.value_of("fmtp", payload_type).map(str::to_owned);
        if let Some(map) = self.value_of("rtpmap", payload_type) {
            let mut parts = map.split('/').map(str::trim);
            let (name, rate) = (parts.next()?.to_owned(), parts.next()?.parse().ok()?);
            let channels = parts.next().map_or(Some(1), |c| c.parse().ok())?;
            return Some(Codec { payload_type, name, rate, channels, fmtp });
        }
        let (_, name, rate) = STATIC.iter().find(|(pt, ..)| *pt == payload_type)?;
        Some(Codec { fmtp, ..Codec::new(payload_type, name, *rate) })
    }

    /// The value of `a=name:<payload type> value`.
    fn value_of(&self, name: &str, payload_type: u8) -> Option<&str> {
        let values =
            self.media.attributes.iter().filter(|a| a.attribute == name).filter_map(|a| a.value.as_deref());
        values
            .filter_map(|v| v.split_once(' '))
            .find(|(pt, _)| pt.parse() == Ok(payload_type))
            .map(|(_, v)| v.trim())
    }
}

fn is_rtp(proto: &str) -> bool {
    matches!(proto, "RTP/AVP" | "RTP/AVPF")
}

fn audio_line(port: u16, codecs: &[Codec], direction: Direction) -> Media {
    let formats: Vec<String> = codecs.iter().map(|c| c.payload_type.to_string()).collect();
    let mut media = Media {
        media: "audio".into(),
        port,
        num_ports: None,
        proto: "RTP/AVP".into(),
        fmt: formats.join(" "),
        media_title: None,
        connections: Vec::new(),
        bandwidths: Vec::new(),
        key: None,
        attributes: Vec::new(),
    };
    for codec in codecs {
        let channels = if codec.channels == 1 { String::new() } else { format!("/{}", codec.channels) };
        let map = format!("{} {}/{}{channels}", codec.payload_type, codec.name, codec.rate);
        media.attributes.push(Attribute::with_value("rtpmap", map));
        if let Some(fmtp) = &codec.fmtp {
            media.attributes.push(Attribute::with_value("fmtp", format!("{} {fmtp}", codec.payload_type)));
        }
    }
    media.attributes.push(Attribute::new(direction.as_str()));
    media
}

fn refused(offered: &Media) -> Media {
    let mut media = offered.clone();
    media.port = 0;
    media.attributes.clear();
    media.connections.clear();
    media.bandwidths.clear();
    media
}

#[cfg(test)]
mod tests {
    use super::*;

    const OFFER: &str = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n\
        m=video 4000 RTP/AVP 31\r\nm=audio 4002 RTP/AVP 18 8 96 0 101\r\na=rtpmap:96 opus/48000/2\r\n\
        a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=x-unknown:kept\r\n";

    fn g711() -> Vec<Codec> {
        vec![
            Codec::new(0, "PCMU", 8000),
            Codec::new(8, "PCMA", 8000),
            Codec::new(100, "telephone-event", 8000),
        ]
    }

    fn here() -> SocketAddr {
        "192.0.2.2:20000".parse().unwrap()
    }

    #[test]
    fn an_answer_keeps_the_order_the_numbers_and_every_m_line() {
        let offer = Session::parse(OFFER.as_bytes()).unwrap();
        assert_eq!(offer.audio().unwrap().address(), Some("192.0.2.1:4002".parse().unwrap()));
        assert_eq!(offer.audio().unwrap().attribute("x-unknown"), Some("kept"));
        let answer = offer.answer(here(), &g711(), Direction::SendRecv, 5, 1).unwrap();
        let text = String::from_utf8(answer.to_bytes()).unwrap();
        assert!(text.contains("m=video 0 RTP/AVP 31\r\nm=audio 20000 RTP/AVP 8 0 101\r\n"), "{text}");
        let audio = answer.audio().unwrap();
        assert_eq!(audio.codecs()[2].fmtp.as_deref(), Some("0-15"));
        assert_eq!((audio.address(), audio.direction()), (Some(here()), Direction::SendRecv));
        assert_eq!(Session::parse(&answer.to_bytes()).unwrap(), answer);
    }

    #[test]
    fn holding_is_understood_in_each_of_its_shapes() {
        let hold = |from: &str, to: &str| {
            let offer = Session::parse(OFFER.replace(from, to).as_bytes()).unwrap();
            offer.answer(here(), &g711(), Direction::SendRecv, 5, 1).unwrap().audio().unwrap().direction()
        };
        assert_eq!(hold("a=x-unknown:kept", "a=sendonly"), Direction::RecvOnly);
        assert_eq!(hold("a=x-unknown:kept", "a=inactive"), Direction::Inactive);
        assert_eq!(hold("t=0 0\r\n", "t=0 0\r\na=sendonly\r\n"), Direction::RecvOnly);
        assert_eq!(hold("c=IN IP4 192.0.2.1", "c=IN IP4 0.0.0.0"), Direction::RecvOnly);
        let held = Session::parse(OFFER.as_bytes()).unwrap().with_direction(Direction::SendOnly);
        assert_eq!(held.audio().unwrap().direction(), Direction::SendOnly);
        assert_eq!(held.inner().origin.sess_version, 2);
    }

    #[test]
    fn what_cannot_be_answered_says_why() {
        let answer =
            |text: &str| Session::parse(text.as_bytes())?.answer(here(), &g711(), Direction::SendRecv, 5, 1);
        assert_eq!(answer("nonsense"), Err(SdpError::Malformed));
        assert_eq!(answer(&OFFER.replace("m=audio 4002", "m=audio 0")), Err(SdpError::NoAudio));
        assert_eq!(answer(&OFFER.replace("4002 RTP/AVP", "4002 RTP/SAVP")), Err(SdpError::NoAudio));
        assert_eq!(answer(&OFFER.replace("18 8 96 0 101", "18 96 101")), Err(SdpError::NoCommonCodec));
    }
}
