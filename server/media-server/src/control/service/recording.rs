//! The part of the loop that takes recording sessions (SIPREC).

use super::{ALLOW, Refusal, Service};
use crate::control::{
    recording_session::{Answer, Newer, Opening, RecordingSession, Surroundings, journal_refused},
    siprec::{self, Refused},
};
use crate::relay::Leg;
use hindsight_model::InteractionId;
use hindsight_sip::{
    Dialog, DialogId, Method, Request, Response, ServerTransactionId, SipMessage as _, StatusCode,
};
use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

/// The extension of recording sessions (RFC 7866 7.1.1): the only one that may be required here.
pub const OPTION_TAG: &str = "siprec";
/// Marks the Contact of a session recording server (RFC 7866 7.2.2).
const FEATURE: &str = "+sip.srs";
/// A session of which neither a request nor a packet came for so long is over: its client is gone. A paused client sends
/// no packets, but refreshes or ends its session.
const ABANDONED: Duration = Duration::from_secs(3600);

impl From<Refused> for Refusal {
    fn from(refused: Refused) -> Self {
        Self::because(refused.status(), refused)
    }
}

impl Service {
    /// The INVITE that begins a recording session.
    pub(super) fn begin_recording(
        &mut self,
        transaction: ServerTransactionId,
        request: &Request,
        interaction: InteractionId,
    ) -> Result<Option<Response>, Refusal> {
        let result = self.try_recording(transaction, request, interaction);
        if let Err(refusal) = &result {
            let reason = refusal.reason.clone().unwrap_or_else(|| refusal.status.to_string());
            tracing::warn!(%interaction, status = %refusal.status, "a recording session was refused");
            let call = siprec::call_of(request, parties_of(request));
            journal_refused(&*self.site, interaction, call, reason);
        }
        result
    }

    fn try_recording(
        &mut self,
        transaction: ServerTransactionId,
        request: &Request,
        interaction: InteractionId,
    ) -> Result<Option<Response>, Refusal> {
        let described = siprec::read(request)?;
        let labels: Vec<&str> = described.offer.streams().map(|stream| stream.label.as_str()).collect();
        if self.legs() + labels.len() > self.max_legs {
            return Err(Refusal::busy("No Leg Free"));
        }
        let is_dn = |number: &str| self.site.records_screen_of(number).is_some();
        let parties = siprec::parties(&described.metadata, &labels, is_dn, parties_of(request));
        let least = (0..self.pairs.len()).min_by_key(|pair| self.pairs[*pair].relay.load());
        let pair = least.ok_or_else(|| Refusal::busy("No Relay"))?;
        let legs = self.legs_for(pair, labels.len())?;
        let to = Surroundings {
            recorder: self.pairs[pair].recorder.clone(),
            token: self.tokens.fetch_add(1, Ordering::Relaxed),
            site: self.site.clone(),
            sip: self.sip.clone(),
            broken: self.broken.clone(),
            running: self.running.clone(),
        };
        let mut contact = self.sip.contact("media");
        contact.params.set(FEATURE, None);
        let dialog = Dialog::uas(request, &self.ids.tag(), contact, self.ids.cseq())?;
        let response = dialog.response(request, StatusCode::OK).with_header("Allow", ALLOW);
        tracing::info!(%interaction, streams = legs.len(), "recording session");
        let opening = Opening {
            dialog: dialog.clone(),
            transaction,
            interaction,
            described,
            parties,
            legs,
            pair,
            address: self.advertised,
            sdp_session: u64::from(self.ids.cseq()),
        };
        let session = RecordingSession::start(opening, response, to, Instant::now());
        self.recordings.insert(dialog.id().clone(), session);
        Ok(None)
    }

    /// A request in the dialog of a recording session: a new offer, newer metadata, or its end.
    pub(super) fn in_recording(
        &mut self,
        transaction: ServerTransactionId,
        id: &DialogId,
        request: &Request,
    ) -> Result<Option<Response>, Refusal> {
        let gone = || Refusal::new(StatusCode::CALL_DOES_NOT_EXIST);
        let session = self.recordings.get_mut(id).ok_or_else(gone)?;
        session.dialog.receive(request)?;
        session.heard(Instant::now());
        match request.method {
            Method::Invite | Method::Update | Method::Info => self.change(transaction, id, request),
            Method::Bye => {
                let response = session.dialog.response(request, StatusCode::OK);
                self.recordings.remove(id);
                tracing::info!("recording session ended");
                Ok(Some(response))
            }
            Method::Options => {
                Ok(Some(session.dialog.response(request, StatusCode::OK).with_header("Allow", ALLOW)))
            }
            _ => Err(Refusal::new(StatusCode::METHOD_NOT_ALLOWED)),
        }
    }

