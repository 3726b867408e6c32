//! A party leaves the call to somebody else (RFC 5589), asked for by REFER or by its desktop.
//!
//! ```text
//! Ringing     INVITE every contact of who is to join, with the media address of who leaves; the call goes on meanwhile
//! Asking      of a phone from another call (attended): re-INVITE with that address
//! Answered    waits until nothing else of the call is under way
//! Cutting     the recording ends, confirmed: no file holds the voices of three, and who left is not heard any more
//! ```
//! Then who joins takes the place of who leaves ([`Call::join`]): its media leg is told the new phone's address, a
//! recording begins as policy says, and the party that stays is asked by re-INVITE with what the new phone described;
//! `moving` sees to the answers. Whatever fails before leaves the call as it was. Who leaves may hang up at any moment
//! before: the one that stays then waits alone, and the call ends should nobody join.

mod join;
mod target;

use super::{
    Action, Audio, Call, Description, EndCause, Leg, Now, Participant, Phase, Phone, STATUS_INTERNAL,
    STATUS_NOT_ACCEPTABLE, STATUS_TERMINATED, Side, What,
};
use hindsight_sip::sdp::{Agreed, Direction, Format, Shape, Writer};
use hindsight_wire::InteractionId;
use rand::Rng;
use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

pub use target::{Asked, Consulted, Target};

/// For who left to hang up by itself, once it knows that the transfer succeeded.
const LEAVES_WITHIN: Duration = Duration::from_secs(2);
/// After a phone was busy with a request of its own.
const ASK_AGAIN: Duration = Duration::from_secs(1);
const STATUS_TRYING: u16 = 100;
const STATUS_RINGING: u16 = 180;
const STATUS_OK: u16 = 200;
const STATUS_NO_ANSWER: u16 = 480;
const STATUS_PENDING: u16 = 491;

/// A transfer under way.
pub(super) struct Transfer {
    asked: Asked,
    by: Side,
    /// Who joins.
    phone: Phone,
    consultation: Option<InteractionId>,
    rung: bool,
    /// Policy had begun what was recorded until now.
    recorded_by_policy: bool,
    stage: Stage,
}

enum Stage {
    Ringing { until: Instant, waiting: BTreeSet<u8>, best: Option<u16> },
    Asking { leg: Leg, until: Instant, again: Option<Instant> },
    Answered { leg: Leg, until: Instant },
    Cutting { leg: Leg },
}

impl Transfer {
    pub(super) fn deadline(&self) -> Option<Instant> {
        match &self.stage {
            Stage::Ringing { until, .. } | Stage::Answered { until, .. } => Some(*until),
            Stage::Asking { until, again, .. } => Some(again.map_or(*until, |again| again.min(*until))),
            // The recorder gives up in time.
            Stage::Cutting { .. } => None,
        }
    }

    /// The dialogs of who is to join.
    fn legs(&self) -> Vec<Leg> {
        match &self.stage {
            Stage::Ringing { waiting, .. } => waiting.iter().copied().map(Leg::Callee).collect(),
            Stage::Asking { leg, .. } | Stage::Answered { leg, .. } | Stage::Cutting { leg } => vec![*leg],
        }
    }
}

impl Call {
    /// The party in whose dialog a transfer may be asked for now, or the status that refuses it.
    pub fn may_transfer(&self, leg: Leg) -> Result<Side, u16> {
        let side = self.side_of(leg).ok_or(STATUS_PENDING)?;
        let established = matches!(self.phase, Phase::Established(_)) && !self.may_be_over();
        if !established || self.transfer.is_some() || self.phone_leg(side.other()).is_none() {
            return Err(STATUS_PENDING);
        }
        // Keys that are not known cannot be told to anybody.
        if self.lacks_keys() { Err(STATUS_NO_ANSWER) } else { Ok(side) }
    }

    /// The number of a party, where this is its dialog.
    pub fn number_at(&self, leg: Leg) -> Option<String> {
        Some(self.number(self.side_of(leg)?))
    }

