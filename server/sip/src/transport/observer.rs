//! Shows every message to somebody beside the user. The stack never waits for them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::SystemTime;

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::flow::Protocol;

/// A message as it was sent or received, repetitions too.
#[derive(Debug, Clone)]
pub struct Observed {
    /// When.
    pub at: SystemTime,
    /// Sent by the stack; else received.
    pub sent: bool,
    /// The transport.
    pub protocol: Protocol,
    /// The stack's own address.
    pub local: SocketAddr,
    /// The other end.
    pub remote: SocketAddr,
    /// What was received is written anew from what was understood: the same headers and body, folding and spaces undone.
    pub bytes: Bytes,
}

/// Takes what is observed, as long as that is wanted; what finds its queue full is counted and gone.
#[derive(Debug, Clone)]
pub struct Observer {
    sender: mpsc::Sender<Observed>,
    wanted: Arc<AtomicBool>,
    overlooked: Arc<AtomicU64>,
}

impl Observer {
    /// An observer that wants nothing yet, and what it takes: at most `queue` messages wait.
    pub fn new(queue: usize) -> (Self, mpsc::Receiver<Observed>) {
        let (sender, receiver) = mpsc::channel(queue.max(1));
        (Self { sender, wanted: Arc::default(), overlooked: Arc::default() }, receiver)
    }

    /// Whether messages are wanted from now on.
    pub fn want(&self, wanted: bool) {
        self.wanted.store(wanted, Ordering::Relaxed);
    }

    /// Messages that found the queue full.
    pub fn overlooked(&self) -> u64 {
        self.overlooked.load(Ordering::Relaxed)
    }

    /// For the endpoint: whether to give out what it receives.
    pub(super) fn wanted(&self) -> Arc<AtomicBool> {
        self.wanted.clone()
    }

    pub(super) fn show(&self, observed: impl FnOnce() -> Observed) {
        if self.wanted.load(Ordering::Relaxed) && self.sender.try_send(observed()).is_err() {
            self.overlooked.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn observed() -> Observed {
        let local = ([127, 0, 0, 1], 5060).into();
        let (at, bytes) = (SystemTime::UNIX_EPOCH, Bytes::from_static(b"x"));
        Observed { at, sent: true, protocol: Protocol::Udp, local, remote: local, bytes }
    }

    #[test]
    fn what_is_not_wanted_is_not_shown_and_what_finds_no_place_is_counted() {
        let (observer, mut receiver) = Observer::new(2);
        observer.show(observed);
        assert!(receiver.try_recv().is_err());
        observer.want(true);
        for _ in 0..5 {
            observer.show(observed);
        }
        assert_eq!(observer.overlooked(), 3);
        assert_eq!(std::iter::from_fn(|| receiver.try_recv().ok()).count(), 2);
    }
}
