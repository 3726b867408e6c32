//! Offers and answers (RFC 3264) as this B2BUA needs them: one audio line in G.711 with telephone events (RFC 4733).
//!
//! Descriptions are read into [`Description`] and written anew, so nothing that we do not understand (ICE, crypto
//! attributes, candidates) crosses from one party to the other.

use std::fmt::{self, Write as _};
use std::net::{IpAddr, Ipv4Addr};

/// What goes in one RTP payload format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codec {
    /// G.711 µ-law.
    Pcmu,
    /// G.711 A-law.
    Pcma,
    /// DTMF as RTP events (RFC 4733).
    TelephoneEvent,
}

impl Codec {
    fn name(self) -> &'static str {
        match self {
            Codec::Pcmu => "PCMU",
            Codec::Pcma => "PCMA",
            Codec::TelephoneEvent => "telephone-event",
        }
    }

    fn from_rtpmap(encoding: &str) -> Option<Self> {
        let mut parts = encoding.split('/');
        let (name, rate, channels) = (parts.next()?, parts.next()?, parts.next().unwrap_or("1"));
        if rate != "8000" || channels != "1" {
            return None;
        }
        [Codec::Pcmu, Codec::Pcma, Codec::TelephoneEvent]
            .into_iter()
            .find(|codec| codec.name().eq_ignore_ascii_case(name))
    }

    fn is_voice(self) -> bool {
        self != Codec::TelephoneEvent
    }
}

/// A payload type and what it stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Format {
    /// 0 to 127.
    pub payload_type: u8,
    /// What it stands for.
    pub codec: Codec,
    /// Parameters, passed on as they are.
    pub fmtp: Option<String>,
}

/// Who may send (RFC 3264 5.1), from the describing party's point of view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Both ways.
    SendRecv,
    /// The describing party only sends: it holds the other.
    SendOnly,
    /// The describing party only listens.
    RecvOnly,
    /// Neither.
    Inactive,
}

impl Direction {
    fn name(self) -> &'static str {
        match self {
            Direction::SendRecv => "sendrecv",
            Direction::SendOnly => "sendonly",
            Direction::RecvOnly => "recvonly",
            Direction::Inactive => "inactive",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        [Direction::SendRecv, Direction::SendOnly, Direction::RecvOnly, Direction::Inactive]
            .into_iter()
            .find(|direction| direction.name() == name)
    }

    /// Of these two ways.
    pub fn new(sends: bool, receives: bool) -> Self {
        match (sends, receives) {
            (true, true) => Direction::SendRecv,
            (true, false) => Direction::SendOnly,
            (false, true) => Direction::RecvOnly,
            (false, false) => Direction::Inactive,
        }
    }

    /// Whether the describing party sends.
    pub fn sends(self) -> bool {
        matches!(self, Direction::SendRecv | Direction::SendOnly)
    }

    /// Whether it listens.
    pub fn receives(self) -> bool {
        matches!(self, Direction::SendRecv | Direction::RecvOnly)
    }

    /// The same flow from the other end's point of view.
    pub fn flipped(self) -> Self {
        Direction::new(self.receives(), self.sends())
    }

    /// Whether the describing party has put the other on hold: it does not listen.
    pub fn holds(self) -> bool {
        !self.receives()
    }

    /// What may be answered to an offer in this direction by someone who would like `wish` (RFC 3264 6.1).
    pub fn answer(self, wish: Direction) -> Direction {
        Direction::new(wish.sends() && self.receives(), wish.receives() && self.sends())
    }
}

/// One audio line: where, what, which way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audio {
    /// Where to send RTP.
    pub address: IpAddr,
    /// RTP port.
    pub port: u16,
    /// In order of preference; at least one is a voice codec.
    pub formats: Vec<Format>,
    /// Which way.
    pub direction: Direction,
    /// Packet time in milliseconds, where stated.
    pub ptime: Option<u16>,
}

impl Audio {
    /// What a party without a media address yet offers: the formats, nowhere to send, inactive.
    pub fn placeholder(formats: Vec<Format>) -> Self {
        Self {
            address: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            port: DISCARD_PORT,
            formats,
            direction: Direction::Inactive,
            ptime: None,
        }
    }