    /// From whom and to whom a fork is called, and who had it called.
    pub fn addressed(&self, fork: u8) -> (String, String, Option<String>) {
        match &self.transfer {
            Some(transfer) if transfer.legs().contains(&Leg::Callee(fork)) => {
                let (by, to) = (self.number(transfer.by), transfer.phone.who.number.clone());
                (self.number(transfer.by.other()), to, Some(by))
            }
            Some(_) | None => (self.number(Side::Caller), self.number(Side::Callee), None),
        }
    }

    pub(super) fn on_transfer(&mut self, asked: Asked, to: Target, now: Now) {
        let by = match asked {
            Asked::Refer { leg, .. } => self.may_transfer(leg).ok(),
            Asked::Desktop { by, .. } => self.phone_leg(by).and_then(|leg| self.may_transfer(leg).ok()),
        };
        let consulted = match &to {
            Target::Consulted { leg, .. } => Some(*leg),
            Target::Called { .. } | Target::Nobody { .. } => None,
        };
        self.open.extend(consulted);
        let Some(by) = by else {
            if let Asked::Desktop { request, .. } = asked {
                self.answer_command(request, Some("the call cannot be transferred now"));
            }
            return self.end_legs(consulted);
        };
        tracing::info!(interaction = %self.interaction, ?to, "transfer");
        let (phone, consultation, stage, failed) = self.transfer_to(to, now);
        let (rung, recorded_by_policy) = (false, false);
        let transfer = Transfer { asked, by, phone, consultation, rung, recorded_by_policy, stage };
        self.transfer = Some(Box::new(transfer));
        self.tell_transfer(STATUS_TRYING);
        match failed {
            Some(status) => self.transfer_failed(status),
            None => self.offer_to_joining(),
        }
    }

    fn transfer_to(&mut self, to: Target, now: Now) -> (Phone, Option<InteractionId>, Stage, Option<u16>) {
        let nobody = Stage::Ringing { until: now.instant, waiting: BTreeSet::new(), best: None };
        match to {
            Target::Called { who, forks } => {
                let until = now.instant + self.limits.ring;
                let stage = Stage::Ringing { until, waiting: forks.collect(), best: None };
                (self.new_phone(who), None, stage, None)
            }
            Target::Consulted { phone, leg } => {
                let stage = Stage::Asking { leg, until: now.instant + self.limits.setup, again: None };
                let Consulted { phone, from } = *phone;
                (phone, Some(from), stage, None)
            }
            Target::Nobody { number, status } => {
                let who = Participant { number, is_dn: false, record_voice: false, record_screen: false };
                (self.new_phone(who), None, nobody, Some(status))
            }
        }
    }

    fn new_phone(&mut self, who: Participant) -> Phone {
        Phone {
            who,
            shape: Shape::default(),
            writer: Writer::new(u64::from(self.rng.random::<u32>())),
            accepted: None,
            sent: None,
            holds: false,
            held_by_desktop: false,
        }
    }

    /// The voices that the party that stays knows, what is in use first: who joins may speak any of them.
    fn formats_of_staying(&self, by: Side) -> Vec<Format> {
        let mut formats = self.current_formats();
        let known = self.phones[by.other() as usize].accepted.iter().flat_map(|audio| audio.formats.clone());
        for format in known {
            if formats.iter().all(|other| other.payload_type != format.payload_type) {
                formats.push(format);
            }
        }
        formats
    }

    /// The offer for who joins: the media address of who leaves, on behalf of who stays.
    fn offer_to_joining(&mut self) {
        let Some(mut transfer) = self.transfer.take() else { return };
        let staying = &self.phones[transfer.by.other() as usize];
        let direction = if staying.holds { Direction::SendOnly } else { Direction::SendRecv };
        let offer = self
            .toward(transfer.by)
            .map(|audio| audio.with_formats(self.formats_of_staying(transfer.by)).with_direction(direction));
        let Some(offer) = offer else {
            self.transfer = Some(transfer);
            return self.transfer_failed(STATUS_INTERNAL);
        };
        let body = transfer.phone.writer.write(&offer, &transfer.phone.shape);
        transfer.phone.sent = Some(offer);
        match &mut transfer.stage {
            Stage::Asking { leg, again, .. } => {
                *again = None;
                self.out.push_back(Action::Reinvite { leg: *leg, offer: body });
            }
            Stage::Ringing { .. } | Stage::Answered { .. } | Stage::Cutting { .. } => {
                // `addressed` needs to know the transfer when these are carried out.
                for leg in transfer.legs() {
                    self.open.insert(leg);
                    self.out.push_back(Action::Invite { leg, offer: body.clone() });
                }
            }
        }
        self.transfer = Some(transfer);
    }

