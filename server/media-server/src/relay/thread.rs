//! The relay's loop.
//!
//! Priorities: packets that are ready, then commands. A command is confirmed after the batch in which it was found, so
//! that no packet is handled by an older setting once the confirmation is out.

use crate::{
    clock::MonotonicClock,
    relay::{
        epoll::{Epoll, Events, Waker},
        latch::{Latch, Peer},
        ports::SocketPair,
        tap::Tap,
    },
};
use std::{
    net::UdpSocket,
    os::fd::AsFd as _,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
        mpsc,
    },
};
use tokio::sync::oneshot;

/// Larger datagrams are no media that is negotiated here.
const MAX_DATAGRAM: usize = 2048;
const WAKE_TOKEN: u64 = u64::MAX;

/// Packets of one leg, from its party.
#[derive(Debug, Default)]
pub struct LegCounters {
    /// RTP from the party.
    pub received: AtomicU64,
    /// RTP and RTCP sent to the party.
    pub sent: AtomicU64,
    /// From another address: ignored.
    pub foreign: AtomicU64,
    /// Neither RTP nor RTCP: ignored.
    pub malformed: AtomicU64,
    /// Not recorded because the recorder's queue was full.
    pub dropped: AtomicU64,
}

/// What the control side asks of the loop.
pub enum Command {
    /// A new leg at a free slot.
    Add(u32, SocketPair, Arc<LegCounters>),
    /// The negotiated party.
    Peer(u32, Option<Peer>),
    /// The other leg of the conference, to which its packets go until either is removed.
    Join(u32, u32),
    /// Begin or end recording; confirmed with the time from which it holds.
    Tap(u32, Option<Tap>, oneshot::Sender<i64>),
    /// Close the sockets; the slot is free afterwards.
    Remove(u32),
}

struct Leg {
    sockets: SocketPair,
    rtp: Latch,
    rtcp: Latch,
    receives: bool,
    other: Option<u32>,
    tap: Option<Tap>,
    counters: Arc<LegCounters>,
}

impl Leg {
    /// Sends to the party; a full socket buffer or an unreachable party loses the packet, as on any network.
    fn send(&self, rtcp: bool, bytes: &[u8]) {
        let (socket, latch) =
            if rtcp { (&self.sockets.rtcp, &self.rtcp) } else { (&self.sockets.rtp, &self.rtp) };
        // RTCP goes on during a hold (RFC 3264 5.1).
        let Some(to) = latch.destination().filter(|_| self.receives || rtcp) else { return };
        if socket.send_to(bytes, to).is_ok() {
            self.counters.sent.fetch_add(1, Relaxed);
        }
    }
}

/// Everything the loop owns.
pub(super) struct Loop {
    epoll: Epoll,
    waker: Arc<Waker>,
    commands: mpsc::Receiver<Command>,
    clock: MonotonicClock,
    legs: Vec<Option<Leg>>,
    buffer: Box<[u8; MAX_DATAGRAM]>,
}

impl Loop {
    pub fn new(
        waker: Arc<Waker>,
        commands: mpsc::Receiver<Command>,
        clock: MonotonicClock,
    ) -> std::io::Result<Self> {
        let epoll = Epoll::new()?;
        epoll.add(waker.as_fd(), WAKE_TOKEN)?;
        Ok(Self { epoll, waker, commands, clock, legs: Vec::new(), buffer: Box::new([0; MAX_DATAGRAM]) })
    }

    /// Runs until every sender of commands is gone.
    pub fn run(mut self) {
        crate::limits::favour_this_thread();
        let mut events = Events::default();
        loop {
            if let Err(error) = self.epoll.wait(&mut events) {
                tracing::error!(%error, "the relay cannot wait for packets any more");
                return;
            }
            let now_us = self.clock.now_us();
            let mut woken = false;
            for token in events.tokens() {
                if token == WAKE_TOKEN {
                    woken = true;
                } else {
                    self.receive((token >> 1) as usize, token & 1 == 1, now_us);
                }
            }
            if woken {
                self.waker.clear();
                if !self.obey() {
                    return;
                }
            }
        }
    }

