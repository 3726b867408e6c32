//! Parser of whole messages.

use super::error::{Fault, Rejection};
use super::{Headers, MAX_HEADERS, MAX_MESSAGE, Message, Method, Request, Response, StatusCode, Uri};
use super::{lex, validate};

/// Reads one datagram. `None`: only line breaks, a keep-alive. Bytes after the body are ignored.
pub fn parse_datagram(datagram: &[u8]) -> Result<Option<Message>, Rejection> {
    let start = datagram.iter().position(|b| !matches!(b, b'\r' | b'\n')).unwrap_or(datagram.len());
    let bytes = &datagram[start..];
    if bytes.is_empty() {
        return Ok(None);
    }
    let Some(end) = head_end(bytes, 0) else {
        let head = Head::read(bytes);
        return Err(head.reject(Fault::framing("Missing Blank Line")));
    };
    let head = Head::read(&bytes[..end]);
    let available = &bytes[end..];
    let body = match head.content_length() {
        Err(fault) => return Err(head.reject(fault)),
        Ok(None) => available,
        Ok(Some(length)) if length > available.len() => {
            return Err(head.reject(Fault::framing("Content-Length Beyond End Of Message")));
        }
        Ok(Some(length)) => &available[..length],
    };
    head.finish(body).map(Some)
}

/// The headers of a message, as far as they can be read, whether or not it is sound.
pub(crate) fn readable_headers(bytes: &[u8]) -> Headers {
    Head::read(&bytes[..head_end(bytes, 0).unwrap_or(bytes.len())]).headers
}

/// Where the head ends (after its blank line), looking from `from` on.
pub(super) fn head_end(bytes: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    while let Some(newline) = bytes[at..].iter().position(|b| *b == b'\n') {
        at += newline + 1;
        match &bytes[at..] {
            [b'\n', ..] => return Some(at + 1),
            [b'\r', b'\n', ..] => return Some(at + 2),
            _ => {}
        }
    }
    None
}

/// Header lines with their folding undone; stops at the blank line.
pub(super) fn header_lines(text: &str) -> Result<Headers, Fault> {
    let mut headers = Headers::new();
    let mut pending: Option<(&str, String)> = None;
    for line in text.split('\n') {
        let line = line.strip_suffix('\r').unwrap_or(line);
        if line.is_empty() {
            break;
        }
        // Some readers take a lone CR for the end of a line: they would see other headers than we do.
        if line.contains('\r') {
            return Err(Fault::syntax("Stray Carriage Return"));
        }
        if line.starts_with([' ', '\t']) {
            let (_, value) = pending.as_mut().ok_or(Fault::syntax("Folded Line Without Header"))?;
            value.push(' ');
            value.push_str(lex::trim(line));
            continue;
        }
        push(&mut headers, pending.take());
        if headers.len() >= MAX_HEADERS {
            return Err(Fault::syntax("Too Many Headers"));
        }
        let (name, value) = line.split_once(':').ok_or(Fault::syntax("Header Without Colon"))?;
        let name = lex::trim(name);
        if !lex::is_token(name) {
            return Err(Fault::syntax("Malformed Header Name"));
        }
        pending = Some((name, lex::trim(value).to_owned()));
    }
    push(&mut headers, pending);
    Ok(headers)
}

fn push(headers: &mut Headers, pending: Option<(&str, String)>) {
    if let Some((name, value)) = pending {
        let trimmed = lex::trim(&value);
        let value = if trimmed.len() == value.len() { value } else { trimmed.to_owned() };
        headers.push_raw(name, value);
    }
}

/// The start line and headers of a message, as far as they could be read.
pub(super) struct Head {
    start: Result<Start, Fault>,
    headers: Headers,
    headers_fault: Option<Fault>,
}

enum Start {
    Request(Method, Uri),
    Response(StatusCode, String),
}

impl Head {
    pub(super) fn read(bytes: &[u8]) -> Self {
        // What is not UTF-8 (some phones send Latin-1 names) is replaced: a call is worth more than a letter.
        let text = String::from_utf8_lossy(bytes);
        let (line, rest) = text.split_once('\n').unwrap_or((&text, ""));
        let start = start_line(line.strip_suffix('\r').unwrap_or(line));
        match header_lines(rest) {
            Ok(headers) => Self { start, headers, headers_fault: None },
            Err(fault) => Self { start, headers: salvage(rest), headers_fault: Some(fault) },
        }
    }