    /// Everything that we carry, for a call whose caller made no offer.
    pub fn everything() -> Vec<Format> {
        vec![
            Format { payload_type: 0, codec: Codec::Pcmu, fmtp: None },
            Format { payload_type: 8, codec: Codec::Pcma, fmtp: None },
            Format { payload_type: 101, codec: Codec::TelephoneEvent, fmtp: Some("0-15".to_owned()) },
        ]
    }

    /// The same line with these formats.
    pub fn with_formats(&self, formats: Vec<Format>) -> Self {
        Self { formats, ..self.clone() }
    }

    /// The same line in this direction.
    pub fn with_direction(&self, direction: Direction) -> Self {
        Self { direction, ..self.clone() }
    }

    /// The first voice codec of `answered` that `offered` has under the same payload type, and telephone events where
    /// both have them under one: the relay does not rewrite payload types. `None`: nothing in common.
    pub fn agreed(offered: &[Format], answered: &[Format]) -> Option<Vec<Format>> {
        let shared = |format: &&Format| {
            offered
                .iter()
                .any(|other| other.codec == format.codec && other.payload_type == format.payload_type)
        };
        let voice = answered.iter().filter(|format| format.codec.is_voice()).find(shared)?;
        let events = answered.iter().filter(|format| !format.codec.is_voice()).find(shared);
        Some(std::iter::once(voice).chain(events).cloned().collect())
    }
}

const DISCARD_PORT: u16 = 9;
/// More m-lines than any phone sends; a description beyond it is refused.
const MAX_LINES: usize = 16;

/// An m-line that we refuse: all that must be repeated of it (RFC 3264 6).
#[derive(Clone, Debug, PartialEq, Eq)]
struct Refused {
    media: String,
    proto: String,
    fmt: String,
}

/// The m-lines of a dialog so far: later descriptions must keep their number and order (RFC 3264 8).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shape {
    lines: Vec<Refused>,
    audio: usize,
}

impl Shape {
    /// The lines of a later description, which may have added some.
    pub fn follow(&mut self, description: &Description) {
        self.audio = description.shape.audio;
        for (index, line) in description.shape.lines.iter().enumerate() {
            match self.lines.get_mut(index) {
                Some(known) => *known = line.clone(),
                None => self.lines.push(line.clone()),
            }
        }
    }
}

/// What a party sent: its audio line, and the lines round it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// The line that we carry.
    pub audio: Audio,
    shape: Shape,
}

/// Why a description cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SdpError {
    /// No SDP at all.
    #[error("not a session description")]
    Malformed,
    /// Nothing that we carry: 488.
    #[error("no audio line in G.711")]
    NothingInCommon,
}

impl Description {
    /// Reads a body of `application/sdp`.
    pub fn parse(body: &[u8]) -> Result<Self, SdpError> {
        let session = sdp_types::Session::parse(body).map_err(|_| SdpError::Malformed)?;
        if session.medias.is_empty() || session.medias.len() > MAX_LINES {
            return Err(SdpError::NothingInCommon);
        }
        let (index, audio) = session
            .medias
            .iter()
            .enumerate()
            .find_map(|(index, media)| read_audio(&session, media).map(|audio| (index, audio)))
            .ok_or(SdpError::NothingInCommon)?;
        let lines = session
            .medias
            .iter()
            .map(|media| Refused {
                media: media.media.clone(),
                proto: media.proto.clone(),
                fmt: media.fmt.clone(),
            })
            .collect();
        Ok(Self { audio, shape: Shape { lines, audio: index } })
    }
}

