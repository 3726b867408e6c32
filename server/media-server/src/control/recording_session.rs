//! One recording session: its dialog, its streams, and the task that records them.
//!
//! A session is accepted when its recording is open, never before: nobody who was answered 200 goes unrecorded. The
//! client pauses by making every stream inactive (RFC 7866 9.3), which is a pause like any other: marked, and silence.

use crate::{
    control::{
        conference::Media,
        siprec::{self, Described, MAX_STREAMS, Parties},
    },
    recorder::{AGENT, CUSTOMER, PartySetup, Site},
    relay::Leg,
    sdp::{self, OwnKey},
};
use hindsight_model::{
    CaptureId, Event, InteractionId, Timestamp,
    event::{CallParty, EndCause, What},
};
use hindsight_sip::{
    Dialog, Response, ServerTransactionId,
    sdp::{CONTENT_TYPE, Direction, StreamsOffer, Writer},
};
use hindsight_siprec::Metadata;
use std::{
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Instant,
};
use task::{Order, Task, Wanted};
use tokio::sync::mpsc;

pub use task::Surroundings;

mod task;

/// Changes that may wait for the recorder; more are refused.
const QUEUE: usize = 8;
/// Our side of a recording session.
pub struct RecordingSession {
    /// The dialog.
    pub dialog: Dialog,
    /// The INVITE whose 2xx is not acknowledged yet.
    pub unacknowledged: Option<ServerTransactionId>,
    /// Its first answer was acknowledged.
    pub established: bool,
    /// Which threads carry it.
    pub pair: usize,
    /// What the client said so far.
    metadata: Metadata,
    streams: Vec<Stream>,
    /// What the task was told last.
    wanted: Wanted,
    parties: Vec<CallParty>,
    /// Numbers for when the metadata names nobody.
    fallback: (String, String),
    cancelled: Arc<AtomicBool>,
    orders: mpsc::Sender<Order>,
    address: IpAddr,
    writer: Writer,
    own_key: OwnKey,
    heard: Instant,
    packets: u64,
}

struct Stream {
    label: String,
    leg: Arc<Leg>,
    side: usize,
    number: String,
    both: bool,
}

/// A response that is ready to be sent.
pub struct Answer {
    /// To which request.
    pub transaction: ServerTransactionId,
    /// As it is sent when all went well.
    pub response: Response,
    /// It answers an INVITE: an ACK follows.
    pub is_invite: bool,
}

/// What a request in the dialog of a session brings.
pub struct Newer {
    /// What it says of the call.
    pub metadata: Option<Metadata>,
    /// Its streams.
    pub offer: Option<StreamsOffer>,
    /// Legs for those of them that are new.
    pub legs: Vec<Arc<Leg>>,
}

/// What a new session needs.
pub struct Opening {
    /// The dialog of the INVITE.
    pub dialog: Dialog,
    /// Its transaction.
    pub transaction: ServerTransactionId,
    /// The call that is recorded.
    pub interaction: InteractionId,
    /// What the INVITE says.
    pub described: Described,
    /// Who is who.
    pub parties: Parties,
    /// Legs for the streams, in their order.
    pub legs: Vec<Arc<Leg>>,
    /// Which threads they are on.
    pub pair: usize,
    /// Our media address.
    pub address: IpAddr,
    /// For the answers.
    pub sdp_session: u64,
}

impl RecordingSession {
    /// Begins to record; `response` is the 200 to the INVITE, without its body. The task answers it.
    pub fn start(opening: Opening, response: Response, to: Surroundings, now: Instant) -> Self {
        let Opening {
            dialog,
            transaction,
            interaction,
            described,
            parties,
            legs,
            pair,
            address,
            sdp_session,
        } = opening;
        let streams = described.offer.streams().zip(legs).zip(&parties.streams);
        let streams = streams.map(|((stream, leg), (side, number, both))| Stream {
            label: stream.label.clone(),
            leg,
            side: *side,
            number: number.clone(),
            both: *both,
        });
        let (orders, queue) = mpsc::channel(QUEUE);
        let mut session = Self {
            unacknowledged: Some(transaction),
            established: false,
            pair,
            metadata: described.metadata,
            streams: streams.collect(),
            wanted: Wanted::default(),
            parties: parties.call.clone(),
            fallback: (parties.caller.clone(), parties.called.clone()),
            cancelled: Arc::new(AtomicBool::new(false)),
            orders,
            address,
            writer: Writer::new(sdp_session),
            own_key: OwnKey::random(),
            heard: now,
            packets: 0,
            dialog,
        };
        let sdp = session.negotiate(&described.offer);
        let wanted = session.wanted.clone();
        let task = Task {
            interaction,
            capture: CaptureId::new(),
            dialog: session.dialog.id().clone(),
            parties,
            to,
            now: Wanted::default(),
            cancelled: session.cancelled.clone(),
        };
        let response = response.with_body(CONTENT_TYPE, sdp);
        let answer = Answer { transaction, response, is_invite: true };
        tokio::spawn(task.run(Order { wanted, parties: None, answer }, queue));
        session
    }

