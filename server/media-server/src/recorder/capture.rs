//! One run of recording: both parties' packets in, Matroska out. Pure: no clock, no files.
//!
//! All times are microseconds since the start of the capture, on the media server's monotonic clock. A capture has one
//! or more parts; each part is a Matroska file whose time 0 is the start of the part.

use crate::matroska::Writer;
use hindsight_rtp::{
    Arrived, Frame, Packet, Quality, Stream, packet,
    srtp::{Protection, Receiver},
};
use hindsight_sip::sdp::{Codec, Key, Suite};
use hindsight_wire::{
    RecordingId, Timestamp,
    manifest::{IndexEntry, Note, Party, Pause, TrackQuality, VoiceTrack},
};
use reports::Reports;

/// Index of the agent's side.
pub const AGENT: usize = 0;
/// Index of the customer's side.
pub const CUSTOMER: usize = 1;
/// A party that changes between codecs of different clocks more often is not followed any more.
const MAX_CLOCK_CHANGES: u32 = 16;
/// More notes than this are not kept.
const MAX_NOTES: usize = 100;

/// What was negotiated with a party.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PartySetup {
    /// DN or number, where known.
    pub number: String,
    /// Payload types and their codecs, most wanted first.
    pub codecs: Vec<(u8, Codec)>,
    /// Payload types of telephone events: counted, not recorded.
    pub events: Vec<u8>,
    /// Payload types of comfort noise: silence.
    pub noise: Vec<u8>,
    /// With what the party protects its packets.
    pub key: Option<Key>,
    /// Both parties speak on this one stream, as some recording clients send it: the other side has no track.
    pub both: bool,
}

impl PartySetup {
    /// What a payload type carries; the static types of RFC 3551 hold without negotiation.
    fn payload(&self, payload_type: u8) -> Payload {
        if let Some((_, codec)) = self.codecs.iter().find(|(number, _)| *number == payload_type) {
            return Payload::Audio(*codec);
        }
        if self.events.contains(&payload_type) || self.noise.contains(&payload_type) {
            return Payload::NoVoice;
        }
        Codec::from_static(payload_type).map_or(Payload::Unknown, Payload::Audio)
    }

    /// RTP clock of the codec that is wanted most, Hz.
    fn clock_rate(&self) -> u32 {
        self.codecs.first().map_or(8_000, |(_, codec)| codec.clock_rate())
    }

    fn receiver(&self) -> Option<Receiver> {
        let key = self.key.as_ref()?;
        let protection = match key.suite {
            Suite::AesCm128HmacSha1_80 | Suite::AesCm256HmacSha1_80 => Protection::CounterMode { tag: 10 },
            Suite::AesCm128HmacSha1_32 | Suite::AesCm256HmacSha1_32 => Protection::CounterMode { tag: 4 },
            Suite::AeadAes128Gcm | Suite::AeadAes256Gcm => Protection::Gcm,
        };
        Receiver::new(protection, key.master_key(), key.master_salt())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Payload {
    Audio(Codec),
    /// Telephone events and comfort noise.
    NoVoice,
    Unknown,
}

/// What became of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Taken {
    /// It was dealt with.
    Done,
    /// No track of this part can hold it: end the part, begin another and give it again.
    NeedsPart,
}

/// What a manifest says about a part that has ended.
#[derive(Clone, Debug, PartialEq)]
pub struct PartSummary {
    /// Length, milliseconds.
    pub duration_ms: u64,
    /// Pauses, in part time.
    pub pauses: Vec<Pause>,
    /// Figures of each party's track.
    pub quality: Vec<TrackQuality>,
    /// Starts of clusters.
    pub index: Vec<IndexEntry>,
    /// What else happened, in part time.
    pub notes: Vec<Note>,
}

/// A run of recording.
#[derive(Debug)]
pub struct Capture {
    sides: [Side; 2],
    part: Part,
    pauses: Vec<PausedSpan>,
}

#[derive(Debug)]
struct Side {
    setup: PartySetup,
    stream: Stream,
    /// Opens what the party protects.
    receiver: Option<Receiver>,
    /// Packets that did not open.
    unopened: u64,
    /// What its phone reports.
    reports: Reports,
    clock_changes: u32,
    /// Payload types that were noted as not recordable.
    unknown: Vec<u8>,
}

#[derive(Debug)]
struct Part {
    writer: Writer,
    routes: Vec<Route>,
    start_us: i64,
    notes: Vec<Note>,
}

/// Which track holds which codec of which side.
#[derive(Clone, Copy, Debug)]
struct Route {
    side: usize,
    codec: Codec,
    track: u8,
}

#[derive(Clone, Debug)]
struct PausedSpan {
    from_us: i64,
    to_us: Option<i64>,
    by: String,
    reason: String,
}

impl PausedSpan {
    fn covers(&self, at_us: i64) -> bool {
        at_us >= self.from_us && self.to_us.is_none_or(|to| at_us < to)
    }
}

impl Capture {
    /// Begins with its first part, whose start is appended to `out`.
    pub fn start(
        setups: [PartySetup; 2],
        recording: RecordingId,
        at: Timestamp,
        out: &mut Vec<u8>,
    ) -> (Self, Vec<VoiceTrack>) {
        let sides = setups.map(|setup| Side {
            stream: Stream::new(setup.clock_rate()),
            receiver: setup.receiver(),
            setup,
            unopened: 0,
            reports: Reports::default(),
            clock_changes: 0,
            unknown: Vec::new(),
        });
        let (part, tracks) = Part::start(&sides, 0, recording, at, out);
        (Self { sides, part, pauses: Vec::new() }, tracks)
    }

