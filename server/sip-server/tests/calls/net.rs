//! A simulated network: virtual time, delay, loss and reordering from a seed. Nothing here waits or sleeps.

use hindsight_sip::{Endpoint, Output, Protocol, Received, Source, Transmit};
use rand::{Rng, rngs::StdRng};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    time::{Duration, Instant},
};

/// What is on its way: whence, whither, by what.
type Flying = (SocketAddr, SocketAddr, Protocol, Vec<u8>);

/// Datagrams on their way, and the connections that there are.
pub struct Net {
    pub now: Instant,
    pub rng: StdRng,
    /// Share of datagrams lost.
    pub loss: f64,
    /// The phones' ends of their TLS connections.
    pub lines: BTreeSet<SocketAddr>,
    flying: BTreeMap<(Instant, u64), Flying>,
    sent: u64,
}

impl Net {
    pub fn new(rng: StdRng, loss: f64) -> Self {
        Self { now: Instant::now(), rng, loss, lines: BTreeSet::new(), flying: BTreeMap::new(), sent: 0 }
    }

    /// Takes what an endpoint at `from` wants sent; gives back when it wants to be called and what it tells its user.
    pub fn drain(
        &mut self,
        endpoint: &mut Endpoint,
        from: SocketAddr,
    ) -> (Vec<hindsight_sip::Event>, Option<Instant>) {
        let mut events = Vec::new();
        loop {
            match endpoint.poll_output() {
                Output::Transmit(transmit) if self.is_cut(from, &transmit) => {
                    if let Some(id) = transmit.origin {
                        endpoint.transport_failed(id, "the peer's TLS connection is gone", self.now);
                    }
                }
                Output::Transmit(transmit) => self.send(from, transmit),
                Output::Event(event) => events.push(event),
                Output::Close(_) | Output::Heard(..) => {}
                Output::Wait(deadline) => return (events, deadline),
            }
        }
    }

    fn is_cut(&self, from: SocketAddr, transmit: &Transmit) -> bool {
        transmit.protocol == Protocol::Tls
            && !self.lines.contains(&from)
            && !self.lines.contains(&transmit.remote)
    }

    fn send(&mut self, from: SocketAddr, transmit: Transmit) {
        // Large messages go by TCP, which loses nothing; here over the same queue.
        let reliable = transmit.protocol != Protocol::Udp;
        if !reliable && self.rng.random_bool(self.loss) {
            return;
        }
        let delay = Duration::from_millis(self.rng.random_range(1..20));
        self.sent += 1;
        // On a connection nothing overtakes anything.
        let delay = if transmit.protocol == Protocol::Tls { Duration::from_millis(10) } else { delay };
        let flying = (from, transmit.remote, transmit.protocol, transmit.bytes.to_vec());
        self.flying.insert((self.now + delay, self.sent), flying);
    }

    /// Bytes as they are.
    pub fn inject(&mut self, from: SocketAddr, to: SocketAddr, bytes: &[u8]) {
        self.sent += 1;
        self.flying.insert((self.now, self.sent), (from, to, Protocol::Udp, bytes.to_vec()));
    }

    pub fn next_arrival(&self) -> Option<Instant> {
        self.flying.keys().next().map(|(at, _)| *at)
    }

    /// What has arrived by now: to whom, from whom, by what, what.
    pub fn arrived(&mut self) -> Option<(SocketAddr, SocketAddr, Protocol, Vec<u8>)> {
        let (key, _) = self.flying.first_key_value()?;
        if key.0 > self.now {
            return None;
        }
        let (_, (from, to, protocol, bytes)) = self.flying.pop_first()?;
        Some((to, from, protocol, bytes))
    }
}

/// Gives what came from one address to the endpoint at another.
pub fn receive(
    endpoint: &mut Endpoint,
    (local, remote): (SocketAddr, SocketAddr),
    protocol: Protocol,
    bytes: &[u8],
    now: Instant,
) {
    // A large message that went by TCP comes whole.
    let protocol = if protocol == Protocol::Tls { protocol } else { Protocol::Udp };
    let source = Source { protocol, local, remote };
    endpoint.handle_input(Received { source, bytes }, now);
}
