//! One party's packets: judged, put in order of RTP time, placed on the recording's timeline.
//!
//! In the common case (next in sequence, no jump) a packet passes straight through and nothing is copied. Otherwise it
//! is held: up to [`REORDER_WAIT_US`] for a packet missing before it, and shortly at the start of a source and at a jump
//! of its clock, so that the place of the run is decided by the least delayed of several packets.

use crate::{
    packet::Packet,
    quality::{Jitter, Quality},
    rtcp::SenderReport,
    sequence::{Sequence, Verdict},
    timeline::{JUMP_US, Timeline},
};
use std::collections::BTreeMap;

/// How long a missing packet is waited for, microseconds.
pub const REORDER_WAIT_US: i64 = 250_000;
/// How long the first packets of a source are held to find the least delayed, microseconds.
const START_HOLD_US: i64 = 200_000;
/// How long packets after a jump are held to tell a stalled network from a stopped clock, microseconds.
const JUMP_HOLD_US: i64 = 200_000;
/// A packet is never placed further before its arrival than this, microseconds.
const MAX_STALL_US: i64 = 30_000_000;
/// Nor further behind it, microseconds: how much a sender that stood still can catch up in one go.
const MAX_LEAD_US: i64 = 2_000_000;
/// More packets than this are never held.
const MAX_HELD: usize = 256;
/// Two packets of an unknown source no further apart than this make it the source.
const SUSPECT_STEP: u16 = 10;
/// For how long a first packet of an unknown source is remembered, microseconds.
const SUSPECT_US: i64 = 2_000_000;
/// More jumps than this are not listed.
const MAX_JUMPS: usize = 64;

/// A packet as it arrived.
#[derive(Clone, Copy, Debug)]
pub struct Arrived<'a> {
    /// The packet.
    pub packet: Packet<'a>,
    /// When, microseconds since the start of the recording.
    pub at_us: i64,
    /// RTP clock units that its payload lasts.
    pub ticks: u32,
    /// Whether it is to be delivered; telephone events only count.
    pub wanted: bool,
}

/// A packet in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Start of the payload, microseconds since the start of the recording.
    pub at_us: i64,
    /// How long it lasts, microseconds.
    pub duration_us: i64,
    /// Payload type.
    pub payload_type: u8,
    /// As received.
    pub payload: &'a [u8],
}

/// A step between RTP time and wall clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Jump {
    /// Where in the recording, microseconds.
    pub at_us: i64,
    /// By how much the packets were moved, microseconds.
    pub by_us: i64,
}

/// The packets of one party.
#[derive(Debug)]
pub struct Stream {
    clock_rate: u32,
    run: Option<Run>,
    suspect: Option<Held>,
    held: BTreeMap<u64, Held>,
    /// End of the last delivered frame: nothing is moved before it.
    floor_us: i64,
    quality: Quality,
    jumps: Vec<Jump>,
}

/// Consecutive packets of one source.
#[derive(Debug)]
struct Run {
    ssrc: u32,
    sequence: Sequence,
    /// Packets that were not to be delivered.
    ignored: u64,
    /// The next extended sequence number to deliver.
    next: u64,
    newest_timestamp: u32,
    newest_ticks: i64,
    timeline: Option<Timeline>,
    /// Until when packets are held to decide on the timeline.
    hold_until_us: Option<i64>,
    /// Up to this number, deviations have been judged.
    settled: u64,
    jitter: Jitter,
    /// The next packet begins a new count: what was missed in between was not to be recorded.
    recount: bool,
}

#[derive(Debug)]
struct Held {
    ssrc: u32,
    sequence: u16,
    timestamp: u32,
    ticks: i64,
    arrived: i64,
    length: u32,
    payload_type: u8,
    wanted: bool,
    payload: Vec<u8>,
}

impl Held {
    fn of(arrived: &Arrived<'_>, ticks: i64) -> Self {
        Self {
            ssrc: arrived.packet.ssrc(),
            sequence: arrived.packet.sequence(),
            timestamp: arrived.packet.timestamp(),
            ticks,
            arrived: arrived.at_us,
            length: arrived.ticks,
            payload_type: arrived.packet.payload_type(),
            wanted: arrived.wanted,
            payload: arrived.packet.payload().to_vec(),
        }
    }
}

