//! What records a session, beside the loop that speaks SIP.

use super::Answer;
use crate::{
    control::{conference::Media, siprec::Parties},
    error::RecordError,
    recorder::{AGENT, CUSTOMER, Recorder, Site, Start},
    relay::Tap,
};
use hindsight_model::{
    CaptureId, Event, InteractionId, Timestamp,
    event::{CallParty, EndCause, What},
};
use hindsight_sip::{Response, SipHandle, StatusCode};
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::Relaxed},
};
use tokio::sync::mpsc;

/// Who pauses, in the recording's timeline.
const CLIENT: &str = "recording client";
/// Who records, in the call's events.
const SIPREC: &str = "siprec";

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

/// What the task is to bring about.
#[derive(Clone, Default)]
pub(super) struct Wanted {
    pub(super) media: [Option<Media>; 2],
    pub(super) paused: bool,
}

/// A change and the answer to who asked for it: sent when it is done.
pub(super) struct Order {
    pub(super) wanted: Wanted,
    /// Who takes part from now on, where that changed.
    pub(super) parties: Option<Vec<CallParty>>,
    pub(super) answer: Answer,
}

/// Records a session from its first answer to its end.
pub(super) struct Task {
    pub(super) interaction: InteractionId,
    pub(super) capture: CaptureId,
    pub(super) dialog: hindsight_sip::DialogId,
    pub(super) parties: Parties,
    pub(super) to: Surroundings,
    pub(super) now: Wanted,
    pub(super) cancelled: Arc<AtomicBool>,
}

impl Task {
    pub(super) async fn run(mut self, first: Order, mut orders: mpsc::Receiver<Order>) {
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
