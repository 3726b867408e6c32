//! Dialogs: identity, route, order (RFC 3261 12).

use hindsight_sip::{
    Dialog, DialogId, Message, Method, NameAddr, Request, Response, SipMessage, StatusCode, Uri,
};

use crate::net::{parsed, request};

fn uri(text: &str) -> Uri {
    Uri::parse(text).unwrap()
}

/// The INVITE as B sees it, after two proxies.
fn received() -> Request {
    let mut invite = request(Method::Invite);
    invite.headers.push("Via", "SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1");
    invite.headers.push("Record-Route", "<sip:p2.example;lr>, <sip:p1.example;lr>");
    match parsed(&invite.to_bytes()) {
        Message::Request(request) => request,
        Message::Response(_) => unreachable!(),
    }
}

fn pair() -> (Dialog, Dialog, Response) {
    let invite = received();
    let callee = Dialog::uas(&invite, "btag", NameAddr::new(uri("sip:b@192.0.2.2")), 700).unwrap();
    let ok = callee.response(&invite, StatusCode::OK);
    let caller = Dialog::uac(&request(Method::Invite), &ok).unwrap();
    (caller, callee, ok)
}

#[test]
fn both_sides_agree_on_the_dialog() {
    let (mut caller, mut callee, ok) = pair();
    assert_eq!(DialogId::of_response(&ok).as_ref(), Some(caller.id()));
    let bye = caller.request(Method::Bye);
    assert_eq!(DialogId::of_request(&bye).as_ref(), Some(callee.id()));
    assert_eq!(bye.cseq().unwrap().number, 2);
    assert_eq!(
        (bye.uri.to_string().as_str(), caller.next_hop().to_string().as_str()),
        ("sip:b@192.0.2.2", "sip:p1.example;lr")
    );
    let routes: Vec<_> = bye.routes().unwrap().iter().map(|r| r.uri.to_string()).collect();
    assert_eq!(
        routes,
        ["sip:p1.example;lr", "sip:p2.example;lr"],
        "the caller sees the proxies from its side"
    );
    callee.receive(&bye).unwrap();

    let info = callee.request(Method::Info);
    assert_eq!(DialogId::of_request(&info).as_ref(), Some(caller.id()));
    let routes: Vec<_> = info.routes().unwrap().iter().map(|r| r.uri.to_string()).collect();
    assert_eq!(routes, ["sip:p2.example;lr", "sip:p1.example;lr"]);
    assert_eq!((info.cseq().unwrap().number, info.uri.to_string()), (701, "sip:a@192.0.2.1".to_owned()));
    caller.receive(&info).unwrap();
    let answer = caller.response(&info, StatusCode::OK);
    assert!(!answer.headers.has("Contact") && !answer.headers.has("Record-Route"));
}

#[test]
fn an_old_request_is_refused_with_500_and_the_ack_is_never_old() {
    let (mut caller, mut callee, _) = pair();
    let first = caller.request(Method::Info);
    let second = caller.request(Method::Info);
    callee.receive(&second).unwrap();
    assert_eq!(callee.receive(&first).unwrap_err().status, StatusCode::SERVER_INTERNAL_ERROR);
    assert_eq!(callee.receive(&second).unwrap_err().status, StatusCode::SERVER_INTERNAL_ERROR);
    callee.receive(&caller.ack(1)).unwrap();
}

#[test]
fn a_re_invite_moves_the_target_and_a_contact_with_headers_does_not_smuggle_them() {
    let (mut caller, mut callee, _) = pair();
    let mut again = caller.request(Method::Invite);
    again.headers.set("Contact", "<sip:moved@192.0.2.99?Route=%3Csip:evil%3E>");
    callee.refresh_target(&again);
    assert_eq!(callee.request(Method::Bye).uri.to_string(), "sip:moved@192.0.2.99");
}

#[test]
fn a_strict_router_gets_the_request_uri() {
    let mut invite = received();
    invite.headers.set("Record-Route", "<sip:strict.example>, <sip:p1.example;lr>");
    let mut callee = Dialog::uas(&invite, "btag", NameAddr::new(uri("sip:b@192.0.2.2")), 1).unwrap();
    let bye = callee.request(Method::Bye);
    assert_eq!(bye.uri.to_string(), "sip:strict.example");
    let routes: Vec<_> = bye.routes().unwrap().iter().map(|r| r.uri.to_string()).collect();
    assert_eq!(routes, ["sip:p1.example;lr", "sip:a@192.0.2.1"]);
}

#[test]
fn an_early_dialog_takes_route_and_target_from_the_2xx() {
    let (_, callee, ok) = pair();
    let mut ringing = ok.clone();
    ringing.status = StatusCode::RINGING;
    ringing.headers.remove("Record-Route");
    ringing.headers.remove("Contact");
    let mut caller = Dialog::uac(&request(Method::Invite), &ringing).unwrap();
    assert_eq!(caller.next_hop().to_string(), "sip:b@192.0.2.2");
    assert!(caller.route_set().is_empty());
    caller.confirm(&ok).unwrap();
    assert_eq!(caller.next_hop().to_string(), "sip:p1.example;lr");
    assert_eq!(caller.id().remote_tag, callee.id().local_tag);
    assert!(Dialog::uac(&request(Method::Invite), &Response::to(&received(), StatusCode::OK)).is_err());
}
