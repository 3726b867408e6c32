//! Offer and answer (RFC 3264) for one audio line of G.711 and telephone events. Pure.

use crate::{matroska::Codec, recorder::PartySetup, relay::Peer};
use std::{
    fmt::Write as _,
    net::{IpAddr, SocketAddr},
};

/// More media lines than this are refused.
const MAX_MEDIA: usize = 16;

/// Why an offer was refused. Always the offerer's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SdpError {
    /// Not SDP, or no address in it.
    #[error("session description not readable")]
    Malformed,
    /// No audio line with RTP/AVP and G.711 that is not refused.
    #[error("no audio in G.711 offered")]
    NothingInCommon,
}

/// What a party sends and wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Both.
    SendRecv,
    /// It holds the other, perhaps with music.
    SendOnly,
    /// It is held.
    RecvOnly,
    /// Nothing.
    Inactive,
}

impl Direction {
    fn from_attribute(name: &str) -> Option<Self> {
        Some(match name {
            "sendrecv" => Self::SendRecv,
            "sendonly" => Self::SendOnly,
            "recvonly" => Self::RecvOnly,
            "inactive" => Self::Inactive,
            _ => return None,
        })
    }

    /// What the answer says (RFC 3264 6.1).
    fn answer(self) -> &'static str {
        match self {
            Self::SendRecv => "sendrecv",
            Self::SendOnly => "recvonly",
            Self::RecvOnly => "sendonly",
            Self::Inactive => "inactive",
        }
    }
}

/// An offer of a call that can be answered: one audio line, the first that is usable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// The line.
    pub audio: Audio,
    lines: Vec<Line>,
    chosen: usize,
}

/// An offer of a recording session that can be answered: every audio line (RFC 7866 8.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamsOffer {
    lines: Vec<(Line, Option<OfferedStream>)>,
}

/// A stream that is to be recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OfferedStream {
    /// `a=label` (RFC 4574); its position among the lines where there is none.
    pub label: String,
    /// The line.
    pub audio: Audio,
}

/// An audio line that can be carried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audio {
    /// Where the party is; absent in a placeholder (`0.0.0.0`).
    pub peer: Option<Peer>,
    /// What the party sends and wants.
    pub direction: Direction,
    /// G.711 formats, most wanted first.
    pub codecs: Vec<(u8, Codec)>,
    /// Telephone events: payload type and format parameters.
    pub events: Vec<(u8, Option<String>)>,
}

/// A media line of the offer, as far as a refusal repeats it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Line {
    media: String,
    proto: String,
    fmt: String,
}

impl Offer {
    /// Reads an `application/sdp` body.
    pub fn parse(body: &[u8]) -> Result<Self, SdpError> {
        let session = read(body)?;
        let lines = session.medias.iter().map(Line::of).collect();
        for (chosen, media) in session.medias.iter().enumerate() {
            if let Some(audio) = Audio::of(media, &session)? {
                return Ok(Self { audio, lines, chosen });
            }
        }
        Err(SdpError::NothingInCommon)
    }

    /// The answer: everything in common, our address, the mirrored direction.
    pub fn answer(&self, session: u64, version: u64, address: IpAddr, port: u16) -> String {
        let mut sdp = head(session, version, address);
        for (index, line) in self.lines.iter().enumerate() {
            if index == self.chosen {
                self.audio.write(&mut sdp, port, self.audio.direction.answer());
            } else {
                line.refuse(&mut sdp);
            }
        }
        sdp
    }
}

impl StreamsOffer {
    /// Reads an `application/sdp` body. A recording session is taken whole or not at all: an audio line that cannot be
    /// recorded refuses it. Other media are refused line by line.
    pub fn parse(body: &[u8]) -> Result<Self, SdpError> {
        let session = read(body)?;
        let mut lines = Vec::new();
        for (index, media) in session.medias.iter().enumerate() {
            let stream = match Audio::of(media, &session)? {
                Some(audio) => Some(OfferedStream { label: label(media, index), audio }),
                None if media.media == "audio" && media.port != 0 => return Err(SdpError::NothingInCommon),
                None => None,
            };
            lines.push((Line::of(media), stream));
        }
        let offer = Self { lines };
        if offer.streams().next().is_none() {
            return Err(SdpError::NothingInCommon);
        }
        Ok(offer)
    }

