//! What a stateful proxy does to messages (RFC 3261 16), as pure functions.

use crate::message::{Fault, Method, NameAddr, Request, Response, SipMessage, SipUri, StatusCode, Uri, Via};

/// 16.3 and 16.4: judges a request that came in and takes our own part off its route.
///
/// The result is what to forward: Max-Forwards counted down, our Route removed, a Request-URI that a strict router
/// replaced put back. A fault is the answer to give; for 420, [`unsupported`] names the extensions.
pub fn prepare(request: &Request, is_own: impl Fn(&SipUri) -> bool) -> Result<Request, Fault> {
    let mut forwarded = request.clone();
    match request.max_forwards()? {
        Some(0) => return Err(Fault::status(StatusCode::TOO_MANY_HOPS, "Too Many Hops")),
        Some(hops) => forwarded.headers.set("Max-Forwards", hops - 1),
        None => forwarded.headers.push("Max-Forwards", 69),
    }
    if !unsupported(request).is_empty() {
        return Err(Fault::status(StatusCode::BAD_EXTENSION, "Bad Extension"));
    }
    let own = |uri: &Uri| uri.as_sip().is_some_and(&is_own);
    let mut routes = request.routes()?;
    // 16.4: a strict router before us put our Record-Route URI into the Request-URI, the target last in Route.
    let from_strict = request.uri.as_sip().is_some_and(|sip| sip.is_loose_router() && is_own(sip));
    if let Some(target) = from_strict.then(|| routes.pop()).flatten() {
        forwarded.uri = target.uri;
        set_routes(&mut forwarded, &routes);
    }
    if routes.first().is_some_and(|route| own(&route.uri)) {
        routes.remove(0);
        set_routes(&mut forwarded, &routes);
    }
    Ok(forwarded)
}

/// The extensions in Proxy-Require: this proxy has none, so all of them (for the Unsupported header of the 420).
pub fn unsupported(request: &Request) -> Vec<&str> {
    match request.method {
        Method::Ack | Method::Cancel => Vec::new(),
        _ => request.headers.tokens("Proxy-Require"),
    }
}

/// 16.6: where a prepared request goes: its first Route, else its Request-URI. A strict router as next hop gets itself
/// as Request-URI, and the target as last Route.
pub fn next_hop(request: &mut Request) -> Result<Uri, Fault> {
    let mut routes = request.routes()?;
    let Some(first) = routes.first().cloned() else { return Ok(request.uri.clone()) };
    if !first.uri.as_sip().is_some_and(SipUri::is_loose_router) {
        routes.remove(0);
        routes.push(NameAddr::new(std::mem::replace(&mut request.uri, first.uri.clone())));
        set_routes(request, &routes);
    }
    Ok(first.uri)
}

/// 16.6 step 4: stays on the path of the dialog. `uri` is ours; `lr` is added.
pub fn record_route(request: &mut Request, uri: SipUri) {
    request.headers.push_front("Record-Route", NameAddr::new(uri.with_param("lr", None)));
}

/// 16.7 step 3: takes our Via off a response. `None`: nothing is below it, so the response was for us.
pub fn strip_via(response: &mut Response) -> Option<Via> {
    let own = Via::parse(&response.headers.pop_first_value("Via")?).ok()?;
    response.headers.has("Via").then_some(own)
}

fn set_routes(request: &mut Request, routes: &[NameAddr]) {
    request.headers.remove("Route");
    for route in routes.iter().rev() {
        request.headers.push_front("Route", route);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Message, parse_datagram};

    fn request(uri: &str, extra: &str) -> Request {
        let text = format!(
            "INVITE {uri} SIP/2.0\r\nVia: SIP/2.0/UDP a;branch=z9hG4bK1\r\nFrom: sip:a@h;tag=1\r\nTo: sip:b@h\r\n\
             Call-ID: x\r\nCSeq: 1 INVITE\r\n{extra}\r\n"
        );
        match parse_datagram(text.as_bytes()).unwrap().unwrap() {
            Message::Request(request) => request,
            Message::Response(_) => unreachable!(),
        }
    }

    fn own(uri: &SipUri) -> bool {
        uri.host.to_string() == "p.example"
    }

    fn routes(request: &Request) -> Vec<String> {
        request.routes().unwrap().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn hops_are_counted_down_to_483() {
        assert_eq!(
            prepare(&request("sip:b@h", "Max-Forwards: 7\r\n"), own).unwrap().max_forwards(),
            Ok(Some(6))
        );
        assert_eq!(prepare(&request("sip:b@h", ""), own).unwrap().max_forwards(), Ok(Some(69)));
        let fault = prepare(&request("sip:b@h", "Max-Forwards: 0\r\n"), own).unwrap_err();
        assert_eq!(fault.status, StatusCode::TOO_MANY_HOPS);
        let fault = prepare(&request("sip:b@h", "Proxy-Require: a, b\r\n"), own).unwrap_err();
        assert_eq!(fault.status, StatusCode::BAD_EXTENSION);
    }

    #[test]
    fn our_own_route_is_removed_and_the_next_followed() {
        let got = request("sip:b@h", "Route: <sip:p.example;lr>, <sip:q.example;lr>\r\n");
        let mut forwarded = prepare(&got, own).unwrap();
        assert_eq!(routes(&forwarded), ["<sip:q.example;lr>"]);
        assert_eq!(next_hop(&mut forwarded).unwrap().to_string(), "sip:q.example;lr");
        assert_eq!(forwarded.uri.to_string(), "sip:b@h");
    }

    #[test]
    fn strict_routers_before_and_after_us_are_understood() {
        let got = request("sip:p.example;lr", "Route: <sip:q.example>, <sip:b@h>\r\n");
        let mut forwarded = prepare(&got, own).unwrap();
        assert_eq!(forwarded.uri.to_string(), "sip:b@h");
        assert_eq!(next_hop(&mut forwarded).unwrap().to_string(), "sip:q.example");
        assert_eq!(forwarded.uri.to_string(), "sip:q.example");
        assert_eq!(routes(&forwarded), ["<sip:b@h>"]);
    }

    #[test]
    fn a_response_goes_back_below_our_via() {
        let mut got = request("sip:b@h", "");
        got.headers.push_front("Via", "SIP/2.0/UDP p.example;branch=z9hG4bK2");
        record_route(&mut got, SipUri::new(crate::message::HostPort::parse("p.example").unwrap()));
        assert_eq!(got.headers.get("Record-Route"), Some("<sip:p.example;lr>"));
        let mut response = Response::to(&got, StatusCode::OK);
        assert_eq!(strip_via(&mut response).unwrap().branch(), Some("z9hG4bK2"));
        assert_eq!(response.vias().unwrap().len(), 1);
        assert!(strip_via(&mut response).is_none());
    }
}
