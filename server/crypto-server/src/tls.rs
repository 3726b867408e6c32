//! The listener: TLS with a client certificate of the site's authority, or no connection.

use crate::{CryptoError, certificate::CertificateInfo};
use axum::{
    extract::connect_info::Connected,
    serve::{IncomingStream, Listener},
};
use rustls::{RootCertStore, ServerConfig, server::WebPkiClientVerifier};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use std::{io, net::SocketAddr, path::Path, sync::Arc, time::Duration};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, mpsc},
    task::JoinSet,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

/// A peer that is slower is not one of ours.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);
/// Handshakes at the same time.
const HANDSHAKES: usize = 64;

/// TLS settings from a component's directory (`device.pem`, `device.key`, `ca.pem`).
pub fn server_config(identity: &Path) -> Result<ServerConfig, CryptoError> {
    let tls = |error: &dyn std::fmt::Display| CryptoError::Tls(error.to_string());
    let path = |name: &str| identity.join(name);
    let mut roots = RootCertStore::empty();
    for ca in certificates(&path("ca.pem"))? {
        roots.add(ca).map_err(|error| tls(&error))?;
    }
    let key = PrivateKeyDer::from_pem_file(path("device.key"))
        .map_err(|error| CryptoError::Tls(format!("{}: {error}", path("device.key").display())))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider.clone())
        .build()
        .map_err(|error| tls(&error))?;
    ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| tls(&error))?
        .with_client_cert_verifier(verifier)
        .with_single_cert(certificates(&path("device.pem"))?, key)
        .map_err(|error| tls(&error))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, CryptoError> {
    let wrong =
        |error: rustls_pki_types::pem::Error| CryptoError::Tls(format!("{}: {error}", path.display()));
    CertificateDer::pem_file_iter(path).map_err(wrong)?.collect::<Result<_, _>>().map_err(wrong)
}

/// Connections whose handshake is done. A slow handshake holds up nobody else.
pub struct TlsListener {
    ready: mpsc::Receiver<TlsStream<TcpStream>>,
    address: SocketAddr,
    _accepting: JoinSet<()>,
}

impl TlsListener {
    /// Begins to accept.
    pub fn new(listener: TcpListener, config: ServerConfig) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let (sender, ready) = mpsc::channel(HANDSHAKES);
        let mut accepting = JoinSet::new();
        accepting.spawn(accept_all(listener, TlsAcceptor::from(Arc::new(config)), sender));
        Ok(Self { ready, address, _accepting: accepting })
    }
}

async fn accept_all(listener: TcpListener, acceptor: TlsAcceptor, ready: mpsc::Sender<TlsStream<TcpStream>>) {
    let places = Arc::new(Semaphore::new(HANDSHAKES));
    let mut handshakes = JoinSet::new();
    loop {
        while handshakes.try_join_next().is_some() {}
        let Ok(place) = places.clone().acquire_owned().await else { return };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of descriptors, most likely: closing connections frees some.
                tracing::warn!(%error, "cannot accept");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let (acceptor, ready) = (acceptor.clone(), ready.clone());
        handshakes.spawn(async move {
            match tokio::time::timeout(HANDSHAKE_LIMIT, acceptor.accept(stream)).await {
                Ok(Ok(stream)) => drop(ready.send(stream).await),
                Ok(Err(error)) => tracing::warn!(%error, "TLS handshake refused"),
                Err(_) => tracing::debug!("TLS handshake too slow"),
            }
            drop(place);
        });
    }
}

impl Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            if let Some(stream) = self.ready.recv().await {
                let address = stream.get_ref().0.peer_addr().unwrap_or(self.address);
                return (stream, address);
            }
            // The accepting task ends only with this listener.
            std::future::pending::<()>().await;
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }
}

/// Who is at the other end; its certificate was verified in the handshake.
#[derive(Clone, Debug)]
pub struct Peer(pub Option<Arc<CertificateInfo>>);

impl Connected<IncomingStream<'_, TlsListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, TlsListener>) -> Self {
        let certificates = stream.io().get_ref().1.peer_certificates();
        let first = certificates.and_then(|chain| chain.first());
        Self(first.and_then(|der| CertificateInfo::from_der(der)).map(Arc::new))
    }
}