impl Run {
    fn start(first: &Held) -> Self {
        let sequence = Sequence::start(first.sequence);
        Self {
            ssrc: first.ssrc,
            ignored: 0,
            next: sequence.newest(),
            sequence,
            newest_timestamp: first.timestamp,
            newest_ticks: 0,
            timeline: None,
            hold_until_us: Some(first.arrived + START_HOLD_US),
            settled: 0,
            jitter: Jitter::default(),
            recount: false,
        }
    }

    /// Extends the 32-bit RTP time around the newest.
    fn ticks(&self, timestamp: u32) -> i64 {
        self.newest_ticks + i64::from(timestamp.wrapping_sub(self.newest_timestamp) as i32)
    }

    fn jumped(&self, extended: u64, ticks: i64, arrived: i64) -> bool {
        let far = |timeline: &Timeline| timeline.deviation(ticks, arrived).abs() > JUMP_US;
        extended > self.settled && self.timeline.as_ref().is_some_and(far)
    }
}

impl Stream {
    /// A stream of this RTP clock rate (Hz), without packets yet.
    pub fn new(clock_rate: u32) -> Self {
        Self {
            clock_rate,
            run: None,
            suspect: None,
            held: BTreeMap::new(),
            floor_us: 0,
            quality: Quality::default(),
            jumps: Vec::new(),
        }
    }

    /// RTP clock rate, Hz.
    pub fn clock_rate(&self) -> u32 {
        self.clock_rate
    }

    /// The source that is heard.
    pub fn ssrc(&self) -> Option<u32> {
        self.run.as_ref().map(|run| run.ssrc)
    }

    /// Takes a report of the party's sender that arrived at `at_us`; one of another source says nothing about this one.
    pub fn report(&mut self, report: &SenderReport, at_us: i64) {
        let Some(run) = self.run.as_mut().filter(|run| run.ssrc == report.ssrc) else { return };
        let ticks = run.ticks(report.timestamp);
        if let Some(timeline) = run.timeline.as_mut() {
            timeline.report(report.ntp, ticks, at_us);
        }
    }

    /// The party goes on with another RTP clock rate: everything held is delivered, and the next packet begins a new run.
    pub fn change_clock(&mut self, clock_rate: u32, deliver: &mut impl FnMut(Frame<'_>) -> bool) {
        self.interrupt(deliver);
        if let Some(run) = self.run.take() {
            self.quality.close_run(&run.sequence, run.ignored);
            self.quality.restarts += 1;
        }
        self.clock_rate = clock_rate;
    }

    /// Takes a packet. `deliver` gets frames in order and says whether it kept them.
    pub fn push(&mut self, arrived: &Arrived<'_>, deliver: &mut impl FnMut(Frame<'_>) -> bool) {
        // What has waited long enough is judged without the newcomer.
        self.poll(arrived.at_us, deliver);
        let Some(run) = self.run.as_mut() else {
            self.begin(Held::of(arrived, 0), deliver);
            return;
        };
        let packet = &arrived.packet;
        if run.ssrc != packet.ssrc() {
            return self.suspect(arrived, deliver);
        }
        if run.recount {
            run.recount = false;
            self.quality.close_run(&run.sequence, run.ignored);
            run.sequence = Sequence::start(packet.sequence());
            run.ignored = u64::from(!arrived.wanted);
            run.next = run.sequence.newest();
            run.settled = 0;
            run.jitter.restart();
            let extended = run.next;
            return self.accept(extended, arrived, deliver);
        }
        match run.sequence.update(packet.sequence()) {
            Verdict::Jump => self.suspect(arrived, deliver),
            Verdict::Duplicate => self.quality.duplicate += 1,
            Verdict::Newest(extended) => {
                run.ignored += u64::from(!arrived.wanted);
                self.accept(extended, arrived, deliver);
            }
            Verdict::Reordered(extended) => {
                self.quality.reordered += 1;
                run.ignored += u64::from(!arrived.wanted);
                // Before the first packet of the run: it can still lead it while that one is held.
                let first = self.held.first_key_value().is_some_and(|(first, _)| *first == run.next);
                if extended < run.next && run.timeline.is_none() && first {
                    run.next = extended;
                }
                if extended < run.next {
                    self.quality.late += u64::from(arrived.wanted);
                } else {
                    self.accept(extended, arrived, deliver);
                }
            }
        }
    }

