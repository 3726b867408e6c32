//! The loop over SIP events: a UAS whose dialogs are the legs of conferences, and recording sessions of other systems.

mod recording;
mod refusal;

use crate::{
    config::Config,
    control::{
        LOAD_HEADER, conference::Conference, leg::Session, presence::Presence,
        recording_session::RecordingSession, siprec, target::Target,
    },
    recorder::{Recorder, Site},
    relay::{PortRange, Relay},
};
use hindsight_msml::{self as msml, DialogExit, Outcome, ResultCode};
use hindsight_sip::{
    ClientTransactionId, Dialog, DialogId, Event, Ids, Method, Request, Response, ServerTransactionId,
    SipHandle, SipMessage as _, StatusCode,
    sdp::{self, Description},
};
use refusal::Refusal;
use std::{
    collections::{HashMap, HashSet},
    future::Future,
    net::IpAddr,
    sync::{Arc, atomic::AtomicU32},
    time::{Duration, Instant},
};
use tokio::sync::{mpsc, oneshot};

/// How often abandoned conferences are looked for.
const SWEEP: Duration = Duration::from_secs(15);
/// How long a shut-down waits for answers to its BYEs.
const FAREWELL: Duration = Duration::from_secs(2);
const ALLOW: &str = "INVITE, ACK, BYE, CANCEL, INFO, OPTIONS, UPDATE";
/// Recording sessions that may tell at once that they broke; the others wait.
const BROKEN: usize = 64;

/// A relay thread and the recorder thread beside it.
pub struct Pair {
    /// Relays.
    pub relay: Relay,
    /// Records what it relays.
    pub recorder: Recorder,
}

/// Everything the loop owns.
pub struct Service {
    sip: SipHandle,
    ports: PortRange,
    advertised: IpAddr,
    max_legs: usize,
    pairs: Vec<Pair>,
    conferences: HashMap<String, Place>,
    sessions: HashMap<DialogId, Session>,
    recordings: HashMap<DialogId, RecordingSession>,
    site: Arc<dyn Site>,
    ids: Ids,
    tokens: Arc<AtomicU32>,
    /// Every conference's task holds a clone until its recording is closed.
    running: mpsc::Sender<()>,
    /// Recording sessions tell here that they cannot go on.
    broken: mpsc::Sender<DialogId>,
    broke: mpsc::Receiver<DialogId>,
    /// Conferences tell here that their recording has ended without a command.
    exits: mpsc::Sender<DialogExit>,
    exited: mpsc::Receiver<DialogExit>,
}

struct Place {
    conference: Conference,
    pair: usize,
}

impl Service {
    /// A service without legs. The receiver ends when every recording is closed.
    pub fn new(
        config: &Config,
        sip: SipHandle,
        pairs: Vec<Pair>,
        site: Arc<dyn Site>,
    ) -> (Self, mpsc::Receiver<()>) {
        let (running, closed) = mpsc::channel(1);
        let (broken, broke) = mpsc::channel(BROKEN);
        let (exits, exited) = mpsc::channel(BROKEN);
        let service = Self {
            sip,
            ports: PortRange::new(config.media_address(), config.rtp_first, config.rtp_last),
            advertised: config.advertised(),
            max_legs: config.max_legs.min(config.legs_by_ports()) as usize,
            pairs,
            conferences: HashMap::new(),
            sessions: HashMap::new(),
            recordings: HashMap::new(),
            site,
            ids: Ids::from_os(),
            tokens: Arc::default(),
            running,
            broken,
            broke,
            exits,
            exited,
        };
        (service, closed)
    }

    /// Serves until `shutdown`; then ends every leg. Priorities: shut-down, requests, abandoned conferences.
    pub async fn run(mut self, mut events: mpsc::Receiver<Event>, shutdown: impl Future<Output = ()>) {
        let mut sweep = tokio::time::interval(SWEEP);
        tokio::pin!(shutdown);
        loop {
            tokio::select! {
                biased;
                () = &mut shutdown => break,
                event = events.recv() => match event {
                    Some(event) => self.handle(event).await,
                    None => break,
                },
                Some(id) = self.broke.recv() => self.end_recording(&id).await,
                Some(exit) = self.exited.recv() => self.tell_exit(&exit).await,
                _ = sweep.tick() => self.sweep().await,
            }
        }
        self.end_all(&mut events).await;
    }

