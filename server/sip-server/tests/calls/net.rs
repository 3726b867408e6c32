//! A simulated network: virtual time, delay, loss and reordering from a seed. Nothing here waits or sleeps.

use hindsight_sip::{Endpoint, Output, Protocol, Received, Source, Transmit};
use rand::{Rng, rngs::StdRng};
use std::{
    collections::BTreeMap,
    net::SocketAddr,
    time::{Duration, Instant},
};

/// Datagrams on their way.
pub struct Net {
    pub now: Instant,
    pub rng: StdRng,
    /// Share of datagrams lost.
    pub loss: f64,
    flying: BTreeMap<(Instant, u64), (SocketAddr, SocketAddr, Vec<u8>)>,
    sent: u64,
}

impl Net {
    pub fn new(rng: StdRng, loss: f64) -> Self {
        Self { now: Instant::now(), rng, loss, flying: BTreeMap::new(), sent: 0 }
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
                Output::Transmit(transmit) => self.send(from, transmit),
                Output::Event(event) => events.push(event),
                Output::Close(_) => {}
                Output::Wait(deadline) => return (events, deadline),
            }
        }
    }

    fn send(&mut self, from: SocketAddr, transmit: Transmit) {
        // Large messages go by TCP, which loses nothing; here over the same queue.
        let reliable = transmit.protocol == Protocol::Tcp;
        if !reliable && self.rng.random_bool(self.loss) {
            return;
        }
        let delay = Duration::from_millis(self.rng.random_range(1..20));
        self.sent += 1;
        self.flying.insert((self.now + delay, self.sent), (from, transmit.remote, transmit.bytes.to_vec()));
    }

    /// Bytes as they are.
    pub fn inject(&mut self, from: SocketAddr, to: SocketAddr, bytes: &[u8]) {
        self.sent += 1;
        self.flying.insert((self.now, self.sent), (from, to, bytes.to_vec()));
    }

    pub fn next_arrival(&self) -> Option<Instant> {
        self.flying.keys().next().map(|(at, _)| *at)
    }

    /// What has arrived by now: to whom, from whom, what.
    pub fn arrived(&mut self) -> Option<(SocketAddr, SocketAddr, Vec<u8>)> {
        let (key, _) = self.flying.first_key_value()?;
        if key.0 > self.now {
            return None;
        }
        let (_, (from, to, bytes)) = self.flying.pop_first()?;
        Some((to, from, bytes))
    }
}

/// Gives a datagram to an endpoint.
pub fn receive(endpoint: &mut Endpoint, local: SocketAddr, remote: SocketAddr, bytes: &[u8], now: Instant) {
    let source = Source { protocol: Protocol::Udp, local, remote };
    endpoint.handle_input(Received { source, bytes }, now);
}
