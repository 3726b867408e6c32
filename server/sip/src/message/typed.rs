//! Typed views of headers, shared by requests and responses.
//!
//! A message that came through the parser has been validated: `Via`, `From`, `To`, `Call-ID` and `CSeq` are
//! there and well-formed, so these views fail only on messages that a program built wrongly, or on headers
//! that the validation does not look at.

use super::error::Fault;
use super::{CSeq, Headers, NameAddr, Request, Response, Via, lex};

/// What requests and responses have in common.
pub trait SipMessage {
    /// The header fields.
    fn headers(&self) -> &Headers;
    /// The header fields, to change.
    fn headers_mut(&mut self) -> &mut Headers;
    /// The body.
    fn body(&self) -> &[u8];

    /// The topmost Via.
    fn top_via(&self) -> Result<Via, Fault> {
        let field = self.headers().get("Via").ok_or(Fault::syntax("Missing Via"))?;
        Via::parse(lex::split(field, b',')?[0])
    }

    /// Every Via, topmost first.
    fn vias(&self) -> Result<Vec<Via>, Fault> {
        self.headers().values("Via")?.into_iter().map(Via::parse).collect()
    }

    /// From.
    fn from(&self) -> Result<NameAddr, Fault> {
        NameAddr::parse(self.headers().get("From").ok_or(Fault::syntax("Missing From"))?)
    }

    /// To.
    fn to(&self) -> Result<NameAddr, Fault> {
        NameAddr::parse(self.headers().get("To").ok_or(Fault::syntax("Missing To"))?)
    }

    /// Call-ID.
    fn call_id(&self) -> Result<&str, Fault> {
        self.headers().get("Call-ID").filter(|id| !id.is_empty()).ok_or(Fault::syntax("Missing Call-ID"))
    }

    /// CSeq.
    fn cseq(&self) -> Result<CSeq, Fault> {
        CSeq::parse(self.headers().get("CSeq").ok_or(Fault::syntax("Missing CSeq"))?)
    }

    /// Max-Forwards, 0 to 255.
    fn max_forwards(&self) -> Result<Option<u8>, Fault> {
        let Some(text) = self.headers().get("Max-Forwards") else { return Ok(None) };
        let number = lex::digits(text).and_then(|n| u8::try_from(n).ok());
        number.map(Some).ok_or(Fault::syntax("Max-Forwards Out Of Range"))
    }

    /// The Contact addresses; none for `Contact: *` (see [`SipMessage::contact_is_star`]).
    fn contacts(&self) -> Result<Vec<NameAddr>, Fault> {
        let values = self.headers().values("Contact")?;
        values.into_iter().filter(|v| *v != "*").map(NameAddr::parse).collect()
    }

    /// Is it `Contact: *`?
    fn contact_is_star(&self) -> bool {
        self.headers().all("Contact").any(|v| v == "*")
    }

    /// The Route set, topmost first.
    fn routes(&self) -> Result<Vec<NameAddr>, Fault> {
        addresses(self.headers(), "Route")
    }

    /// The Record-Route list, topmost first.
    fn record_routes(&self) -> Result<Vec<NameAddr>, Fault> {
        addresses(self.headers(), "Record-Route")
    }

    /// Expires in seconds; what is too large counts as 2³²−1, what is malformed as absent (RFC 3261 20.19).
    fn expires(&self) -> Option<u32> {
        seconds(self.headers().get("Expires")?)
    }

    /// The media type in lower case without parameters, for example `application/sdp`.
    fn content_type(&self) -> Option<String> {
        let value = self.headers().get("Content-Type")?;
        let kind = value.split(';').next().unwrap_or_default();
        Some(kind.chars().filter(|c| !c.is_whitespace()).collect::<String>().to_ascii_lowercase())
    }

    /// The parts of the body: those of a multipart body, or the one body with its type.
    fn parts(&self) -> Vec<super::multipart::Part> {
        super::multipart::parts(self.headers().get("Content-Type").unwrap_or_default(), self.body())
    }

    /// The first SDP in the body, alone or as a part of a multipart body.
    fn sdp(&self) -> Option<Vec<u8>> {
        self.parts().into_iter().find(|p| p.is("application/sdp")).map(|p| p.body)
    }
}

/// Reads delta-seconds; digits too many to hold count as the largest.
pub fn seconds(text: &str) -> Option<u32> {
    let text = lex::trim(text.split(';').next().unwrap_or_default());
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    Some(text.parse().unwrap_or(u32::MAX))
}

fn addresses(headers: &Headers, name: &str) -> Result<Vec<NameAddr>, Fault> {
    headers.values(name)?.into_iter().map(NameAddr::parse).collect()
}

impl SipMessage for Request {
    fn headers(&self) -> &Headers {
        &self.headers
    }
    fn headers_mut(&mut self) -> &mut Headers {
        &mut self.headers
    }
    fn body(&self) -> &[u8] {
        &self.body
    }
}

impl SipMessage for Response {
    fn headers(&self) -> &Headers {
        &self.headers
    }
    fn headers_mut(&mut self) -> &mut Headers {
        &mut self.headers
    }
    fn body(&self) -> &[u8] {
        &self.body
    }
}
