//! Reading `application/rs-metadata+xml`.

use crate::metadata::{Metadata, Participant, Stream};
use quick_xml::{
    Reader, XmlVersion,
    events::{BytesStart, Event},
};

/// A longer document is refused, bytes.
pub const MAX_DOCUMENT: usize = 256 * 1024;
/// Deeper elements are refused.
const MAX_DEPTH: usize = 16;
/// More participants or streams are refused.
const MAX_ENTRIES: usize = 128;
/// Text and attributes beyond this are cut off, bytes.
const MAX_TEXT: usize = 512;

/// Why a document was refused: always the client's fault (400).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MetadataError {
    /// See [`MAX_DOCUMENT`].
    #[error("metadata too long")]
    TooLong,
    /// Not XML, or not UTF-8, or declaring a document type.
    #[error("metadata not readable: {0}")]
    NotXml(String),
    /// Another document.
    #[error("not a recording document")]
    NotARecording,
    /// More of something than anybody needs.
    #[error("too many {0} in the metadata")]
    TooMany(&'static str),
    /// Neither participants nor streams.
    #[error("metadata names no stream and no participant")]
    Empty,
}

impl MetadataError {
    fn xml(error: impl std::fmt::Display) -> Self {
        Self::NotXml(error.to_string())
    }
}

/// Reads a document.
pub fn parse(document: &[u8]) -> Result<Metadata, MetadataError> {
    if document.len() > MAX_DOCUMENT {
        return Err(MetadataError::TooLong);
    }
    let text = std::str::from_utf8(document).map_err(MetadataError::xml)?;
    // Clients send blank lines before the declaration.
    let mut reader = Reader::from_str(text.trim_start_matches(['\u{feff}', '\r', '\n', ' ', '\t']));
    let mut document = Document::default();
    loop {
        match reader.read_event().map_err(MetadataError::xml)? {
            Event::Start(start) => document.open(&start)?,
            Event::Empty(start) => {
                document.open(&start)?;
                document.close()?;
            }
            Event::End(_) => document.close()?,
            Event::Text(text) => document.text(&text.xml10_content()),
            Event::CData(text) => document.text(&text.xml10_content()),
            Event::GeneralRef(reference) => {
                if let Ok(Some(character)) = reference.resolve_char_ref() {
                    document.text(character.encode_utf8(&mut [0; 4]));
                } else {
                    let entity = quick_xml::escape::resolve_predefined_entity(&reference);
                    document.text(entity.ok_or_else(|| MetadataError::xml("unknown entity"))?);
                }
            }
            // Entities of a document type have no place here.
            Event::DocType(_) => return Err(MetadataError::xml("a document type is declared")),
            Event::Decl(_) | Event::PI(_) | Event::Comment(_) => {}
            Event::Eof => break,
        }
    }
    document.finish()
}

/// What the element being read is about.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Subject {
    Nothing,
    Session,
    /// Index of the participant.
    Participant(usize),
    /// Index of the stream.
    Stream(usize),
}

#[derive(Default)]
struct Document {
    metadata: Metadata,
    /// Local names of the open elements and what each is about.
    open: Vec<(String, Subject)>,
    text: String,
    seen_root: bool,
}

impl Document {
    fn open(&mut self, start: &BytesStart<'_>) -> Result<(), MetadataError> {
        if self.open.len() >= MAX_DEPTH {
            return Err(MetadataError::TooMany("nested elements"));
        }
        let name = start.local_name().into_inner().to_owned();
        if self.open.is_empty() {
            if self.seen_root || name != "recording" {
                return Err(MetadataError::NotARecording);
            }
            self.seen_root = true;
            // RFC 7865 6.1.1: complete unless it says partial.
            self.metadata.complete = true;
        }
        self.text.clear();
        let subject = self.subject(&name, start)?;
        self.open.push((name, subject));
        Ok(())
    }

