//! CSeq: the order of requests in a dialog (RFC 3261 8.1.1.5).

use std::fmt;

use super::error::Fault;
use super::{Method, lex};

/// Sequence number and method.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CSeq {
    /// Less than 2³¹.
    pub number: u32,
    /// The method of the request.
    pub method: Method,
}

impl CSeq {
    /// Reads `number method`.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let malformed = Fault::syntax("Malformed CSeq");
        let (number, method) = text.split_once([' ', '\t']).ok_or(malformed)?;
        let number = lex::digits(number).filter(|n| *n < 1 << 31).and_then(|n| u32::try_from(n).ok());
        let number = number.ok_or(Fault::syntax("CSeq Number Out Of Range"))?;
        Ok(Self { number, method: Method::parse(lex::trim(method)).ok_or(malformed)? })
    }
}

impl fmt::Display for CSeq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.number, self.method)
    }
}