fn read_audio(session: &sdp_types::Session, media: &sdp_types::Media) -> Option<Audio> {
    if media.media != "audio" || media.port == 0 || !media.proto.eq_ignore_ascii_case("RTP/AVP") {
        return None;
    }
    let connection = media.connections.first().or(session.connection.as_ref())?;
    let address: IpAddr = connection.connection_address.parse().ok()?;
    let formats: Vec<Format> =
        media.fmt.split_ascii_whitespace().filter_map(|pt| read_format(media, pt)).collect();
    if !formats.iter().any(|format| format.codec.is_voice()) {
        return None;
    }
    let direction =
        direction_in(&media.attributes).or(direction_in(&session.attributes)).unwrap_or(Direction::SendRecv);
    // RFC 3264 8.4: the hold of RFC 2543, still in use.
    let direction =
        if address.is_unspecified() { Direction::new(direction.sends(), false) } else { direction };
    let ptime = attribute(&media.attributes, "ptime").and_then(|value| value.trim().parse().ok());
    Some(Audio { address, port: media.port, formats, direction, ptime })
}

fn read_format(media: &sdp_types::Media, text: &str) -> Option<Format> {
    let payload_type: u8 = text.parse().ok().filter(|pt| *pt < 128)?;
    let mapped = values(&media.attributes, "rtpmap").find_map(|value| of_payload_type(value, payload_type));
    let codec = match (mapped, payload_type) {
        (Some(encoding), _) => Codec::from_rtpmap(encoding)?,
        (None, 0) => Codec::Pcmu,
        (None, 8) => Codec::Pcma,
        (None, _) => return None,
    };
    let fmtp = values(&media.attributes, "fmtp")
        .find_map(|value| of_payload_type(value, payload_type))
        .map(str::to_owned);
    Some(Format { payload_type, codec, fmtp })
}

fn of_payload_type(value: &str, payload_type: u8) -> Option<&str> {
    let (pt, rest) = value.split_once(' ')?;
    (pt.parse() == Ok(payload_type)).then(|| rest.trim())
}

fn values<'a>(attributes: &'a [sdp_types::Attribute], name: &'a str) -> impl Iterator<Item = &'a str> {
    attributes.iter().filter(move |a| a.attribute == name).filter_map(|a| a.value.as_deref())
}

fn attribute<'a>(attributes: &'a [sdp_types::Attribute], name: &'a str) -> Option<&'a str> {
    values(attributes, name).next()
}

fn direction_in(attributes: &[sdp_types::Attribute]) -> Option<Direction> {
    attributes.iter().find_map(|a| Direction::from_name(&a.attribute))
}

/// Writes the descriptions of one dialog: keeps its session id, and its version in step with every change (RFC 3264 8).
#[derive(Clone, Debug)]
pub struct Writer {
    session: u64,
    version: u64,
    last: String,
}

impl Writer {
    /// A dialog of this session id.
    pub fn new(session: u64) -> Self {
        Self { session, version: 0, last: String::new() }
    }

    /// The description with this audio line, every other line of `shape` refused.
    pub fn write(&mut self, audio: &Audio, shape: &Shape) -> Vec<u8> {
        let body = Body { audio, shape }.to_string();
        if body != self.last {
            self.version += 1;
            self.last = body;
        }
        let family = if audio.address.is_ipv4() { "IP4" } else { "IP6" };
        format!(
            "v=0\r\no=hindsight {} {} IN {family} {}\r\ns=-\r\n{}",
            self.session, self.version, audio.address, self.last
        )
        .into_bytes()
    }
}

struct Body<'a> {
    audio: &'a Audio,
    shape: &'a Shape,
}

impl fmt::Display for Body<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let family = if self.audio.address.is_ipv4() { "IP4" } else { "IP6" };
        write!(f, "c=IN {family} {}\r\nt=0 0\r\n", self.audio.address)?;
        for index in 0..self.shape.lines.len().max(1) {
            match self.shape.lines.get(index) {
                Some(line) if index != self.shape.audio => {
                    write!(f, "m={} 0 {} {}\r\n", line.media, line.proto, line.fmt)?;
                }
                Some(_) | None => self.audio.fmt(f)?,
            }
        }
        Ok(())
    }
}

