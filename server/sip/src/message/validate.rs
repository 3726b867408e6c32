//! What every message must have before anybody looks at it (RFC 3261 8.1.1, 16.3, 18.1.2).

use super::error::Fault;
use super::{CSeq, Headers, Method, NameAddr, Uri, Via, lex};

/// Headers that may be there once only. Two of them mean two readers that understand two messages.
const SINGLE: &[&str] = &[
    "From",
    "To",
    "Call-ID",
    "CSeq",
    "Max-Forwards",
    "Content-Type",
    "Expires",
    "Min-Expires",
    "Session-ID",
    "Session-Expires",
    "Min-SE",
    "Refer-To",
    "Event",
];

pub(super) fn request(method: &Method, uri: &Uri, headers: &Headers) -> Result<(), Fault> {
    if uri.as_sip().is_some_and(|sip| sip.headers.is_some()) {
        return Err(Fault::syntax("Headers In Request-URI"));
    }
    let cseq = common(headers)?;
    if cseq.method != *method {
        return Err(Fault::syntax("CSeq Method Does Not Match"));
    }
    if headers.get("Max-Forwards").is_some_and(|hops| lex::digits(hops).is_none_or(|n| n > 255)) {
        return Err(Fault::syntax("Max-Forwards Out Of Range"));
    }
    for name in ["Route", "Record-Route", "Contact"] {
        addresses(headers, name)?;
    }
    if headers.all("Contact").any(|v| v == "*") && headers.all("Contact").count() > 1 {
        return Err(Fault::syntax("Contact Star With Others"));
    }
    Ok(())
}

pub(super) fn response(headers: &Headers) -> Result<(), Fault> {
    common(headers)?;
    for name in ["Record-Route", "Contact"] {
        addresses(headers, name)?;
    }
    Ok(())
}

fn common(headers: &Headers) -> Result<CSeq, Fault> {
    for name in SINGLE {
        headers.single(name)?;
    }
    let vias = headers.values("Via")?;
    if vias.is_empty() {
        return Err(Fault::syntax("Missing Via"));
    }
    for via in vias {
        Via::parse(via)?;
    }
    NameAddr::parse(headers.get("From").ok_or(Fault::syntax("Missing From"))?)?;
    NameAddr::parse(headers.get("To").ok_or(Fault::syntax("Missing To"))?)?;
    if headers.get("Call-ID").is_none_or(str::is_empty) {
        return Err(Fault::syntax("Missing Call-ID"));
    }
    CSeq::parse(headers.get("CSeq").ok_or(Fault::syntax("Missing CSeq"))?)
}

fn addresses(headers: &Headers, name: &str) -> Result<(), Fault> {
    for value in headers.values(name)? {
        if value != "*" || name != "Contact" {
            NameAddr::parse(value)?;
        }
    }
    Ok(())
}
