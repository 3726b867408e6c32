//! Scripted peers over the real stack: phones, and a media server behind its resource manager.

use crate::{
    line::Guard,
    net::{Net, receive},
};
use hindsight_msml::{Outcome, parse_request, write_result};
use hindsight_sip::{
    ClientTransactionId, Destination, Dialog, DialogId, Endpoint, EndpointConfig, Event, Ids, Method,
    NameAddr, NewRequest, Protocol, Request, Response, ServerTransactionId, SipMessage, SipUri, StatusCode,
    digest::{Credentials, DigestClient},
    sdp::{Audio, Description, Direction, Format, Shape, Writer},
};
use std::{
    collections::{HashMap, VecDeque},
    net::SocketAddr,
    time::{Duration, Instant},
};

/// What a phone does with a call.
#[derive(Clone, Copy, PartialEq)]
pub enum Manner {
    /// Rings, then answers after this.
    Answer(Duration),
    /// Refuses with this.
    Refuse(u16),
    /// Rings for ever.
    Ignore,
}

enum Later {
    Answer(ServerTransactionId, Box<Request>),
}

pub struct Peer {
    pub address: SocketAddr,
    pub number: String,
    pub endpoint: Endpoint,
    pub manner: Manner,
    /// Its end of the TLS connection that it speaks over; `None`: it speaks UDP.
    pub line: Option<SocketAddr>,
    /// Its Contact has the port of that connection.
    pub named_by_line: bool,
    /// What happened, in words.
    pub log: Vec<String>,
    /// As a phone: lists `talk` in Allow-Events, and answers when it is told to.
    pub talks: bool,
    /// As a phone: refuses the next re-INVITE with this.
    pub refuses: Option<u16>,
    /// As a phone: hangs up when it is told that its transfer succeeded.
    pub polite: bool,
    /// As a phone: understands INFO.
    pub takes_digits: bool,
    /// As a media server: answers every request of a dialog with this.
    pub failing: Option<u16>,
    /// As a trunk: who asks for a password.
    pub guard: Option<Guard>,
    /// Hears nothing.
    pub silent: bool,
    /// The INVITE of the last call.
    pub invite: Option<Request>,
    pub dialogs: HashMap<DialogId, Dialog>,
    /// What the far end last described to us.
    pub heard: Option<Description>,
    pub server: SocketAddr,
    is_media: bool,
    digest: DigestClient,
    ids: Ids,
    sent: HashMap<ClientTransactionId, Request>,
    ringing: HashMap<ServerTransactionId, Box<Request>>,
    later: VecDeque<(Instant, Later)>,
    deadline: Option<Instant>,
    direction: Direction,
    cseq: u32,
    call_id: String,
    writer: Writer,
}

impl Peer {
    pub fn new(number: &str, address: SocketAddr, server: SocketAddr, is_media: bool, seed: u64) -> Self {
        let mut ids = Ids::seeded(seed);
        Self {
            address,
            number: number.to_owned(),
            endpoint: Endpoint::new(EndpointConfig::new(address), Ids::seeded(seed + 1000)),
            manner: Manner::Answer(Duration::from_millis(300)),
            line: None,
            named_by_line: false,
            log: Vec::new(),
            talks: false,
            refuses: None,
            polite: true,
            takes_digits: true,
            failing: None,
            guard: None,
            silent: false,
            invite: None,
            dialogs: HashMap::new(),
            heard: None,
            server,
            is_media,
            digest: DigestClient::new(Credentials {
                user: number.to_owned(),
                password: format!("secret-{number}"),
            }),
            call_id: ids.call_id(),
            ids,
            sent: HashMap::new(),
            ringing: HashMap::new(),
            later: VecDeque::new(),
            deadline: None,
            direction: Direction::SendRecv,
            cseq: 1,
            writer: Writer::new(seed),
        }
    }

    pub fn set_password(&mut self, password: &str) {
        let user = self.number.clone();
        self.digest = DigestClient::new(Credentials { user, password: password.to_owned() });
    }

    fn contact(&self) -> NameAddr {
        let address = self.line.filter(|_| self.named_by_line).unwrap_or(self.address);
        let uri = SipUri::with_user(&self.number, address.into());
        NameAddr::new(match self.line {
            Some(_) => uri.with_param("transport", Some("tls")),
            None => uri,
        })
    }

    /// Opens a TLS connection, in place of what it spoke over before.
    pub fn connect(&mut self, port: u16, net: &mut Net) {
        let line = SocketAddr::new(self.address.ip(), port);
        if let Some(old) = self.line.replace(line) {
            net.lines.remove(&old);
        }
        net.lines.insert(line);
        self.endpoint.stream_closed(self.server);
    }

    fn aor(&self, number: &str) -> NameAddr {
        NameAddr::new(SipUri::with_user(number, self.server.into()))
    }