    /// Begins another part at `at_us`; the part before must have been ended.
    pub fn start_part(
        &mut self,
        at_us: i64,
        recording: RecordingId,
        at: Timestamp,
        out: &mut Vec<u8>,
    ) -> Vec<VoiceTrack> {
        let (part, tracks) = Part::start(&self.sides, at_us, recording, at, out);
        self.part = part;
        tracks
    }

    /// A new negotiation with a party.
    pub fn renegotiate(&mut self, side: usize, setup: PartySetup) {
        if let Some(side) = self.sides.get_mut(side) {
            if side.setup.key != setup.key {
                side.receiver = setup.receiver();
            }
            side.setup = setup;
        }
    }

    /// Takes a packet. Nothing of a pause is kept, also when it comes late.
    pub fn packet(&mut self, side: usize, at_us: i64, bytes: &[u8]) -> Taken {
        // Some phones send both to one port without asking (RFC 5761).
        if packet::is_rtcp(bytes) {
            self.control(side, at_us, bytes);
            return Taken::Done;
        }
        if at_us < 0 || self.pauses.last().is_some_and(|pause| pause.covers(at_us)) {
            return Taken::Done;
        }
        let Some(state) = self.sides.get_mut(side) else { return Taken::Done };
        let opened = match &mut state.receiver {
            None => Ok(bytes),
            Some(receiver) => receiver.open(bytes),
        };
        let Ok(packet) = opened.map(Packet::parse) else {
            state.unopened += 1;
            return Taken::Done;
        };
        let Ok(packet) = packet else { return Taken::Done };
        let mut payload = state.setup.payload(packet.payload_type());
        if let Payload::Audio(codec) = payload {
            let other_clock = codec.clock_rate() != state.stream.clock_rate();
            if other_clock && state.clock_changes >= MAX_CLOCK_CHANGES {
                payload = Payload::Unknown;
            } else if self.part.route(side, codec).is_none() {
                declare(&mut state.setup, packet.payload_type(), codec);
                return Taken::NeedsPart;
            } else if other_clock {
                state.clock_changes += 1;
                let (part, pauses, setup) = (&mut self.part, &self.pauses, &state.setup);
                let deliver = &mut |frame: Frame<'_>| part.write(side, setup, pauses, frame);
                state.stream.change_clock(codec.clock_rate(), deliver);
            }
        }
        if payload == Payload::Unknown && !state.unknown.contains(&packet.payload_type()) {
            state.unknown.push(packet.payload_type());
            let text = format!(
                "{} sent payload type {}, which cannot be recorded",
                name(side),
                packet.payload_type()
            );
            self.part.note(at_us, text);
        }
        let (wanted, ticks) = match payload {
            Payload::Audio(codec) => (true, codec.ticks(packet.payload())),
            Payload::NoVoice | Payload::Unknown => (false, 0),
        };
        let arrived = Arrived { packet, at_us, ticks, wanted };
        let (part, pauses, setup) = (&mut self.part, &self.pauses, &state.setup);
        state.stream.push(&arrived, &mut |frame| part.write(side, setup, pauses, frame));
        Taken::Done
    }

