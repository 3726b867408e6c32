//! The control side of a relay thread.

use crate::{
    clock::MonotonicClock,
    relay::{
        epoll::Waker,
        latch::Peer,
        ports::SocketPair,
        tap::Tap,
        thread::{Command, LegCounters, Loop},
    },
};
use std::{
    collections::BTreeSet,
    io,
    sync::{Arc, Mutex, PoisonError, mpsc},
};
use tokio::sync::oneshot;

/// A running relay thread. It ends when the last handle and the last leg are dropped.
#[derive(Clone)]
pub struct Relay {
    inner: Arc<Inner>,
}

struct Inner {
    commands: Option<mpsc::Sender<Command>>,
    waker: Arc<Waker>,
    slots: Mutex<Slots>,
}

/// Which slots of the loop's table are free. A slot is freed after its `Remove` was queued, so its next `Add` follows.
#[derive(Default)]
struct Slots {
    free: BTreeSet<u32>,
    used: u32,
}

/// One leg: a socket pair in the relay. Dropped, its sockets are closed.
pub struct Leg {
    relay: Relay,
    slot: u32,
    port: u16,
    counters: Arc<LegCounters>,
}

impl Relay {
    /// Starts a thread.
    pub fn start(name: &str, clock: MonotonicClock) -> io::Result<Self> {
        let (sender, receiver) = mpsc::channel();
        let waker = Arc::new(Waker::new()?);
        let looped = Loop::new(waker.clone(), receiver, clock)?;
        std::thread::Builder::new().name(name.to_owned()).spawn(move || looped.run())?;
        Ok(Self { inner: Arc::new(Inner { commands: Some(sender), waker, slots: Mutex::default() }) })
    }

    /// Puts a socket pair into the loop. It takes no packets before [`Leg::negotiate`].
    pub fn add(&self, sockets: SocketPair) -> Leg {
        let slot = {
            let mut slots = self.inner.slots.lock().unwrap_or_else(PoisonError::into_inner);
            slots.free.pop_first().unwrap_or_else(|| {
                slots.used += 1;
                slots.used - 1
            })
        };
        let counters = Arc::new(LegCounters::default());
        let port = sockets.port;
        self.inner.send(Command::Add(slot, sockets, counters.clone()));
        Leg { relay: self.clone(), slot, port, counters }
    }

    /// Legs in the loop.
    pub fn load(&self) -> u32 {
        let slots = self.inner.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.used - slots.free.len() as u32
    }
}

impl Inner {
    /// Unbounded, but every command answers one SIP request, and those are bounded.
    fn send(&self, command: Command) {
        if let Some(commands) = &self.commands {
            let _ = commands.send(command);
        }
        self.waker.wake();
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.commands = None;
        self.waker.wake();
    }
}

impl Leg {
    /// RTP port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Counters, updated by the loop.
    pub fn counters(&self) -> &Arc<LegCounters> {
        &self.counters
    }

    /// Whose packets to take, and where to send; `None`: nobody.
    pub fn negotiate(&self, peer: Option<Peer>) {
        self.relay.inner.send(Command::Peer(self.slot, peer));
    }

    /// Sends this leg's packets to the other, and the other's to this. Both must be of the same relay.
    pub fn join(&self, other: &Leg) {
        self.relay.inner.send(Command::Join(self.slot, other.slot));
        other.relay.inner.send(Command::Join(other.slot, self.slot));
    }

    /// Begins or ends handing packets to the recorder; waits until the loop has confirmed, with the time from which it
    /// holds. `None` when the loop is gone.
    pub async fn tap(&self, tap: Option<Tap>) -> Option<i64> {
        let (confirm, confirmed) = oneshot::channel();
        self.relay.inner.send(Command::Tap(self.slot, tap, confirm));
        confirmed.await.ok()
    }
}

impl Drop for Leg {
    fn drop(&mut self) {
        self.relay.inner.send(Command::Remove(self.slot));
        let mut slots = self.relay.inner.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.free.insert(self.slot);
    }
}
