//! A line that breaks.

use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use std::net::SocketAddr;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// A proxy that cuts its first connections after a random number of bytes.
pub async fn breaking_line(to: SocketAddr, cuts: usize, seed: u64) -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let task = tokio::spawn(async move {
        let mut rng = StdRng::seed_from_u64(seed);
        for connection in 0.. {
            let (client, _) = listener.accept().await.unwrap();
            let server = TcpStream::connect(to).await.unwrap();
            let room = if connection < cuts { rng.random_range(200..400_000) } else { usize::MAX };
            // Either direction may be the one that breaks.
            let (up, down) = if rng.random_bool(0.5) { (room, usize::MAX) } else { (usize::MAX, room / 500) };
            let down = if connection < cuts { down } else { usize::MAX };
            tokio::spawn(async move {
                let (client_read, client_write) = client.into_split();
                let (server_read, server_write) = server.into_split();
                tokio::select! {
                    () = copy(client_read, server_write, up) => {}
                    () = copy(server_read, client_write, down) => {}
                }
            });
        }
    });
    (address, task)
}

pub async fn copy(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    mut room: usize,
) {
    let mut buffer = vec![0; 8192];
    while let Ok(read) = from.read(&mut buffer).await {
        let passed = read.min(room);
        if read == 0 || to.write_all(&buffer[..passed]).await.is_err() || passed < read {
            return;
        }
        room -= passed;
    }
}