    /// `None`: no Content-Length. A repeated or malformed one makes the end of the message unknown.
    pub(super) fn content_length(&self) -> Result<Option<usize>, Fault> {
        let mut all = self.headers.all("Content-Length");
        let Some(first) = all.next() else { return Ok(None) };
        if all.next().is_some() {
            return Err(Fault::framing("Repeated Content-Length"));
        }
        let length = lex::digits(first).and_then(|n| usize::try_from(n).ok());
        let length = length.ok_or(Fault::framing("Malformed Content-Length"))?;
        if length > MAX_MESSAGE {
            let mut fault = Fault::framing("Content-Length Too Large");
            fault.status = StatusCode::MESSAGE_TOO_LARGE;
            return Err(fault);
        }
        Ok(Some(length))
    }

    /// Puts the body to the head and validates the whole.
    pub(super) fn finish(self, body: &[u8]) -> Result<Message, Rejection> {
        let sound = match (&self.start, self.headers_fault) {
            (Err(fault), _) => Err(*fault),
            (Ok(_), Some(fault)) => Err(fault),
            (Ok(Start::Request(method, uri)), None) => validate::request(method, uri, &self.headers),
            (Ok(Start::Response(..)), None) => validate::response(&self.headers),
        };
        if let Err(fault) = sound {
            return Err(self.reject(fault));
        }
        let Self { start, mut headers, .. } = self;
        headers.remove("Content-Length");
        match start {
            Ok(Start::Request(method, uri)) => {
                Ok(Message::Request(Request { method, uri, headers, body: body.to_vec() }))
            }
            Ok(Start::Response(status, reason)) => {
                Ok(Message::Response(Response { status, reason, headers, body: body.to_vec() }))
            }
            Err(fault) => Err(Rejection { fault, response: None }),
        }
    }

    /// The refusal of this message, with an answer where there can be one.
    pub(super) fn reject(self, fault: Fault) -> Rejection {
        let fault = match &self.start {
            // A start line of another version explains every other fault.
            Err(start) if start.status == StatusCode::VERSION_NOT_SUPPORTED => {
                Fault { framing: fault.framing, ..*start }
            }
            _ => fault,
        };
        let answerable = match &self.start {
            Ok(Start::Request(method, _)) => *method != Method::Ack,
            Ok(Start::Response(..)) => false,
            Err(_) => !self.is_response_or_ack(),
        };
        if !answerable || !self.headers.has("Via") {
            return Rejection { fault, response: None };
        }
        let mut response = Response::new(fault.status).with_reason(fault.reason);
        for name in ["Via", "From", "To", "Call-ID", "CSeq"] {
            self.headers.copy_to(name, &mut response.headers);
        }
        Rejection { fault, response: Some(Box::new(response)) }
    }

    /// For a start line that could not be read: CSeq tells an ACK; a status line never gets here with a Via fault.
    fn is_response_or_ack(&self) -> bool {
        matches!(&self.start, Err(fault) if fault.reason == BAD_STATUS_LINE || fault.reason == NOT_SIP)
            || self.headers.get("CSeq").is_some_and(|c| c.ends_with("ACK"))
    }
}

/// What can be read of headers of which some are malformed, to answer with.
fn salvage(text: &str) -> Headers {
    let mut headers = Headers::new();
    for line in text.split('\n').take(MAX_HEADERS) {
        let line = line.strip_suffix('\r').unwrap_or(line);
        if let Ok(one) = header_lines(line) {
            for header in one.iter() {
                headers.push(&header.name, &header.value);
            }
        }
    }
    headers
}

const BAD_STATUS_LINE: &str = "Malformed Status-Line";
const NOT_SIP: &str = "Not SIP";

