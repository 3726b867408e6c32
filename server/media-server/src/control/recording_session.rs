//! One recording session: its dialog, its streams, and the task that records them.
//!
//! A session is accepted when its recording is open, never before: nobody who was answered 200 goes unrecorded. The
//! client pauses by making every stream inactive (RFC 7866 9.3), which is a pause like any other: marked, and silence.

use crate::{
    control::{
        conference::Media,
        siprec::{self, Described, MAX_STREAMS, Parties},
    },
    error::RecordError,
    recorder::{AGENT, CUSTOMER, PartySetup, Recorder, Site, Start},
    relay::{Leg, Tap},
    sdp::{self, OwnKey},
};
use hindsight_model::{
    CaptureId, Event, InteractionId, Timestamp,
    event::{CallParty, EndCause, What},
};
use hindsight_sip::{
    Dialog, Response, ServerTransactionId, SipHandle, StatusCode,
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
use tokio::sync::mpsc;

/// Who pauses, in the recording's timeline.
const CLIENT: &str = "recording client";
/// Changes that may wait for the recorder; more are refused.
const QUEUE: usize = 8;
/// Who records, in the call's events.
const SIPREC: &str = "siprec";

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

/// What the task is to bring about.
#[derive(Clone, Default)]
struct Wanted {
    media: [Option<Media>; 2],
    paused: bool,
}

/// A change and the answer to who asked for it: sent when it is done.
struct Order {
    wanted: Wanted,
    /// Who takes part from now on, where that changed.
    parties: Option<Vec<CallParty>>,
    answer: Answer,
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

/// Where the task records and whom it tells.
pub struct Surroundings {
    /// Records.
    pub recorder: Recorder,
    /// Its name for the capture.
    pub token: u32,
    /// Journal.
    pub site: Arc<dyn Site>,
    /// Answers the INVITE.
    pub sip: SipHandle,
    /// Told when the session is over for another reason than its BYE.
    pub broken: mpsc::Sender<hindsight_sip::DialogId>,
    /// Held until the recording is closed: a shut-down waits for it.
    pub running: mpsc::Sender<()>,
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

struct Task {
    interaction: InteractionId,
    capture: CaptureId,
    dialog: hindsight_sip::DialogId,
    parties: Parties,
    to: Surroundings,
    now: Wanted,
    cancelled: Arc<AtomicBool>,
}

impl Task {
    async fn run(mut self, first: Order, mut orders: mpsc::Receiver<Order>) {
        self.journal(self.offered());
        self.now = Wanted { paused: false, ..first.wanted.clone() };
        if let Err(error) = self.open().await {
            tracing::error!(interaction = %self.interaction, %error, "a recording session cannot be recorded");
            self.journal(What::RecordingFailed { reason: error.to_string() });
            self.journal(What::CallEnded { cause: EndCause::Failed, by: None });
            let refusal = refused(&first.answer.response, &error);
            let _ = self.to.sip.respond(first.answer.transaction, refusal).await;
            let _ = self.to.broken.send(self.dialog.clone()).await;
            return;
        }
        if self.cancelled.load(Relaxed) {
            let terminated = without_session(&first.answer.response, StatusCode::REQUEST_TERMINATED);
            let _ = self.to.sip.respond(first.answer.transaction, terminated).await;
            return self.close(EndCause::Cancelled).await;
        }
        self.journal(What::CallEstablished { parties: self.parties.call.clone() });
        self.journal(What::RecordingStarted { capture: self.capture, by: SIPREC.to_owned() });
        self.follow(first).await;
        // Ends with the session.
        while let Some(order) = orders.recv().await {
            self.follow(order).await;
        }
        self.close(EndCause::HungUp).await;
    }

    async fn close(self, cause: EndCause) {
        self.tap(false).await;
        if let Err(error) = self.to.recorder.stop(self.to.token).await {
            tracing::error!(interaction = %self.interaction, %error, "closing a recording failed");
        }
        self.journal(What::CallEnded { cause, by: None });
    }

    async fn open(&self) -> Result<(), RecordError> {
        let setup =
            |side: usize| self.now.media[side].as_ref().map(|media| media.setup.clone()).unwrap_or_default();
        let legs = self.now.media.iter().flatten();
        let start = Start {
            interaction: self.interaction,
            capture: self.capture,
            part: 1,
            parties: [setup(0), setup(1)],
            counters: legs.map(|media| media.leg.counters().clone()).collect(),
            broken: None,
        };
        self.to.recorder.open(self.to.token, start, None).await?;
        self.tap(true).await;
        Ok(())
    }

    /// Brings the recording to what the client wants now, and says so.
    async fn follow(&mut self, Order { wanted, parties, answer }: Order) {
        let done = self.bring_about(&wanted).await;
        // Established anew, between others: whoever follows the call takes the newest word.
        if let Some(parties) = parties {
            self.journal(What::CallEstablished { parties });
        }
        if let Err(error) = done {
            tracing::error!(interaction = %self.interaction, %error, "a recording session broke");
            let refusal = refused(&answer.response, &error);
            let _ = self.to.sip.respond(answer.transaction, refusal).await;
            let _ = self.to.broken.send(self.dialog.clone()).await;
            return;
        }
        let Answer { transaction, response, is_invite } = answer;
        let _ = if is_invite {
            self.to.sip.accept(transaction, response).await
        } else {
            self.to.sip.respond(transaction, response).await
        };
    }

    async fn bring_about(&mut self, wanted: &Wanted) -> Result<(), RecordError> {
        for (side, media) in wanted.media.iter().enumerate() {
            let known = self.now.media[side].as_ref().map(|media| &media.setup);
            if let Some(media) = media
                && known != Some(&media.setup)
            {
                self.to.recorder.renegotiate(self.to.token, side, media.setup.clone());
            }
        }
        let joined = |side: usize| self.now.media[side].is_none() && wanted.media[side].is_some();
        let joined = joined(AGENT) || joined(CUSTOMER);
        let was_paused = std::mem::replace(&mut self.now, wanted.clone()).paused;
        let token = self.to.token;
        let done = match (was_paused, wanted.paused) {
            (false, true) => {
                let at_us = self.tap(false).await;
                let (by, reason) = (CLIENT.to_owned(), "every stream is inactive".to_owned());
                self.to.recorder.pause(token, at_us, by.clone(), reason.clone()).await?;
                Some(What::RecordingPaused { by, reason })
            }
            (true, false) => {
                self.to.recorder.resume(token).await?;
                self.tap(true).await;
                Some(What::RecordingResumed { by: CLIENT.to_owned() })
            }
            (false, false) if joined => {
                // Nothing to resume: its answer says that the recorder knows the new party before it hears them.
                self.to.recorder.resume(token).await?;
                self.tap(true).await;
                None
            }
            (false, false) | (true, true) => None,
        };
        done.into_iter().for_each(|what| self.journal(what));
        Ok(())
    }

    /// Sets the taps of every stream or takes them away; the latest time from which that holds.
    async fn tap(&self, on: bool) -> Option<i64> {
        let mut at_us = None;
        for (party, media) in self.now.media.iter().enumerate() {
            let Some(Media { leg, .. }) = media else { continue };
            let tap = on.then(|| Tap {
                queue: self.to.recorder.queue().clone(),
                capture: self.to.token,
                party: party as u8,
            });
            at_us = at_us.max(leg.tap(tap).await);
        }
        at_us
    }

    fn offered(&self) -> What {
        let dns = |screen: bool| {
            let wants = |number: &&String| {
                self.to.site.records_screen_of(number).is_some_and(|records| records || !screen)
            };
            let numbers = self.parties.call.iter().map(|party| &party.number).filter(wants);
            numbers.cloned().collect::<Vec<_>>()
        };
        let mut record_voice = dns(false);
        if record_voice.is_empty() {
            record_voice.push(self.parties.called.clone());
        }
        What::CallOffered {
            caller: self.parties.caller.clone(),
            dialled: self.parties.called.clone(),
            record_voice,
            record_screen: dns(true),
        }
    }

    fn journal(&self, what: What) {
        let _held = &self.to.running;
        self.to.site.journal(&Event { interaction: self.interaction, at: Timestamp::now(), what });
    }
}

/// A final refusal in place of the 200 that was prepared.
fn without_session(response: &Response, status: StatusCode) -> Response {
    let mut refusal = response.clone();
    refusal.status = status;
    refusal.body.clear();
    refusal.headers.remove("Content-Type");
    refusal.headers.remove("Contact");
    refusal
}

fn refused(response: &Response, error: &RecordError) -> Response {
    without_session(response, StatusCode::SERVICE_UNAVAILABLE).with_reason(match error {
        RecordError::NoRecipients => "No Recipient For Recordings",
        _ => "Recording Not Possible",
    })
}
