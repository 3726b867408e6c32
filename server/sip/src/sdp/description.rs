//! A description read.

use super::{Audio, SdpError, Writer, audio, writer::Line};
use std::net::IpAddr;

/// More m-lines than any phone sends; a description beyond it is refused.
const MAX_LINES: usize = 16;
/// A longer label is not repeated.
const MAX_LABEL: usize = 64;

/// An m-line that we refuse: all that must be repeated of it (RFC 3264 6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    pub(super) media: String,
    pub(super) proto: String,
    pub(super) fmt: String,
}

impl Refused {
    fn of(media: &sdp_types::Media) -> Self {
        Self { media: media.media.clone(), proto: media.proto.clone(), fmt: media.fmt.clone() }
    }
}

/// The m-lines of a dialog so far: later descriptions must keep their number and order (RFC 3264 8).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shape {
    pub(super) lines: Vec<Refused>,
    pub(super) audio: usize,
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

/// What a party of a call sent: its audio line, and the lines round it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// The first line that can be carried.
    pub audio: Audio,
    shape: Shape,
}

impl Description {
    /// Reads a body of `application/sdp`.
    pub fn parse(body: &[u8]) -> Result<Self, SdpError> {
        let session = read(body)?;
        for (index, media) in session.medias.iter().enumerate() {
            if let Some(audio) = Audio::read(&session, media)? {
                let lines = session.medias.iter().map(Refused::of).collect();
                return Ok(Self { audio, shape: Shape { lines, audio: index } });
            }
        }
        Err(SdpError::NothingInCommon)
    }

    /// Its lines, for the answer.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }
}

/// A stream that is to be recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stream {
    /// `a=label` (RFC 4574); its position among the lines where there is none.
    pub label: String,
    /// The line.
    pub audio: Audio,
}

/// An offer of a recording session: every audio line (RFC 7866 8.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamsOffer {
    lines: Vec<(Refused, Option<Stream>)>,
}

impl StreamsOffer {
    /// Reads a body of `application/sdp`. A recording session is taken whole or not at all: an audio line that cannot be
    /// recorded refuses it. Other media are refused line by line.
    pub fn parse(body: &[u8]) -> Result<Self, SdpError> {
        let session = read(body)?;
        let mut lines = Vec::new();
        for (index, media) in session.medias.iter().enumerate() {
            let stream = match Audio::read(&session, media)? {
                Some(audio) => Some(Stream { label: label(media, index), audio }),
                None if audio::is_audio(media) => return Err(SdpError::NothingInCommon),
                None => None,
            };
            lines.push((Refused::of(media), stream));
        }
        let offer = Self { lines };
        if offer.streams().next().is_some() { Ok(offer) } else { Err(SdpError::NothingInCommon) }
    }

    /// The streams, in the order of their lines.
    pub fn streams(&self) -> impl Iterator<Item = &Stream> {
        self.lines.iter().filter_map(|(_, stream)| stream.as_ref())
    }

    /// The answer of a recorder at `address`: each stream is answered by `answer`, or refused where that gives nothing.
    pub fn answer(
        &self,
        writer: &mut Writer,
        address: IpAddr,
        mut answer: impl FnMut(&Stream) -> Option<Audio>,
    ) -> Vec<u8> {
        let answers: Vec<Option<Audio>> =
            self.lines.iter().map(|(_, stream)| stream.as_ref().and_then(&mut answer)).collect();
        let lines: Vec<Line<'_>> = (self.lines.iter().zip(&answers))
            .map(|((line, stream), answer)| match (answer, stream) {
                (Some(audio), Some(stream)) => Line::Audio(audio, Some(&stream.label)),
                _ => Line::Refused(line),
            })
            .collect();
        writer.write_lines(address, &lines)
    }
}

fn read(body: &[u8]) -> Result<sdp_types::Session, SdpError> {
    let session = sdp_types::Session::parse(body).map_err(|_| SdpError::Malformed)?;
    if session.medias.len() > MAX_LINES { Err(SdpError::Malformed) } else { Ok(session) }
}

/// A label is a token that goes back into the answer; any other text is not repeated.
fn label(media: &sdp_types::Media, index: usize) -> String {
    let token = |text: &&str| {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-._+!$%&'*~`^{}|#".contains(&b);
        !text.is_empty() && text.len() <= MAX_LABEL && text.bytes().all(allowed)
    };
    let said = audio::values(&media.attributes, "label").next().map(str::trim).filter(token);
    said.map_or_else(|| (index + 1).to_string(), str::to_owned)
}