    pub(super) fn ringing_in_transfer(&mut self, leg: Leg, talk: bool) {
        let Some(transfer) = &mut self.transfer else { return };
        if !transfer.legs().contains(&leg) || std::mem::replace(&mut transfer.rung, true) {
            return;
        }
        let dn = transfer.phone.who.number.clone();
        self.tell_transfer(STATUS_RINGING);
        tracing::debug!(talk, "who is to join rings");
        self.emit(What::CallRinging { dn, answerable: false });
    }

    /// 2xx in a dialog that is no party's (yet).
    pub(super) fn answered_in_transfer(&mut self, leg: Leg, body: &[u8], now: Now) {
        self.out.push_back(Action::Acknowledge { leg });
        let Some(mut transfer) = self.transfer.take_if(|transfer| transfer.legs().contains(&leg)) else {
            // It crossed with our CANCEL, or its party has left.
            if !self.leaving.contains_key(&leg) {
                self.out.push_back(Action::End { leg });
            }
            return;
        };
        let answer = Description::parse(body).ok();
        if let Stage::Ringing { waiting, .. } = &mut transfer.stage {
            waiting.retain(|fork| Leg::Callee(*fork) != leg);
            let others: Vec<Leg> = waiting.iter().copied().map(Leg::Callee).collect();
            self.end_legs(others);
        }
        transfer.stage = Stage::Answered { leg, until: now.instant + self.limits.setup };
        let agreed = answer.and_then(|answer| {
            let agreed = self.agreed_by_joining(&transfer, &answer.audio)?;
            Some((answer, agreed))
        });
        if let Some((answer, agreed)) = &agreed {
            transfer.phone.shape.follow(answer);
            transfer.phone.accepted = Some(answer.audio.with_keys(agreed.answerer.clone()));
        }
        self.transfer = Some(transfer);
        if agreed.is_none() {
            self.transfer_failed(STATUS_NOT_ACCEPTABLE);
        }
    }

    /// What the one that stays knows may have changed since the offer.
    fn agreed_by_joining(&self, transfer: &Transfer, answer: &Audio) -> Option<Agreed> {
        transfer.phone.sent.as_ref()?.agreed(&self.formats_of_staying(transfer.by), answer)
    }

    pub(super) fn refused_in_transfer(&mut self, leg: Leg, status: u16, now: Now) {
        let Some(transfer) = &mut self.transfer else {
            self.open.remove(&leg);
            return;
        };
        let failed = match &mut transfer.stage {
            Stage::Ringing { waiting, best, .. } => {
                let Leg::Callee(fork) = leg else { return };
                self.open.remove(&leg);
                if !waiting.remove(&fork) {
                    return;
                }
                let said = best.map_or(status, |best| super::setup::better_refusal(best, status));
                *best = Some(said);
                (waiting.is_empty() || status >= 600).then_some(said)
            }
            Stage::Asking { leg: asked, again, .. } if *asked == leg => match status {
                STATUS_PENDING | STATUS_INTERNAL => {
                    *again = Some(now.instant + ASK_AGAIN);
                    None
                }
                408 | 481 => Some(STATUS_NO_ANSWER),
                other => Some(other),
            },
            Stage::Asking { .. } | Stage::Answered { .. } | Stage::Cutting { .. } => None,
        };
        if let Some(status) = failed {
            self.transfer_failed(status);
        }
    }

    /// A dialog that is no party's has ended.
    pub(super) fn gone_in_transfer(&mut self, leg: Leg) {
        self.touched |= self.leaving.remove(&leg).is_some();
        if self.transfer.as_ref().is_some_and(|transfer| transfer.legs().contains(&leg)) {
            self.transfer_failed(STATUS_TERMINATED);
        }
    }

