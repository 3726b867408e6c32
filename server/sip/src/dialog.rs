//! Dialogs (RFC 3261 12): a pure record of identity, route, target and order of requests.

use crate::message::{
    CSeq, Fault, Headers, Method, NameAddr, Request, Response, SipMessage, SipUri, StatusCode, Uri, Via,
};

/// Identifies a dialog from our side.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DialogId {
    /// Call-ID.
    pub call_id: String,
    /// Our tag.
    pub local_tag: String,
    /// The peer's tag; empty for peers of RFC 2543.
    pub remote_tag: String,
}

impl DialogId {
    /// The dialog that a request from the peer belongs to; `None` without a To tag (outside of any dialog).
    pub fn of_request(request: &Request) -> Option<Self> {
        let local_tag = request.to().ok()?.tag()?.to_owned();
        let remote_tag = tag(&request.from().ok()?);
        Some(Self { call_id: request.call_id().ok()?.to_owned(), local_tag, remote_tag })
    }

    /// The dialog that a response to our request belongs to; `None` without a To tag.
    pub fn of_response(response: &Response) -> Option<Self> {
        let remote_tag = response.to().ok()?.tag()?.to_owned();
        let local_tag = tag(&response.from().ok()?);
        Some(Self { call_id: response.call_id().ok()?.to_owned(), local_tag, remote_tag })
    }
}

fn tag(address: &NameAddr) -> String {
    address.tag().unwrap_or_default().to_owned()
}

/// A request outside of any dialog: what RFC 3261 8.1.1 wants in it (Via and branch are added when it is sent).
#[derive(Debug, Clone)]
pub struct NewRequest {
    /// The method.
    pub method: Method,
    /// The Request-URI.
    pub target: Uri,
    /// From, without a tag.
    pub from: NameAddr,
    /// Our tag.
    pub from_tag: String,
    /// To.
    pub to: NameAddr,
    /// Call-ID.
    pub call_id: String,
    /// CSeq number.
    pub cseq: u32,
    /// Our Contact; an INVITE needs one.
    pub contact: Option<NameAddr>,
}

impl NewRequest {
    /// The request, to add headers and a body to.
    pub fn build(self) -> Request {
        let mut request = Request::new(self.method.clone(), self.target);
        request.headers.push("Max-Forwards", 70);
        request.headers.push("From", self.from.with_tag(&self.from_tag));
        request.headers.push("To", self.to);
        request.headers.push("Call-ID", self.call_id);
        request.headers.push("CSeq", CSeq { number: self.cseq, method: self.method });
        if let Some(contact) = self.contact {
            request.headers.push("Contact", contact);
        }
        request
    }
}

/// All that a dialog is, to keep it beyond the end of its process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DialogParts {
    /// Call-ID.
    pub call_id: String,
    /// Our address, with our tag.
    pub local: NameAddr,
    /// The peer's, with its tag.
    pub remote: NameAddr,
    /// Our Contact.
    pub contact: NameAddr,
    /// The peer's.
    pub remote_target: Uri,
    /// The proxies that stay on the path.
    pub route_set: Vec<NameAddr>,
    /// CSeq number of our last request.
    pub local_seq: u32,
    /// Of the peer's.
    pub remote_seq: Option<u32>,
}

/// Our side of a dialog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dialog {
    id: DialogId,
    local: NameAddr,
    remote: NameAddr,
    contact: NameAddr,
    remote_target: Uri,
    route_set: Vec<NameAddr>,
    local_seq: u32,
    remote_seq: Option<u32>,
    confirmed: bool,
}

impl Dialog {
    /// The called side (12.1.1): of an INVITE that we answer with `local_tag` and `contact`.
    pub fn uas(invite: &Request, local_tag: &str, contact: NameAddr, local_seq: u32) -> Result<Self, Fault> {
        let remote = invite.from()?;
        let id = DialogId {
            call_id: invite.call_id()?.to_owned(),
            local_tag: local_tag.to_owned(),
            remote_tag: tag(&remote),
        };
        Ok(Self {
            id,
            local: invite.to()?.with_tag(local_tag),
            remote,
            contact,
            remote_target: target_of(invite)?,
            route_set: invite.record_routes()?,
            local_seq,
            remote_seq: Some(invite.cseq()?.number),
            confirmed: false,
        })
    }

