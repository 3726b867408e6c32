//! Responses.

use std::fmt;

use super::{Headers, Request, StatusCode, lex, write};

/// A response. `Content-Length` is written from the body, never kept as a header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// The status code.
    pub status: StatusCode,
    /// The reason phrase.
    pub reason: String,
    /// The header fields.
    pub headers: Headers,
    /// The body.
    pub body: Vec<u8>,
}

impl Response {
    /// A response without headers.
    pub fn new(status: StatusCode) -> Self {
        Self { status, reason: status.reason().to_owned(), headers: Headers::new(), body: Vec::new() }
    }

    /// A response to this request: Via, From, To, Call-ID, CSeq copied (RFC 3261 8.2.6.2), no To tag added yet.
    pub fn to(request: &Request, status: StatusCode) -> Self {
        let mut response = Self::new(status);
        for name in ["Via", "From", "To", "Call-ID", "CSeq"] {
            request.headers.copy_to(name, &mut response.headers);
        }
        if status == StatusCode::TRYING {
            request.headers.copy_to("Timestamp", &mut response.headers);
        }
        response
    }

    /// Another reason phrase.
    pub fn with_reason(mut self, reason: impl Into<String>) -> Self {
        self.reason = reason.into();
        self
    }

    /// Adds a header at the end.
    pub fn with_header(mut self, name: &str, value: impl fmt::Display) -> Self {
        self.headers.push(name, value);
        self
    }

    /// Sets the body and its type.
    pub fn with_body(mut self, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        self.headers.set("Content-Type", content_type);
        self.body = body.into();
        self
    }

    /// Adds a To tag where there is none yet.
    pub fn with_to_tag(mut self, tag: &str) -> Self {
        let Some(to) = self.headers.get("To") else { return self };
        // Parameters of the header stand after `>`, or, without `<>`, anywhere after the URI.
        let params = to.rfind('>').map_or(to, |end| &to[end..]);
        let tagged =
            |p: &str| lex::trim(p).to_ascii_lowercase().split('=').next().map(str::trim_end) == Some("tag");
        if !params.split(';').skip(1).any(tagged) {
            let to = format!("{to};tag={tag}");
            self.headers.set("To", to);
        }
        self
    }

    /// The response as it goes on the wire.
    pub fn to_bytes(&self) -> Vec<u8> {
        write::message(format_args!("SIP/2.0 {} {}", self.status, self.reason), &self.headers, &self.body)
    }
}
