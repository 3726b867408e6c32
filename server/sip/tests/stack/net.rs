//! Two endpoints and a simulated network between them: virtual time, chosen delay, chosen loss.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use hindsight_sip::{
    Destination, Endpoint, EndpointConfig, Event, Ids, Message, Method, NameAddr, NewRequest, Output,
    Protocol, Received, Request, Source, Uri, parse_datagram,
};

pub const A: usize = 0;
pub const B: usize = 1;

/// A message on the wire, for looking at afterwards.
#[derive(Debug, Clone)]
pub struct Sent {
    pub at: Duration,
    pub from: usize,
    pub line: String,
    pub protocol: Protocol,
}

/// Number of the message, sender, first line: is it lost?
type Loss = Box<dyn FnMut(usize, usize, &str) -> bool>;

pub struct Net {
    pub ends: [Endpoint; 2],
    pub events: [VecDeque<Event>; 2],
    pub log: Vec<Sent>,
    pub protocol: Protocol,
    /// Decides which messages are lost.
    pub lose: Loss,
    start: Instant,
    now: Instant,
    wire: VecDeque<(Instant, usize, Protocol, Vec<u8>)>,
}

pub const DELAY: Duration = Duration::from_millis(10);

fn addr(end: usize) -> SocketAddr {
    format!("192.0.2.{}:5060", end + 1).parse().unwrap()
}

impl Net {
    pub fn new(protocol: Protocol) -> Self {
        let start = Instant::now();
        let end = |n: usize| Endpoint::new(EndpointConfig::new(addr(n)), Ids::seeded(n as u64 + 1));
        Self {
            ends: [end(A), end(B)],
            events: [VecDeque::new(), VecDeque::new()],
            log: Vec::new(),
            protocol,
            lose: Box::new(|_, _, _| false),
            start,
            now: start,
            wire: VecDeque::new(),
        }
    }

    pub fn now(&self) -> Instant {
        self.now
    }

    pub fn to(&self, end: usize) -> Destination {
        Destination { protocol: self.protocol, addr: addr(end) }
    }

    fn collect(&mut self) -> Option<Instant> {
        let mut next: Option<Instant> = None;
        for from in [A, B] {
            loop {
                match self.ends[from].poll_output() {
                    Output::Transmit(transmit) => {
                        let line =
                            String::from_utf8_lossy(&transmit.bytes).lines().next().unwrap_or("").to_owned();
                        let number = self.log.len();
                        let lost = (self.lose)(number, from, &line);
                        let at = self.now - self.start;
                        self.log.push(Sent { at, from, line, protocol: transmit.protocol });
                        let to = if transmit.remote == addr(A) { A } else { B };
                        if !lost {
                            let arrival = self.now + DELAY;
                            self.wire.push_back((arrival, to, transmit.protocol, transmit.bytes.to_vec()));
                        }
                    }
                    Output::Event(event) => self.events[from].push_back(event),
                    Output::Close(_) | Output::Heard(..) => {}
                    Output::Wait(at) => {
                        next = next.into_iter().chain(at).min();
                        break;
                    }
                }
            }
        }
        next
    }

    /// Runs for a span of virtual time, or until an event is there for `until`.
    fn advance(&mut self, limit: Duration, until: Option<usize>) {
        let end = self.now + limit;
        loop {
            let timer = self.collect();
            if until.is_some_and(|n| !self.events[n].is_empty()) {
                return;
            }
            let arrival = self.wire.front().map(|(at, ..)| *at);
            let Some(next) = timer.into_iter().chain(arrival).min().filter(|at| *at <= end) else {
                self.now = end;
                return;
            };
            self.now = self.now.max(next);
            while self.wire.front().is_some_and(|(at, ..)| *at <= self.now) {
                let (_, to, protocol, bytes) = self.wire.pop_front().unwrap();
                let source = Source { protocol, local: addr(to), remote: addr(1 - to) };
                self.ends[to].handle_input(Received { source, bytes: &bytes }, self.now);
            }
            for end in &mut self.ends {
                end.handle_timeout(self.now);
            }
        }
    }

    pub fn run(&mut self, span: Duration) {
        self.advance(span, None);
    }

    /// The next event of an end, within two minutes of virtual time.
    pub fn next(&mut self, end: usize) -> Event {
        self.advance(Duration::from_secs(120), Some(end));
        self.events[end].pop_front().unwrap_or_else(|| panic!("no event at {end}; sent: {:#?}", self.log))
    }

    pub fn elapsed(&self) -> Duration {
        self.now - self.start
    }

    /// When messages starting with this were sent by an end.
    pub fn times(&self, from: usize, start: &str) -> Vec<u128> {
        let matching = self.log.iter().filter(|s| s.from == from && s.line.starts_with(start));
        matching.map(|s| s.at.as_millis()).collect()
    }

    /// Puts bytes on the wire as if an end had sent them.
    pub fn inject(&mut self, to: usize, request: &Request) {
        let bytes = request.to_bytes();
        self.wire.push_back((self.now + DELAY, to, self.protocol, bytes));
    }
}

pub fn request(method: Method) -> Request {
    let uri = |text: &str| Uri::parse(text).unwrap();
    NewRequest {
        method,
        target: uri("sip:b@192.0.2.2"),
        from: NameAddr::new(uri("sip:a@example.net")),
        from_tag: "atag".into(),
        to: NameAddr::new(uri("sip:b@example.net")),
        call_id: "call-1".into(),
        cseq: 1,
        contact: Some(NameAddr::new(uri("sip:a@192.0.2.1"))),
    }
    .build()
}

pub fn parsed(bytes: &[u8]) -> Message {
    parse_datagram(bytes).unwrap().unwrap()
}