    /// The streams, in the order of their lines.
    pub fn streams(&self) -> impl Iterator<Item = &OfferedStream> {
        self.lines.iter().filter_map(|(_, stream)| stream.as_ref())
    }

    /// The answer: for each stream its port, in the order of [`StreamsOffer::streams`]; a recorder only receives.
    pub fn answer(&self, session: u64, version: u64, address: IpAddr, ports: &[u16]) -> String {
        let mut sdp = head(session, version, address);
        let mut ports = ports.iter();
        for (line, stream) in &self.lines {
            match (stream, stream.as_ref().and_then(|_| ports.next())) {
                (Some(OfferedStream { label, audio }), Some(port)) => {
                    let sends = matches!(audio.direction, Direction::SendRecv | Direction::SendOnly);
                    audio.write(&mut sdp, *port, if sends { "recvonly" } else { "inactive" });
                    let _ = write!(sdp, "a=label:{label}\r\n");
                }
                _ => line.refuse(&mut sdp),
            }
        }
        sdp
    }
}

fn read(body: &[u8]) -> Result<sdp_types::Session, SdpError> {
    let session = sdp_types::Session::parse(body).map_err(|_| SdpError::Malformed)?;
    if session.medias.len() > MAX_MEDIA { Err(SdpError::Malformed) } else { Ok(session) }
}

fn head(session: u64, version: u64, address: IpAddr) -> String {
    let family = if address.is_ipv4() { "IP4" } else { "IP6" };
    format!(
        "v=0\r\no=- {session} {version} IN {family} {address}\r\ns=-\r\nc=IN {family} {address}\r\nt=0 0\r\n"
    )
}

/// A label is a token that goes back into the answer; any other text is not repeated.
fn label(media: &sdp_types::Media, index: usize) -> String {
    let said = media.attributes.iter().find(|a| a.attribute == "label").and_then(|a| a.value.as_deref());
    let token = |text: &&str| {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-._+!$%&'*~`^{}|#".contains(&b);
        !text.is_empty() && text.len() <= 64 && text.bytes().all(allowed)
    };
    said.map(str::trim).filter(token).map_or_else(|| (index + 1).to_string(), str::to_owned)
}

impl Line {
    fn of(media: &sdp_types::Media) -> Self {
        Self { media: media.media.clone(), proto: media.proto.clone(), fmt: media.fmt.clone() }
    }

    fn refuse(&self, sdp: &mut String) {
        let _ = write!(sdp, "m={} 0 {} {}\r\n", self.media, self.proto, self.fmt);
    }
}

impl Audio {
    /// A media line as audio that can be carried; `None`: other media, refused, or nothing in common.
    fn of(media: &sdp_types::Media, session: &sdp_types::Session) -> Result<Option<Self>, SdpError> {
        if media.media != "audio" || media.port == 0 || !media.proto.eq_ignore_ascii_case("RTP/AVP") {
            return Ok(None);
        }
        let (codecs, events) = formats(media);
        if codecs.is_empty() {
            return Ok(None);
        }
        let connection =
            media.connections.first().or(session.connection.as_ref()).ok_or(SdpError::Malformed)?;
        let address: IpAddr = connection.connection_address.parse().map_err(|_| SdpError::Malformed)?;
        let direction = direction(&media.attributes)
            .or_else(|| direction(&session.attributes))
            .unwrap_or(Direction::SendRecv);
        let receives = matches!(direction, Direction::SendRecv | Direction::RecvOnly);
        let peer = (!address.is_unspecified()).then(|| Peer {
            rtp: SocketAddr::new(address, media.port),
            rtcp: rtcp(media, address),
            receives,
        });
        Ok(Some(Self { peer, direction, codecs, events }))
    }

    /// For the recorder; the party's number is the caller's to add.
    pub fn setup(&self, number: String) -> PartySetup {
        let events = self.events.iter().map(|(payload_type, _)| *payload_type).collect();
        PartySetup { number, codecs: self.codecs.clone(), events, both: false }
    }

