//! `Digest name=value, …`: challenges and credentials.

use crate::message::lex;

/// The parameters of one challenge or of one set of credentials, unquoted.
pub(super) struct DigestParams(Vec<(String, String)>);

impl DigestParams {
    /// Reads a header value; `None` for other schemes, and for what is malformed or says a thing twice.
    pub(super) fn parse(value: &str) -> Option<Self> {
        let (scheme, rest) = value.split_once([' ', '\t'])?;
        if !scheme.eq_ignore_ascii_case("Digest") {
            return None;
        }
        let mut params: Vec<(String, String)> = Vec::new();
        for piece in lex::split(rest, b',').ok()? {
            if piece.is_empty() {
                continue;
            }
            let (name, value) = piece.split_once('=')?;
            let name = lex::trim(name).to_ascii_lowercase();
            if params.iter().any(|(known, _)| *known == name) {
                return None;
            }
            params.push((name, lex::unquote(lex::trim(value))));
        }
        Some(Self(params))
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}
