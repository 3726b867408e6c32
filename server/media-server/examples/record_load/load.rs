//! RTP both ways on every leg, 20 ms of G.711 in each packet; the phones speak one after the other, spread over the 20 ms.
//! A packet carries its phone's number and the time at which it was sent.

use std::{
    net::{SocketAddr, UdpSocket},
    sync::Arc,
    time::{Duration, Instant},
};

/// A phone: its socket and where it sends to.
pub struct Phone {
    pub socket: Arc<UdpSocket>,
    pub to: SocketAddr,
}

/// What came of it.
pub struct Seen {
    pub sent: u64,
    pub received: u64,
    /// Slices of the 20 ms that came too late by more than one.
    pub late: u64,
    /// By how much 95 of 100 packets took at most longer than the quickest one of their stream (RFC 5481 4.2), looked at
    /// once in each slice.
    pub jitter: Duration,
}

/// The 20 ms come in so many slices.
const SLICES: usize = 20;
const SLICE: Duration = Duration::from_millis(1);
/// So many phones share a socket, which spares the load looking at as many sockets as there are phones.
const SHARE: usize = 16;
/// In the packet: the synchronization source, and the start of the payload.
const SSRC: std::ops::Range<usize> = 8..12;
const STAMP: std::ops::Range<usize> = 12..20;

/// Sockets for so many phones.
pub fn sockets(phones: usize) -> Vec<Arc<UdpSocket>> {
    let mut sockets = Vec::with_capacity(phones);
    while sockets.len() < phones {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_nonblocking(true).unwrap();
        socket2::SockRef::from(&socket).set_recv_buffer_size(4 << 20).unwrap();
        sockets.extend(std::iter::repeat_n(Arc::new(socket), SHARE.min(phones - sockets.len())));
    }
    sockets
}

/// Speaks for so long; the phones of one call stand side by side.
pub fn run(phones: &[Phone], seconds: u64) -> Seen {
    let mut packets: Vec<Vec<u8>> =
        (0..phones.len()).map(|n| crate::support::rtp(n as u32, 0, n as u8)).collect();
    let mut ears = Ears { start: Instant::now(), delays: vec![Vec::new(); phones.len()], buffer: [0; 2048] };
    let (mut sent, mut late) = (0, 0);
    for slice in 0..seconds as usize * 50 * SLICES {
        let due = ears.start + SLICE * slice as u32;
        let now = Instant::now();
        if due > now {
            std::thread::sleep(due - now);
        } else if now - due > SLICE {
            late += 1;
        }
        let tick = slice / SLICES;
        for (phone, packet) in phones.iter().zip(&mut packets).skip(slice % SLICES).step_by(SLICES) {
            packet[2..4].copy_from_slice(&(tick as u16).to_be_bytes());
            packet[4..8].copy_from_slice(&(tick as u32 * 160).to_be_bytes());
            packet[12..].fill((tick % 251) as u8);
            packet[STAMP].copy_from_slice(&ears.now_us().to_be_bytes());
            sent += u64::from(phone.socket.send_to(packet, phone.to).is_ok());
        }
        ears.listen(phones);
    }
    std::thread::sleep(Duration::from_millis(200));
    ears.listen(phones);
    Seen { sent, received: ears.received(), late, jitter: ears.jitter() }
}

/// How long the packets of each stream took, in microseconds.
struct Ears {
    start: Instant,
    delays: Vec<Vec<u64>>,
    buffer: [u8; 2048],
}

impl Ears {
    fn now_us(&self) -> u64 {
        self.start.elapsed().as_micros() as u64
    }

    fn listen(&mut self, phones: &[Phone]) {
        for phone in phones.iter().step_by(SHARE) {
            while let Ok((length, _)) = phone.socket.recv_from(&mut self.buffer) {
                let packet = &self.buffer[..length];
                let Some(stamp) = packet.get(STAMP) else { continue };
                let sent_us = u64::from_be_bytes(stamp.try_into().unwrap());
                let phone = u32::from_be_bytes(packet[SSRC].try_into().unwrap()) as usize;
                let delay = self.now_us().saturating_sub(sent_us);
                self.delays.get_mut(phone).map(|delays| delays.push(delay)).unwrap();
            }
        }
    }

    fn received(&self) -> u64 {
        self.delays.iter().map(|delays| delays.len() as u64).sum()
    }

    fn jitter(&self) -> Duration {
        let over = |delays: &Vec<u64>| {
            let least = delays.iter().min().copied().unwrap_or(0);
            delays.iter().map(move |delay| delay - least).collect::<Vec<_>>()
        };
        let mut all: Vec<u64> = self.delays.iter().flat_map(over).collect();
        all.sort_unstable();
        Duration::from_micros(all.get(all.len() * 95 / 100).copied().unwrap_or(0))
    }
}
