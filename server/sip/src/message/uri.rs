//! URIs. Escapes are kept as written: decoding never changes where a message goes (RFC 3261 19.1).

use std::fmt;
use std::str::FromStr;

use super::error::Fault;
use super::host::{Host, HostPort};
use super::lex;
use super::params::Params;

/// A URI in a request line or in an address header.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Uri {
    /// `sip:` or `sips:`
    Sip(SipUri),
    /// `tel:` and every other scheme, kept as written.
    Other(OtherUri),
}

/// A `sip:` or `sips:` URI.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SipUri {
    /// `sips:`
    pub secure: bool,
    /// The user part with its escapes, without the password.
    pub user: Option<String>,
    /// The password as written.
    pub password: Option<String>,
    /// Host and port.
    pub host: HostPort,
    /// URI parameters.
    pub params: Params,
    /// What follows `?`, as written.
    pub headers: Option<String>,
}

/// A URI of another scheme.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct OtherUri {
    /// The scheme in lower case.
    pub scheme: String,
    /// What follows the colon.
    pub rest: String,
}

impl Uri {
    /// Reads a URI.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let malformed = Fault::syntax("Malformed URI");
        let (scheme, rest) = text.split_once(':').ok_or(malformed)?;
        let scheme_char = |b: u8| b.is_ascii_alphanumeric() || b"+-.".contains(&b);
        if !scheme.starts_with(|c: char| c.is_ascii_alphabetic()) || !scheme.bytes().all(scheme_char) {
            return Err(malformed);
        }
        if rest.is_empty() || rest.bytes().any(|b| b <= b' ' || b"<>\"\x7f".contains(&b)) {
            return Err(malformed);
        }
        let scheme = scheme.to_ascii_lowercase();
        match scheme.as_str() {
            "sip" | "sips" => SipUri::parse_rest(scheme == "sips", rest).map(Self::Sip),
            _ => Ok(Self::Other(OtherUri { scheme, rest: rest.to_owned() })),
        }
    }

    /// The scheme in lower case.
    pub fn scheme(&self) -> &str {
        match self {
            Self::Sip(sip) if sip.secure => "sips",
            Self::Sip(_) => "sip",
            Self::Other(other) => &other.scheme,
        }
    }

    /// The `sip:`/`sips:` URI, when it is one.
    pub fn as_sip(&self) -> Option<&SipUri> {
        match self {
            Self::Sip(sip) => Some(sip),
            Self::Other(_) => None,
        }
    }

    /// Changeable view of the same.
    pub fn as_sip_mut(&mut self) -> Option<&mut SipUri> {
        match self {
            Self::Sip(sip) => Some(sip),
            Self::Other(_) => None,
        }
    }

    /// The decoded user of a SIP URI, or the digits of a `tel:` URI without visual separators.
    pub fn user(&self) -> Option<String> {
        match self {
            Self::Sip(sip) => sip.user_decoded(),
            Self::Other(other) if other.scheme == "tel" => {
                let number = other.rest.split(';').next().unwrap_or_default();
                Some(number.chars().filter(|c| !"-.()".contains(*c)).collect())
            }
            Self::Other(_) => None,
        }
    }

    /// A URI parameter of a SIP URI.
    pub fn param(&self, name: &str) -> Option<&str> {
        self.as_sip().and_then(|sip| sip.params.get(name))
    }
}

impl SipUri {
    /// `sip:host[:port]`
    pub fn new(host: HostPort) -> Self {
        Self { secure: false, user: None, password: None, host, params: Params::new(), headers: None }
    }

    /// `sip:user@host[:port]`; the user is escaped where it must be.
    pub fn with_user(user: &str, host: HostPort) -> Self {
        Self { user: Some(escape_user(user)), ..Self::new(host) }
    }

    /// Adds a URI parameter.
    pub fn with_param(mut self, name: &str, value: Option<&str>) -> Self {
        self.params.set(name, value);
        self
    }

    /// The user part with its escapes decoded: an opaque name to look up, not a piece of a URI.
    pub fn user_decoded(&self) -> Option<String> {
        self.user.as_deref().map(lex::percent_decode)
    }

    /// The port, or the default of the scheme.
    pub fn port_or_default(&self) -> u16 {
        self.host.port.unwrap_or(if self.secure { 5061 } else { 5060 })
    }

    /// Is this a loose router (`;lr`)?
    pub fn is_loose_router(&self) -> bool {
        self.params.has("lr")
    }

    /// The same address by RFC 3261 19.1.4 (unknown parameters count only when both have them).
    pub fn equivalent(&self, other: &Self) -> bool {
        let same_param = |name: &str| {
            let fold = |p: &Params| p.get(name).map(str::to_ascii_lowercase);
            self.params.has(name) == other.params.has(name) && fold(&self.params) == fold(&other.params)
        };
        let both_agree = self.params.iter().all(|(name, value)| {
            !other.params.has(name)
                || value.map(str::to_ascii_lowercase) == other.params.get(name).map(str::to_ascii_lowercase)
        });
        self.secure == other.secure
            && self.user_decoded() == other.user_decoded()
            && self.password == other.password
            && self.host == other.host
            && ["user", "ttl", "method", "maddr", "transport"].into_iter().all(same_param)
            && both_agree
            && self.headers == other.headers
    }

