//! A named pipe, for local processes. Windows' default access for pipes lets this user and administrators write to it.
//! Built, not run here.

use std::{
    io,
    path::{Path, PathBuf},
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::windows::named_pipe::{ClientOptions, NamedPipeClient, NamedPipeServer, ServerOptions},
};

/// All instances of a pipe are taken for a moment (`ERROR_PIPE_BUSY`).
const BUSY: i32 = 231;

/// Where the recorder of this data directory listens.
pub fn socket_path(data_dir: &Path) -> PathBuf {
    // FNV-1a: the same in every build, for a name without the path's separators.
    let hash =
        data_dir.to_string_lossy().to_lowercase().bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
    PathBuf::from(format!(r"\\.\pipe\hindsight-recorder-{hash:016x}"))
}

/// One end of an open connection.
pub enum Connection {
    /// The window's.
    Client(NamedPipeClient),
    /// The recorder's.
    Server(NamedPipeServer),
}

/// Opens the window's end.
pub async fn connect(path: &Path) -> io::Result<Connection> {
    loop {
        match ClientOptions::new().open(path) {
            Err(error) if error.raw_os_error() == Some(BUSY) => {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            other => return other.map(Connection::Client),
        }
    }
}

/// The recorder's end.
pub struct Listener {
    next: NamedPipeServer,
    path: PathBuf,
}

impl Listener {
    /// Listens at `path`; refused when another process already does.
    pub fn bind(path: &Path) -> io::Result<Self> {
        let next = ServerOptions::new().first_pipe_instance(true).reject_remote_clients(true).create(path)?;
        Ok(Self { next, path: path.to_owned() })
    }

    /// The next window.
    pub async fn accept(&mut self) -> io::Result<Connection> {
        self.next.connect().await?;
        let next = ServerOptions::new().reject_remote_clients(true).create(&self.path)?;
        Ok(Connection::Server(std::mem::replace(&mut self.next, next)))
    }
}

impl AsyncRead for Connection {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Client(pipe) => Pin::new(pipe).poll_read(cx, buf),
            Self::Server(pipe) => Pin::new(pipe).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Client(pipe) => Pin::new(pipe).poll_write(cx, bytes),
            Self::Server(pipe) => Pin::new(pipe).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Client(pipe) => Pin::new(pipe).poll_flush(cx),
            Self::Server(pipe) => Pin::new(pipe).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Client(pipe) => Pin::new(pipe).poll_shutdown(cx),
            Self::Server(pipe) => Pin::new(pipe).poll_shutdown(cx),
        }
    }
}
