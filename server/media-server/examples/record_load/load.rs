//! RTP both ways on every leg, 20 ms of G.711 in each packet.

use std::{
    net::{SocketAddr, UdpSocket},
    time::{Duration, Instant},
};

/// A phone: its socket and where it sends to.
pub struct Phone {
    pub socket: UdpSocket,
    pub to: SocketAddr,
}

/// What came of it.
pub struct Seen {
    pub sent: u64,
    pub received: u64,
    pub late_ticks: u64,
}

/// A socket for a phone.
pub fn socket() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_nonblocking(true).unwrap();
    socket
}

/// Speaks for so long; the phones of one call stand side by side.
pub fn run(phones: &[Phone], seconds: u64) -> Seen {
    let mut seen = Seen { sent: 0, received: 0, late_ticks: 0 };
    let mut packets: Vec<Vec<u8>> =
        (0..phones.len()).map(|n| crate::support::rtp(n as u32 + 1, 0, n as u8)).collect();
    let start = Instant::now();
    for tick in 0..seconds * 50 {
        let due = start + Duration::from_millis(20 * tick);
        let now = Instant::now();
        if due > now {
            std::thread::sleep(due - now);
        } else if now - due > Duration::from_millis(20) {
            seen.late_ticks += 1;
        }
        for (phone, packet) in phones.iter().zip(&mut packets) {
            packet[2..4].copy_from_slice(&(tick as u16).to_be_bytes());
            packet[4..8].copy_from_slice(&(tick as u32 * 160).to_be_bytes());
            packet[12..].fill((tick % 251) as u8);
            seen.sent += u64::from(phone.socket.send_to(packet, phone.to).is_ok());
            seen.received += drain(&phone.socket);
        }
    }
    std::thread::sleep(Duration::from_millis(200));
    seen.received += phones.iter().map(|phone| drain(&phone.socket)).sum::<u64>();
    seen
}

fn drain(socket: &UdpSocket) -> u64 {
    let mut buffer = [0; 2048];
    let mut count = 0;
    while socket.recv_from(&mut buffer).is_ok() {
        count += 1;
    }
    count
}
