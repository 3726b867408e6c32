//! Via: where a request has been, and so the way back of its response.

use std::fmt;

use super::address::params_after;
use super::error::Fault;
use super::host::HostPort;
use super::lex;
use super::params::Params;

/// What every branch made by RFC 3261 rules starts with.
pub const MAGIC_COOKIE: &str = "z9hG4bK";

/// One Via value.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Via {
    /// `UDP`, `TCP`, `TLS` or anything else, in upper case.
    pub transport: String,
    /// Where the sender listens.
    pub sent_by: HostPort,
    /// `branch`, `received`, `rport` …
    pub params: Params,
}

impl Via {
    /// Reads one value: `SIP / 2.0 / UDP host:port;params`, spaces as anybody likes them.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let malformed = Fault::syntax("Malformed Via");
        let (protocol, rest) = text.split_once('/').ok_or(malformed)?;
        let (version, rest) = rest.split_once('/').ok_or(malformed)?;
        if !lex::trim(protocol).eq_ignore_ascii_case("SIP") || lex::trim(version) != "2.0" {
            return Err(malformed);
        }
        let rest = lex::trim(rest);
        let (transport, rest) = rest.split_once([' ', '\t']).ok_or(malformed)?;
        if !lex::is_token(transport) {
            return Err(malformed);
        }
        let (sent_by, params) = rest.split_at(rest.find(';').unwrap_or(rest.len()));
        Ok(Self {
            transport: transport.to_ascii_uppercase(),
            sent_by: HostPort::parse(lex::trim(sent_by))?,
            params: params_after(params)?,
        })
    }

    /// The branch.
    pub fn branch(&self) -> Option<&str> {
        self.params.get("branch")
    }

    /// The branch, only when it identifies a transaction by RFC 3261 17.2.3.
    pub fn rfc3261_branch(&self) -> Option<&str> {
        self.branch().filter(|b| b.len() > MAGIC_COOKIE.len() && b.starts_with(MAGIC_COOKIE))
    }
}

impl fmt::Display for Via {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SIP/2.0/{} {}{}", self.transport, self.sent_by, self.params)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spaces_are_allowed_nearly_everywhere() {
        let via =
            Via::parse("SIP  / 2.0  / TCP     spindle.example.com   ; branch  =   z9hG4bK9ikj8").unwrap();
        assert_eq!(via.to_string(), "SIP/2.0/TCP spindle.example.com;branch=z9hG4bK9ikj8");
        assert_eq!(Via::parse("SIP/2.0/UDP [::1] : 5062;rport").unwrap().sent_by.port, Some(5062));
    }

    #[test]
    fn what_is_no_via_is_refused() {
        for text in
            ["", "SIP/2.0/UDP", "SIP/3.0/UDP h", "SIP/2.0/UDP h;;", "SIP/2.0/UDP h;branch=", "HTTP/2.0/UDP h"]
        {
            assert!(Via::parse(text).is_err(), "{text}");
        }
    }
}