    /// Whether this party waits for somebody else to take its place.
    pub(super) fn is_leaving(&self, side: Side) -> bool {
        self.transfer.as_ref().is_some_and(|transfer| transfer.by == side)
    }

    /// Who leaves has hung up without waiting for who joins.
    pub(super) fn leave_early(&mut self, side: Side) {
        self.touched = true;
        self.at[side as usize] = None;
        self.give_up_asking(side);
    }

    pub(super) fn expire_transfer(&mut self, now: Now) {
        let left: Vec<Leg> =
            self.leaving.iter().filter(|(_, at)| **at <= now.instant).map(|(leg, _)| *leg).collect();
        for leg in left {
            self.touched |= self.leaving.remove(&leg).is_some();
            self.end_legs([leg]);
        }
        let Some(transfer) = &self.transfer else { return };
        if transfer.deadline().is_none_or(|at| at > now.instant) {
            return;
        }
        match &transfer.stage {
            Stage::Asking { again: Some(again), until, .. }
                if *again <= now.instant && *until > now.instant =>
            {
                self.offer_to_joining();
            }
            Stage::Ringing { best, .. } => {
                let status = best.unwrap_or(STATUS_NO_ANSWER);
                self.transfer_failed(status);
            }
            Stage::Asking { .. } | Stage::Answered { .. } | Stage::Cutting { .. } => {
                self.transfer_failed(STATUS_NO_ANSWER);
            }
        }
    }

    /// The parties are who they were; where who left has gone already, there is no call any more.
    fn transfer_failed(&mut self, status: u16) {
        self.tell_transfer(status);
        let Some(transfer) = self.transfer.take() else { return };
        self.touched = true;
        self.end_legs(transfer.legs());
        if let Asked::Desktop { request, .. } = transfer.asked {
            self.answer_command(request, Some(&format!("the transfer failed: {}", meaning(status))));
        }
        let (by, to) = (self.number(transfer.by), transfer.phone.who.number.clone());
        self.emit(What::TransferFailed { by, to, status });
        if self.phone_leg(transfer.by).is_none() {
            let cause = match status {
                404 | 410 | 604 => EndCause::NotFound,
                408 | 480 | 487 => EndCause::NoAnswer,
                486 | 600 => EndCause::Busy,
                603 => EndCause::Refused,
                _ => EndCause::Failed,
            };
            self.finish(cause, None, STATUS_INTERNAL);
        }
    }

    /// The call is over: so is its transfer. Its dialogs are ended with all others.
    pub(super) fn end_transfer(&mut self) {
        self.tell_transfer(STATUS_TERMINATED);
        let Some(transfer) = self.transfer.take() else { return };
        if let Asked::Desktop { request, .. } = transfer.asked {
            self.answer_command(request, Some(super::control::ENDED));
        }
        let (by, to) = (self.number(transfer.by), transfer.phone.who.number.clone());
        self.emit(What::TransferFailed { by, to, status: STATUS_TERMINATED });
    }

    fn tell_transfer(&mut self, status: u16) {
        let Some(transfer) = &self.transfer else { return };
        let Asked::Refer { leg, notify: true } = transfer.asked else { return };
        if self.phone_leg(transfer.by) == Some(leg) && self.open.contains(&leg) {
            self.out.push_back(Action::Notify { leg, status });
        }
    }

    pub(super) fn end_legs(&mut self, legs: impl IntoIterator<Item = Leg>) {
        for leg in legs {
            if self.open.remove(&leg) {
                self.out.push_back(Action::End { leg });
            }
        }
    }
}

/// Why a transfer failed, for people.
fn meaning(status: u16) -> String {
    match status {
        404 | 410 | 604 => "there is no such number".to_owned(),
        408 | 480 => "nobody answered".to_owned(),
        486 | 600 => "the line is busy".to_owned(),
        487 => "it was given up".to_owned(),
        603 => "the call was declined".to_owned(),
        other => format!("SIP status {other}"),
    }
}
