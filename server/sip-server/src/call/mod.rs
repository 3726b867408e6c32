//! One call between two phones through a media server, as a pure state machine: legs in the abstract, no SIP text, no
//! sockets, no clock. `crate::session` turns its actions into requests and responses of dialogs.
//!
//! Four legs: the caller's phone, the callee's phone (one fork for each of its contacts until one answers), and for
//! each of the two a leg to the media server. The way of a call (RFC 3725 with offers, RFC 3264):
//!
//! ```text
//! Reserving   INVITE callee's media leg, placeholder offer      → its address
//! Ringing     INVITE every contact of the callee with it        → first answer wins
//! Joining     re-INVITE callee's media leg with the phone's address; INVITE caller's media leg with the caller's offer
//! Arming      recording asked for: MSML first, so that no word is lost; waits a moment at most
//! Established 200 to the caller, ACK to the callee
//! ```
//! Should the media server be lost after that, the call goes on through another one (`moving`). A party may leave to
//! somebody else, who takes its place (`transfer`): one more fork that rings, or a phone from another call.
//!
//! An INVITE without an offer gets one in our 200 (`Offering`) and is finished with its ACK (`Completing`).

mod control;
mod ending;
mod exchange;
mod hold;
mod modify;
mod moving;
mod party;
mod recorder;
mod recording;
mod restore;
mod setup;
#[cfg(test)]
mod tests;
mod transfer;
mod watch;

use hindsight_model::event::{CallParty, EndCause, What};
use hindsight_sip::sdp::{Audio, Description, Format, Shape, Writer};
use hindsight_wire::{InteractionId, manifest::Party};
use rand::{Rng, SeedableRng, rngs::StdRng};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Instant,
};

pub use exchange::{Action, Input};
pub use party::{Leg, Limits, Now, Participant, Side};
pub use recorder::{Failure, Order, Recorder, Whose};
pub use transfer::{Asked, Consulted, Target};

/// One of the two phones.
struct Phone {
    who: Participant,
    /// M-lines of its dialog.
    shape: Shape,
    writer: Writer,
    /// What it last described and we accepted; of its keys (RFC 4568) the one that was chosen.
    accepted: Option<Audio>,
    /// What we last described to it.
    sent: Option<Audio>,
    /// Holds the other.
    holds: bool,
    /// Its desktop does: the phone knows nothing of it.
    held_by_desktop: bool,
}

/// The media server's side of one party.
struct MediaLeg {
    writer: Writer,
    /// Its address for the party, from its last answer.
    audio: Option<Audio>,
}

/// One call.
pub struct Call {
    interaction: InteractionId,
    limits: Limits,
    phones: [Phone; 2],
    media: [MediaLeg; 2],
    /// The dialog of each party; the callee's from its answer on, and none of a party that left to somebody who has not
    /// answered yet.
    at: [Option<Leg>; 2],
    /// Who is the agent of the two.
    agent: Side,
    /// For whom the media server's leg of the agent was opened: another side when the roles have changed since.
    opened_agent: Side,
    contacts: u8,
    recorder: Recorder,
    /// The desktop that asked its phone to answer.
    answering: Option<u64>,
    phase: Phase,
    watch: watch::Watch,
    /// A party that leaves to somebody else.
    transfer: Option<Box<transfer::Transfer>>,
    /// Answers that each phone still owes to what it was asked on behalf of a party that has left: they say nothing.
    stale: [u8; 2],
    /// Who has left that way: until when their own BYE is waited for.
    leaving: BTreeMap<Leg, Instant>,
    /// Dialogs that we opened or were opened to us, and that nobody has ended yet.
    open: BTreeSet<Leg>,
    rng: StdRng,
    out: VecDeque<Action>,
    /// The SIP server was lost in it, and the parties are still to be found.
    lost: Option<restore::Lost>,
    /// After that: until when a media server may be missing.
    media_back_by: Option<Instant>,
    /// Something changed that may have to be kept.
    touched: bool,
}

