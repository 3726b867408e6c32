//! The listener: TLS handshakes, connections and their bounds, an orderly end.

use crate::peer::Peer;
use axum::{Router, body::Body};
use hyper::{body::Incoming, server::conn::http1};
use hyper_util::rt::{TokioIo, TokioTimer};
use ring::digest::{SHA256, digest};
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::ServiceExt;

use crate::stall::Stall;

/// A handshake is done within this time.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);
/// The headers of a request, also of the next one on a kept connection, come within this time.
const HEADERS_LIMIT: Duration = Duration::from_secs(30);
/// A client that takes nothing for so long is given up.
const WRITE_STALL_LIMIT: Duration = Duration::from_secs(60);
/// Requests under way at shutdown may take so long.
const DRAIN_LIMIT: Duration = Duration::from_secs(10);
/// After a failure to accept (no file descriptors left), so that it does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves until shutdown; then what is under way may end.
pub async fn serve(
    listener: TcpListener,
    tls: TlsAcceptor,
    router: Router,
    connections: usize,
    shutdown: CancellationToken,
) {
    let room = Arc::new(Semaphore::new(connections));
    let tracker = TaskTracker::new();
    loop {
        // Wait for room before accepting: the rest waits in the kernel's queue.
        let permit = tokio::select! {
            () = shutdown.cancelled() => break,
            permit = room.clone().acquire_owned() => permit,
        };
        let Ok(permit) = permit else { break };
        let accepted = tokio::select! {
            () = shutdown.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, address)) => {
                let (tls, router, shutdown) = (tls.clone(), router.clone(), shutdown.clone());
                tracker.spawn(async move {
                    connection(stream, address, tls, router, shutdown).await;
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    tracker.close();
    if tokio::time::timeout(DRAIN_LIMIT, tracker.wait()).await.is_err() {
        tracing::warn!(connections = tracker.len(), "connections were cut at the end");
    }
}

async fn connection(
    stream: TcpStream,
    address: SocketAddr,
    tls: TlsAcceptor,
    router: Router,
    shutdown: CancellationToken,
) {
    // Small answers (the link, receipts) go out at once.
    let _ = stream.set_nodelay(true);
    let stream = match tokio::time::timeout(HANDSHAKE_LIMIT, tls.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            metrics::counter!("hindsight_tls_failures_total").increment(1);
            tracing::debug!(%error, "a TLS handshake failed");
            return;
        }
        Err(_) => return,
    };
    let peer = peer(&stream, address);
    let service = hyper::service::service_fn(move |request: hyper::Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(peer);
        router.clone().oneshot(request)
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEADERS_LIMIT).half_close(false);
    let io = TokioIo::new(Stall::new(stream, WRITE_STALL_LIMIT));
    let connection = builder.serve_connection(io, service).with_upgrades();
    tokio::pin!(connection);
    let outcome = tokio::select! {
        outcome = connection.as_mut() => outcome,
        () = shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = outcome {
        tracing::debug!(%error, "a connection broke");
    }
}

fn peer(stream: &TlsStream<TcpStream>, address: SocketAddr) -> Peer {
    let certificate = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
    let certificate_sha256 = certificate.map(|certificate| {
        let mut sha256 = [0; 32];
        sha256.copy_from_slice(digest(&SHA256, certificate).as_ref());
        sha256
    });
    Peer { address: address.ip().to_canonical(), certificate_sha256 }
}
