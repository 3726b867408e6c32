//! The headers of tus 1.0 (<https://tus.io/protocols/resumable-upload>): parsing and answering, no I/O.

use base64::{Engine, prelude::BASE64_STANDARD};
use hindsight_wire::RecordingId;
use ring::digest;

/// The one version spoken.
pub const VERSION: &str = "1.0.0";
/// Extensions offered.
pub const EXTENSIONS: &str = "creation,creation-defer-length,checksum,expiration";
/// SHA-1 is there because the checksum extension demands it of every server; our own uploader sends SHA-256.
pub const CHECKSUM_ALGORITHMS: &str = "sha256,sha1";
/// Media type of a `PATCH` body.
pub const OFFSET_OCTET_STREAM: &str = "application/offset+octet-stream";
/// Status of a body that does not match its `Upload-Checksum`.
pub const CHECKSUM_MISMATCH: u16 = 460;

/// What is wrong with a request's headers.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TusError {
    /// Missing or malformed; for people.
    #[error("{0}")]
    Malformed(&'static str),
    /// A checksum algorithm that is not offered.
    #[error("checksum algorithms are {CHECKSUM_ALGORITHMS}")]
    Algorithm,
}

/// What an upload holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Matroska of a media server.
    Voice,
    /// Fragmented MP4 of a desktop.
    Screen,
}

impl Kind {
    /// The name in `Upload-Metadata` and in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Voice => "voice",
            Kind::Screen => "screen",
        }
    }
}

/// `Upload-Metadata` of a creation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// The recording uploaded.
    pub recording: RecordingId,
    /// What it holds.
    pub kind: Kind,
}

impl Metadata {
    /// Reads `recording <base64>,kind <base64>`; other keys are ignored, as the protocol lets clients send any.
    pub fn parse(header: &str) -> Result<Self, TusError> {
        let (mut recording, mut kind) = (None, None);
        for pair in header.split(',') {
            let (key, value) = pair.trim().split_once(' ').unwrap_or((pair.trim(), ""));
            let slot = match key {
                "recording" => &mut recording,
                "kind" => &mut kind,
                _ => continue,
            };
            let bytes = BASE64_STANDARD.decode(value.trim());
            let text = bytes.ok().and_then(|bytes| String::from_utf8(bytes).ok());
            *slot =
                Some(text.ok_or(TusError::Malformed("a value of Upload-Metadata is not base64 of UTF-8"))?);
        }
        let recording = recording.ok_or(TusError::Malformed("Upload-Metadata names no recording"))?;
        let recording = recording.parse().map_err(|_| TusError::Malformed("the recording is not a UUID"))?;
        let kind = match kind.as_deref() {
            Some("voice") => Kind::Voice,
            Some("screen") => Kind::Screen,
            _ => return Err(TusError::Malformed("the kind of an upload is voice or screen")),
        };
        Ok(Self { recording, kind })
    }

    /// The header again, for `HEAD`.
    pub fn header(&self) -> String {
        let encode = |text: &str| BASE64_STANDARD.encode(text);
        format!("recording {},kind {}", encode(&self.recording.to_string()), encode(self.kind.as_str()))
    }
}

/// How long an upload will be, as its creation says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// Bytes.
    Known(u64),
    /// Told by a later `PATCH`.
    Deferred,
}

impl Length {
    /// Reads `Upload-Length` and `Upload-Defer-Length`: exactly one of them is there.
    pub fn parse(length: Option<&str>, defer: Option<&str>) -> Result<Self, TusError> {
        match (length, defer) {
            (Some(length), None) => number(length).map(Length::Known),
            (None, Some("1")) => Ok(Length::Deferred),
            _ => Err(TusError::Malformed("either Upload-Length or `Upload-Defer-Length: 1` is needed")),
        }
    }
}

/// A count of bytes: digits only, no sign.
pub fn number(text: &str) -> Result<u64, TusError> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let value = digits.then(|| text.parse().ok()).flatten();
    value.ok_or(TusError::Malformed("a length or offset is not a whole number of bytes"))
}

/// `Upload-Checksum`: what the body of one `PATCH` hashes to.
#[derive(Clone, Debug)]
pub struct Checksum {
    algorithm: &'static digest::Algorithm,
    expected: Vec<u8>,
}

impl Checksum {
    /// Reads `<algorithm> <base64>`.
    pub fn parse(header: &str) -> Result<Self, TusError> {
        let (name, value) =
            header.trim().split_once(' ').ok_or(TusError::Malformed("Upload-Checksum has no value"))?;
        let algorithm = match name {
            "sha256" => &digest::SHA256,
            "sha1" => &digest::SHA1_FOR_LEGACY_USE_ONLY,
            _ => return Err(TusError::Algorithm),
        };
        let expected = BASE64_STANDARD.decode(value.trim());
        let expected = expected.map_err(|_| TusError::Malformed("Upload-Checksum is not base64"))?;
        Ok(Self { algorithm, expected })
    }

    /// A running digest to feed the body to.
    pub fn start(&self) -> digest::Context {
        digest::Context::new(self.algorithm)
    }

    /// Whether the body was what the client meant.
    pub fn matches(&self, context: digest::Context) -> bool {
        context.finish().as_ref() == self.expected
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_survives_its_header() {
        let metadata = Metadata { recording: RecordingId::new(), kind: Kind::Screen };
        assert_eq!(Metadata::parse(&metadata.header()), Ok(metadata.clone()));
        assert_eq!(Metadata::parse(&format!("filename Zm9v, {}", metadata.header())), Ok(metadata));
    }

    #[test]
    fn metadata_without_a_recording_or_with_another_kind_is_refused() {
        let id = BASE64_STANDARD.encode(RecordingId::new().to_string());
        for header in
            ["", "recording", "recording !!!", "recording Zm9v,kind dm9pY2U=", &format!("recording {id}")]
        {
            assert!(Metadata::parse(header).is_err(), "{header}");
        }
    }

    #[test]
    fn a_length_is_known_or_deferred_and_never_both() {
        assert_eq!(Length::parse(Some("7"), None), Ok(Length::Known(7)));
        assert_eq!(Length::parse(None, Some("1")), Ok(Length::Deferred));
        for (length, defer) in [(None, None), (Some("7"), Some("1")), (Some("-7"), None), (Some("+7"), None)]
        {
            assert!(Length::parse(length, defer).is_err());
        }
        assert!(Length::parse(None, Some("0")).is_err());
        assert!(number("99999999999999999999999").is_err());
    }

    #[test]
    fn both_checksum_algorithms_tell_a_changed_body() {
        for (name, algorithm) in [("sha256", &digest::SHA256), ("sha1", &digest::SHA1_FOR_LEGACY_USE_ONLY)] {
            let value = BASE64_STANDARD.encode(digest::digest(algorithm, b"media"));
            let checksum = Checksum::parse(&format!("{name} {value}")).unwrap();
            let mut same = checksum.start();
            same.update(b"media");
            assert!(checksum.matches(same));
            let mut other = checksum.start();
            other.update(b"medix");
            assert!(!checksum.matches(other));
        }
        assert_eq!(Checksum::parse("md5 AAAA").unwrap_err(), TusError::Algorithm);
    }
}