/// Where the call stands; each with what only it needs.
enum Phase {
    Reserving(setup::Reserving),
    Ringing(setup::Ringing),
    Joining(setup::Joining),
    Offering(setup::Offering),
    Completing(setup::Completing),
    Arming(setup::Arming),
    Established(modify::Established),
    Over,
}

impl Call {
    /// A call that was let in: announces it and reserves the media server. `contacts`: where the callee is registered, at least one.
    pub fn offered(
        interaction: InteractionId,
        [caller, callee]: [Participant; 2],
        contacts: u8,
        offer: Option<Description>,
        limits: Limits,
        seed: u64,
        now: Now,
    ) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut writer = || Writer::new(u64::from(rng.random::<u32>()));
        let media = [(); 2].map(|()| MediaLeg { writer: writer(), audio: None });
        let mut phone = |who| Phone {
            who,
            shape: Shape::default(),
            writer: writer(),
            accepted: None,
            sent: None,
            holds: false,
            held_by_desktop: false,
        };
        let phones = [phone(caller), phone(callee)];
        let mut call = Self {
            interaction,
            limits,
            phones,
            media,
            at: [Some(Leg::Caller), None],
            agent: Side::Callee,
            opened_agent: Side::Callee,
            contacts,
            recorder: Recorder::default(),
            answering: None,
            phase: Phase::Over,
            watch: watch::Watch::default(),
            transfer: None,
            stale: [0; 2],
            leaving: BTreeMap::new(),
            open: BTreeSet::from([Leg::Caller]),
            rng,
            out: VecDeque::new(),
            lost: None,
            media_back_by: None,
            touched: false,
        };
        call.agent = call.agent_by_policy();
        call.opened_agent = call.agent;
        call.reserve(offer, now);
        call
    }

    /// Whose.
    pub fn interaction(&self) -> InteractionId {
        self.interaction
    }

    /// The events of a call that reaches nobody (unknown number, nobody registered).
    pub fn offered_event([caller, callee]: [&Participant; 2]) -> What {
        let both = [caller, callee];
        let those = |wanted: fn(&Participant) -> bool| {
            both.iter().filter(|who| wanted(who)).map(|who| who.number.clone()).collect()
        };
        What::CallOffered {
            caller: caller.number.clone(),
            dialled: callee.number.clone(),
            record_voice: those(|who| who.record_voice),
            record_screen: those(|who| who.record_screen),
        }
    }

    /// Whether nothing more will come of it but what is still to be polled.
    pub fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Over)
    }

    /// The next thing to do.
    pub fn poll(&mut self) -> Option<Action> {
        self.out.pop_front()
    }

    /// The role in which the media server must see a party.
    pub fn role(&self, side: Side) -> Party {
        if side == self.agent { Party::Agent } else { Party::Customer }
    }

    /// The DN is the agent. Of two, the recorded one; both or neither recorded: the called one.
    fn agent_by_policy(&self) -> Side {
        match (self.is_dn(Side::Caller), self.is_dn(Side::Callee)) {
            (true, false) => return Side::Caller,
            (false, true) => return Side::Callee,
            (true, true) | (false, false) => {}
        }
        let recorded = |side: Side| self.phones[side as usize].who.record_voice;
        match (recorded(Side::Caller), recorded(Side::Callee)) {
            (true, false) => Side::Caller,
            (true, true) | (false, _) => Side::Callee,
        }
    }

    fn is_dn(&self, side: Side) -> bool {
        self.phones[side as usize].who.is_dn
    }

    fn wants_full_time(&self) -> bool {
        self.phones.iter().any(|phone| phone.who.record_voice)
    }

    /// Feeds one input.
    pub fn handle(&mut self, input: Input, now: Now) {
        match input {
            Input::Ringing { leg, talk } => self.on_ringing(leg, talk),
            Input::Talked { leg, status } => self.on_talked(leg, status),
            Input::Answered { leg, body } => self.on_answered(leg, &body, now),
            Input::Refused { leg, status } => self.on_refused(leg, status, now),
            Input::Offered { leg, body } => self.on_offered(leg, body.as_deref()),
            Input::Acknowledged { leg, body } => self.on_acknowledged(leg, body.as_deref(), now),
            Input::Unacknowledged { leg } => {
                tracing::debug!(?leg, "2xx never acknowledged");
                self.finish(EndCause::Failed, None, STATUS_INTERNAL);
            }
            Input::Gone { leg, bye } => self.on_gone(leg, bye, now),
            Input::Cancelled => self.finish(EndCause::Cancelled, Some(Side::Caller), STATUS_TERMINATED),
            Input::Ordered { serial, outcome } => self.on_ordered(serial, outcome, now),
            Input::Probed { leg, status } => self.on_probed(leg, status, now),
            Input::ProbeUnanswered { leg } => self.on_probe_unanswered(leg, now),
            Input::Control { request, control } => self.on_control(request, control, now),
            Input::CallControl { request, control } => self.on_call_control(request, &control),
            Input::RecordingBroke { leg, reason } => self.on_recording_broke(leg, reason, now),
            Input::Transfer { asked, to } => self.on_transfer(asked, to, now),
            Input::Shutdown => self.finish(EndCause::Failed, None, STATUS_UNAVAILABLE),
        }
        self.advance_transfer(now);
    }

    /// When [`Call::on_time`] wants to be called.
    pub fn deadline(&self) -> Option<Instant> {
        let phase = match &self.phase {
            Phase::Reserving(state) => Some(state.until),
            Phase::Ringing(state) => Some(state.until),
            Phase::Joining(state) => Some(state.until),
            Phase::Offering(_) => None, // the transaction layer says Unacknowledged
            Phase::Completing(state) => Some(state.until),
            Phase::Arming(state) => Some(state.until),
            Phase::Established(state) => state.deadline(),
            Phase::Over => return None,
        };
        let transfer = self.transfer.as_ref().and_then(|transfer| transfer.deadline());
        let leaving = self.leaving.values().copied().min();
        let others = [self.watch.deadline(), self.recorder.deadline(), transfer, leaving];
        others.into_iter().chain([phase]).flatten().min()
    }

    /// Timers.
    pub fn on_time(&mut self, now: Now) {
        self.expire_phase(now);
        self.expire_watch(now);
        if self.recorder.expire(now.instant) {
            self.drain_recorder();
        }
        self.expire_transfer(now);
        self.advance_transfer(now);
    }

    fn on_answered(&mut self, leg: Leg, body: &[u8], now: Now) {
        match self.phase {
            Phase::Reserving(_) | Phase::Ringing(_) | Phase::Joining(_) | Phase::Completing(_) => {
                self.answered_in_setup(leg, body, now);
            }
            Phase::Established(_) if !self.is_of_a_party(leg) => self.answered_in_transfer(leg, body, now),
            Phase::Established(_) => self.answered_in_call(leg, body, now),
            Phase::Offering(_) | Phase::Arming(_) => tracing::debug!(?leg, "answer to nothing"),
            // Crossed with our CANCEL (RFC 3261 9.1): a 2xx must be acknowledged, then the dialog ended.
            Phase::Over => {
                self.out.push_back(Action::Acknowledge { leg });
                self.out.push_back(Action::End { leg });
            }
        }
    }

    fn on_refused(&mut self, leg: Leg, status: u16, now: Now) {
        match self.phase {
            Phase::Reserving(_) | Phase::Ringing(_) | Phase::Joining(_) | Phase::Completing(_) => {
                self.refused_in_setup(leg, status, now);
            }
            Phase::Established(_) if !self.is_of_a_party(leg) => self.refused_in_transfer(leg, status, now),
            Phase::Established(_) => self.refused_in_call(leg, status, now),
            Phase::Offering(_) | Phase::Arming(_) | Phase::Over => {
                tracing::debug!(?leg, status, "refusal of nothing");
            }
        }
    }

    fn on_acknowledged(&mut self, leg: Leg, body: Option<&[u8]>, now: Now) {
        match self.phase {
            Phase::Offering(_) => self.acknowledged_offer(leg, body, now),
            Phase::Established(_) => self.acknowledged_in_call(leg, body),
            Phase::Reserving(_)
            | Phase::Ringing(_)
            | Phase::Joining(_)
            | Phase::Completing(_)
            | Phase::Arming(_)
            | Phase::Over => {}
        }
    }

    fn on_gone(&mut self, leg: Leg, bye: bool, now: Now) {
        if matches!(self.phase, Phase::Over) {
            self.open.remove(&leg);
            return;
        }
        self.open.remove(&leg);
        match (leg, self.side_of(leg)) {
            (Leg::Media(_), _) => self.lose_media_server(now),
            (Leg::Caller | Leg::Callee(_), None) => self.gone_in_transfer(leg),
            (Leg::Caller | Leg::Callee(_), Some(side)) if self.is_leaving(side) => self.leave_early(side),
            (Leg::Caller | Leg::Callee(_), Some(side)) => {
                let (cause, by) = if bye { (EndCause::HungUp, Some(side)) } else { (EndCause::Failed, None) };
                self.finish(cause, by, STATUS_INTERNAL);
            }
        }
    }

    fn emit(&mut self, what: What) {
        self.out.push_back(Action::Emit(what));
    }

    /// The number of a party.
    pub fn number(&self, side: Side) -> String {
        self.phones[side as usize].who.number.clone()
    }

    /// The dialog of a party.
    pub fn leg_of(&self, side: Side) -> Option<Leg> {
        self.phone_leg(side)
    }

    /// Whose dialog this is.
    pub fn side_at_leg(&self, leg: Leg) -> Option<Side> {
        self.side_of(leg)
    }

    /// Whether the parties speak.
    pub fn is_established(&self) -> bool {
        matches!(self.phase, Phase::Established(_))
    }

    fn phone_leg(&self, side: Side) -> Option<Leg> {
        self.at[side as usize]
    }

    fn side_of(&self, leg: Leg) -> Option<Side> {
        Side::BOTH.into_iter().find(|side| self.phone_leg(*side) == Some(leg))
    }

    fn is_of_a_party(&self, leg: Leg) -> bool {
        matches!(leg, Leg::Media(_)) || self.side_of(leg).is_some()
    }

    /// What a phone is told of the other: the media server's address for it, in these formats and direction.
    fn describe_to_phone(&mut self, side: Side, audio: Audio) -> Vec<u8> {
        let phone = &mut self.phones[side as usize];
        phone.sent = Some(audio.clone());
        phone.writer.write(&audio, &phone.shape)
    }

    /// The media server's address for a phone, protected as the other phone protects what will come from there: SRTP goes
    /// through untouched.
    fn toward(&self, side: Side) -> Option<Audio> {
        let audio = self.media[side as usize].audio.clone()?;
        Some(match &self.phones[side.other() as usize].accepted {
            Some(other) => audio.on_behalf_of(other),
            None => audio,
        })
    }

    fn describe_to_media(&mut self, side: Side, audio: &Audio) -> Vec<u8> {
        self.media[side as usize].writer.write(audio, &Shape::default())
    }

    fn parties(&self) -> Vec<CallParty> {
        let party = |side: Side| CallParty {
            number: self.number(side),
            role: self.role(side),
            is_dn: self.phones[side as usize].who.is_dn,
        };
        Side::BOTH.map(party).into()
    }
}

const STATUS_TIMEOUT: u16 = 408;
const STATUS_TERMINATED: u16 = 487;
const STATUS_INTERNAL: u16 = 500;
const STATUS_UNAVAILABLE: u16 = 503;
const STATUS_NOT_ACCEPTABLE: u16 = 488;

/// Whether this status of a request in a dialog says that the dialog is no more (RFC 3261 12.2.1.2, RFC 5057), or that the
/// proxy on the way has no living server for it.
fn says_lost(status: u16) -> bool {
    matches!(status, 404 | 408 | 410 | 481 | 503)
}

/// The formats of a call, once agreed.
type Formats = Vec<Format>;
