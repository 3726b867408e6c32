//! Descriptions written.

use super::{Audio, Shape, description::Refused};
use std::{
    fmt::{self, Write as _},
    net::IpAddr,
};

/// One m-line to write.
#[derive(Clone, Copy, Debug)]
pub(super) enum Line<'a> {
    /// A line that is used, with its label (RFC 4574) where it has one.
    Audio(&'a Audio, Option<&'a str>),
    /// Port 0.
    Refused(&'a Refused),
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

    /// What it wrote last, without keys (RFC 4568): what is kept of a dialog holds no secret. `None`: nothing yet.
    pub fn last_without_keys(&self) -> Option<String> {
        let is_key = |line: &&str| line.starts_with("a=crypto:");
        let body: String = self.last.split_inclusive("\r\n").filter(|line| !is_key(line)).collect();
        let (session, version) = (self.session, self.version);
        (!body.is_empty())
            .then(|| format!("v=0\r\no=hindsight {session} {version} IN IP4 0.0.0.0\r\ns=-\r\n{body}"))
    }

    /// The writer that wrote this ([`Writer::last_without_keys`]): the same description again has the same version.
    pub fn going_on_from(text: &str) -> Option<Self> {
        let (head, last) = text.split_once("s=-\r\n")?;
        let mut origin = head.split_once("o=hindsight ")?.1.split(' ').map(str::parse);
        let (session, version) = (origin.next()?.ok()?, origin.next()?.ok()?);
        Some(Self { session, version, last: last.to_owned() })
    }

    /// The description with this audio line, every other line of `shape` refused.
    pub fn write(&mut self, audio: &Audio, shape: &Shape) -> Vec<u8> {
        let lines: Vec<Line<'_>> = (0..shape.lines.len().max(1))
            .map(|index| match shape.lines.get(index) {
                Some(line) if index != shape.audio => Line::Refused(line),
                Some(_) | None => Line::Audio(audio, None),
            })
            .collect();
        self.write_lines(audio.address, &lines)
    }

    /// The description of an endpoint at `address` with these lines.
    pub(super) fn write_lines(&mut self, address: IpAddr, lines: &[Line<'_>]) -> Vec<u8> {
        let family = if address.is_ipv4() { "IP4" } else { "IP6" };
        let mut body = format!("c=IN {family} {address}\r\nt=0 0\r\n");
        for line in lines {
            let _ = write!(body, "{line}");
        }
        if body != self.last {
            self.version += 1;
            self.last = body;
        }
        let (session, version) = (self.session, self.version);
        format!("v=0\r\no=hindsight {session} {version} IN {family} {address}\r\ns=-\r\n{}", self.last)
            .into_bytes()
    }
}

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(line) => write!(f, "m={} 0 {} {}\r\n", line.media, line.proto, line.fmt),
            Self::Audio(audio, label) => {
                audio.fmt(f)?;
                label.iter().try_for_each(|label| write!(f, "a=label:{label}\r\n"))
            }
        }
    }
}

impl fmt::Display for Audio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "m=audio {} {}", self.port, self.profile.name())?;
        for format in &self.formats {
            write!(f, " {}", format.payload_type)?;
        }
        f.write_str("\r\n")?;
        for format in &self.formats {
            write!(f, "a=rtpmap:{} {}\r\n", format.payload_type, format.rtpmap())?;
            if let Some(fmtp) = &format.fmtp {
                write!(f, "a=fmtp:{} {fmtp}\r\n", format.payload_type)?;
            }
        }
        if let Some(rtcp) = self.rtcp {
            let family = if rtcp.is_ipv4() { "IP4" } else { "IP6" };
            write!(f, "a=rtcp:{} IN {family} {}\r\n", rtcp.port(), rtcp.ip())?;
        }
        for key in &self.keys {
            write!(f, "a=crypto:{}\r\n", &*key.write())?;
        }
        if let Some(ptime) = self.ptime {
            write!(f, "a=ptime:{ptime}\r\n")?;
        }
        write!(f, "a={}\r\n", self.direction.name())
    }
}
