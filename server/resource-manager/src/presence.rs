//! Whether the process of a media server is there, by the word of its host: a TCP connection is held to it. Where the
//! process ends, however it ends, its host closes the connection at once and refuses the next one; no health check tells
//! that within milliseconds. A host that is lost itself says nothing: that is for the health checks.

use std::{io::ErrorKind, net::SocketAddr, time::Duration};
use tokio::{io::AsyncReadExt, net::TcpStream, sync::mpsc};

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(2);
/// Between two attempts to connect to a media server that is not there.
const AGAIN: Duration = Duration::from_millis(500);

/// Tells each time that a media server's process goes. Ends with its receiver.
pub async fn watch(server: SocketAddr, gone: mpsc::Sender<SocketAddr>) {
    let mut was_there = false;
    while !gone.is_closed() {
        match tokio::time::timeout(CONNECT, TcpStream::connect(server)).await {
            Ok(Ok(stream)) => {
                was_there = true;
                until_closed(stream).await;
                // Idle connections are closed too: the next attempt tells.
                continue;
            }
            Ok(Err(error)) if error.kind() == ErrorKind::ConnectionRefused => {
                if std::mem::take(&mut was_there) && gone.send(server).await.is_err() {
                    return;
                }
            }
            Ok(Err(error)) => tracing::trace!(%server, %error, "media server not reached by TCP"),
            Err(_) => tracing::trace!(%server, "media server not reached by TCP"),
        }
        tokio::time::sleep(AGAIN).await;
    }
}

async fn until_closed(mut stream: TcpStream) {
    let mut ignored = [0; 512];
    while matches!(stream.read(&mut ignored).await, Ok(1..)) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;
    use tokio::net::TcpListener;

    #[tokio::test]
    async fn a_process_that_goes_is_told_at_once_and_a_closed_connection_alone_is_not() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = listener.local_addr().unwrap();
        let (gone, mut told) = mpsc::channel(1);
        tokio::spawn(watch(server, gone));
        let (first, _) = listener.accept().await.unwrap();
        drop(first);
        let (second, _) = listener.accept().await.unwrap();
        assert!(told.try_recv().is_err(), "it still listens");
        let went = Instant::now();
        drop(listener);
        drop(second);
        assert_eq!(told.recv().await, Some(server));
        assert!(went.elapsed() < Duration::from_millis(300), "{:?}", went.elapsed());
        let listener = TcpListener::bind(server).await.unwrap();
        let (third, _) = listener.accept().await.unwrap();
        drop((third, listener));
        assert_eq!(told.recv().await, Some(server), "and again");
    }
}