    /// Writes what has waited long enough, as clusters.
    pub fn poll(&mut self, now_us: i64, out: &mut Vec<u8>) {
        for (side, state) in self.sides.iter_mut().enumerate() {
            let (part, pauses, setup) = (&mut self.part, &self.pauses, &state.setup);
            state.stream.poll(now_us, &mut |frame| part.write(side, setup, pauses, frame));
        }
        if self.part.writer.is_waiting() {
            // While a side waits for a packet the other's do not overtake it: the file stays in order of time.
            let held = self.sides.iter().filter_map(|side| side.stream.held_from_us()).min();
            let limit_ms = held.map_or(i64::MAX, |us| (us - self.part.start_us).max(0) / 1000);
            self.part.writer.flush_before(limit_ms, out);
        }
    }

    /// Counts padding that was appended to the file.
    pub fn padded(&mut self, bytes: usize) {
        self.part.writer.skip(bytes);
    }

    /// Silence from here.
    pub fn pause(&mut self, at_us: i64, by: String, reason: String, out: &mut Vec<u8>) {
        self.interrupt(out);
        if self.is_paused() {
            return;
        }
        self.pauses.push(PausedSpan { from_us: at_us, to_us: None, by, reason });
    }

    /// Goes on.
    pub fn resume(&mut self, at_us: i64) {
        if let Some(pause) = self.pauses.last_mut()
            && pause.to_us.is_none()
        {
            pause.to_us = Some(at_us);
        }
    }

    /// Whether a pause is open.
    pub fn is_paused(&self) -> bool {
        self.pauses.last().is_some_and(|pause| pause.to_us.is_none())
    }

    /// Pauses so far, in the time of the part that runs.
    pub fn pauses(&self) -> Vec<Pause> {
        let ms = |us: i64| self.part.ms(us);
        let here = self.pauses.iter().filter(|pause| pause.to_us.is_none_or(|to| to > self.part.start_us));
        here.map(|pause| Pause {
            from_ms: ms(pause.from_us),
            to_ms: pause.to_us.map(ms),
            by: pause.by.clone(),
            reason: pause.reason.clone(),
        })
        .collect()
    }

    /// Notes something for people.
    pub fn note(&mut self, at_us: i64, text: String) {
        self.part.note(at_us, text);
    }

    /// Ends the part: the rest is appended to `out`. `start_part` may follow.
    pub fn end_part(&mut self, at_us: i64, out: &mut Vec<u8>) -> PartSummary {
        self.interrupt(out);
        let figures = [AGENT, CUSTOMER].map(|side| (self.sides[side].stream.take_quality(), side));
        let spoke = figures.iter().any(|(quality, _)| quality.received > 0);
        for side in [AGENT, CUSTOMER] {
            let unopened = std::mem::take(&mut self.sides[side].unopened);
            if unopened > 0 {
                let text = format!("{unopened} packets of {} did not open with its SRTP key", name(side));
                self.part.note(at_us, text);
            }
            for jump in self.sides[side].stream.take_jumps() {
                let text = format!("RTP time of {} jumped by {} ms", name(side), jump.by_us / 1000);
                self.part.note(jump.at_us, text);
            }
        }
        let sides = if self.sides[AGENT].setup.both { 1 } else { 2 };
        let quality = figures.iter().take(sides).map(|(quality, side)| {
            let reception = self.sides[*side].reports.take_reception();
            TrackQuality { reception, ..track_quality(quality, *side, spoke) }
        });
        let quality = quality.collect();
        let writer = std::mem::replace(&mut self.part.writer, Writer::idle());
        PartSummary {
            duration_ms: self.part.ms(at_us),
            pauses: self.pauses(),
            quality,
            index: writer.into_index(),
            notes: std::mem::take(&mut self.part.notes),
        }
    }

