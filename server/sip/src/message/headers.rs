//! The ordered list of header fields, as received: unknown ones kept, compact names written out.

use std::borrow::Cow;
use std::fmt;

use super::error::Fault;
use super::lex;

/// One header field. The value is unfolded and trimmed, otherwise as received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// The name; known names in their usual spelling, compact forms in full.
    pub name: Cow<'static, str>,
    /// The value.
    pub value: String,
}

/// Ordered header fields; names compare without case, also by their compact forms.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Headers(Vec<Header>);

impl Headers {
    /// No headers.
    pub fn new() -> Self {
        Self::default()
    }

    /// The first value of this name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    /// Every field of this name, in order, commas not split.
    pub fn all<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        let name = canonical(name);
        self.0.iter().filter(move |h| h.name.eq_ignore_ascii_case(&name)).map(|h| h.value.as_str())
    }

    /// Every value of this name in order, split at commas.
    pub fn values(&self, name: &str) -> Result<Vec<&str>, Fault> {
        let mut values = Vec::new();
        for field in self.all(name) {
            values.append(&mut lex::split(field, b',')?);
        }
        Ok(values)
    }

    /// Every token of a list such as Supported or Require; empty ones left out.
    pub fn tokens(&self, name: &str) -> Vec<&str> {
        self.all(name).flat_map(|v| v.split(',')).map(lex::trim).filter(|t| !t.is_empty()).collect()
    }

    /// The value of a header that may be there once only.
    pub fn single(&self, name: &str) -> Result<Option<&str>, Fault> {
        let mut all = self.all(name);
        match (all.next(), all.next()) {
            (first, None) => Ok(first),
            _ => Err(Fault::syntax("Repeated Single-Value Header")),
        }
    }

    /// Is there a field of this name?
    pub fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// Adds a field at the end.
    pub fn push(&mut self, name: &str, value: impl fmt::Display) {
        self.0.push(Header { name: canonical_owned(name), value: value.to_string() });
    }

    /// Adds a field before the first of its name, or before all (a Via, a Route).
    pub fn push_front(&mut self, name: &str, value: impl fmt::Display) {
        let header = Header { name: canonical_owned(name), value: value.to_string() };
        let at = self.0.iter().position(|h| h.name.eq_ignore_ascii_case(&header.name)).unwrap_or(0);
        self.0.insert(at, header);
    }

    /// Replaces every field of this name by one, in the place of the first.
    pub fn set(&mut self, name: &str, value: impl fmt::Display) {
        let header = Header { name: canonical_owned(name), value: value.to_string() };
        match self.0.iter().position(|h| h.name.eq_ignore_ascii_case(&header.name)) {
            Some(at) => {
                let mut index = 0;
                self.0.retain(|h| {
                    index += 1;
                    index - 1 == at || !h.name.eq_ignore_ascii_case(&header.name)
                });
                self.0[at] = header;
            }
            None => self.0.push(header),
        }
    }

    /// Removes every field of this name.
    pub fn remove(&mut self, name: &str) {
        let name = canonical(name);
        self.0.retain(|h| !h.name.eq_ignore_ascii_case(&name));
    }

    /// Takes the first value (not the whole field) of a comma-separated header off the list.
    pub fn pop_first_value(&mut self, name: &str) -> Option<String> {
        let name = canonical(name);
        let at = self.0.iter().position(|h| h.name.eq_ignore_ascii_case(&name))?;
        let (first, rest) = match lex::split(&self.0[at].value, b',') {
            Ok(pieces) if pieces.len() > 1 => (pieces[0].to_owned(), Some(pieces[1..].join(", "))),
            _ => (self.0[at].value.clone(), None),
        };
        match rest {
            Some(rest) => self.0[at].value = rest,
            None => drop(self.0.remove(at)),
        }
        Some(first)
    }

    /// Replaces the first value of a comma-separated header and keeps the others.
    pub fn replace_first_value(&mut self, name: &str, value: impl fmt::Display) {
        self.pop_first_value(name);
        self.push_front(name, value);
    }

    /// Copies every field of this name to another message.
    pub fn copy_to(&self, name: &str, other: &mut Headers) {
        for value in self.all(name) {
            other.push(name, value);
        }
    }

    /// The fields in order.
    pub fn iter(&self) -> impl Iterator<Item = &Header> {
        self.0.iter()
    }

    /// How many fields there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Are there none?
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn push_raw(&mut self, name: &str, value: String) {
        self.0.push(Header { name: canonical_owned(name), value });
    }
}