impl fmt::Display for Audio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut attributes = String::new();
        write!(f, "m=audio {} RTP/AVP", self.port)?;
        for Format { payload_type, codec, fmtp } in &self.formats {
            write!(f, " {payload_type}")?;
            write!(attributes, "a=rtpmap:{payload_type} {}/8000\r\n", codec.name())?;
            if let Some(fmtp) = fmtp {
                write!(attributes, "a=fmtp:{payload_type} {fmtp}\r\n")?;
            }
        }
        if let Some(ptime) = self.ptime {
            write!(attributes, "a=ptime:{ptime}\r\n")?;
        }
        write!(f, "\r\n{attributes}a={}\r\n", self.direction.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PHONE: &str = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n\
        m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n\
        m=audio 4000 RTP/AVP 9 0 8 101\r\na=rtpmap:9 G722/8000\r\na=rtpmap:101 telephone-event/8000\r\n\
        a=fmtp:101 0-15\r\na=candidate:1 1 UDP 1 10.0.0.1 4000 typ host\r\na=ptime:20\r\na=sendonly\r\n";

    #[test]
    fn a_description_written_keeps_lines_codecs_and_direction_and_nothing_else() {
        let read = Description::parse(PHONE.as_bytes()).unwrap();
        assert_eq!(read.audio.formats.iter().map(|f| f.payload_type).collect::<Vec<_>>(), [0, 8, 101]);
        assert!(read.audio.direction.holds());
        let mut shape = Shape::default();
        shape.follow(&read);
        let text = String::from_utf8(Writer::new(7).write(&read.audio, &shape)).unwrap();
        assert!(text.contains("o=hindsight 7 1 IN IP4 192.0.2.1\r\n"));
        assert!(text.contains("m=video 0 RTP/AVP 96\r\nm=audio 4000 RTP/AVP 0 8 101\r\n"), "{text}");
        assert!(text.contains("a=sendonly\r\n") && !text.contains("candidate"));
        assert_eq!(Description::parse(text.as_bytes()).unwrap().audio, read.audio);
    }

    #[test]
    fn the_version_grows_only_with_a_change() {
        let read = Description::parse(PHONE.as_bytes()).unwrap();
        let (mut writer, shape) = (Writer::new(1), Shape::default());
        let first = writer.write(&read.audio, &shape);
        assert_eq!(writer.write(&read.audio, &shape), first);
        let held = writer.write(&read.audio.with_direction(Direction::Inactive), &shape);
        assert!(String::from_utf8(held).unwrap().contains("o=hindsight 1 2 "));
    }

    #[test]
    fn the_hold_of_rfc_2543_is_a_hold() {
        let text =
            PHONE.replace("a=sendonly", "a=sendrecv").replace("c=IN IP4 192.0.2.1", "c=IN IP4 0.0.0.0");
        assert_eq!(Description::parse(text.as_bytes()).unwrap().audio.direction, Direction::SendOnly);
    }

    #[test]
    fn a_codec_under_another_payload_type_is_not_agreed() {
        let offered = Audio::everything();
        let mut answered = Audio::everything();
        answered[2].payload_type = 96;
        let agreed = Audio::agreed(&offered, &answered[1..]).unwrap();
        assert_eq!(agreed.iter().map(|f| f.codec).collect::<Vec<_>>(), [Codec::Pcma]);
        assert_eq!(Audio::agreed(&offered[..1], &answered[1..]), None);
    }

    #[test]
    fn what_we_cannot_carry_is_named() {
        assert_eq!(Description::parse(b"hello"), Err(SdpError::Malformed));
        let srtp = PHONE.replace("RTP/AVP 9", "RTP/SAVP 9");
        assert_eq!(Description::parse(srtp.as_bytes()), Err(SdpError::NothingInCommon));
        assert_eq!(
            Description::parse(PHONE.replace("9 0 8 101", "9").as_bytes()),
            Err(SdpError::NothingInCommon)
        );
    }

    #[test]
    fn an_answer_never_allows_what_the_offer_did_not() {
        use Direction::*;
        assert_eq!(SendOnly.answer(SendRecv), RecvOnly);
        assert_eq!(SendRecv.answer(SendOnly), SendOnly);
        assert_eq!(Inactive.answer(SendRecv), Inactive);
        assert_eq!(RecvOnly.answer(RecvOnly), Inactive);
    }
}
