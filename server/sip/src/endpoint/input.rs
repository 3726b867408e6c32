//! Bytes from the network.

use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::time::Instant;

use bytes::Bytes;
use tracing::{debug, trace};

use super::server::ReplyRoute;
use super::{Endpoint, Output, Transmit};
use crate::flow::{Protocol, Source};
use crate::message::{Frame, Message, Rejection, Request, SipMessage, StreamFramer, Via, parse_datagram};

/// Bytes that came in: one datagram, or the next piece of a stream.
#[derive(Debug, Clone, Copy)]
pub struct Received<'a> {
    /// Where they came from.
    pub source: Source,
    /// The bytes.
    pub bytes: &'a [u8],
}

impl Endpoint {
    /// Takes bytes that came in.
    pub fn handle_input(&mut self, received: Received<'_>, now: Instant) {
        let Received { source, bytes } = received;
        trace!(?source, len = bytes.len(), "received");
        match source.protocol {
            Protocol::Udp => match parse_datagram(bytes) {
                Ok(Some(message)) => self.message(message, source, now),
                Ok(None) => {}
                Err(rejection) => self.reject(rejection, source),
            },
            Protocol::Tcp | Protocol::Tls => self.stream_input(source, bytes, now),
        }
    }

    /// A stream has been closed by either side.
    pub fn stream_closed(&mut self, remote: SocketAddr) {
        self.streams.remove(&remote);
    }

    /// Is a message of this stream half received? A transport sets a limit to how long that may last.
    pub fn is_mid_message(&self, remote: SocketAddr) -> bool {
        self.streams.get(&remote).is_some_and(StreamFramer::is_mid_message)
    }

    /// How many messages of this stream have come whole.
    pub fn frames(&self, remote: SocketAddr) -> u64 {
        self.streams.get(&remote).map_or(0, StreamFramer::frames)
    }

    fn stream_input(&mut self, source: Source, bytes: &[u8], now: Instant) {
        if !self.streams.contains_key(&source.remote) && self.streams.len() >= self.config.max_streams {
            self.outputs.push_back(Output::Close(source.remote));
            return;
        }
        // Taken out while its messages are handled; put back unless the stream is given up.
        let mut framer = self.streams.remove(&source.remote).unwrap_or_default();
        framer.push(bytes);
        loop {
            match framer.next_frame() {
                Ok(Some(Frame::Message(message))) => self.message(message, source, now),
                Ok(Some(Frame::Rejected(rejection))) => self.reject(rejection, source),
                Ok(Some(Frame::Ping)) => self.pong(source),
                Ok(None) => break,
                Err(rejection) => {
                    self.config.turned.unfollowable.fetch_add(1, Ordering::Relaxed);
                    self.reject(rejection, source);
                    self.outputs.push_back(Output::Close(source.remote));
                    return;
                }
            }
        }
        self.streams.insert(source.remote, framer);
    }

    /// RFC 5626 3.5.1.
    fn pong(&mut self, source: Source) {
        self.outputs.push_back(Output::Transmit(Transmit {
            protocol: source.protocol,
            remote: source.remote,
            fallback: None,
            bytes: Bytes::from_static(b"\r\n"),
            origin: None,
        }));
    }

    fn message(&mut self, message: Message, source: Source, now: Instant) {
        if self.config.observed.load(Ordering::Relaxed) {
            self.outputs.push_back(Output::Heard(source, message.to_bytes().into()));
        }
        match message {
            Message::Response(response) => self.client_response(response, source, now),
            Message::Request(mut request) => match note_source(&mut request, source) {
                Ok(via) => self.server_request(request, &via, source, now),
                Err(fault) => debug!(%fault, "request without a usable Via dropped"),
            },
        }
    }

    fn reject(&mut self, rejection: Rejection, source: Source) {
        self.config.turned.malformed.fetch_add(1, Ordering::Relaxed);
        debug!(fault = %rejection.fault, answered = rejection.response.is_some(), "message refused");
        let Some(response) = rejection.response else { return };
        let mut response = response.with_to_tag(&self.ids.tag());
        // A Via that cannot be read is echoed as it is, to where the message came from.
        let via = response.top_via().ok().map(|mut via| {
            complete(&mut via, source);
            response.headers.replace_first_value("Via", &via);
            via
        });
        self.reply(ReplyRoute::of(source, via.as_ref()), response.to_bytes().into());
    }
}

/// Writes into the top Via where the request really came from (RFC 3261 18.2.1, RFC 3581 4).
fn note_source(request: &mut Request, source: Source) -> Result<Via, crate::message::Fault> {
    let mut via = request.top_via()?;
    if complete(&mut via, source) {
        request.headers.replace_first_value("Via", &via);
    }
    Ok(via)
}

fn complete(via: &mut Via, source: Source) -> bool {
    let ip = source.remote.ip();
    let asks_port = via.params.has("rport");
    if asks_port {
        via.params.set("rport", Some(&source.remote.port().to_string()));
    }
    let needed = asks_port || via.sent_by.host.ip() != Some(ip) || via.params.has("received");
    if needed {
        via.params.set("received", Some(&ip.to_string()));
    }
    needed
}