fn start_line(line: &str) -> Result<Start, Fault> {
    if line.contains('\r') {
        return Err(Fault::syntax(NOT_SIP));
    }
    if line.get(..4).is_some_and(|v| v.eq_ignore_ascii_case("SIP/")) {
        return status_line(line);
    }
    // More than one space, or spaces at the end, are repaired; a space inside the URI cannot be.
    let mut words = line.split([' ', '\t']).filter(|w| !w.is_empty());
    let (Some(method), Some(uri), Some(version)) = (words.next(), words.next(), words.next()) else {
        return Err(Fault::syntax(NOT_SIP));
    };
    let last = words.next_back().unwrap_or(version);
    if !last.get(..4).is_some_and(|v| v.eq_ignore_ascii_case("SIP/")) {
        return Err(Fault::syntax(NOT_SIP));
    }
    if last != version {
        return Err(Fault::syntax("White Space In Request-URI"));
    }
    if !version.eq_ignore_ascii_case("SIP/2.0") {
        return Err(Fault::status(StatusCode::VERSION_NOT_SUPPORTED, "Version Not Supported"));
    }
    let method = Method::parse(method).ok_or(Fault::syntax("Malformed Method"))?;
    let uri = Uri::parse(uri).map_err(|_| Fault::syntax("Malformed Request-URI"))?;
    Ok(Start::Request(method, uri))
}

fn status_line(line: &str) -> Result<Start, Fault> {
    let malformed = Fault::syntax(BAD_STATUS_LINE);
    let (version, rest) = line.split_once(' ').ok_or(malformed)?;
    let (code, reason) = rest.split_once(' ').unwrap_or((rest, ""));
    if !version.eq_ignore_ascii_case("SIP/2.0") || code.len() != 3 {
        return Err(malformed);
    }
    let code = lex::digits(code).and_then(|c| u16::try_from(c).ok()).and_then(StatusCode::new);
    Ok(Start::Response(code.ok_or(malformed)?, reason.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::SipMessage;

    const INVITE: &str = "INVITE sip:bob@h.example SIP/2.0\r\nv: SIP/2.0/UDP a.example;branch=z9hG4bK1,\r\n \
        SIP/2.0/TCP b.example\r\nf: <sip:a@h>;tag=1\r\nt: sip:b@h\r\ni: x\r\nCSeq: 1 INVITE\r\nX-Odd: y\r\nl: 3\r\n\r\nabcdef";

    fn request(text: &str) -> Result<Request, Rejection> {
        match parse_datagram(text.as_bytes())? {
            Some(Message::Request(request)) => Ok(request),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_request_is_read_and_written_again() {
        let invite = request(INVITE).unwrap();
        assert_eq!((invite.method.clone(), invite.body.as_slice()), (Method::Invite, &b"abc"[..]));
        assert_eq!(invite.vias().unwrap().len(), 2);
        assert_eq!(invite.headers.get("x-odd"), Some("y"));
        let again = request(&String::from_utf8(invite.to_bytes()).unwrap()).unwrap();
        assert_eq!(again, invite);
    }

    #[test]
    fn a_fault_is_answered_with_what_could_be_read() {
        let rejection = request(&INVITE.replace("l: 3", "l: 300")).unwrap_err();
        let response = rejection.response.unwrap();
        assert_eq!((response.status, response.headers.get("Call-ID")), (StatusCode::BAD_REQUEST, Some("x")));
        let rejection = request(&INVITE.replace("X-Odd: y", "no colon here")).unwrap_err();
        assert!(rejection.response.unwrap().headers.has("CSeq"));
        let rejection = request(&INVITE.replace("SIP/2.0\r\nv", "SIP/7.0\r\nv")).unwrap_err();
        assert_eq!(rejection.response.unwrap().status, StatusCode::VERSION_NOT_SUPPORTED);
    }

    #[test]
    fn responses_acks_and_noise_are_never_answered() {
        for text in [
            "SIP/2.0 99999 x\r\nVia: SIP/2.0/UDP a\r\n\r\n".to_owned(),
            INVITE.replace("INVITE", "ACK").replace("l: 3", "l: -3"),
            "GET / HTTP/1.1\r\nVia: x\r\n\r\n".to_owned(),
            "\0\0\0".to_owned(),
        ] {
            assert!(parse_datagram(text.as_bytes()).unwrap_err().response.is_none(), "{text}");
        }
        assert!(parse_datagram(b"\r\n\r\n").unwrap().is_none());
        assert!(parse_datagram(b"").unwrap().is_none());
    }

    #[test]
    fn a_line_break_in_a_value_forges_no_header() {
        let uri = Uri::parse("sip:h").unwrap();
        let request = Request::new(Method::Options, uri).with_header("Subject", "x\r\nRoute: <sip:evil>");
        let text = String::from_utf8(request.to_bytes()).unwrap();
        assert!(text.contains("Subject: x  Route: <sip:evil>\r\n"), "{text}");
    }
}