    /// Hangs up every leg and gives the other side a moment to say that it knows.
    async fn end_all(&mut self, events: &mut mpsc::Receiver<Event>) {
        let mut byes = HashSet::new();
        for id in self.recordings.keys().cloned().collect::<Vec<_>>() {
            self.end_recording(&id).await;
        }
        for id in self.sessions.keys().cloned().collect::<Vec<_>>() {
            byes.extend(self.hang_up(&id).await);
        }
        let answered = async {
            while !byes.is_empty() {
                match events.recv().await {
                    Some(Event::Response { transaction, response, .. }) if response.status.is_final() => {
                        byes.remove(&transaction);
                    }
                    Some(Event::TimedOut { transaction } | Event::TransportFailed { transaction, .. }) => {
                        byes.remove(&transaction);
                    }
                    Some(Event::Request { transaction, request, .. }) => {
                        let response = self.refuse(&request, Refusal::busy("Shutting Down"));
                        let _ = self.sip.respond(transaction, response).await;
                    }
                    Some(_) => {}
                    None => return,
                }
            }
        };
        let _ = tokio::time::timeout(FAREWELL, answered).await;
    }

    async fn handle(&mut self, event: Event) {
        match event {
            Event::Request { transaction, request, .. } => self.request(transaction, request).await,
            Event::Ack { request, .. } => {
                let Some(id) = DialogId::of_request(&request) else { return };
                if let Some(session) = self.sessions.get_mut(&id) {
                    session.unacknowledged = None;
                    session.heard(Instant::now());
                } else if let Some(session) = self.recordings.get_mut(&id) {
                    session.unacknowledged = None;
                    session.established = true;
                    session.heard(Instant::now());
                }
            }
            Event::AckMissing { transaction } => {
                let unheard = |session: &RecordingSession| session.unacknowledged == Some(transaction);
                let found = self.recordings.iter().find(|(_, session)| unheard(session));
                if let Some(id) = found.map(|(id, _)| id.clone()) {
                    tracing::warn!("a recording session was never acknowledged");
                    return self.end_recording(&id).await;
                }
                let missing = |session: &Session| session.unacknowledged == Some(transaction);
                let found = self.sessions.iter().find(|(_, session)| missing(session));
                if let Some(id) = found.map(|(id, _)| id.clone()) {
                    tracing::warn!("a leg was never acknowledged");
                    self.hang_up(&id).await;
                }
            }
            // A leg is answered at once, so there is nothing left to cancel of it.
            Event::Cancelled { transaction, .. } => self.cancel_recording(transaction),
            // Answers to our BYE change nothing.
            Event::Response { .. } | Event::TimedOut { .. } | Event::TransportFailed { .. } => {}
        }
    }

    async fn request(&mut self, transaction: ServerTransactionId, request: Request) {
        let result = match (&request.method, DialogId::of_request(&request)) {
            (Method::Invite, None) => self.invite(transaction, &request).await,
            (Method::Options, None) => Ok(Some(self.options(&request))),
            (_, None) if matches!(request.method, Method::Bye | Method::Info) => {
                Err(Refusal::new(StatusCode::CALL_DOES_NOT_EXIST))
            }
            (_, None) => Err(Refusal::new(StatusCode::METHOD_NOT_ALLOWED)),
            (_, Some(id)) if self.recordings.contains_key(&id) => {
                self.in_recording(transaction, &id, &request)
            }
            (_, Some(id)) => self.in_dialog(transaction, &id, &request).await,
        };
        let response = match result {
            Ok(Some(response)) => response,
            Ok(None) => return,
            Err(refusal) => self.refuse(&request, refusal),
        };
        let _ = self.sip.respond(transaction, response).await;
    }

    fn refuse(&mut self, request: &Request, refusal: Refusal) -> Response {
        tracing::debug!(method = %request.method, status = %refusal.status, reason = refusal.reason, "request refused");
        let mut response = Response::to(request, refusal.status).with_to_tag(&self.ids.tag());
        if let Some(reason) = refusal.reason {
            response = response.with_reason(reason);
        }
        if let Some(seconds) = refusal.retry_after {
            response = response.with_header("Retry-After", seconds);
        }
        if refusal.status == StatusCode::METHOD_NOT_ALLOWED {
            response = response.with_header("Allow", ALLOW);
        }
        response
    }

    fn options(&mut self, request: &Request) -> Response {
        let status = if self.site.is_configured() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        Response::to(request, status)
            .with_to_tag(&self.ids.tag())
            .with_header("Allow", ALLOW)
            .with_header("Accept", format_args!("{}, {}", sdp::CONTENT_TYPE, msml::CONTENT_TYPE))
            .with_header(LOAD_HEADER, self.legs() * 1000 / self.max_legs.max(1))
    }

