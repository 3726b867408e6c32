//! Parameters of headers and URIs: `;name=value`, kept in order and as written.

use std::fmt;

use super::error::Fault;
use super::lex;

/// An ordered list of parameters. Names compare without case; values keep their quotes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Params(Vec<(String, Option<String>)>);

impl Params {
    /// No parameters.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads what follows the first `;` of a header value (spaces allowed round `;` and `=`).
    pub(crate) fn parse_header(text: &str) -> Result<Self, Fault> {
        lex::split(text, b';')?.into_iter().map(header_param).collect::<Result<_, _>>().map(Self)
    }

    /// Reads what follows the first `;` of a URI (no spaces, no quotes).
    pub(crate) fn parse_uri(text: &str) -> Result<Self, Fault> {
        text.split(';').map(uri_param).collect::<Result<_, _>>().map(Self)
    }

    /// The value as written; `None` when the parameter is absent or has no value.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).and_then(|(_, v)| v.as_deref())
    }

    /// The value without its quotes.
    pub fn unquoted(&self, name: &str) -> Option<String> {
        self.get(name).map(lex::unquote)
    }

    /// Is the parameter there, with or without a value?
    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(n, _)| n.eq_ignore_ascii_case(name))
    }

    /// Sets a parameter in place, or adds it at the end.
    pub fn set(&mut self, name: &str, value: Option<&str>) {
        let value = value.map(str::to_owned);
        match self.0.iter_mut().find(|(n, _)| n.eq_ignore_ascii_case(name)) {
            Some(slot) => slot.1 = value,
            None => self.0.push((name.to_owned(), value)),
        }
    }

    /// Adds a parameter (for building in one expression).
    pub fn with(mut self, name: &str, value: Option<&str>) -> Self {
        self.set(name, value);
        self
    }

    /// Removes a parameter.
    pub fn remove(&mut self, name: &str) {
        self.0.retain(|(n, _)| !n.eq_ignore_ascii_case(name));
    }

    /// Names and values in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        self.0.iter().map(|(n, v)| (n.as_str(), v.as_deref()))
    }

    /// Are there none?
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn header_param(piece: &str) -> Result<(String, Option<String>), Fault> {
    let (name, value) = match piece.split_once('=') {
        Some((name, value)) => (lex::trim(name), Some(lex::trim(value))),
        None => (piece, None),
    };
    if !lex::is_token(name) {
        return Err(Fault::syntax("Malformed Header Parameter"));
    }
    if value.is_some_and(|v| !header_value_is_sound(v)) {
        return Err(Fault::syntax("Malformed Header Parameter Value"));
    }
    Ok((name.to_owned(), value.map(str::to_owned)))
}

/// A token, a host, or a whole quoted string; liberal about which other visible characters a token has.
fn header_value_is_sound(value: &str) -> bool {
    if value.starts_with('"') {
        return lex::quoted_end(value, 0) == Ok(value.len());
    }
    !value.is_empty() && !value.bytes().any(|b| b <= b' ' || matches!(b, b'"' | b'<' | b'>' | b',' | 0x7f))
}

fn uri_param(piece: &str) -> Result<(String, Option<String>), Fault> {
    let (name, value) = match piece.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (piece, None),
    };
    let sound = |t: &str| !t.is_empty() && !t.bytes().any(|b| b <= b' ' || b"\"<>,@?\x7f".contains(&b));
    if !sound(name) || value.is_some_and(|v| !sound(v)) {
        return Err(Fault::syntax("Malformed URI Parameter"));
    }
    Ok((name.to_owned(), value.map(str::to_owned)))
}

impl fmt::Display for Params {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in &self.0 {
            match value {
                Some(value) => write!(f, ";{name}={value}")?,
                None => write!(f, ";{name}")?,
            }
        }
        Ok(())
    }
}