    fn write(&self, sdp: &mut String, port: u16, direction: &str) {
        let _ = write!(sdp, "m=audio {port} RTP/AVP");
        let numbers =
            self.codecs.iter().map(|(number, _)| number).chain(self.events.iter().map(|(number, _)| number));
        for number in numbers {
            let _ = write!(sdp, " {number}");
        }
        sdp.push_str("\r\n");
        for (number, codec) in &self.codecs {
            let _ = write!(sdp, "a=rtpmap:{number} {}/{}\r\n", codec.name(), codec.clock_rate());
        }
        for (number, parameters) in &self.events {
            let _ = write!(sdp, "a=rtpmap:{number} telephone-event/8000\r\n");
            if let Some(parameters) = parameters {
                let _ = write!(sdp, "a=fmtp:{number} {parameters}\r\n");
            }
        }
        let _ = write!(sdp, "a={direction}\r\n");
    }
}

fn direction(attributes: &[sdp_types::Attribute]) -> Option<Direction> {
    attributes.iter().find_map(|attribute| Direction::from_attribute(&attribute.attribute))
}

/// RFC 3605; else the next port.
fn rtcp(media: &sdp_types::Media, address: IpAddr) -> SocketAddr {
    let next = SocketAddr::new(address, media.port.checked_add(1).unwrap_or(media.port));
    let value = media.attributes.iter().find(|a| a.attribute == "rtcp").and_then(|a| a.value.as_deref());
    let Some(mut fields) = value.map(str::split_ascii_whitespace) else { return next };
    let Some(port) = fields.next().and_then(|port| port.parse().ok()).filter(|port| *port != 0) else {
        return next;
    };
    let other = fields.nth(2).and_then(|address| address.parse().ok());
    SocketAddr::new(other.unwrap_or(address), port)
}

type Formats = (Vec<(u8, Codec)>, Vec<(u8, Option<String>)>);