    async fn invite(
        &mut self,
        transaction: ServerTransactionId,
        request: &Request,
    ) -> Result<Option<Response>, Refusal> {
        let recording = siprec::interaction(request);
        let mut required = request.headers.tokens("Require");
        required.retain(|tag| recording.is_none() || !tag.eq_ignore_ascii_case(recording::OPTION_TAG));
        let required = required.join(", ");
        if !required.is_empty() {
            return Ok(Some(
                Response::to(request, StatusCode::BAD_EXTENSION)
                    .with_to_tag(&self.ids.tag())
                    .with_header("Unsupported", required),
            ));
        }
        // Nothing could be recorded: the resource manager tries another one.
        if !self.site.is_configured() {
            return Err(Refusal::busy("Not Configured Yet"));
        }
        if let Some(interaction) = recording {
            return self.begin_recording(transaction, request, interaction);
        }
        let target = Target::of(request)?;
        let offer = offer_of(request)?;
        if self.legs() >= self.max_legs {
            return Err(Refusal::busy("No Leg Free"));
        }
        let tag = self.ids.tag();
        let contact = self.sip.contact("media");
        let mut dialog = Dialog::uas(request, &tag, contact, self.ids.cseq())?;
        let pair = self.place(&target)?;
        let sockets = self.ports.bind().map_err(|error| {
            tracing::error!(%error, "no RTP ports for a leg");
            Refusal::busy("No RTP Port Free")
        })?;
        let leg = Arc::new(self.pairs[pair].relay.add(sockets));
        let place = self.conference(&target, pair);
        if let Some(other) = place.conference.leg(1 - target.side) {
            leg.join(&other);
        }
        let sdp_session = u64::from(self.ids.cseq());
        let mut session =
            Session::new(dialog.clone(), target, leg, self.advertised, sdp_session, Instant::now());
        let answer = session.negotiate(&offer);
        session.unacknowledged = Some(transaction);
        self.publish(&session, &offer);
        tracing::info!(
            interaction = %session.target.interaction,
            side = session.target.side,
            legs = self.sessions.len() + 1,
            "leg opened"
        );
        let response = accepted(&mut dialog, request, answer);
        self.sessions.insert(dialog.id().clone(), session);
        let _ = self.sip.accept(transaction, response).await;
        Ok(None)
    }

    /// The pair of threads for a leg: that of its conference, else the least loaded.
    fn place(&self, target: &Target) -> Result<usize, Refusal> {
        if let Some(place) = self.conferences.get(&target.conference) {
            let taken = place.conference.leg(target.side).is_some();
            return if taken {
                Err(Refusal::because(StatusCode::BUSY_HERE, "Role Taken"))
            } else {
                Ok(place.pair)
            };
        }
        let least = (0..self.pairs.len()).min_by_key(|pair| self.pairs[*pair].relay.load());
        least.ok_or_else(|| Refusal::busy("No Relay"))
    }

    fn conference(&mut self, target: &Target, pair: usize) -> &Place {
        let (recorder, tokens, running) = (&self.pairs[pair].recorder, &self.tokens, &self.running);
        self.conferences.entry(target.conference.clone()).or_insert_with(|| Place {
            pair,
            conference: Conference::start(
                target.conference.clone(),
                target.interaction,
                recorder.clone(),
                tokens.clone(),
                running.clone(),
                self.exits.clone(),
            ),
        })
    }

    fn publish(&self, session: &Session, offer: &Description) {
        if let Some(place) = self.conferences.get(&session.target.conference) {
            place.conference.set_media(session.target.side, Some(session.media(offer)));
        }
    }

    async fn in_dialog(
        &mut self,
        transaction: ServerTransactionId,
        id: &DialogId,
        request: &Request,
    ) -> Result<Option<Response>, Refusal> {
        let session =
            self.sessions.get_mut(id).ok_or_else(|| Refusal::new(StatusCode::CALL_DOES_NOT_EXIST))?;
        session.dialog.receive(request)?;
        session.heard(Instant::now());
        match request.method {
            Method::Invite => {
                let offer = offer_of(request)?;
                let answer = session.negotiate(&offer);
                session.dialog.refresh_target(request);
                session.unacknowledged = Some(transaction);
                let mut dialog = session.dialog.clone();
                let session = &self.sessions[id];
                self.publish(session, &offer);
                let _ = self.sip.accept(transaction, accepted(&mut dialog, request, answer)).await;
                Ok(None)
            }
            Method::Bye => {
                let response = session.dialog.response(request, StatusCode::OK);
                self.end(id);
                Ok(Some(response))
            }
            Method::Options => {
                Ok(Some(session.dialog.response(request, StatusCode::OK).with_header("Allow", ALLOW)))
            }
            Method::Info => self.info(transaction, id, request),
            _ => Err(Refusal::new(StatusCode::METHOD_NOT_ALLOWED)),
        }
    }