    /// Delivers what has waited long enough.
    pub fn poll(&mut self, now_us: i64, deliver: &mut impl FnMut(Frame<'_>) -> bool) {
        if !self.held.is_empty() {
            self.release(now_us, false, deliver);
        }
    }

    /// Delivers everything held; what is missed until the next packet is not counted as lost.
    pub fn interrupt(&mut self, deliver: &mut impl FnMut(Frame<'_>) -> bool) {
        self.release(i64::MAX, true, deliver);
        self.suspect = None;
        if let Some(run) = self.run.as_mut() {
            run.recount = true;
        }
    }

    /// The figures up to now, and begins new ones. To be called after [`Self::interrupt`].
    pub fn take_quality(&mut self) -> Quality {
        if let Some(run) = self.run.as_mut() {
            self.quality.close_run(&run.sequence, run.ignored);
            // The next packet begins a new run of numbers: this one is counted already.
            let next = run.sequence.newest();
            run.recount = false;
            run.ignored = 1;
            run.sequence = Sequence::start(next as u16);
            run.next = run.sequence.newest() + 1;
            run.settled = 0;
        }
        std::mem::take(&mut self.quality)
    }

    /// The jumps up to now, at most 64; forgets them.
    pub fn take_jumps(&mut self) -> Vec<Jump> {
        std::mem::take(&mut self.jumps)
    }

    /// While packets are held: nothing before this time will be delivered any more (but for a drift step of 10 ms).
    pub fn held_from_us(&self) -> Option<i64> {
        (!self.held.is_empty()).then_some(self.floor_us)
    }

    fn begin(&mut self, first: Held, deliver: &mut impl FnMut(Frame<'_>) -> bool) {
        let mut run = Run::start(&first);
        run.ignored = u64::from(!first.wanted);
        let (extended, now) = (run.next, first.arrived);
        self.run = Some(run);
        self.held.insert(extended, first);
        self.release(now, false, deliver);
    }

    /// A packet of another source, or far from the numbers of this one: one is a stray, two in a row are a restart.
    fn suspect(&mut self, arrived: &Arrived<'_>, deliver: &mut impl FnMut(Frame<'_>) -> bool) {
        let packet = &arrived.packet;
        let follows = |first: &Held| {
            let step = packet.sequence().wrapping_sub(first.sequence);
            first.ssrc == packet.ssrc()
                && (1..=SUSPECT_STEP).contains(&step)
                && arrived.at_us - first.arrived <= SUSPECT_US
        };
        match self.suspect.take() {
            Some(first) if follows(&first) => {
                self.interrupt(deliver);
                if let Some(run) = self.run.take() {
                    self.quality.close_run(&run.sequence, run.ignored);
                }
                self.quality.restarts += 1;
                self.begin(first, deliver);
                self.push(arrived, deliver);
            }
            _ => self.suspect = Some(Held::of(arrived, 0)),
        }
    }

    fn accept(&mut self, extended: u64, arrived: &Arrived<'_>, deliver: &mut impl FnMut(Frame<'_>) -> bool) {
        let Some(run) = self.run.as_mut() else { return };
        let timestamp = arrived.packet.timestamp();
        let ticks = run.ticks(timestamp);
        if extended == run.sequence.newest() {
            (run.newest_timestamp, run.newest_ticks) = (timestamp, ticks);
        }
        if arrived.wanted {
            let clock = arrived.at_us.wrapping_mul(i64::from(self.clock_rate)) / 1_000_000;
            let jitter = run.jitter.update(timestamp, clock as u32, self.clock_rate);
            self.quality.max_jitter = self.quality.max_jitter.max(jitter);
        }
        let in_turn = extended == run.next && self.held.is_empty() && run.hold_until_us.is_none();
        if in_turn && !(arrived.wanted && run.jumped(extended, ticks, arrived.at_us)) {
            run.next += 1;
            if arrived.wanted {
                let payload = (arrived.packet.payload_type(), arrived.packet.payload());
                self.deliver(ticks, arrived.at_us, arrived.ticks, payload, deliver);
            }
            return;
        }
        self.held.insert(extended, Held::of(arrived, ticks));
        self.release(arrived.at_us, false, deliver);
    }

    fn release(&mut self, now_us: i64, force: bool, deliver: &mut impl FnMut(Frame<'_>) -> bool) {
        loop {
            let Some(run) = self.run.as_mut() else { return };
            if let Some(until) = run.hold_until_us {
                if !force && now_us < until && self.held.len() <= MAX_HELD {
                    return;
                }
                self.settle();
                continue;
            }
            let Some(first) = self.held.first_entry() else { return };
            let (extended, held) = (*first.key(), first.get());
            let waited = now_us.saturating_sub(held.arrived) >= REORDER_WAIT_US;
            if held.wanted && run.jumped(extended, held.ticks, held.arrived) {
                run.hold_until_us = Some(held.arrived + JUMP_HOLD_US);
                continue;
            }
            if !force && extended != run.next && !waited && self.held.len() <= MAX_HELD {
                return;
            }
            run.next = extended + 1;
            if let Some(held) = self.held.remove(&extended)
                && held.wanted
            {
                let payload = (held.payload_type, held.payload.as_slice());
                self.deliver(held.ticks, held.arrived, held.length, payload, deliver);
            }
        }
    }

    /// Decides where the held packets belong, by the least delayed of them.
    fn settle(&mut self) {
        let Some(run) = self.run.as_mut() else { return };
        run.hold_until_us = None;
        let Some((_, first)) = self.held.first_key_value() else { return };
        run.settled = self.held.last_key_value().map_or(run.settled, |(last, _)| *last);
        let guess = || Timeline::start(self.clock_rate, first.ticks, first.arrived);
        let starts = run.timeline.is_none();
        let timeline = run.timeline.get_or_insert_with(guess);
        let least =
            self.held.values().map(|held| timeline.deviation(held.ticks, held.arrived)).min().unwrap_or(0);
        if !starts && least.abs() <= JUMP_US {
            return;
        }
        let by_us = least.max(self.floor_us - timeline.place(first.ticks));
        // A sender that stood still and then caught up is ahead, and nothing can be placed before what is written:
        // its packets follow one another, and silences and the drift steps bring them back.
        if !starts && by_us == 0 {
            return;
        }
        timeline.shift(by_us);
        run.jitter.restart();
        if !starts && by_us.abs() > JUMP_US && self.jumps.len() < MAX_JUMPS {
            self.jumps.push(Jump { at_us: timeline.place(first.ticks), by_us });
        }
    }

    fn deliver(
        &mut self,
        ticks: i64,
        arrived: i64,
        length: u32,
        (payload_type, payload): (u8, &[u8]),
        deliver: &mut impl FnMut(Frame<'_>) -> bool,
    ) {
        let Some(timeline) = self.run.as_mut().and_then(|run| run.timeline.as_mut()) else { return };
        timeline.observe(ticks, arrived);
        // One packet with a wild RTP time among held ones is kept near its arrival, or after what is written.
        let latest = self.floor_us.clamp(arrived + JUMP_US, arrived + MAX_LEAD_US);
        let at_us = timeline.place(ticks).clamp(arrived.saturating_sub(MAX_STALL_US), latest).max(0);
        let duration_us = i64::from(length) * 1_000_000 / i64::from(self.clock_rate.max(1));
        self.floor_us = self.floor_us.max(at_us + duration_us);
        self.quality.received += u64::from(deliver(Frame { at_us, duration_us, payload_type, payload }));
    }
}

#[cfg(test)]
mod drift;
#[cfg(test)]
mod tests;