fn formats(media: &sdp_types::Media) -> Formats {
    let value = |name: &str, number: u8| {
        let values =
            media.attributes.iter().filter(move |a| a.attribute == name).filter_map(|a| a.value.as_deref());
        values.into_iter().find_map(|value| {
            let (head, rest) = value.split_once(' ')?;
            (head.parse() == Ok(number)).then(|| rest.trim().to_owned())
        })
    };
    let (mut codecs, mut events) = (Vec::new(), Vec::new());
    for number in
        media.fmt.split_ascii_whitespace().filter_map(|text| text.parse::<u8>().ok()).filter(|n| *n < 128)
    {
        let mapped = value("rtpmap", number);
        let (name, rate) = mapped.as_deref().map_or(("", ""), |map| map.split_once('/').unwrap_or((map, "")));
        let codec = match mapped {
            Some(_) => Codec::from_name(name).filter(|_| rate == "8000" || rate == "8000/1"),
            None => {
                [Codec::Pcmu, Codec::Pcma].into_iter().find(|codec| codec.static_payload_type() == number)
            }
        };
        if let Some(codec) = codec {
            codecs.push((number, codec));
        } else if name.eq_ignore_ascii_case("telephone-event") && rate == "8000" {
            events.push((number, value("fmtp", number)));
        }
    }
    (codecs, events)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PHONE: &str = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n\
        m=video 5000 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n\
        m=audio 4000 RTP/AVP 9 8 0 101\r\na=rtpmap:9 G722/8000\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=sendonly\r\n";

    #[test]
    fn what_is_in_common_is_answered_and_the_rest_refused() {
        let offer = Offer::parse(PHONE.as_bytes()).unwrap();
        assert_eq!(offer.audio.codecs, [(8, Codec::Pcma), (0, Codec::Pcmu)]);
        let peer = offer.audio.peer.unwrap();
        assert_eq!(
            (peer.rtp, peer.rtcp.port(), peer.receives),
            ("192.0.2.1:4000".parse().unwrap(), 4001, false)
        );
        let answer = offer.answer(7, 2, "10.0.0.1".parse().unwrap(), 20_000);
        assert!(answer.contains("m=video 0 RTP/AVP 96\r\nm=audio 20000 RTP/AVP 8 0 101\r\n"), "{answer}");
        assert!(answer.ends_with("a=fmtp:101 0-15\r\na=recvonly\r\n"), "{answer}");
        let read = Offer::parse(answer.as_bytes()).unwrap();
        assert_eq!(read.audio.codecs, offer.audio.codecs);
        assert_eq!(read.audio.setup("1001".into()).events, [101]);
    }

    #[test]
    fn a_placeholder_has_no_peer() {
        let text = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\nm=audio 9 RTP/AVP 0\r\na=inactive\r\n";
        let audio = Offer::parse(text.as_bytes()).unwrap().audio;
        assert_eq!((audio.peer, audio.direction), (None, Direction::Inactive));
    }

    #[test]
    fn rtcp_may_be_elsewhere() {
        let text = PHONE.replace("a=sendonly", "a=rtcp:53020 IN IP4 192.0.2.9");
        let peer = Offer::parse(text.as_bytes()).unwrap().audio.peer.unwrap();
        assert_eq!((peer.rtcp, peer.receives), ("192.0.2.9:53020".parse().unwrap(), true));
    }

    const CLIENT: &str = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n\
        m=audio 4000 RTP/AVP 8 0 101\r\na=rtpmap:101 telephone-event/8000\r\na=sendonly\r\na=label:16777227\r\n\
        m=video 5000 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n\
        m=audio 4002 RTP/AVP 0\r\na=inactive\r\n";

    #[test]
    fn every_audio_line_of_a_recording_session_is_answered_with_its_label_in_the_clients_order() {
        let offer = StreamsOffer::parse(CLIENT.as_bytes()).unwrap();
        let labels: Vec<&str> = offer.streams().map(|stream| stream.label.as_str()).collect();
        assert_eq!(labels, ["16777227", "3"], "a line without a label is named by its position");
        let answer = offer.answer(7, 1, "10.0.0.1".parse().unwrap(), &[20_000, 20_002]);
        let lines: Vec<&str> = answer.lines().filter(|line| !line.starts_with("a=rtpmap")).skip(5).collect();
        assert_eq!(
            lines,
            [
                "m=audio 20000 RTP/AVP 8 0 101",
                "a=recvonly",
                "a=label:16777227",
                "m=video 0 RTP/AVP 96",
                "m=audio 20002 RTP/AVP 0",
                "a=inactive",
                "a=label:3"
            ]
        );
    }

    #[test]
    fn a_recording_session_with_a_stream_that_cannot_be_recorded_is_refused_whole() {
        let opus =
            CLIENT.replace("m=audio 4002 RTP/AVP 0", "m=audio 4002 RTP/AVP 96\r\na=rtpmap:96 opus/48000/2");
        assert_eq!(StreamsOffer::parse(opus.as_bytes()), Err(SdpError::NothingInCommon));
        let none = CLIENT.replace("m=audio 4000", "m=audio 0").replace("m=audio 4002", "m=audio 0");
        assert_eq!(StreamsOffer::parse(none.as_bytes()), Err(SdpError::NothingInCommon));
        let odd = CLIENT.replace("a=label:16777227", "a=label:\u{1}x y");
        assert_eq!(StreamsOffer::parse(odd.as_bytes()).unwrap().streams().next().unwrap().label, "1");
    }

    #[test]
    fn what_cannot_be_carried_is_refused() {
        assert_eq!(Offer::parse(b"hello"), Err(SdpError::Malformed));
        for (from, to) in [("9 8 0 101", "9"), ("4000 RTP/AVP", "0 RTP/AVP"), ("RTP/AVP 9", "RTP/SAVP 9")] {
            assert_eq!(
                Offer::parse(PHONE.replace(from, to).as_bytes()),
                Err(SdpError::NothingInCommon),
                "{to}"
            );
        }
        assert_eq!(
            Offer::parse(PHONE.replace("c=IN IP4 192.0.2.1\r\n", "").as_bytes()),
            Err(SdpError::Malformed)
        );
    }
}