    fn new_request(&mut self, method: Method, to: &str, call_id: String) -> Request {
        self.cseq += 1;
        let target = match method {
            Method::Register => SipUri::new(self.server.into()).into(),
            _ => self.aor(to).uri,
        };
        let request = NewRequest {
            method,
            target,
            from: self.aor(&self.number),
            from_tag: self.ids.tag(),
            to: self.aor(to),
            call_id,
            cseq: self.cseq,
            contact: Some(self.contact()),
        };
        request.build()
    }

    pub fn register(&mut self, expires: u32, now: Instant) {
        let number = self.number.clone();
        let request = self.new_request(Method::Register, &number, self.call_id.clone());
        self.send(request.with_header("Expires", expires), now);
    }

    pub fn send(&mut self, request: Request, now: Instant) -> ClientTransactionId {
        let to = match request.routes().unwrap().first() {
            _ if self.line.is_some() => Destination { protocol: Protocol::Tls, addr: self.server },
            Some(route) => Destination::of_uri(&route.uri).unwrap(),
            None => Destination::of_uri(&request.uri).unwrap(),
        };
        let id = self.endpoint.send_request(request.clone(), to, now);
        self.sent.insert(id, request);
        id
    }

    pub fn call(&mut self, number: &str, offer: bool, now: Instant) -> ClientTransactionId {
        let call_id = self.ids.call_id();
        let request = self.new_request(Method::Invite, number, call_id);
        let request =
            if offer { request.with_body("application/sdp", self.description(None)) } else { request };
        self.send(request, now)
    }

    pub fn cancel_all(&mut self, now: Instant) {
        let invites: Vec<_> =
            self.sent.iter().filter(|(_, r)| r.method == Method::Invite).map(|(id, _)| *id).collect();
        for id in invites {
            self.endpoint.cancel(id, now);
        }
    }

    /// Re-INVITE with this wish.
    pub fn change(&mut self, direction: Direction, now: Instant) {
        self.direction = direction;
        let body = self.description(None);
        let Some(dialog) = self.dialogs.values_mut().next() else { return };
        let request = dialog.request(Method::Invite).with_body("application/sdp", body);
        self.send(request, now);
    }

    /// INFO in its call with this number.
    pub fn info(&mut self, number: &str, kind: &str, body: &str, now: Instant) {
        let id = self.dialog_with(number).clone();
        let request = self.dialogs.get_mut(&id).unwrap().request(Method::Info);
        self.send(request.with_body(kind, body), now);
    }

    pub fn hang_up(&mut self, now: Instant) {
        for (_, mut dialog) in std::mem::take(&mut self.dialogs) {
            let request = dialog.request(Method::Bye);
            self.log.push("hung up".to_owned());
            self.send(request, now);
        }
    }

    /// Our side of the session: an offer, or the answer to `offer`.
    fn description(&mut self, offer: Option<&Description>) -> Vec<u8> {
        let formats = match offer {
            Some(offer) => Format::agreed(&Format::everything(), &offer.audio.formats).unwrap(),
            None => Format::everything(),
        };
        let direction = offer.map_or(self.direction, |offer| offer.audio.direction.answer(self.direction));
        let port = self.address.port() + 1000;
        let audio = Audio::at(SocketAddr::new(self.address.ip(), port), formats).with_direction(direction);
        self.writer.write(&audio, &Shape::default())
    }

    pub fn deadline(&self) -> Option<Instant> {
        self.later.iter().map(|(at, _)| *at).chain(self.deadline).min()
    }

    /// Whether it is reached at this address.
    pub fn is_at(&self, address: SocketAddr) -> bool {
        self.line.unwrap_or(self.address) == address
    }

    pub fn receive(&mut self, from: SocketAddr, protocol: Protocol, bytes: &[u8], now: Instant) {
        if self.silent {
            return;
        }
        let local = self.line.unwrap_or(self.address);
        receive(&mut self.endpoint, (local, from), protocol, bytes, now);
    }

    pub fn run(&mut self, net: &mut Net) {
        let now = net.now;
        self.endpoint.handle_timeout(now);
        while self.later.front().is_some_and(|(at, _)| *at <= now) {
            if let Some((_, Later::Answer(id, request))) = self.later.pop_front() {
                self.answer(id, &request, now);
            }
        }
        loop {
            let (events, deadline) = net.drain(&mut self.endpoint, self.line.unwrap_or(self.address));
            self.deadline = deadline;
            if events.is_empty() {
                return;
            }
            for event in events {
                self.event(event, now);
            }
        }
    }

