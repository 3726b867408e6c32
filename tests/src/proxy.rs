//! An HTTP proxy that passes `CONNECT` on, for users with a password only. It alone knows where a site is.

use anyhow::{Context, Result, ensure};
use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// What it saw.
#[derive(Debug, Default)]
pub struct Seen {
    /// Targets of the tunnels that it opened, in order.
    pub tunnels: Mutex<Vec<String>>,
    /// Requests without the right password.
    pub refused: AtomicU64,
}

pub struct Proxy {
    pub address: SocketAddr,
    pub seen: Arc<Seen>,
    task: JoinHandle<()>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Proxy {
    /// Opens tunnels to any port of `host`, which is this machine; `authorization`: the header's whole value.
    pub async fn start(host: &str, authorization: &str) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let (address, seen) = (listener.local_addr()?, Arc::new(Seen::default()));
        let (known, host) = (seen.clone(), host.to_owned());
        let wanted = format!("proxy-authorization: {authorization}").to_ascii_lowercase();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (known, host, wanted) = (known.clone(), host.clone(), wanted.clone());
                tokio::spawn(async move { serve(stream, &known, &host, &wanted).await });
            }
        });
        Ok(Self { address, seen, task })
    }

    pub fn tunnels(&self) -> Vec<String> {
        self.seen.tunnels.lock().expect("no task panics with it").clone()
    }
}

async fn serve(mut stream: TcpStream, seen: &Seen, host: &str, wanted: &str) -> Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        ensure!(head.len() < 10_000, "no end of the head");
        head.push(stream.read_u8().await?);
    }
    let head = String::from_utf8(head)?;
    // Base64 differs in letter case: close enough for a test that nobody guesses at.
    if !head.to_ascii_lowercase().lines().any(|line| line == wanted) {
        seen.refused.fetch_add(1, Ordering::Relaxed);
        stream.write_all(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n").await?;
        return Ok(());
    }
    let target = head.split(' ').nth(1).context("no target")?;
    let port = target.strip_prefix(host).and_then(|rest| rest.strip_prefix(':')).context("another host")?;
    seen.tunnels.lock().expect("no task panics with it").push(target.to_owned());
    let mut site = TcpStream::connect(("127.0.0.1", port.parse()?)).await?;
    stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await?;
    copy_bidirectional(&mut stream, &mut site).await?;
    Ok(())
}