    fn receive(&mut self, slot: usize, rtcp: bool, now_us: i64) {
        let Some(Some(leg)) = self.legs.get_mut(slot) else { return };
        let (socket, latch): (&UdpSocket, _) =
            if rtcp { (&leg.sockets.rtcp, &mut leg.rtcp) } else { (&leg.sockets.rtp, &mut leg.rtp) };
        let Ok((length, from)) = socket.recv_from(&mut self.buffer[..]) else { return };
        if !latch.accepts(from) {
            leg.counters.foreign.fetch_add(1, Relaxed);
            return;
        }
        let bytes = &self.buffer[..length];
        if length < 8 || length == MAX_DATAGRAM || bytes[0] >> 6 != 2 {
            leg.counters.malformed.fetch_add(1, Relaxed);
            return;
        }
        // Taken from the negotiated address whatever the direction says: between an answer and its re-INVITE the
        // party already speaks.
        if let Some(Some(other)) = leg.other.and_then(|other| self.legs.get(other as usize)) {
            other.send(rtcp, bytes);
        }
        let Some(Some(leg)) = self.legs.get(slot) else { return };
        if rtcp {
            return;
        }
        leg.counters.received.fetch_add(1, Relaxed);
        if let Some(tap) = &leg.tap
            && !tap.put(now_us, bytes)
        {
            leg.counters.dropped.fetch_add(1, Relaxed);
        }
    }

    /// Works off the commands; false when nobody can send any more.
    fn obey(&mut self) -> bool {
        loop {
            match self.commands.try_recv() {
                Ok(command) => self.apply(command),
                Err(mpsc::TryRecvError::Empty) => return true,
                Err(mpsc::TryRecvError::Disconnected) => return false,
            }
        }
    }

    fn apply(&mut self, command: Command) {
        match command {
            Command::Add(slot, sockets, counters) => self.add(slot, sockets, counters),
            Command::Peer(slot, peer) => {
                if let Some(leg) = self.leg(slot) {
                    leg.rtp.negotiate(peer.map(|peer| peer.rtp));
                    leg.rtcp.negotiate(peer.map(|peer| peer.rtcp));
                    leg.receives = peer.is_some_and(|peer| peer.receives);
                }
            }
            Command::Join(slot, other) => {
                if let Some(leg) = self.leg(slot) {
                    leg.other = Some(other);
                }
            }
            Command::Tap(slot, tap, confirm) => {
                if let Some(leg) = self.leg(slot) {
                    leg.tap = tap;
                }
                let _ = confirm.send(self.clock.now_us());
            }
            Command::Remove(slot) => self.remove(slot),
        }
    }

    fn add(&mut self, slot: u32, sockets: SocketPair, counters: Arc<LegCounters>) {
        let token = u64::from(slot) << 1;
        let added = self
            .epoll
            .add(sockets.rtp.as_fd(), token)
            .and_then(|()| self.epoll.add(sockets.rtcp.as_fd(), token | 1));
        if let Err(error) = added {
            tracing::error!(%error, "a leg's sockets cannot be waited for");
        }
        let place = slot as usize;
        if self.legs.len() <= place {
            self.legs.resize_with(place + 1, || None);
        }
        let (rtp, rtcp) = (Latch::default(), Latch::default());
        self.legs[place] =
            Some(Leg { sockets, rtp, rtcp, receives: false, other: None, tap: None, counters });
    }

    /// The slot will be given to another leg: nobody may go on sending to it.
    fn remove(&mut self, slot: u32) {
        let removed = self.legs.get_mut(slot as usize).and_then(Option::take);
        if let Some(other) = removed.and_then(|leg| leg.other)
            && let Some(other) = self.leg(other)
            && other.other == Some(slot)
        {
            other.other = None;
        }
    }

    fn leg(&mut self, slot: u32) -> Option<&mut Leg> {
        self.legs.get_mut(slot as usize)?.as_mut()
    }
}
