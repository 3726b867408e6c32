//! Which message belongs to which call, and what of it is told. Pure; bounded in every direction.
//!
//! A call is known by the Session-ID (RFC 7989) that the SIP server itself writes into what it sends; from then on by
//! Call-ID. What came before the first such message (a caller's INVITE, its challenge) is held for a while.

#[cfg(test)]
mod tests;

use super::mask::mask;
use hindsight_sip::{Headers, Message, Method, NameAddr, Observed, SipMessage as _, parse_datagram};
use hindsight_wire::{
    InteractionId,
    trace::{CallTrace, MOST_IN_BATCH, MOST_MESSAGES, PeerKind, TracePeer, TracedMessage},
};
use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    hash::{BuildHasher as _, RandomState},
    time::{Duration, Instant, SystemTime},
};
use uuid::Uuid;

/// Of [`MOST_MESSAGES`], those that are kept for how a call ended.
const FOR_THE_END: u32 = 20;
/// Calls that are followed at a time.
const MOST_CALLS: usize = 20_000;
/// Messages that wait for their call to be known, and how long.
const MOST_HELD: usize = 2048;
const HELD: Duration = Duration::from_secs(60);
/// Of these, those that are looked at in one second: a flood costs no more than to be read.
const MOST_UNKNOWN: u32 = 2000;
/// Bytes that wait to be told.
const MOST_WAITING: usize = 16 << 20;
/// Bytes in one batch.
const BATCH: usize = 256 << 10;
/// What a message costs beside its text.
const OVERHEAD: usize = 512;
/// Longer than both the probing of phones and what a resource manager may be away.
const FORGET: Duration = Duration::from_secs(330);
const SWEEP: Duration = Duration::from_secs(10);
/// Calls that were heard of so lately may be what was overlooked.
const LATELY: Duration = Duration::from_secs(10);
const LONGEST_CALL_ID: usize = 256;
/// Longest name of a method, a reason or a party.
const LONGEST_NAME: usize = 64;

/// What goes over the link at a time.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// Grows by one.
    pub number: u64,
    /// What is told.
    pub calls: Vec<CallTrace>,
}

/// Collects the signalling of calls.
#[derive(Default)]
pub struct Collector {
    calls: HashMap<InteractionId, Call>,
    dialogs: HashMap<String, InteractionId>,
    held: VecDeque<(Instant, String, Seen)>,
    /// Calls with something to tell.
    dirty: BTreeSet<InteractionId>,
    waiting: usize,
    under_way: Option<Batch>,
    batches: u64,
    overlooked: u64,
    /// Of a flood.
    passed_over: u64,
    unknown: (Option<Instant>, u32),
    swept: Option<Instant>,
    hasher: RandomState,
}

struct Call {
    since_us: i64,
    seen: u32,
    kept: u32,
    probes: u32,
    overlooked: u32,
    /// Number of what went by.
    known: HashMap<u64, u32>,
    waiting: Vec<TracedMessage>,
    heard: Instant,
}

struct Seen {
    message: TracedMessage,
    fingerprint: u64,
    /// Of how a call ends.
    end: bool,
}

impl Collector {
    /// Takes a message.
    pub fn observe(&mut self, observed: &Observed, now: Instant) {
        self.sweep(now);
        let Ok(Some(message)) = parse_datagram(&observed.bytes) else { return };
        let headers = headers(&message);
        let Some(call_id) = headers.get("Call-ID").filter(|id| id.len() <= LONGEST_CALL_ID) else { return };
        let call_id = call_id.to_owned();
        let Some(method) = method(&message) else { return };
        let named = observed.sent.then(|| session(headers)).flatten();
        if let Some(interaction) = named {
            self.bind(&call_id, interaction, now);
        }
        let interaction = self.dialogs.get(&call_id).copied();
        match (interaction, &method) {
            (Some(interaction), Method::Options) => {
                if let Some(call) = self.calls.get_mut(&interaction) {
                    call.probes = call.probes.saturating_add(1);
                    call.heard = now;
                }
            }
            (Some(interaction), _) => {
                let seen = self.look(observed, &message, &method);
                self.add(interaction, seen, now);
            }
            (None, Method::Invite | Method::Ack | Method::Cancel) if self.floods(now) => {
                self.passed_over += 1
            }
            (None, Method::Invite | Method::Ack | Method::Cancel) => {
                let seen = self.look(observed, &message, &method);
                if self.held.len() >= MOST_HELD {
                    self.held.pop_front();
                }
                self.held.push_back((now, call_id, seen));
            }
            // Registrations, probes of a component, and whatever else is no call's.
            (None, _) => {}
        }
    }