    /// The calling side (12.1.2): of our INVITE and a response to it with a To tag (1xx: early, 2xx: confirmed).
    pub fn uac(invite: &Request, response: &Response) -> Result<Self, Fault> {
        let id = DialogId::of_response(response).ok_or(Fault::syntax("Missing To Tag"))?;
        let contact = invite.contacts()?.into_iter().next().ok_or(Fault::syntax("Missing Contact"))?;
        let mut route_set = response.record_routes()?;
        route_set.reverse();
        let remote_target = match target_of(response) {
            Ok(target) => target,
            // A provisional response without Contact: until the 2xx brings one, the Request-URI serves.
            Err(_) if response.status.is_provisional() => invite.uri.clone(),
            Err(fault) => return Err(fault),
        };
        Ok(Self {
            id,
            local: invite.from()?,
            remote: response.to()?,
            contact,
            remote_target,
            route_set,
            local_seq: invite.cseq()?.number,
            remote_seq: None,
            confirmed: response.status.is_success(),
        })
    }

    /// All of it.
    pub fn parts(&self) -> DialogParts {
        DialogParts {
            call_id: self.id.call_id.clone(),
            local: self.local.clone(),
            remote: self.remote.clone(),
            contact: self.contact.clone(),
            remote_target: self.remote_target.clone(),
            route_set: self.route_set.clone(),
            local_seq: self.local_seq,
            remote_seq: self.remote_seq,
        }
    }

    /// The confirmed dialog of these parts. Numbers may be skipped (12.2.1.1 asks for higher ones only), so whoever does
    /// not know the last that was used goes on with one that is high enough.
    pub fn of_parts(parts: DialogParts) -> Self {
        let DialogParts { call_id, local, remote, contact, remote_target, route_set, local_seq, remote_seq } =
            parts;
        let id = DialogId { call_id, local_tag: tag(&local), remote_tag: tag(&remote) };
        let confirmed = true;
        Self { id, local, remote, contact, remote_target, route_set, local_seq, remote_seq, confirmed }
    }

    /// The early dialog of ours becomes confirmed by a 2xx: the route set and the target are those of the 2xx (13.2.2.4).
    pub fn confirm(&mut self, response: &Response) -> Result<(), Fault> {
        if !self.confirmed {
            self.route_set = response.record_routes()?;
            self.route_set.reverse();
            self.confirmed = true;
        }
        self.refresh_target(response);
        Ok(())
    }

    /// The identity.
    pub fn id(&self) -> &DialogId {
        &self.id
    }

    /// Our address, with our tag.
    pub fn local(&self) -> &NameAddr {
        &self.local
    }

    /// The peer's address, with its tag.
    pub fn remote(&self) -> &NameAddr {
        &self.remote
    }

    /// Where the peer wants requests of this dialog.
    pub fn remote_target(&self) -> &Uri {
        &self.remote_target
    }

    /// The proxies that stay on the path.
    pub fn route_set(&self) -> &[NameAddr] {
        &self.route_set
    }

    /// The URI whose host the next request goes to: the first route, else the target.
    pub fn next_hop(&self) -> &Uri {
        self.route_set.first().map_or(&self.remote_target, |route| &route.uri)
    }

    /// The next request of this dialog (12.2.1.1). Not for ACK ([`Dialog::ack`]) and CANCEL (the transaction's).
    pub fn request(&mut self, method: Method) -> Request {
        self.local_seq = self.local_seq.wrapping_add(1) & 0x7fff_ffff;
        let mut request = self.build(method, self.local_seq);
        request.headers.push("Contact", &self.contact);
        request
    }

    /// The ACK of a 2xx to our INVITE with this CSeq number (13.2.2.4).
    pub fn ack(&self, invite_cseq: u32) -> Request {
        self.build(Method::Ack, invite_cseq)
    }

