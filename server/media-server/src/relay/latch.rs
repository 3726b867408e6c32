//! Whose packets a leg takes, and where its packets go. Pure.
//!
//! Symmetric RTP (RFC 4961) limited to the negotiated address: packets of any other address are ignored, so that nobody
//! who finds the port can speak into a call or its recording. A phone behind a NAT may use another *port* of the same
//! address; that port is taken once, and given up as soon as the negotiated port itself speaks.

use std::net::SocketAddr;

/// Where a party's media comes from and goes to, as negotiated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// RTP.
    pub rtp: SocketAddr,
    /// RTCP.
    pub rtcp: SocketAddr,
    /// Whether the party wants to receive media: not so when it holds.
    pub receives: bool,
}

/// One negotiated address and the source that was found to use it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Latch {
    negotiated: Option<SocketAddr>,
    source: Option<SocketAddr>,
}

impl Latch {
    /// A new negotiation; the source is kept when the address stays.
    pub fn negotiate(&mut self, address: Option<SocketAddr>) {
        if self.negotiated != address {
            *self = Self { negotiated: address, source: None };
        }
    }

    /// Whether a packet from here is the party's.
    pub fn accepts(&mut self, from: SocketAddr) -> bool {
        let Some(negotiated) = self.negotiated else { return false };
        if self.source == Some(from) {
            return true;
        }
        let first = self.source.is_none() && from.ip() == negotiated.ip();
        if first || from == negotiated {
            self.source = Some(from);
        }
        first || from == negotiated
    }

    /// Where the party's packets are to be sent.
    pub fn destination(&self) -> Option<SocketAddr> {
        self.source.or(self.negotiated)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn only_the_negotiated_address_is_heard() {
        let mut latch = Latch::default();
        assert!(!latch.accepts(at("10.0.0.1:4000")));
        latch.negotiate(Some(at("10.0.0.1:4000")));
        assert!(!latch.accepts(at("10.0.0.2:4000")));
        assert!(latch.accepts(at("10.0.0.1:4000")));
        assert!(!latch.accepts(at("10.0.0.1:4001")), "another port once the negotiated one has spoken");
        assert_eq!(latch.destination(), Some(at("10.0.0.1:4000")));
    }

    #[test]
    fn another_port_is_taken_until_the_negotiated_one_speaks() {
        let mut latch = Latch::default();
        latch.negotiate(Some(at("10.0.0.1:4000")));
        assert_eq!(latch.destination(), Some(at("10.0.0.1:4000")));
        assert!(latch.accepts(at("10.0.0.1:61000")));
        assert_eq!(latch.destination(), Some(at("10.0.0.1:61000")));
        assert!(!latch.accepts(at("10.0.0.1:61001")));
        assert!(latch.accepts(at("10.0.0.1:4000")));
        assert_eq!(latch.destination(), Some(at("10.0.0.1:4000")));
        assert!(!latch.accepts(at("10.0.0.1:61000")));
    }

    #[test]
    fn a_new_negotiation_forgets_the_old_source() {
        let mut latch = Latch::default();
        latch.negotiate(Some(at("10.0.0.1:4000")));
        assert!(latch.accepts(at("10.0.0.1:61000")));
        latch.negotiate(Some(at("10.0.0.1:4000")));
        assert!(latch.accepts(at("10.0.0.1:61000")));
        latch.negotiate(Some(at("10.0.0.9:4000")));
        assert!(!latch.accepts(at("10.0.0.1:61000")));
        latch.negotiate(None);
        assert_eq!(latch.destination(), None);
    }
}
