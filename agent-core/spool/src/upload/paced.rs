//! The body of a PATCH: in small pieces, each when the throttle lets it go, with a watch on whether any went.

use super::throttle::Throttle;
use crate::entry::locked;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use std::{
    convert::Infallible,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::Instant,
};
use tokio::time::Sleep;

/// One piece under a limit: some packets.
const PIECE: usize = 4 << 10;
/// One piece without a limit.
const UNLIMITED_PIECE: usize = 64 << 10;

/// When a request last moved; cheap to clone.
#[derive(Clone)]
pub(crate) struct Progress(Arc<Mutex<Instant>>);

impl Progress {
    pub fn new() -> Self {
        Self(Arc::new(Mutex::new(Instant::now())))
    }

    pub fn last(&self) -> Instant {
        *locked(&self.0)
    }

    fn made(&self) {
        *locked(&self.0) = Instant::now();
    }
}

/// See the module.
pub(crate) struct Paced {
    left: Bytes,
    throttle: Arc<Mutex<Throttle>>,
    progress: Progress,
    /// Bytes of the next piece, once they are taken from the throttle; 0: not yet.
    piece: usize,
    /// The next piece leaves when this has passed.
    waiting: Option<Pin<Box<Sleep>>>,
}

impl Paced {
    pub fn new(bytes: Vec<u8>, throttle: Arc<Mutex<Throttle>>, progress: Progress) -> Self {
        Self { left: bytes.into(), throttle, progress, piece: 0, waiting: None }
    }
}

impl Body for Paced {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.left.is_empty() {
            return Poll::Ready(None);
        }
        if self.piece == 0 {
            let mut throttle = locked(&self.throttle);
            let most = if throttle.rate().is_some() { PIECE } else { UNLIMITED_PIECE };
            let piece = self.left.len().min(most);
            let wait = throttle.take(piece as u64, Instant::now());
            drop(throttle);
            self.piece = piece;
            self.waiting = (!wait.is_zero()).then(|| Box::pin(tokio::time::sleep(wait)));
        }
        if let Some(waiting) = &mut self.waiting {
            std::task::ready!(waiting.as_mut().poll(context));
            self.waiting = None;
        }
        self.progress.made();
        let piece = std::mem::take(&mut self.piece);
        Poll::Ready(Some(Ok(Frame::data(self.left.split_to(piece)))))
    }

    fn is_end_stream(&self) -> bool {
        self.left.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left.len() as u64)
    }
}
