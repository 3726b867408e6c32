//! The least that a relay can do: wait, read a packet, send it on by the other leg's socket. Nothing is recorded, sealed
//! or checked.

use crate::{
    Figure, Load, cpu_seconds,
    load::{self, Phone},
};
use hindsight_media_server::relay::epoll::{Epoll, Events};
use std::{
    io::{BufRead as _, BufReader},
    net::{SocketAddr, UdpSocket},
    os::fd::AsFd as _,
    process::Stdio,
};

/// Relays between the first phone and the second, the third and the fourth, and so on, for ever; tells its ports.
pub fn serve(phones: &[String]) {
    let at = |port: &String| SocketAddr::from(([127, 0, 0, 1], port.parse().unwrap()));
    let legs: Vec<(UdpSocket, SocketAddr)> = phones.iter().map(|port| (socket(), at(port))).collect();
    let epoll = Epoll::new().unwrap();
    for (n, (socket, _)) in legs.iter().enumerate() {
        epoll.add(socket.as_fd(), n as u64).unwrap();
        println!("{}", socket.local_addr().unwrap().port());
    }
    let (mut events, mut buffer) = (Events::default(), [0; 2048]);
    loop {
        epoll.wait(&mut events).unwrap();
        for token in events.tokens() {
            let leg = token as usize;
            if let Ok((length, _)) = legs[leg].0.recv_from(&mut buffer) {
                let (socket, phone) = &legs[leg ^ 1];
                let _ = socket.send_to(&buffer[..length], phone);
            }
        }
    }
}

fn socket() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_nonblocking(true).unwrap();
    socket
}

/// So many calls for so long.
pub fn measure(load: Load) -> Figure {
    let sockets = load::sockets(2 * load.calls);
    let mut child = load
        .command(std::env::current_exe().unwrap())
        .arg("--bare")
        .args(sockets.iter().map(|socket| socket.local_addr().unwrap().port().to_string()))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut ports = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut to = || SocketAddr::from(([127, 0, 0, 1], ports.next().unwrap().unwrap().parse().unwrap()));
    let phones: Vec<Phone> = sockets.into_iter().map(|socket| Phone { socket, to: to() }).collect();
    let before = cpu_seconds(child.id());
    let seen = load::run(&phones, load.seconds);
    let used = cpu_seconds(child.id()) - before;
    child.kill().unwrap();
    child.wait().unwrap();
    Figure { cpu: load.per_call_minute(used), load: seen, recorded: None }
}