/// Usual spellings, and the compact form where there is one.
const KNOWN: &[(&str, &str)] = &[
    ("Via", "v"),
    ("From", "f"),
    ("To", "t"),
    ("Call-ID", "i"),
    ("CSeq", ""),
    ("Max-Forwards", ""),
    ("Contact", "m"),
    ("Content-Type", "c"),
    ("Content-Length", "l"),
    ("Content-Encoding", "e"),
    ("Content-Disposition", ""),
    ("Subject", "s"),
    ("Supported", "k"),
    ("Event", "o"),
    ("Allow-Events", "u"),
    ("Refer-To", "r"),
    ("Referred-By", "b"),
    ("Session-Expires", "x"),
    ("Accept-Contact", "a"),
    ("Reject-Contact", "j"),
    ("Request-Disposition", "d"),
    ("Identity", "y"),
    ("Route", ""),
    ("Record-Route", ""),
    ("Allow", ""),
    ("Accept", ""),
    ("Require", ""),
    ("Proxy-Require", ""),
    ("Unsupported", ""),
    ("Expires", ""),
    ("Min-Expires", ""),
    ("Min-SE", ""),
    ("Authorization", ""),
    ("Proxy-Authorization", ""),
    ("WWW-Authenticate", ""),
    ("Proxy-Authenticate", ""),
    ("Authentication-Info", ""),
    ("User-Agent", ""),
    ("Server", ""),
    ("Session-ID", ""),
    ("Retry-After", ""),
    ("Warning", ""),
    ("Date", ""),
    ("Reason", ""),
    ("Timestamp", ""),
];

/// The full name of a compact form, the usual spelling of a known name, else the name itself.
fn canonical(name: &str) -> Cow<'_, str> {
    match known(name) {
        Some(full) => Cow::Borrowed(full),
        None => Cow::Borrowed(name),
    }
}

fn canonical_owned(name: &str) -> Cow<'static, str> {
    match known(name) {
        Some(full) => Cow::Borrowed(full),
        None => Cow::Owned(name.to_owned()),
    }
}

fn known(name: &str) -> Option<&'static str> {
    let same = |candidate: &str| candidate.eq_ignore_ascii_case(name);
    KNOWN
        .iter()
        .find(|(full, compact)| if name.len() == 1 { same(compact) } else { same(full) })
        .map(|(f, _)| *f)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compact_forms_are_the_same_header() {
        let mut headers = Headers::new();
        headers.push("v", "SIP/2.0/UDP a");
        headers.push("VIA", "SIP/2.0/UDP b, SIP/2.0/UDP c");
        assert_eq!(headers.values("Via").unwrap().len(), 3);
        assert_eq!(headers.iter().next().unwrap().name, "Via");
    }

    #[test]
    fn the_first_value_is_taken_off_a_list() {
        let mut headers = Headers::new();
        headers.push("Route", "<sip:a;lr>, <sip:b;lr>");
        headers.push("Route", "<sip:c;lr>");
        assert_eq!(headers.pop_first_value("Route").as_deref(), Some("<sip:a;lr>"));
        assert_eq!(headers.values("route").unwrap(), ["<sip:b;lr>", "<sip:c;lr>"]);
        headers.replace_first_value("Route", "<sip:x;lr>");
        assert_eq!(headers.values("Route").unwrap(), ["<sip:x;lr>", "<sip:c;lr>"]);
    }

    #[test]
    fn set_leaves_one() {
        let mut headers = Headers::new();
        for value in ["1", "2"] {
            headers.push("X-Own", value);
            headers.push("To", value);
        }
        headers.set("x-own", "3");
        headers.set("t", "4");
        assert_eq!(headers.tokens("To"), ["4"]);
        assert_eq!(headers.tokens("X-Own"), ["3"]);
    }
}
