//! The table of RFC 4475 cases, and the judgement on a message, shared by the tests of this crate and of the server.

use std::path::Path;
use std::{fs, io};

use crate::capability::Capabilities;
use crate::message::parse::readable_headers;
use crate::message::{Message, Method, Request, SipMessage, Via, parse_datagram};

/// One line of `expectations.txt`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Case {
    /// The name of the RFC, and of the file.
    pub name: String,
    /// The class of the RFC: `valid`, `invalid`, `lenient`, `upper`.
    pub verdict: String,
    /// What the parser does.
    pub parser: Outcome,
    /// How a user agent server with [`capabilities`] refuses it, if it does.
    pub uas: Option<u16>,
    /// What a running server may answer.
    pub live: Live,
}

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It is understood.
    Accepted,
    /// It is answered with this status.
    Refused(u16),
    /// Nothing is answered.
    Dropped,
}

/// What a running server may answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Live {
    /// Any final answer that does not say "I could not read this" (400, 505, 513).
    pub understood: bool,
    /// These statuses too. With neither: silence.
    pub statuses: Vec<u16>,
}

impl Live {
    /// Is this final status (`None`: silence) one that may come?
    pub fn allows(&self, status: Option<u16>) -> bool {
        match status {
            None => self.is_silent(),
            Some(status) => {
                let read = !matches!(status, 400 | 505 | 513);
                (self.understood && read) || self.statuses.contains(&status)
            }
        }
    }

    /// Must nothing come?
    pub fn is_silent(&self) -> bool {
        !self.understood && self.statuses.is_empty()
    }
}

/// Reads the table.
pub fn cases(table: &Path) -> io::Result<Vec<Case>> {
    let text = fs::read_to_string(table)?;
    let lines = text.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#'));
    lines.map(|line| case(line).ok_or_else(|| io::Error::other(format!("malformed line: {line}")))).collect()
}

fn case(line: &str) -> Option<Case> {
    let mut columns = line.split_whitespace();
    let (name, verdict) = (columns.next()?.to_owned(), columns.next()?.to_owned());
    let parser = match columns.next()? {
        "accept" => Outcome::Accepted,
        "drop" => Outcome::Dropped,
        status => Outcome::Refused(status.parse().ok()?),
    };
    let uas = match columns.next()? {
        "ok" | "-" => None,
        status => Some(status.parse().ok()?),
    };
    let words: Vec<&str> = columns.next()?.split(',').collect();
    let live = Live {
        understood: words.contains(&"understood"),
        statuses: words.iter().filter_map(|w| w.parse().ok()).collect(),
    };
    Some(Case { name, verdict, parser, uas, live })
}

/// What the parser makes of a datagram.
pub fn judge(datagram: &[u8]) -> (Outcome, Option<Message>) {
    match parse_datagram(datagram) {
        Ok(message) => (Outcome::Accepted, message),
        Err(rejection) => match rejection.response {
            Some(response) => (Outcome::Refused(response.status.as_u16()), None),
            None => (Outcome::Dropped, None),
        },
    }
}

/// The status with which [`capabilities`] refuse a request.
pub fn refusal(request: &Request) -> Option<u16> {
    capabilities().refuse(request).map(|response| response.status.as_u16())
}

/// The port that the answer to a datagram goes to when it does not ask for `rport`: that of its Via.
pub fn reply_port(datagram: &[u8]) -> u16 {
    let via = match parse_datagram(datagram) {
        Ok(Some(Message::Request(request))) => request.top_via().ok(),
        Ok(_) => None,
        Err(rejection) => rejection.response.and_then(|response| response.top_via().ok()),
    };
    via.and_then(|via| via.sent_by.port).unwrap_or(5060)
}

/// Is this an answer to this datagram? Refusals of an INVITE are repeated until their ACK, so a socket that is used
/// for one message after the other still hears answers to earlier ones. Only Via and method count, as in a server
/// (RFC 3261 17.2.3): several of the originals share a branch, and so get the answer of the first of them.
pub fn is_answer(datagram: &[u8], answer: &[u8]) -> bool {
    transaction(datagram) == transaction(answer)
}

fn transaction(bytes: &[u8]) -> (Option<String>, Option<String>) {
    let headers = readable_headers(bytes);
    let via = headers.get("Via").map(|field| match headers.values("Via").map(|v| Via::parse(v[0])) {
        Ok(Ok(via)) => format!("{};{}", via.sent_by, via.branch().unwrap_or_default()),
        // What cannot be read is echoed as it came.
        _ => field.to_owned(),
    });
    let method = headers.get("CSeq").and_then(|cseq| cseq.split_whitespace().next_back()).map(str::to_owned);
    (via, method)
}

/// A user agent server with calls, messages and registrations, and without extensions.
pub fn capabilities() -> Capabilities {
    Capabilities {
        methods: vec![
            Method::Invite,
            Method::Bye,
            Method::Options,
            Method::Register,
            Method::Info,
            Method::Message,
        ],
        schemes: vec!["sip", "sips", "tel"],
        extensions: vec![],
        content_types: vec!["application/sdp", "multipart/mixed", "text/plain"],
    }
}