    fn event(&mut self, event: Event, now: Instant) {
        match event {
            Event::Request { transaction, request, .. } => self.request(transaction, request, now),
            Event::Cancelled { transaction, .. } => {
                if let Some(invite) = self.ringing.remove(&transaction) {
                    self.log.push("cancelled".to_owned());
                    let response = Response::to(&invite, StatusCode::REQUEST_TERMINATED).with_to_tag("x");
                    self.endpoint.respond(transaction, response, now);
                }
            }
            Event::Ack { request, .. } => {
                if let Some(sdp) = request.sdp() {
                    self.heard = Description::parse(&sdp).ok();
                }
                self.log.push("acknowledged".to_owned());
            }
            Event::Response { transaction, response, .. } => self.response(transaction, &response, now),
            Event::TimedOut { transaction } => {
                let method = self.sent.remove(&transaction).map(|r| r.method.to_string()).unwrap_or_default();
                self.log.push(format!("{method} timed out"));
            }
            Event::TransportFailed { .. } => self.log.push("transport failed".to_owned()),
            Event::AckMissing { .. } => self.log.push("no ACK".to_owned()),
        }
    }

    fn request(&mut self, id: ServerTransactionId, request: Request, now: Instant) {
        if let Some(refusal) = self.guard.as_mut().and_then(|guard| guard.refuses(&request, now)) {
            return self.endpoint.respond(id, refusal.with_to_tag("g"), now);
        }
        if let Some(status) = self.failing.filter(|_| request.to().unwrap().tag().is_some()) {
            let response = Response::to(&request, StatusCode::new(status).unwrap());
            return self.endpoint.respond(id, response, now);
        }
        match DialogId::of_request(&request).and_then(|id| self.dialogs.get_mut(&id)) {
            Some(dialog) => {
                if dialog.receive(&request).is_err() {
                    let response = Response::to(&request, StatusCode::SERVER_INTERNAL_ERROR);
                    return self.endpoint.respond(id, response, now);
                }
                self.in_dialog(id, &request, now);
            }
            None if request.method == Method::Notify && self.talks => self.told_to_talk(id, &request, now),
            None if request.to().unwrap().tag().is_some() => {
                self.endpoint.respond(id, Response::to(&request, StatusCode::CALL_DOES_NOT_EXIST), now);
            }
            None if request.method == Method::Invite => self.invited(id, request, now),
            None => {
                if request.method == Method::Register {
                    self.log.push(format!("registered {}", request.contacts().unwrap()[0].uri));
                }
                self.endpoint.respond(id, Response::to(&request, StatusCode::OK).with_to_tag("o"), now);
            }
        }
    }

    fn told_to_talk(&mut self, id: ServerTransactionId, notify: &Request, now: Instant) {
        assert_eq!(notify.headers.get("Event"), Some("talk"));
        let ringing = self.ringing.iter().find(|(_, i)| i.call_id().unwrap() == notify.call_id().unwrap());
        let Some((invite, request)) = ringing.map(|(invite, request)| (*invite, request.clone())) else {
            let response = Response::to(notify, StatusCode::CALL_DOES_NOT_EXIST);
            return self.endpoint.respond(id, response, now);
        };
        self.endpoint.respond(id, Response::to(notify, StatusCode::OK), now);
        self.answer(invite, &request, now);
        // From here on its sequence number is used up.
        let dialog = DialogId::of_request(notify).and_then(|id| self.dialogs.get_mut(&id));
        dialog.expect("in the dialog that was early").receive(notify).unwrap();
    }

    fn in_dialog(&mut self, id: ServerTransactionId, request: &Request, now: Instant) {
        let key = DialogId::of_request(request).unwrap();
        match request.method {
            Method::Bye => {
                let dialog = self.dialogs.remove(&key).unwrap();
                self.log.push("bye".to_owned());
                self.endpoint.respond(id, dialog.response(request, StatusCode::OK), now);
            }
            Method::Invite if self.refuses.is_some() => {
                let status = StatusCode::new(self.refuses.take().unwrap()).unwrap();
                self.endpoint.respond(id, self.dialogs[&key].response(request, status), now);
            }
            Method::Invite => {
                let offer = request.sdp().map(|sdp| Description::parse(&sdp).unwrap());
                let body = self.description(offer.as_ref());
                self.heard = offer.or(self.heard.take());
                self.log.push("re-invited".to_owned());
                if let Some(heard) = &self.heard {
                    self.log.push(format!("told {:?}", heard.audio.direction));
                }
                let response = self.dialogs[&key].response(request, StatusCode::OK);
                self.endpoint.accept(id, response.with_body("application/sdp", body), now);
            }
            Method::Notify => {
                assert!(request.headers.get("Event").unwrap().starts_with("refer"));
                let status = String::from_utf8_lossy(&request.body).split(' ').nth(1).unwrap().to_owned();
                let state = request.headers.get("Subscription-State").unwrap();
                assert_eq!(state.starts_with("terminated"), status.as_str() >= "200", "{status} {state}");
                self.log.push(format!("referred {status}"));
                self.endpoint.respond(id, self.dialogs[&key].response(request, StatusCode::OK), now);
                if status == "200" && self.polite {
                    let mut dialog = self.dialogs.remove(&key).unwrap();
                    let bye = dialog.request(Method::Bye);
                    self.send(bye, now);
                }
            }
            Method::Info if !self.is_media => {
                let kind = request.content_type().unwrap();
                self.log.push(format!("{kind} {}", String::from_utf8_lossy(&request.body)));
                let status =
                    if self.takes_digits { StatusCode::OK } else { StatusCode::UNSUPPORTED_MEDIA_TYPE };
                self.endpoint.respond(id, self.dialogs[&key].response(request, status), now);
            }
            Method::Info => {
                let order = parse_request(&request.body).unwrap();
                self.log.push(format!("{:?}", order.command));
                let body = write_result(&Outcome::ok(Some(order.dialog.to_string())));
                let response = self.dialogs[&key].response(request, StatusCode::OK);
                self.endpoint.respond(id, response.with_body(hindsight_msml::CONTENT_TYPE, body), now);
            }
            _ => {
                let response = self.dialogs[&key].response(request, StatusCode::OK);
                self.endpoint.respond(id, response, now);
            }
        }
    }

