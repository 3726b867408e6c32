//! The relay's loop.
//!
//! Priorities: packets that are ready, then commands. A command is confirmed after the batch in which it was found, so
//! that no packet is handled by an older setting once the confirmation is out. What has arrived before a command is
//! read before it: a call's last packets are in its recording, and none of a pause comes in with its end.
//!
//! Waking up costs more than a packet does. Under load a packet waits up to two milliseconds for others, so that they are
//! dealt with together; a call on its own never waits, nor does a socket in which more is waiting than was read.

use crate::{
    clock::MonotonicClock,
    relay::{
        early::Early,
        epoll::{self, Epoll, Events, Waker},
        latch::{Latch, Peer},
        ports::SocketPair,
        tap::{ControlAllowance, Tap},
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
    time::Duration,
};
use tokio::sync::oneshot;

/// Packets of one socket that are read ahead of a command; a flood cannot hold it up.
const MAX_READ_AHEAD: usize = 512;
/// Larger datagrams are no media that is negotiated here.
const MAX_DATAGRAM: usize = 2048;
const WAKE_TOKEN: u64 = u64::MAX;
/// Under load the loop wakes up this often, which is what it may add to the jitter.
const GATHER: Duration = Duration::from_millis(2);
/// Gaps between wake-ups that are shorter than this are load.
const BUSY: Duration = Duration::from_micros(2_500);

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
    /// Begin or end recording; confirmed with the time from which it holds: a recording begins with the first packet
    /// that waited for it.
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
    early: Early,
    /// For what the recorder reads of RTCP.
    allowance: ControlAllowance,
    /// The turn of the loop in which its RTP was last read.
    read_in: u64,
    /// Waited for: not before it is known whose packets to take, so that the first ones wait in the socket.
    heard: bool,
    counters: Arc<LegCounters>,
}

impl Leg {
    /// For the recorder, if there is one; else kept for a moment.
    fn record(&mut self, at_us: i64, bytes: &[u8]) {
        match &self.tap {
            None => self.early.put(at_us, bytes),
            Some(tap) => {
                if !tap.put(at_us, false, bytes) {
                    self.counters.dropped.fetch_add(1, Relaxed);
                }
            }
        }
    }

    /// RTCP for the recorder, if there is one. A report that finds no room is missed by nobody: the next one says more.
    fn record_control(&mut self, at_us: i64, bytes: &[u8]) {
        if let Some(tap) = &self.tap
            && self.allowance.take(at_us)
        {
            tap.put(at_us, true, bytes);
        }
    }