    /// New streams, other directions, or newer metadata, also alone.
    fn change(
        &mut self,
        transaction: ServerTransactionId,
        id: &DialogId,
        request: &Request,
    ) -> Result<Option<Response>, Refusal> {
        let is_invite = request.method == Method::Invite;
        let (offer, metadata) = (siprec::offer(request)?, siprec::metadata(request)?);
        if offer.is_none() && is_invite {
            return Err(Refusal::because(StatusCode::NOT_ACCEPTABLE_HERE, "Offer Missing"));
        }
        if metadata.is_none() && request.method == Method::Info {
            return Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE));
        }
        let gone = || Refusal::new(StatusCode::CALL_DOES_NOT_EXIST);
        let session = self.recordings.get(id).ok_or_else(gone)?;
        let joining = offer.as_ref().map_or(Some(0), |offer| session.missing(offer));
        let joining = joining.ok_or_else(|| Refusal::from(Refused::TooManyStreams))?;
        let pair = session.pair;
        if self.legs() + joining > self.max_legs {
            return Err(Refusal::busy("No Leg Free"));
        }
        let legs = self.legs_for(pair, joining)?;
        let session = self.recordings.get_mut(id).ok_or_else(gone)?;
        session.dialog.refresh_target(request);
        let response = session.dialog.response(request, StatusCode::OK).with_header("Allow", ALLOW);
        if is_invite {
            session.unacknowledged = Some(transaction);
        }
        let newer = Newer { metadata, offer, legs };
        let is_dn = |number: &str| self.site.records_screen_of(number).is_some();
        if session.change(newer, is_dn, Answer { transaction, response, is_invite }) {
            Ok(None)
        } else {
            Err(Refusal::busy("Too Many Changes"))
        }
    }

    fn legs_for(&mut self, pair: usize, count: usize) -> Result<Vec<Arc<Leg>>, Refusal> {
        let mut leg = || {
            let sockets = self.ports.bind().map_err(|error| {
                tracing::error!(%error, "no RTP ports for a recording session");
                Refusal::busy("No RTP Port Free")
            })?;
            Ok(Arc::new(self.pairs[pair].relay.add(sockets)))
        };
        (0..count).map(|_| leg()).collect()
    }

    /// The client took the INVITE of a session back while its recording was being opened.
    pub(super) fn cancel_recording(&mut self, transaction: ServerTransactionId) {
        let of_it = |session: &RecordingSession| session.unacknowledged == Some(transaction);
        let found = self.recordings.iter().find(|(_, session)| of_it(session)).map(|(id, _)| id.clone());
        // Only the first INVITE: without it there is no session, while a re-INVITE is nearly done.
        if let Some(session) =
            found.filter(|id| !self.recordings[id].established).and_then(|id| self.recordings.remove(&id))
        {
            session.cancel();
        }
    }

    /// Ends a recording session from our side.
    pub(super) async fn end_recording(&mut self, id: &DialogId) {
        let Some(mut session) = self.recordings.remove(id) else { return };
        let bye = session.dialog.request(Method::Bye);
        if let Ok(to) = self.sip.resolve(session.dialog.next_hop()).await {
            let _ = self.sip.send_request(bye, to).await;
        }
    }

    /// Ends the sessions that their clients have left without a BYE.
    pub(super) async fn sweep_recordings(&mut self, now: Instant) {
        self.recordings.values_mut().for_each(|session| session.listen(now));
        let over = |session: &RecordingSession| now.duration_since(session.last_heard()) > ABANDONED;
        let over: Vec<DialogId> =
            self.recordings.iter().filter(|(_, session)| over(session)).map(|(id, _)| id.clone()).collect();
        for id in over {
            tracing::warn!("a recording session without signalling and media is ended");
            self.end_recording(&id).await;
        }
    }

    /// Legs in use, of calls and of recording sessions.
    pub(super) fn legs(&self) -> usize {
        self.sessions.len() + self.recordings.values().map(RecordingSession::legs).sum::<usize>()
    }
}

/// Numbers for when the metadata names nobody: the user parts of From and To.
fn parties_of(request: &Request) -> (String, String) {
    let user = |address: Option<hindsight_sip::NameAddr>| {
        address.and_then(|address| address.uri.user().map(|user| user.to_string())).unwrap_or_default()
    };
    (user(request.from().ok()), user(request.to().ok()))
}
