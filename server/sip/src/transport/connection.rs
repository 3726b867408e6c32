//! One TCP connection, plain or with TLS: bytes in to the driver, bytes out from its queue. Knows nothing of SIP.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

/// Messages that may wait for a slow peer before it is dropped.
const OUT_QUEUE: usize = 256;
/// Bytes taken from a stream at once.
const READ: usize = 16 * 1024;
/// A peer that does not take our bytes for this long is dropped.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a peer that closed its half still gets answers.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// Tells apart successive connections with the same peer address.
pub(super) type Generation = u64;

/// What a connection tells the driver.
pub(super) enum News {
    Connected,
    Bytes(Vec<u8>),
    Closed(io::Error),
}

/// The driver's end.
pub(super) struct Connection {
    pub(super) out: mpsc::Sender<Bytes>,
    pub(super) generation: Generation,
    task: AbortOnDrop,
}

struct AbortOnDrop(Option<AbortHandle>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        if let Some(task) = self.0.take() {
            task.abort();
        }
    }
}

/// Where connections report to.
pub(super) type NewsSender = mpsc::Sender<(SocketAddr, Generation, News)>;

impl Connection {
    /// A connection that was accepted; with `tls` its handshake comes first, and has its time.
    pub(super) fn accepted(
        stream: TcpStream,
        tls: Option<(TlsAcceptor, Duration)>,
        remote: SocketAddr,
        generation: Generation,
        news: NewsSender,
    ) -> Self {
        let (out, queue) = mpsc::channel(OUT_QUEUE);
        let task = tokio::spawn(async move {
            let _ = stream.set_nodelay(true);
            let end = match tls {
                None => pump(stream, queue, remote, generation, &news).await,
                Some((tls, limit)) => match timeout(limit, tls.accept(stream)).await {
                    Ok(Ok(stream)) => pump(stream, queue, remote, generation, &news).await,
                    Ok(Err(error)) => error,
                    Err(_) => io::ErrorKind::TimedOut.into(),
                },
            };
            let _ = news.send((remote, generation, News::Closed(end))).await;
        });
        Self { out, generation, task: AbortOnDrop(Some(task.abort_handle())) }
    }

    /// A connection to be made.
    pub(super) fn connect(
        remote: SocketAddr,
        generation: Generation,
        limit: Duration,
        news: NewsSender,
    ) -> Self {
        let (out, queue) = mpsc::channel(OUT_QUEUE);
        let task = tokio::spawn(async move {
            let stream = match timeout(limit, TcpStream::connect(remote)).await {
                Ok(stream) => stream,
                Err(_) => Err(io::ErrorKind::TimedOut.into()),
            };
            let end = match stream {
                Ok(stream) => {
                    let _ = stream.set_nodelay(true);
                    let _ = news.send((remote, generation, News::Connected)).await;
                    pump(stream, queue, remote, generation, &news).await
                }
                Err(error) => error,
            };
            let _ = news.send((remote, generation, News::Closed(end))).await;
        });
        Self { out, generation, task: AbortOnDrop(Some(task.abort_handle())) }
    }
}

impl Connection {
    /// Lets the connection write what is queued, then end by itself.
    pub(super) fn finish(mut self) {
        self.task.0 = None;
    }
}

/// Moves bytes both ways until either side ends.
async fn pump(
    stream: impl AsyncRead + AsyncWrite,
    mut queue: mpsc::Receiver<Bytes>,
    remote: SocketAddr,
    generation: Generation,
    news: &NewsSender,
) -> io::Error {
    let (mut reader, mut writer) = tokio::io::split(stream);
    let reading = async {
        let mut buffer = vec![0; READ];
        loop {
            match reader.read(&mut buffer).await {
                Ok(0) => return io::ErrorKind::UnexpectedEof.into(),
                Ok(count) => {
                    let piece = buffer[..count].to_vec();
                    if news.send((remote, generation, News::Bytes(piece))).await.is_err() {
                        return io::ErrorKind::BrokenPipe.into();
                    }
                }
                Err(error) => return error,
            }
        }
    };
    let writing = async {
        while let Some(bytes) = queue.recv().await {
            match timeout(WRITE_TIMEOUT, writer.write_all(&bytes)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => return error,
                Err(_) => return io::ErrorKind::TimedOut.into(),
            }
        }
        // The driver let go: what was queued has been written.
        let _ = writer.shutdown().await;
        io::ErrorKind::ConnectionAborted.into()
    };
    tokio::pin!(writing);
    tokio::select! {
        end = reading => {
            // The peer has said all it wanted, perhaps not yet heard all: what is on its way to it gets a moment.
            let _ = timeout(LAST_WORDS, &mut writing).await;
            end
        }
        end = &mut writing => end,
    }
}