    /// Sends to the party; a full socket buffer or an unreachable party loses the packet, as on any network.
    fn send(&self, rtcp: bool, bytes: &[u8]) {
        let (socket, latch) =
            if rtcp { (&self.sockets.rtcp, &self.rtcp) } else { (&self.sockets.rtp, &self.rtp) };
        // RTCP goes on during a hold (RFC 3264 5.1).
        let Some(to) = latch.destination().filter(|_| self.receives || rtcp) else { return };
        if epoll::send(socket, bytes, to) {
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
    /// How often the loop has woken up.
    turn: u64,
    /// A socket was read that had been read in the turn before: packets have heaped up.
    backlog: bool,
}

impl Loop {
    pub fn new(
        waker: Arc<Waker>,
        commands: mpsc::Receiver<Command>,
        clock: MonotonicClock,
    ) -> std::io::Result<Self> {
        let epoll = Epoll::new()?;
        epoll.add(waker.as_fd(), WAKE_TOKEN)?;
        let buffer = Box::new([0; MAX_DATAGRAM]);
        Ok(Self { epoll, waker, commands, clock, legs: Vec::new(), buffer, turn: 0, backlog: false })
    }

    /// Runs until every sender of commands is gone.
    pub fn run(mut self) {
        crate::limits::favour_this_thread();
        let mut events = Events::default();
        let mut woken_us = self.clock.now_us();
        loop {
            if let Err(error) = self.epoll.wait(&mut events) {
                tracing::error!(%error, "the relay cannot wait for packets any more");
                return;
            }
            let now_us = self.clock.now_us();
            let busy = now_us - woken_us < BUSY.as_micros() as i64;
            woken_us = now_us;
            self.turn += 1;
            self.backlog = false;
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
            if busy && !self.backlog && !events.is_full() {
                self.gather(now_us);
            }
        }
    }

    /// Lets packets come until it is time for the next turn; a command does not wait for it.
    fn gather(&self, woken_us: i64) {
        let spent = Duration::from_micros((self.clock.now_us() - woken_us).max(0) as u64);
        if let Some(rest) = GATHER.checked_sub(spent) {
            self.waker.sleep(rest);
        }
    }

    /// Reads one packet; false when none is there.
    fn receive(&mut self, slot: usize, rtcp: bool, now_us: i64) -> bool {
        let Some(Some(leg)) = self.legs.get_mut(slot) else { return false };
        let (socket, latch): (&UdpSocket, _) =
            if rtcp { (&leg.sockets.rtcp, &mut leg.rtcp) } else { (&leg.sockets.rtp, &mut leg.rtp) };
        let Some((length, from)) = epoll::receive(socket, &mut self.buffer[..]) else { return false };
        if !latch.accepts(from) {
            leg.counters.foreign.fetch_add(1, Relaxed);
            return true;
        }
        let bytes = &self.buffer[..length];
        if length < 8 || length == MAX_DATAGRAM || bytes[0] >> 6 != 2 {
            leg.counters.malformed.fetch_add(1, Relaxed);
            return true;
        }
        // Taken from the negotiated address whatever the direction says: between an answer and its re-INVITE the
        // party already speaks.
        if let Some(Some(other)) = leg.other.and_then(|other| self.legs.get(other as usize)) {
            other.send(rtcp, bytes);
        }
        let Some(Some(leg)) = self.legs.get_mut(slot) else { return true };
        if rtcp {
            leg.record_control(now_us, &self.buffer[..length]);
        } else {
            leg.counters.received.fetch_add(1, Relaxed);
            self.backlog |= leg.read_in + 1 == self.turn;
            leg.read_in = self.turn;
            leg.record(now_us, &self.buffer[..length]);
        }
        true
    }

    /// Reads what has arrived.
    fn read_ahead(&mut self, slot: u32) {
        let now_us = self.clock.now_us();
        for _ in 0..MAX_READ_AHEAD {
            if !self.receive(slot as usize, false, now_us) {
                return;
            }
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
            Command::Peer(slot, peer) => self.negotiate(slot, peer),
            Command::Join(slot, other) => {
                if let Some(leg) = self.leg(slot) {
                    leg.other = Some(other);
                }
            }
            Command::Tap(slot, tap, confirm) => {
                let _ = confirm.send(self.tap(slot, tap));
            }
            Command::Remove(slot) => self.remove(slot),
        }
    }

    fn add(&mut self, slot: u32, sockets: SocketPair, counters: Arc<LegCounters>) {
        let place = slot as usize;
        if self.legs.len() <= place {
            self.legs.resize_with(place + 1, || None);
        }
        self.legs[place] = Some(Leg {
            sockets,
            rtp: Latch::default(),
            rtcp: Latch::default(),
            receives: false,
            other: None,
            tap: None,
            early: Early::default(),
            allowance: ControlAllowance::default(),
            read_in: 0,
            heard: false,
            counters,
        });
    }

    fn negotiate(&mut self, slot: u32, peer: Option<Peer>) {
        let Some(Some(leg)) = self.legs.get_mut(slot as usize) else { return };
        leg.rtp.negotiate(peer.map(|peer| peer.rtp));
        leg.rtcp.negotiate(peer.map(|peer| peer.rtcp));
        leg.receives = peer.is_some_and(|peer| peer.receives);
        if leg.heard || peer.is_none() {
            return;
        }
        leg.heard = true;
        let token = u64::from(slot) << 1;
        let (rtp, rtcp) = (leg.sockets.rtp.as_fd(), leg.sockets.rtcp.as_fd());
        if let Err(error) = self.epoll.add(rtp, token).and_then(|()| self.epoll.add(rtcp, token | 1)) {
            tracing::error!(%error, "a leg's sockets cannot be waited for");
        }
    }

    /// The time from which it holds.
    fn tap(&mut self, slot: u32, tap: Option<Tap>) -> i64 {
        self.read_ahead(slot);
        let now_us = self.clock.now_us();
        let Some(Some(leg)) = self.legs.get_mut(slot as usize) else { return now_us };
        leg.tap = tap;
        if leg.tap.is_none() {
            leg.early.give_up();
            return now_us;
        }
        let waited = leg.early.take(now_us);
        for (at_us, bytes) in &waited {
            leg.record(*at_us, bytes);
        }
        waited.first().map_or(now_us, |(at_us, _)| *at_us)
    }

    /// The slot will be given to another leg: nobody may go on sending to it.
    fn remove(&mut self, slot: u32) {
        self.read_ahead(slot);
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