    /// Delivers everything that is held.
    fn interrupt(&mut self, out: &mut Vec<u8>) {
        for (side, state) in self.sides.iter_mut().enumerate() {
            let (part, pauses, setup) = (&mut self.part, &self.pauses, &state.setup);
            state.stream.interrupt(&mut |frame| part.write(side, setup, pauses, frame));
        }
        self.part.writer.flush(out);
    }
}

impl Part {
    fn start(
        sides: &[Side; 2],
        start_us: i64,
        recording: RecordingId,
        at: Timestamp,
        out: &mut Vec<u8>,
    ) -> (Self, Vec<VoiceTrack>) {
        let routes = routes(sides);
        let tracks: Vec<VoiceTrack> = routes
            .iter()
            .map(|route| VoiceTrack {
                number: u64::from(route.track),
                party: party(route.side),
                number_or_dn: sides[route.side].setup.number.clone(),
                codec: route.codec.name().to_owned(),
                clock_rate: route.codec.clock_rate(),
            })
            .collect();
        let writer = Writer::start(recording, at, &tracks, out);
        (Self { writer, routes, start_us, notes: Vec::new() }, tracks)
    }

    fn route(&self, side: usize, codec: Codec) -> Option<u8> {
        self.routes.iter().find(|route| route.side == side && route.codec == codec).map(|route| route.track)
    }

    /// Part time of a capture time, milliseconds.
    fn ms(&self, at_us: i64) -> u64 {
        ((at_us - self.start_us).max(0) as u64 + 500) / 1000
    }

    fn note(&mut self, at_us: i64, text: String) {
        if self.notes.len() < MAX_NOTES {
            self.notes.push(Note { at_ms: self.ms(at_us), text });
        }
    }

    fn write(&mut self, side: usize, setup: &PartySetup, pauses: &[PausedSpan], frame: Frame<'_>) -> bool {
        if pauses.iter().any(|pause| pause.covers(frame.at_us)) {
            return false;
        }
        let Payload::Audio(codec) = setup.payload(frame.payload_type) else { return false };
        let Some(track) = self.route(side, codec) else { return false };
        self.writer.block(track, self.ms(frame.at_us) as i64, frame.payload);
        true
    }
}

/// Track 1 is the agent's first codec, track 2 the customer's; further codecs follow. A stream of both is track 1.
fn routes(sides: &[Side; 2]) -> Vec<Route> {
    let codecs = [AGENT, CUSTOMER].map(|side| distinct(&sides[side].setup));
    let other = |side: usize| codecs[1 - side].first().copied().unwrap_or(Codec::Pcmu);
    let first = |side: usize| (side, codecs[side].first().copied().unwrap_or_else(|| other(side)));
    let more = |side: usize| codecs[side].iter().skip(1).map(move |codec| (side, *codec));
    let firsts =
        if sides[AGENT].setup.both { vec![first(AGENT)] } else { vec![first(AGENT), first(CUSTOMER)] };
    firsts
        .into_iter()
        .chain(more(AGENT))
        .chain(more(CUSTOMER))
        .zip(1u8..)
        .map(|((side, codec), track)| Route { side, codec, track })
        .collect()
}

fn distinct(setup: &PartySetup) -> Vec<Codec> {
    let mut codecs = Vec::new();
    for (_, codec) in &setup.codecs {
        if !codecs.contains(codec) {
            codecs.push(*codec);
        }
    }
    codecs
}

/// Makes a codec that came without negotiation the first of its party.
fn declare(setup: &mut PartySetup, payload_type: u8, codec: Codec) {
    setup.codecs.retain(|(number, _)| *number != payload_type);
    setup.codecs.insert(0, (payload_type, codec));
}

fn party(side: usize) -> Party {
    if side == AGENT { Party::Agent } else { Party::Customer }
}

fn name(side: usize) -> &'static str {
    if side == AGENT { "the agent's side" } else { "the customer's side" }
}

fn track_quality(quality: &Quality, side: usize, spoke: bool) -> TrackQuality {
    let state = match (quality.received > 0, spoke) {
        (true, _) => "ok",
        (false, true) => "one-way",
        (false, false) => "no-rtp",
    };
    TrackQuality {
        track: side as u64 + 1,
        received: quality.received,
        expected: quality.expected,
        lost: quality.lost,
        duplicate: quality.duplicate,
        reordered: quality.reordered,
        late: quality.late,
        max_jitter: quality.max_jitter,
        state: state.to_owned(),
        reception: None,
    }
}

mod reports;
#[cfg(test)]
mod tests;