    fn parse_rest(secure: bool, rest: &str) -> Result<Self, Fault> {
        // No part after the user may hold an unescaped `@`, so the first one ends the user part.
        let (userinfo, rest) = match rest.split_once('@') {
            Some((userinfo, rest)) => (Some(userinfo), rest),
            None => (None, rest),
        };
        let (user, password) =
            match userinfo.map(|u| u.split_once(':').map_or((u, None), |(u, p)| (u, Some(p)))) {
                Some(("", _)) => return Err(Fault::syntax("Malformed URI User")),
                Some((user, password)) => (Some(user.to_owned()), password.map(str::to_owned)),
                None => (None, None),
            };
        let (rest, headers) = match rest.split_once('?') {
            Some((rest, headers)) => (rest, Some(headers.to_owned())),
            None => (rest, None),
        };
        let (host, params) = match rest.split_once(';') {
            Some((host, params)) => (host, Params::parse_uri(params)?),
            None => (rest, Params::new()),
        };
        Ok(Self { secure, user, password, host: HostPort::parse(host)?, params, headers })
    }
}

/// Escapes what RFC 3261 does not allow in a user part.
fn escape_user(user: &str) -> String {
    let mut out = String::with_capacity(user.len());
    for byte in user.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.!~*'()&=+$,;?/".contains(&byte) {
            out.push(byte as char);
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

impl From<SipUri> for Uri {
    fn from(uri: SipUri) -> Self {
        Self::Sip(uri)
    }
}

impl From<Host> for HostPort {
    fn from(host: Host) -> Self {
        Self { host, port: None }
    }
}

impl FromStr for Uri {
    type Err = Fault;
    fn from_str(text: &str) -> Result<Self, Fault> {
        Self::parse(text)
    }
}

impl fmt::Display for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sip(sip) => write!(f, "{sip}"),
            Self::Other(other) => write!(f, "{}:{}", other.scheme, other.rest),
        }
    }
}

impl fmt::Display for SipUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.secure { "sips:" } else { "sip:" })?;
        if let Some(user) = &self.user {
            f.write_str(user)?;
            if let Some(password) = &self.password {
                write!(f, ":{password}")?;
            }
            f.write_str("@")?;
        }
        write!(f, "{}{}", self.host, self.params)?;
        match &self.headers {
            Some(headers) => write!(f, "?{headers}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uri_comes_back_as_it_was_written() {
        for text in [
            "sip:alice@example.com",
            "sips:bob:pw@[2001:db8::1]:5061;transport=tls;lr?Subject=x",
            "sip:sips%3Auser%40example.com@example.net",
            "sip:user;par=u%40example.net@example.com",
            "tel:+1-201-555-0123;ext=5",
            "soap.beep://192.0.2.103:3002",
        ] {
            assert_eq!(Uri::parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn an_escaped_at_sign_does_not_move_the_host() {
        let uri = Uri::parse("sip:a%40b.example@c.example").unwrap();
        let sip = uri.as_sip().unwrap();
        assert_eq!(sip.host.host, Host::Name("c.example".into()));
        assert_eq!(sip.user_decoded().as_deref(), Some("a@b.example"));
    }

    #[test]
    fn what_is_no_uri_is_refused() {
        for text in
            ["", "sip", "sip:", "1x:y", "sip:@h", "sip:a b@h", "sip:h:99999", "sip:h;;", "<sip:h>", "sip:h:"]
        {
            assert!(Uri::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn equivalence_follows_the_rfc() {
        let same = |a: &str, b: &str| {
            let (a, b) = (Uri::parse(a).unwrap(), Uri::parse(b).unwrap());
            a.as_sip().unwrap().equivalent(b.as_sip().unwrap())
        };
        assert!(same("sip:%61lice@atlanta.com;transport=TCP", "sip:alice@AtLanTa.CoM;Transport=tcp"));
        assert!(same("sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5"));
        assert!(!same("sip:carol@chicago.com;newparam=6", "sip:carol@chicago.com;newparam=5"));
        assert!(!same("SIP:ALICE@AtLanTa.CoM", "sip:alice@AtLanTa.CoM"));
        assert!(!same("sip:bob@biloxi.com", "sip:bob@biloxi.com:5060"));
        assert!(!same("sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp"));
    }

    #[test]
    fn a_new_user_is_escaped() {
        let uri = SipUri::with_user("a@b c", HostPort::parse("h").unwrap());
        assert_eq!(uri.to_string(), "sip:a%40b%20c@h");
        assert_eq!(Uri::parse("tel:+1(201)555-0123").unwrap().user().as_deref(), Some("+12015550123"));
    }
}