    fn invited(&mut self, id: ServerTransactionId, request: Request, now: Instant) {
        self.invite = Some(request.clone());
        if self.is_media && !matches!(self.manner, Manner::Refuse(_)) {
            return self.answer(id, &request, now);
        }
        match self.manner {
            Manner::Refuse(status) => {
                let response = Response::to(&request, StatusCode::new(status).unwrap()).with_to_tag("r");
                self.endpoint.respond(id, response, now);
            }
            Manner::Answer(_) | Manner::Ignore => {
                let ringing = Response::to(&request, StatusCode::RINGING)
                    .with_to_tag("t")
                    .with_header("Contact", self.contact());
                let ringing =
                    if self.talks { ringing.with_header("Allow-Events", "hold, talk") } else { ringing };
                self.log.push("ringing".to_owned());
                self.endpoint.respond(id, ringing, now);
                let request = Box::new(request);
                self.ringing.insert(id, request.clone());
                if let Manner::Answer(after) = self.manner {
                    self.later.push_back((now + after, Later::Answer(id, request)));
                }
            }
        }
    }

    fn answer(&mut self, id: ServerTransactionId, request: &Request, now: Instant) {
        if !self.is_media && self.ringing.remove(&id).is_none() {
            return;
        }
        let tag = if self.is_media { self.ids.tag() } else { "t".to_owned() };
        let dialog = Dialog::uas(request, &tag, self.contact(), self.ids.cseq()).unwrap();
        let offer = request.sdp().map(|sdp| Description::parse(&sdp).unwrap());
        let body = self.description(offer.as_ref());
        self.heard = offer;
        let response = dialog.response(request, StatusCode::OK).with_body("application/sdp", body);
        self.dialogs.insert(dialog.id().clone(), dialog);
        self.log.push("answered".to_owned());
        self.endpoint.accept(id, response, now);
    }

    fn response(&mut self, id: ClientTransactionId, response: &Response, now: Instant) {
        let Some(request) = self.sent.get(&id).cloned() else { return };
        let status = response.status;
        if status.is_provisional() {
            if status != StatusCode::TRYING {
                self.log.push(status.to_string());
            }
            return;
        }
        self.sent.remove(&id);
        if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::PROXY_AUTHENTICATION_REQUIRED)
            && let Ok(again) = self.digest.retry(&request, response, &mut self.ids)
        {
            self.cseq = again.cseq().unwrap().number;
            // In a dialog its number is used up.
            let of = |dialog: &&mut Dialog| dialog.id().call_id == request.call_id().unwrap();
            if request.to().unwrap().tag().is_some()
                && let Some(dialog) = self.dialogs.values_mut().find(of)
            {
                dialog.request(Method::Options);
            }
            self.send(again, now);
            return;
        }
        self.log.push(format!("{} {}", request.method, status));
        if request.method == Method::Invite && status.is_success() {
            self.accepted(id, &request, response);
        }
    }

    fn accepted(&mut self, id: ClientTransactionId, request: &Request, response: &Response) {
        let key = DialogId::of_response(response).unwrap();
        let new = Dialog::uac(request, response).unwrap();
        let dialog = self.dialogs.entry(key).or_insert(new);
        let ack = dialog.ack(request.cseq().unwrap().number);
        let target = Destination::of_uri(dialog.remote_target()).unwrap();
        let described = Description::parse(&response.sdp().unwrap()).unwrap();
        let ack = if request.body.is_empty() {
            let body = self.description(Some(&described));
            ack.with_body("application/sdp", body)
        } else {
            ack
        };
        self.heard = Some(described);
        self.endpoint.acknowledge(id, ack, target);
    }
}
