//! Multipart bodies (RFC 5621, RFC 2046 5.1): SDP beside recording metadata, for example.

use super::headers::Headers;
use super::params::Params;
use super::{lex, parse};

/// No more parts than this are looked at.
const MAX_PARTS: usize = 32;

/// One part of a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Its headers; at least `Content-Type` where that was said.
    pub headers: Headers,
    /// Its bytes.
    pub body: Vec<u8>,
}

impl Part {
    /// Is it of this media type?
    pub fn is(&self, media_type: &str) -> bool {
        let kind = self.headers.get("Content-Type").and_then(|v| v.split(';').next()).unwrap_or_default();
        lex::trim(kind).eq_ignore_ascii_case(media_type)
    }
}

/// The parts of a multipart body; any other body is one part; an empty body has none.
pub fn parts(content_type: &str, body: &[u8]) -> Vec<Part> {
    if body.is_empty() {
        return Vec::new();
    }
    if lex::trim(content_type).get(..10).is_some_and(|t| t.eq_ignore_ascii_case("multipart/")) {
        return boundary(content_type).map(|b| split(&b, body)).unwrap_or_default();
    }
    let mut headers = Headers::new();
    if !content_type.is_empty() {
        headers.push("Content-Type", content_type);
    }
    vec![Part { headers, body: body.to_vec() }]
}

fn boundary(content_type: &str) -> Option<String> {
    let (_, params) = content_type.split_once(';')?;
    let boundary = Params::parse_header(params).ok()?.unquoted("boundary")?;
    (!boundary.is_empty() && boundary.len() <= 70).then_some(boundary)
}

fn split(boundary: &str, body: &[u8]) -> Vec<Part> {
    let delimiter = format!("--{boundary}").into_bytes();
    let mut parts = Vec::new();
    let Some((mut at, mut last)) = delimiter_at(body, 0, &delimiter).map(|(_, next, last)| (next, last))
    else {
        return parts;
    };
    while !last && parts.len() < MAX_PARTS {
        let (end, next, is_last) = match delimiter_at(body, at, &delimiter) {
            Some(found) => found,
            // Without the closing delimiter the rest is the last part.
            None => (body.len(), body.len(), true),
        };
        parts.extend(part(&body[at..end]));
        (at, last) = (next, is_last);
    }
    parts
}

/// The next delimiter line: where the content before it ends, where the content after it starts, is it the last?
fn delimiter_at(body: &[u8], from: usize, delimiter: &[u8]) -> Option<(usize, usize, bool)> {
    let mut line = from;
    while line <= body.len() {
        let end = body[line..].iter().position(|b| *b == b'\n').map_or(body.len(), |n| line + n + 1);
        if let Some(rest) = body[line..end].strip_prefix(delimiter) {
            let last = rest.starts_with(b"--");
            let rest = if last { &rest[2..] } else { rest };
            if rest.iter().all(|b| b.is_ascii_whitespace()) {
                let content = body[from..line].strip_suffix(b"\n").unwrap_or(&body[from..line]);
                let content = content.strip_suffix(b"\r").unwrap_or(content);
                return Some((from + content.len(), end, last));
            }
        }
        if end == body.len() {
            return None;
        }
        line = end;
    }
    None
}

fn part(bytes: &[u8]) -> Option<Part> {
    let (head, body) = match parse::head_end(bytes, 0) {
        Some(end) => (&bytes[..end], &bytes[end..]),
        None => (bytes, &bytes[bytes.len()..]),
    };
    // A part without headers starts with the blank line.
    if bytes.starts_with(b"\r\n") || bytes.starts_with(b"\n") {
        let skip = if bytes[0] == b'\r' { 2 } else { 1 };
        return Some(Part { headers: Headers::new(), body: bytes[skip..].to_vec() });
    }
    let headers = parse::header_lines(&String::from_utf8_lossy(head)).ok()?;
    Some(Part { headers, body: body.to_vec() })
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &[u8] = b"preamble\r\n--b1\r\nContent-Type: application/sdp\r\n\r\nv=0\r\n\r\n--b1\r\n\
        Content-Type: application/rs-metadata+xml;charset=utf-8\r\nContent-Disposition: recording-session\r\n\r\n\
        <x>\r\n--b1x\r\n--b1-- \r\nepilogue";

    #[test]
    fn the_parts_of_a_multipart_body_are_found() {
        let parts = parts("Multipart/Mixed; boundary=\"b1\"", BODY);
        assert_eq!(parts.len(), 2);
        assert_eq!(parts[0].body, b"v=0\r\n");
        assert!(parts[1].is("application/rs-metadata+xml"));
        assert_eq!(parts[1].body, b"<x>\r\n--b1x");
        assert_eq!(parts[1].headers.get("content-disposition"), Some("recording-session"));
    }

    #[test]
    fn odd_multiparts_do_no_harm() {
        assert!(parts("multipart/mixed", BODY).is_empty());
        assert!(parts("multipart/mixed;boundary=nope", BODY).is_empty());
        assert_eq!(parts("multipart/mixed;boundary=b", b"--b\r\n\r\nabc").len(), 1);
        assert_eq!(parts("multipart/mixed;boundary=b", b"--b\n--b--")[0].body, b"");
        assert_eq!(parts("application/sdp", b"v=0")[0].body, b"v=0");
        assert!(parts("application/sdp", b"").is_empty());
    }
}