    fn info(
        &mut self,
        transaction: ServerTransactionId,
        id: &DialogId,
        request: &Request,
    ) -> Result<Option<Response>, Refusal> {
        let session = &self.sessions[id];
        if request.content_type().as_deref() != Some(msml::CONTENT_TYPE) {
            return Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE));
        }
        let response = session.dialog.response(request, StatusCode::OK);
        let with = |outcome: &Outcome| {
            response.clone().with_body(msml::CONTENT_TYPE, msml::write_result(outcome).into_bytes())
        };
        let command = match msml::parse_request(&request.body) {
            Ok(command) => command,
            Err(error) => return Ok(Some(with(&Outcome::failed(error.code, error.reason)))),
        };
        let place = self.conferences.get(&session.target.conference);
        let Some(outcome) = place.and_then(|place| place.conference.command(command)) else {
            return Ok(Some(with(&Outcome::failed(ResultCode::LimitExceeded, "too many commands wait"))));
        };
        let sip = self.sip.clone();
        tokio::spawn(answer_info(sip, transaction, response, outcome));
        Ok(None)
    }

    /// Forgets a leg; with the last one its conference ends, and the recording with it.
    fn end(&mut self, id: &DialogId) {
        let Some(session) = self.sessions.remove(id) else { return };
        tracing::info!(interaction = %session.target.interaction, side = session.target.side, "leg closed");
        let Some(place) = self.conferences.get(&session.target.conference) else { return };
        place.conference.set_media(session.target.side, None);
        if place.conference.is_empty() {
            self.conferences.remove(&session.target.conference);
        }
    }

    /// Tells whoever controls a conference that its recording broke (RFC 5707 `msml.dialog.exit`): in the agent's leg,
    /// in which the commands come.
    async fn tell_exit(&mut self, exit: &DialogExit) {
        let of_it = |session: &&mut Session| session.target.conference == exit.dialog.conference;
        let Some(session) =
            self.sessions.values_mut().filter(of_it).min_by_key(|session| session.target.side)
        else {
            return;
        };
        let info = session.dialog.request(Method::Info);
        let info = info.with_body(msml::CONTENT_TYPE, msml::write_exit(exit).into_bytes());
        let hop = session.dialog.next_hop().clone();
        match self.sip.resolve(&hop).await {
            Ok(to) => drop(self.sip.send_request(info, to).await),
            Err(error) => tracing::debug!(%error, "an INFO has nowhere to go"),
        }
    }

    /// Ends a leg from our side; the transaction of its BYE.
    async fn hang_up(&mut self, id: &DialogId) -> Option<ClientTransactionId> {
        let session = self.sessions.get_mut(id)?;
        let bye = session.dialog.request(Method::Bye);
        let hop = session.dialog.next_hop().clone();
        self.end(id);
        match self.sip.resolve(&hop).await {
            Ok(to) => self.sip.send_request(bye, to).await.ok(),
            Err(error) => {
                tracing::debug!(%error, "a BYE has nowhere to go");
                None
            }
        }
    }

    async fn sweep(&mut self) {
        let now = Instant::now();
        self.sweep_recordings(now).await;
        self.sessions.values_mut().for_each(|session| session.listen(now));
        let mut presence = Presence::default();
        for session in self.sessions.values() {
            presence.heard(&session.target.conference, session.last_heard());
        }
        let of_abandoned = |session: &Session| presence.is_abandoned(&session.target.conference, now);
        let abandoned = self.sessions.iter().filter(|(_, session)| of_abandoned(session));
        for id in abandoned.map(|(id, _)| id.clone()).collect::<Vec<_>>() {
            tracing::warn!("a leg of a conference without signalling and media is ended");
            self.hang_up(&id).await;
        }
    }
}

fn offer_of(request: &Request) -> Result<Description, Refusal> {
    if request.content_type().as_deref() != Some(sdp::CONTENT_TYPE) {
        // An INVITE without an offer would have us choose; the SIP server always offers.
        return Err(Refusal::because(StatusCode::NOT_ACCEPTABLE_HERE, "Offer Missing"));
    }
    Ok(Description::parse(&request.body)?)
}

fn accepted(dialog: &mut Dialog, request: &Request, answer: Vec<u8>) -> Response {
    dialog.response(request, StatusCode::OK).with_header("Allow", ALLOW).with_body(sdp::CONTENT_TYPE, answer)
}

async fn answer_info(
    sip: SipHandle,
    transaction: ServerTransactionId,
    response: Response,
    outcome: oneshot::Receiver<Outcome>,
) {
    let gone = || Outcome::failed(ResultCode::NoSuchObject, "the conference has ended");
    let outcome = outcome.await.unwrap_or_else(|_| gone());
    let response = response.with_body(msml::CONTENT_TYPE, msml::write_result(&outcome).into_bytes());
    let _ = sip.respond(transaction, response).await;
}
