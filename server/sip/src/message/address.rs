//! Address headers: `"Name" <uri>;params` (From, To, Contact, Route, Record-Route …).

use std::fmt;

use super::error::Fault;
use super::lex;
use super::params::Params;
use super::uri::Uri;

/// One address with its header parameters.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct NameAddr {
    /// The display name without quotes.
    pub display: Option<String>,
    /// The URI.
    pub uri: Uri,
    /// Header parameters (`tag`, `expires`, `q` …).
    pub params: Params,
}

impl NameAddr {
    /// An address without name and parameters.
    pub fn new(uri: impl Into<Uri>) -> Self {
        Self { display: None, uri: uri.into(), params: Params::new() }
    }

    /// Adds a header parameter.
    pub fn with_param(mut self, name: &str, value: Option<&str>) -> Self {
        self.params.set(name, value);
        self
    }

    /// The `tag` parameter.
    pub fn tag(&self) -> Option<&str> {
        self.params.get("tag")
    }

    /// The same with this tag.
    pub fn with_tag(self, tag: &str) -> Self {
        self.with_param("tag", Some(tag))
    }

    /// Reads one address. Liberal about spaces inside `<>` and about unquoted display names.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let text = lex::trim(text);
        let (display, rest) = match text.as_bytes().first() {
            Some(b'"') => {
                let end = lex::quoted_end(text, 0)?;
                (Some(lex::unquote(&text[..end])), lex::trim(&text[end..]))
            }
            _ => match text.find('<') {
                Some(open) => (Some(lex::trim(&text[..open]).to_owned()), &text[open..]),
                None => return Self::parse_bare(text),
            },
        };
        let inner = rest.strip_prefix('<').ok_or(Fault::syntax("Malformed Address"))?;
        let (uri, rest) = inner.split_once('>').ok_or(Fault::syntax("Missing Closing Angle Bracket"))?;
        let uri = Uri::parse(lex::trim(uri))?;
        Ok(Self { display: display.filter(|d| !d.is_empty()), uri, params: params_after(lex::trim(rest))? })
    }

    /// RFC 3261 20: without `<>` parameters belong to the header, and `,` `?` are not allowed.
    fn parse_bare(text: &str) -> Result<Self, Fault> {
        let (uri, params) = text.split_at(text.find(';').unwrap_or(text.len()));
        let uri = lex::trim(uri);
        if uri.contains(['?', ',']) {
            return Err(Fault::syntax("Address Needs Angle Brackets"));
        }
        Ok(Self { display: None, uri: Uri::parse(uri)?, params: params_after(params)? })
    }

    /// Reads a comma-separated list.
    pub fn parse_list(text: &str) -> Result<Vec<Self>, Fault> {
        lex::split(text, b',')?.into_iter().map(Self::parse).collect()
    }
}

/// What may follow the URI of a header value: nothing, or `;` and parameters.
pub(crate) fn params_after(rest: &str) -> Result<Params, Fault> {
    match rest.strip_prefix(';') {
        Some(params) => Params::parse_header(params),
        None if rest.is_empty() => Ok(Params::new()),
        None => Err(Fault::syntax("Malformed Header Value")),
    }
}

impl fmt::Display for NameAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(display) = &self.display {
            write!(f, "{} ", lex::quote(display))?;
        }
        write!(f, "<{}>{}", self.uri, self.params)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shapes_of_addresses() {
        let a = NameAddr::parse(r#""A \"x\"" <sip:a@h;p=1> ; tag = 9"#).unwrap();
        assert_eq!((a.display.as_deref(), a.tag()), (Some(r#"A "x""#), Some("9")));
        assert_eq!(a.uri.param("p"), Some("1"));
        let bare = NameAddr::parse("sip:a@h;tag=7").unwrap();
        assert_eq!((bare.uri.to_string().as_str(), bare.tag()), ("sip:a@h", Some("7")));
        assert_eq!(NameAddr::parse("Bell, A <sip:a@h>").unwrap().to_string(), r#""Bell, A" <sip:a@h>"#);
        assert_eq!(NameAddr::parse("caller<sip:c@h>").unwrap().display.as_deref(), Some("caller"));
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in
            ["", "\"A <sip:a@h>", "sip:a@h?x=y", "<sip:a@h", "<sip:a@h> x", "<sip:a@h>;;", "\"A\" sip:a@h"]
        {
            assert!(NameAddr::parse(text).is_err(), "{text}");
        }
    }
}
