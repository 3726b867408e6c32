//! RTP/RTCP socket pairs: an even port and the next one (RFC 3550 11).

use std::{
    io,
    net::{IpAddr, SocketAddr, UdpSocket},
};

/// Socket buffer asked for, bytes: a second of silence from the loop loses no packet.
const SOCKET_BUFFER: usize = 256 * 1024;

/// The sockets of one leg.
#[derive(Debug)]
pub struct SocketPair {
    /// Even port.
    pub rtp: UdpSocket,
    /// The next port.
    pub rtcp: UdpSocket,
    /// Port of `rtp`.
    pub port: u16,
}

/// Hands out pairs in turn, so that a port rests as long as possible before its next call.
#[derive(Debug)]
pub struct PortRange {
    address: IpAddr,
    first: u16,
    pairs: u16,
    next: u16,
}

impl PortRange {
    /// Pairs from `first` (rounded up to even) to `last`.
    pub fn new(address: IpAddr, first: u16, last: u16) -> Self {
        let first = first.saturating_add(first % 2);
        let pairs = ((u32::from(last) + 1).saturating_sub(u32::from(first)) / 2) as u16;
        Self { address, first, pairs, next: 0 }
    }

    /// Binds the next free pair.
    pub fn bind(&mut self) -> io::Result<SocketPair> {
        for _ in 0..self.pairs {
            let port = self.first + 2 * self.next;
            self.next = (self.next + 1) % self.pairs;
            match bind_pair(self.address, port) {
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
                result => return result,
            }
        }
        Err(io::Error::new(io::ErrorKind::AddrInUse, "no free port pair in the RTP range"))
    }
}

fn bind_pair(address: IpAddr, port: u16) -> io::Result<SocketPair> {
    Ok(SocketPair { rtp: bind(address, port)?, rtcp: bind(address, port + 1)?, port })
}

fn bind(address: IpAddr, port: u16) -> io::Result<UdpSocket> {
    let socket = socket2::Socket::new(
        socket2::Domain::for_address(SocketAddr::new(address, port)),
        socket2::Type::DGRAM,
        Some(socket2::Protocol::UDP),
    )?;
    socket.set_nonblocking(true)?;
    socket.set_recv_buffer_size(SOCKET_BUFFER)?;
    socket.bind(&SocketAddr::new(address, port).into())?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    #[test]
    fn pairs_are_even_and_odd_rotate_and_end() {
        let local = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let mut range = PortRange::new(local, 47_101, 47_107);
        let held: Vec<_> = (0..3).map(|_| range.bind().unwrap()).collect();
        assert_eq!(held.iter().map(|pair| pair.port).collect::<Vec<_>>(), [47_102, 47_104, 47_106]);
        assert_eq!(held[0].rtcp.local_addr().unwrap().port(), 47_103);
        assert_eq!(range.bind().unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(held);
        assert_eq!(range.bind().unwrap().port, 47_102);
    }
}
