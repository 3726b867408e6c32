//! The owner's end of a link: what goes over it, and what its owner learns.

use hindsight_wire::{
    ClockOffset, Timestamp,
    agent::Resume,
    link::{Down, Up},
    policy::CapturePolicy,
};
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};
use tokio::sync::{Notify, mpsc, watch};

/// What a device says first.
#[derive(Clone, Default)]
pub struct Hello {
    /// Version of the program.
    pub version: String,
    /// From the sign-in; desktops only.
    pub token: Option<String>,
    /// Where the agent's event stream goes on.
    pub resume: Option<Resume>,
}

/// What the server says first.
#[derive(Clone, Debug, PartialEq)]
pub struct Welcome {
    /// Protocol version of the server.
    pub protocol: u32,
    /// Policy of this desktop.
    pub policy: Option<CapturePolicy>,
    /// Certificates (PEM) of the recipients of new screen recordings.
    pub recipients: Vec<String>,
    /// Highest sequence of this component's journal that the server has.
    pub journalled: Option<u64>,
    /// Whether a SIP server is to tell of its calls' signalling.
    pub traces: bool,
}

/// What an owner of a link learns.
#[derive(Clone)]
pub enum LinkEvent {
    /// The link is open.
    Up(Welcome),
    /// A message; never [`Down::Clock`] or [`Down::Accepted`], which the link takes itself. A later [`Down::Welcome`] is a
    /// change of policy or recipients.
    Down(Down),
    /// The link was open and is lost.
    Lost {
        /// When the server was last heard, device clock.
        since: Timestamp,
        /// For people.
        reason: String,
    },
    /// The server does not want this link.
    Refused {
        /// For people.
        reason: String,
        /// Whether the same credentials can help later. If not: get new ones, then [`LinkHandle::reconnect`].
        retry: bool,
    },
}

/// Why a message was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotSent {
    /// Too many wait already; the link may be lost.
    #[error("the link's queue is full")]
    Full,
    /// The link's task has ended.
    #[error("the link is closed")]
    Closed,
}

/// The owner's end of a link; cheap to clone. The link ends with its last handle.
#[derive(Clone)]
pub struct LinkHandle {
    pub(crate) out: mpsc::Sender<Up>,
    pub(crate) clock: watch::Receiver<Option<ClockOffset>>,
    pub(crate) up: watch::Receiver<bool>,
    pub(crate) again: Arc<Notify>,
    pub(crate) dropped: Arc<AtomicU64>,
}

impl LinkHandle {
    /// Sends a message, after those that wait. While the link is lost messages wait, in a bounded queue; one that was on
    /// its way when the link was lost is gone. What must arrive belongs into the journal, or is said again at [`LinkEvent::Up`].
    pub fn send(&self, message: Up) -> Result<(), NotSent> {
        self.out.try_send(message).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => {
                self.dropped.fetch_add(1, Ordering::Relaxed);
                NotSent::Full
            }
            mpsc::error::TrySendError::Closed(_) => NotSent::Closed,
        })
    }

    /// This device's clock against the server's; zero before the first measurement.
    pub fn clock(&self) -> ClockOffset {
        (*self.clock.borrow()).unwrap_or_default()
    }

    /// [`LinkHandle::clock`] as it changes; `None` before the first measurement.
    pub fn watch_clock(&self) -> watch::Receiver<Option<ClockOffset>> {
        self.clock.clone()
    }

    /// Whether the link is open.
    pub fn is_up(&self) -> bool {
        *self.up.borrow()
    }

    /// [`LinkHandle::is_up`] as it changes.
    pub fn watch_up(&self) -> watch::Receiver<bool> {
        self.up.clone()
    }

    /// Opens the link anew at once, with a new [`Hello`].
    pub fn reconnect(&self) {
        self.again.notify_one();
    }

    /// Messages refused because the queue was full.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}
