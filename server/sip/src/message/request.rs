//! Requests.

use std::fmt;

use super::{Headers, Method, Uri, write};

/// A request. `Content-Length` is written from the body, never kept as a header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// The Request-URI.
    pub uri: Uri,
    /// The header fields.
    pub headers: Headers,
    /// The body.
    pub body: Vec<u8>,
}

impl Request {
    /// A request without headers.
    pub fn new(method: Method, uri: impl Into<Uri>) -> Self {
        Self { method, uri: uri.into(), headers: Headers::new(), body: Vec::new() }
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

    /// The request as it goes on the wire.
    pub fn to_bytes(&self) -> Vec<u8> {
        write::message(format_args!("{} {} SIP/2.0", self.method, self.uri), &self.headers, &self.body)
    }
}