    /// Attributes that matter name a participant or a stream; everything else inherits what it is inside of.
    fn subject(&mut self, name: &str, start: &BytesStart<'_>) -> Result<Subject, MetadataError> {
        let inside = self.open.last().map_or(Subject::Nothing, |(_, subject)| subject.clone());
        match (self.open.len(), name) {
            (1, "session") => Ok(Subject::Session),
            (1, "participant") => {
                let id = id(start, &["participant_id", "id"])?;
                self.participant(id)
            }
            (1, "stream") => {
                let id = id(start, &["stream_id", "id"])?;
                self.stream(id)
            }
            (1, "participantstreamassoc" | "participantsessionassoc") => {
                let id = id(start, &["participant_id", "participant", "id"])?;
                self.participant(id)
            }
            (_, "nameID") => {
                let aor = attribute(start, "aor")?;
                if let (Subject::Participant(at), Some(aor)) = (&inside, aor) {
                    self.metadata.participants[*at].aor.get_or_insert(aor);
                }
                Ok(inside)
            }
            _ => Ok(inside),
        }
    }

    fn participant(&mut self, id: String) -> Result<Subject, MetadataError> {
        let participants = &mut self.metadata.participants;
        if let Some(at) = participants.iter().position(|known| known.id == id) {
            return Ok(Subject::Participant(at));
        }
        if participants.len() == MAX_ENTRIES {
            return Err(MetadataError::TooMany("participants"));
        }
        participants.push(Participant { id, ..Participant::default() });
        Ok(Subject::Participant(participants.len() - 1))
    }

    fn stream(&mut self, id: String) -> Result<Subject, MetadataError> {
        let streams = &mut self.metadata.streams;
        if let Some(at) = streams.iter().position(|known| known.id == id) {
            return Ok(Subject::Stream(at));
        }
        if streams.len() == MAX_ENTRIES {
            return Err(MetadataError::TooMany("streams"));
        }
        streams.push(Stream { id, label: None });
        Ok(Subject::Stream(streams.len() - 1))
    }

    fn text(&mut self, text: &str) {
        let room = MAX_TEXT.saturating_sub(self.text.len());
        let end = (0..=room.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        self.text.push_str(&text[..end]);
    }

    fn close(&mut self) -> Result<(), MetadataError> {
        let (name, subject) = self.open.pop().ok_or_else(|| MetadataError::xml("closed twice"))?;
        let text = self.text.trim().to_owned();
        self.text.clear();
        match (name.as_str(), subject) {
            ("datamode", _) => self.metadata.complete = !text.eq_ignore_ascii_case("partial"),
            ("sipSessionID", Subject::Session) if !text.is_empty() => self.metadata.session_id = Some(text),
            ("label", Subject::Stream(at)) if !text.is_empty() => {
                self.metadata.streams[at].label = Some(text);
            }
            ("name", Subject::Participant(at)) if !text.is_empty() => {
                self.metadata.participants[at].name = Some(text);
            }
            ("send", Subject::Participant(at)) if !text.is_empty() => {
                let sends = self.metadata.participants[at].sends.get_or_insert_default();
                if sends.len() == MAX_ENTRIES {
                    return Err(MetadataError::TooMany("associations"));
                }
                sends.push(text);
            }
            ("disassociate-time", Subject::Participant(at)) => self.metadata.participants[at].left = true,
            ("callingParty", Subject::Participant(at)) => {
                self.metadata.participants[at].calling = Some(text.eq_ignore_ascii_case("true"));
            }
            _ => {}
        }
        Ok(())
    }

    fn finish(self) -> Result<Metadata, MetadataError> {
        if !self.seen_root {
            return Err(MetadataError::NotARecording);
        }
        if !self.open.is_empty() {
            return Err(MetadataError::xml("an element is not closed"));
        }
        if self.metadata.participants.is_empty() && self.metadata.streams.is_empty() {
            return Err(MetadataError::Empty);
        }
        Ok(self.metadata)
    }
}

fn id(start: &BytesStart<'_>, names: &[&str]) -> Result<String, MetadataError> {
    for name in names {
        if let Some(value) = attribute(start, name)?.filter(|value| !value.is_empty()) {
            return Ok(value);
        }
    }
    Err(MetadataError::xml("an entry without an id"))
}

fn attribute(start: &BytesStart<'_>, name: &str) -> Result<Option<String>, MetadataError> {
    for attribute in start.attributes() {
        let attribute = attribute.map_err(MetadataError::xml)?;
        if attribute.key.local_name().into_inner() == name {
            let value = attribute.normalized_value(XmlVersion::Implicit1_0).map_err(MetadataError::xml)?;
            if value.len() > MAX_TEXT {
                return Err(MetadataError::xml("an attribute is too long"));
            }
            return Ok(Some(value.into_owned()));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests;