    /// So many messages found no place with who observes, since the start.
    pub fn overlooked(&mut self, total: u64, now: Instant) {
        let total = total.saturating_add(self.passed_over);
        let more = u32::try_from(total.saturating_sub(self.overlooked)).unwrap_or(u32::MAX);
        self.overlooked = self.overlooked.max(total);
        if more == 0 {
            return;
        }
        for (interaction, call) in &mut self.calls {
            if now.saturating_duration_since(call.heard) <= LATELY {
                call.overlooked = call.overlooked.saturating_add(more);
                self.dirty.insert(*interaction);
            }
        }
    }

    /// The batch that is to be stored: always the same until it is, `None` when there is nothing to tell.
    pub fn batch(&mut self) -> Option<&Batch> {
        if self.under_way.is_none() && !self.dirty.is_empty() {
            self.batches += 1;
            self.under_way = Some(Batch { number: self.batches, calls: self.take() });
        }
        self.under_way.as_ref()
    }

    /// This batch is stored.
    pub fn stored(&mut self, number: u64) {
        self.under_way.take_if(|batch| batch.number == number);
    }

    /// Nobody wants traces: forgets everything.
    pub fn clear(&mut self) {
        let Self { batches, overlooked, passed_over, .. } = *self;
        *self = Self { batches, overlooked, passed_over, ..Self::default() };
    }

    /// Whether this message of no known call is one too many.
    fn floods(&mut self, now: Instant) -> bool {
        let (since, count) = &mut self.unknown;
        if since.is_none_or(|since| now.saturating_duration_since(since) >= Duration::from_secs(1)) {
            (*since, *count) = (Some(now), 0);
        }
        *count += 1;
        *count > MOST_UNKNOWN
    }

    fn take(&mut self) -> Vec<CallTrace> {
        let (mut calls, mut bytes, mut messages) = (Vec::new(), 0, 0);
        while let Some(interaction) = self.dirty.first().copied()
            && bytes < BATCH
            && messages < MOST_IN_BATCH
        {
            let Some(call) = self.calls.get_mut(&interaction) else {
                self.dirty.remove(&interaction);
                continue;
            };
            let fits = |message: &&TracedMessage| {
                bytes += message.text.len() + OVERHEAD;
                messages += 1;
                bytes <= BATCH && messages <= MOST_IN_BATCH
            };
            let count = call.waiting.iter().take_while(fits).count();
            if count == 0 && !call.waiting.is_empty() {
                break;
            }
            let told: Vec<TracedMessage> = call.waiting.drain(..count).collect();
            self.waiting -= told.iter().map(|message| message.text.len() + OVERHEAD).sum::<usize>();
            if call.waiting.is_empty() {
                self.dirty.remove(&interaction);
            }
            // An entry without messages costs something too.
            messages += 1;
            calls.push(CallTrace {
                interaction,
                since_us: call.since_us,
                seen: call.seen,
                probes: call.probes,
                overlooked: call.overlooked,
                messages: told,
            });
        }
        calls
    }

    fn bind(&mut self, call_id: &str, interaction: InteractionId, now: Instant) {
        if self.dialogs.insert(call_id.to_owned(), interaction) == Some(interaction) {
            return;
        }
        let held = std::mem::take(&mut self.held);
        for (since, id, seen) in held {
            match id == call_id {
                true => self.add(interaction, seen, now),
                false => self.held.push_back((since, id, seen)),
            }
        }
    }