    /// Judges a request of the peer in this dialog (12.2.2): an old CSeq is refused with 500.
    pub fn receive(&mut self, request: &Request) -> Result<(), Fault> {
        let number = request.cseq()?.number;
        match request.method {
            Method::Ack | Method::Cancel => return Ok(()),
            _ if self.remote_seq.is_some_and(|seen| number <= seen) => {
                return Err(Fault::status(StatusCode::SERVER_INTERNAL_ERROR, "CSeq Out Of Order"));
            }
            _ => {}
        }
        self.remote_seq = Some(number);
        Ok(())
    }

    /// Takes the Contact of an accepted re-INVITE or UPDATE, or of the 2xx to ours, as the new target.
    pub fn refresh_target(&mut self, message: &impl SipMessage) {
        if let Ok(target) = target_of(message) {
            self.remote_target = target;
        }
    }

    /// A response to a request of this dialog: To tag and our Contact added, Record-Route copied where it sets the route.
    pub fn response(&self, request: &Request, status: StatusCode) -> Response {
        let mut response = Response::to(request, status);
        if status == StatusCode::TRYING {
            return response;
        }
        response = response.with_to_tag(&self.id.local_tag);
        let targets =
            matches!(request.method, Method::Invite | Method::Update | Method::Subscribe | Method::Refer);
        if targets && status.as_u16() < 300 {
            request.headers.copy_to("Record-Route", &mut response.headers);
            response.headers.push("Contact", &self.contact);
        }
        response
    }

    fn build(&self, method: Method, seq: u32) -> Request {
        let (uri, routes) = self.first_line_and_routes();
        let mut request = Request::new(method.clone(), uri);
        for route in routes {
            request.headers.push("Route", route);
        }
        request.headers.push("Max-Forwards", 70);
        request.headers.push("From", &self.local);
        request.headers.push("To", &self.remote);
        request.headers.push("Call-ID", &self.id.call_id);
        request.headers.push("CSeq", CSeq { number: seq, method });
        request
    }

    /// 12.2.1.1: a strict router as first hop gets itself as Request-URI, and the target as last Route.
    fn first_line_and_routes(&self) -> (Uri, Vec<NameAddr>) {
        match self.route_set.split_first() {
            Some((first, rest)) if !first.uri.as_sip().is_some_and(SipUri::is_loose_router) => {
                let mut routes = rest.to_vec();
                routes.push(NameAddr::new(self.remote_target.clone()));
                let mut uri = first.uri.clone();
                if let Some(sip) = uri.as_sip_mut() {
                    sip.headers = None;
                    sip.params.remove("method");
                }
                (uri, routes)
            }
            _ => (self.remote_target.clone(), self.route_set.clone()),
        }
    }
}

fn target_of(message: &impl SipMessage) -> Result<Uri, Fault> {
    let contact = message.contacts()?.into_iter().next().ok_or(Fault::syntax("Missing Contact"))?;
    let mut uri = contact.uri;
    if let Some(sip) = uri.as_sip_mut() {
        // Headers of a Contact URI never travel into a Request-URI (19.1.5).
        sip.headers = None;
    }
    Ok(uri)
}

/// The CANCEL of an INVITE as it was sent (9.1): same URI, same single Via, same Route, From, To, Call-ID, CSeq number.
pub fn cancel_of(invite: &Request, via: &Via) -> Option<Request> {
    let number = invite.cseq().ok()?.number;
    Some(hop_request(invite, via, invite.headers.get("To")?, Method::Cancel, number))
}

/// The ACK of a refusal of an INVITE (17.1.1.3): like the CANCEL, with the To of the response.
pub(crate) fn ack_of_refusal(invite: &Request, via: &Via, response: &Response) -> Option<Request> {
    let number = invite.cseq().ok()?.number;
    Some(hop_request(invite, via, response.headers.get("To")?, Method::Ack, number))
}

fn hop_request(invite: &Request, via: &Via, to: &str, method: Method, number: u32) -> Request {
    let mut request = Request::new(method.clone(), invite.uri.clone());
    let headers: &mut Headers = &mut request.headers;
    headers.push("Via", via);
    invite.headers.copy_to("Route", headers);
    headers.push("Max-Forwards", 70);
    invite.headers.copy_to("From", headers);
    headers.push("To", to);
    invite.headers.copy_to("Call-ID", headers);
    headers.push("CSeq", CSeq { number, method });
    request
}