    /// Takes newer metadata and a new offer, where there are; it is answered once the recording has followed. `legs`: for
    /// the offer's new streams. `false`: too many changes wait.
    pub fn change(&mut self, newer: Newer, is_dn: impl Fn(&str) -> bool, answer: Answer) -> bool {
        let Newer { metadata, offer, legs } = newer;
        let known = metadata.is_some();
        if let Some(metadata) = metadata {
            self.metadata.update(metadata);
        }
        if let Some(offer) = &offer {
            self.grow(offer, legs);
        }
        let parties = known.then(|| self.name_parties(is_dn)).flatten();
        let response = match &offer {
            Some(offer) => {
                let sdp = self.negotiate(offer);
                answer.response.with_body(CONTENT_TYPE, sdp)
            }
            None => answer.response,
        };
        let order = Order { wanted: self.wanted.clone(), parties, answer: Answer { response, ..answer } };
        self.orders.try_send(order).is_ok()
    }

    /// Streams of an offer that this session does not have yet; `None`: more than it can record.
    pub fn missing(&self, offer: &StreamsOffer) -> Option<usize> {
        let known = |label: &str| self.streams.iter().any(|stream| stream.label == label);
        let missing = offer.streams().filter(|offered| !known(&offered.label)).count();
        (self.streams.len() + missing <= MAX_STREAMS).then_some(missing)
    }

    /// Takes the streams that are new. One that held both parties holds one of them from now on: the new one is the other's.
    fn grow(&mut self, offer: &StreamsOffer, legs: Vec<Arc<Leg>>) {
        let known = |label: &str| self.streams.iter().any(|stream| stream.label == label);
        let labels = offer.streams().filter(|offered| !known(&offered.label));
        let labels: Vec<String> = labels.map(|offered| offered.label.clone()).collect();
        for (label, leg) in labels.into_iter().zip(legs) {
            let taken = self.streams.first().map_or(CUSTOMER, |stream| stream.side);
            self.streams.iter_mut().for_each(|stream| stream.both = false);
            let side = if taken == AGENT { CUSTOMER } else { AGENT };
            self.streams.push(Stream { label, leg, side, number: String::new(), both: false });
        }
        self.name_streams();
    }

    /// Whose each stream is, as the metadata says.
    fn name_streams(&mut self) {
        for stream in &mut self.streams {
            let speaker = self.metadata.speakers(&stream.label).first().and_then(|speaker| speaker.number());
            stream.number = speaker.unwrap_or_else(|| std::mem::take(&mut stream.number));
        }
    }

    /// Who takes part after newer metadata, if that changed.
    fn name_parties(&mut self, is_dn: impl Fn(&str) -> bool) -> Option<Vec<CallParty>> {
        self.name_streams();
        let call = siprec::parties(&self.metadata, &[], is_dn, self.fallback.clone()).call;
        for stream in &mut self.streams {
            if let Some(place) = self.wanted.media.get_mut(stream.side).and_then(Option::as_mut) {
                place.setup.number.clone_from(&stream.number);
            }
        }
        if call == self.parties {
            return None;
        }
        self.parties.clone_from(&call);
        Some(call)
    }

    /// The client took its INVITE back before it was answered.
    pub fn cancel(&self) {
        self.cancelled.store(true, Relaxed);
    }

    /// Sets the legs and what the recording is to be; the answer. A stream that the offer no longer has is heard no more.
    fn negotiate(&mut self, offer: &StreamsOffer) -> Vec<u8> {
        let mut wanted = Wanted { paused: true, ..Wanted::default() };
        for stream in &self.streams {
            if !offer.streams().any(|offered| offered.label == stream.label) {
                stream.leg.negotiate(None);
            }
        }
        for offered in offer.streams() {
            let Some(stream) = self.streams.iter().find(|stream| stream.label == offered.label) else {
                continue;
            };
            stream.leg.negotiate(sdp::peer(&offered.audio));
            wanted.paused &= offered.audio.direction == Direction::Inactive;
            let setup = PartySetup { both: stream.both, ..sdp::setup(&offered.audio, stream.number.clone()) };
            if let Some(place) = wanted.media.get_mut(stream.side) {
                *place = Some(Media { leg: stream.leg.clone(), setup });
            }
        }
        let (streams, own_key, address) = (&self.streams, &self.own_key, self.address);
        let answer = offer.answer(&mut self.writer, address, |offered| {
            let stream = streams.iter().find(|stream| stream.label == offered.label)?;
            let answer = own_key.answer(&offered.audio, SocketAddr::new(address, stream.leg.port()));
            // A recorder only receives (RFC 7866 7.2).
            let sent = offered.audio.direction.sends();
            Some(answer.with_direction(if sent { Direction::RecvOnly } else { Direction::Inactive }))
        });
        self.wanted = wanted;
        answer
    }

    /// A request of the client came.
    pub fn heard(&mut self, now: Instant) {
        self.heard = now;
    }

    /// Looks whether packets came since it was called last.
    pub fn listen(&mut self, now: Instant) {
        let packets = self.streams.iter().map(|stream| stream.leg.counters().received.load(Relaxed)).sum();
        if packets != self.packets {
            (self.packets, self.heard) = (packets, now);
        }
    }

    /// When signalling or media last came.
    pub fn last_heard(&self) -> Instant {
        self.heard
    }

    /// Legs in use.
    pub fn legs(&self) -> usize {
        self.streams.len()
    }
}

/// Tells the journal that a recording session was refused, and why: a call that is not recorded is a row too.
pub fn journal_refused(
    site: &dyn Site,
    interaction: InteractionId,
    (caller, dialled): (String, String),
    reason: String,
) {
    let offered =
        What::CallOffered { caller, record_voice: vec![dialled.clone()], dialled, record_screen: Vec::new() };
    let ended = What::CallEnded { cause: EndCause::Failed, by: None };
    for what in [offered, What::RecordingFailed { reason }, ended] {
        site.journal(&Event { interaction, at: Timestamp::now(), what });
    }
}