    fn add(&mut self, interaction: InteractionId, seen: Seen, now: Instant) {
        if !self.calls.contains_key(&interaction) && self.calls.len() >= MOST_CALLS {
            return;
        }
        let Seen { mut message, fingerprint, end } = seen;
        let call = self.calls.entry(interaction).or_insert_with(|| Call {
            since_us: message.at_us,
            seen: 0,
            kept: 0,
            probes: 0,
            overlooked: 0,
            known: HashMap::new(),
            waiting: Vec::new(),
            heard: now,
        });
        call.heard = now;
        call.seen = call.seen.saturating_add(1);
        self.dirty.insert(interaction);
        let most = if end { MOST_MESSAGES } else { MOST_MESSAGES - FOR_THE_END };
        if call.kept >= most || self.waiting >= MOST_WAITING {
            return;
        }
        call.kept += 1;
        message.number = call.seen;
        message.repeats = call.known.get(&fingerprint).copied();
        match message.repeats {
            Some(_) => (message.text, message.cut) = (String::new(), false),
            None => drop(call.known.insert(fingerprint, message.number)),
        }
        self.waiting += message.text.len() + OVERHEAD;
        call.waiting.push(message);
    }

    fn look(&self, observed: &Observed, message: &Message, method: &Method) -> Seen {
        let Observed { at, sent, protocol, local, remote, ref bytes } = *observed;
        let headers = headers(message);
        let peer = peer(headers, sent == matches!(message, Message::Request(_)), remote.to_string());
        let masked = mask(message, peer.kind == PeerKind::MediaServer);
        let local = if local.ip().is_unspecified() { String::new() } else { local.to_string() };
        let cseq = message_cseq(message).map(|(number, method)| format!("{number} {method}"));
        let message = TracedMessage {
            number: 0,
            at_us: microseconds(at),
            sent,
            peer,
            local,
            transport: protocol.as_str().to_owned(),
            summary: summary(message),
            cseq: cseq.unwrap_or_default(),
            repeats: None,
            cut: masked.cut,
            text: masked.text,
        };
        let fingerprint = self.hasher.hash_one((sent, remote, bytes));
        Seen { message, fingerprint, end: matches!(method, Method::Bye | Method::Cancel) }
    }

    fn sweep(&mut self, now: Instant) {
        if self.swept.is_some_and(|at| now.saturating_duration_since(at) < SWEEP) {
            return;
        }
        self.swept = Some(now);
        self.held.retain(|(since, ..)| now.saturating_duration_since(*since) < HELD);
        let dirty = &self.dirty;
        let before = self.calls.len();
        self.calls.retain(|interaction, call| {
            dirty.contains(interaction) || now.saturating_duration_since(call.heard) < FORGET
        });
        if self.calls.len() < before {
            let calls = &self.calls;
            self.dialogs.retain(|_, interaction| calls.contains_key(interaction));
        }
    }
}

fn headers(message: &Message) -> &Headers {
    match message {
        Message::Request(request) => &request.headers,
        Message::Response(response) => &response.headers,
    }
}

fn message_cseq(message: &Message) -> Option<(u32, Method)> {
    let cseq = match message {
        Message::Request(request) => request.cseq(),
        Message::Response(response) => response.cseq(),
    };
    cseq.ok().map(|cseq| (cseq.number, cseq.method))
}

/// Of the transaction.
fn method(message: &Message) -> Option<Method> {
    message_cseq(message).map(|(_, method)| method)
}

/// Whose message of ours this is: our side of the Session-ID.
fn session(headers: &Headers) -> Option<InteractionId> {
    let id = headers.get("Session-ID")?.split(';').next()?.trim();
    (id.len() == 32).then(|| Uuid::try_parse(id).ok().map(InteractionId)).flatten()
}

/// The far end; `addressed`: it is whom To names, else whom From names.
fn peer(headers: &Headers, addressed: bool, address: String) -> TracePeer {
    let user = |name: &str| {
        let party = headers.get(name).and_then(|value| NameAddr::parse(value).ok());
        party.and_then(|party| party.uri.user()).unwrap_or_default()
    };
    let (from, to) = (user("From"), user("To"));
    // The conference's name is the user part of a media leg (RFC 5707 is silent; RFC 4240 3 has the way).
    if from.starts_with("msml=") || to.starts_with("msml=") {
        return TracePeer { kind: PeerKind::MediaServer, name: String::new(), address };
    }
    let name = if addressed { to } else { from };
    TracePeer { kind: PeerKind::Phone, name: short(&name), address }
}

fn summary(message: &Message) -> String {
    match message {
        Message::Request(request) => short(request.method.as_str()),
        Message::Response(response) => short(&format!("{} {}", response.status, response.reason)),
    }
}

fn short(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(LONGEST_NAME).collect()
}

fn microseconds(at: SystemTime) -> i64 {
    let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}
