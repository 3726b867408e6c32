//! From the INVITE to the answer.

use super::{
    Action, Audio, Call, Description, EndCause, Formats, Leg, Now, Phase, STATUS_INTERNAL,
    STATUS_NOT_ACCEPTABLE, STATUS_UNAVAILABLE, Side, What, modify::Established, says_lost,
};
use hindsight_sip::sdp::{Agreed, Direction, Format};
use std::{collections::BTreeSet, time::Instant};

const STATUS_NO_ANSWER: u16 = 480;

/// The callee's media leg is invited.
pub(super) struct Reserving {
    pub(super) until: Instant,
    offer: Option<Description>,
}

/// The callee's contacts are invited.
pub(super) struct Ringing {
    pub(super) until: Instant,
    offer: Option<Description>,
    /// What the contacts are offered.
    formats: Formats,
    waiting: BTreeSet<u8>,
    /// The refusal that says most so far (RFC 3261 16.7 step 6).
    best: Option<u16>,
    rung: bool,
    /// Contacts that can be told to answer.
    pub(super) talk: BTreeSet<u8>,
}

/// The callee answered; both media legs are on their way.
pub(super) struct Joining {
    pub(super) until: Instant,
    offer: Option<Description>,
    formats: Formats,
    awaiting: BTreeSet<Side>,
}

/// The caller has our offer and owes the answer in its ACK.
pub(super) struct Offering {
    formats: Formats,
}

/// The caller's media leg learns that answer.
pub(super) struct Completing {
    pub(super) until: Instant,
    caller: Description,
    formats: Formats,
}

/// The media server is asked to record before the parties are connected.
pub(super) struct Arming {
    pub(super) until: Instant,
    /// Whether the caller has its 200 (it made no offer).
    pub(super) accepted: bool,
    caller: Description,
    formats: Formats,
}

impl Call {
    pub(super) fn reserve(&mut self, offer: Option<Description>, now: Now) {
        let [caller, callee] = &self.phones;
        let offered = Call::offered_event([&caller.who, &callee.who]);
        self.emit(offered);
        let formats = match &offer {
            Some(offer) => offer.audio.formats.clone(),
            None => Format::everything(),
        };
        if let Some(offer) = &offer {
            self.phones[Side::Caller as usize].shape.follow(offer);
        }
        self.invite_media(Side::Callee, &Audio::placeholder(formats));
        self.phase = Phase::Reserving(Reserving { until: now.instant + self.limits.setup, offer });
    }

    pub(super) fn invite_media(&mut self, side: Side, audio: &Audio) {
        let (leg, offer) = (Leg::Media(side), self.describe_to_media(side, audio));
        self.open.insert(leg);
        self.out.push_back(Action::Invite { leg, offer });
    }

    /// The first contact that rings is told to the caller; so is, to the log, the first that can be told to answer.
    pub(super) fn on_ringing(&mut self, leg: Leg, talk: bool) {
        let (Phase::Ringing(state), Leg::Callee(fork)) = (&mut self.phase, leg) else {
            return self.ringing_in_transfer(leg, talk);
        };
        let first = !std::mem::replace(&mut state.rung, true);
        let answerable = talk && state.talk.is_empty();
        if talk {
            state.talk.insert(fork);
        }
        if first {
            self.out.push_back(Action::Ring);
        }
        if first || answerable {
            let dn = self.number(Side::Callee);
            self.emit(What::CallRinging { dn, answerable });
        }
    }

    pub(super) fn answered_in_setup(&mut self, leg: Leg, body: &[u8], now: Now) {
        match std::mem::replace(&mut self.phase, Phase::Over) {
            Phase::Reserving(state) if leg == Leg::Media(Side::Callee) => self.reserved(state, body, now),
            Phase::Ringing(state) => match leg {
                Leg::Callee(fork) if state.waiting.contains(&fork) => {
                    self.callee_answered(state, fork, body, now)
                }
                Leg::Callee(_) | Leg::Caller | Leg::Media(_) => self.stray(leg, Phase::Ringing(state)),
            },
            Phase::Joining(state) => match leg {
                Leg::Media(side) if state.awaiting.contains(&side) => {
                    self.media_joined(state, side, body, now)
                }
                Leg::Media(_) | Leg::Caller | Leg::Callee(_) => self.stray(leg, Phase::Joining(state)),
            },
            Phase::Completing(state) if leg == Leg::Media(Side::Caller) => {
                self.phase = Phase::Completing(state);
                if let Some(Phase::Completing(state)) = self.take_media_answer(Side::Caller, body) {
                    self.arm(state.caller, state.formats, true, now);
                }
            }
            other => self.stray(leg, other),
        }
    }

    /// A 2xx that this phase does not wait for: acknowledged, and ended unless it is a leg of the call.
    fn stray(&mut self, leg: Leg, phase: Phase) {
        self.phase = phase;
        self.out.push_back(Action::Acknowledge { leg });
        if matches!(leg, Leg::Callee(_)) && self.side_of(leg).is_none() {
            self.out.push_back(Action::End { leg });
        }
    }

    /// Acknowledges a media leg's answer and notes its address. Gives the phase to go on from; `None`: the call is over.
    fn take_media_answer(&mut self, side: Side, body: &[u8]) -> Option<Phase> {
        self.out.push_back(Action::Acknowledge { leg: Leg::Media(side) });
        match Description::parse(body) {
            Ok(description) => {
                self.media[side as usize].audio = Some(description.audio);
                Some(std::mem::replace(&mut self.phase, Phase::Over))
            }
            Err(error) => {
                tracing::debug!(%error, "media server's answer");
                self.finish(EndCause::Failed, None, STATUS_NOT_ACCEPTABLE);
                None
            }
        }
    }

    fn reserved(&mut self, state: Reserving, body: &[u8], now: Now) {
        self.phase = Phase::Reserving(state);
        let Some(Phase::Reserving(Reserving { offer, .. })) = self.take_media_answer(Side::Callee, body)
        else {
            return;
        };
        self.watch_media(now);
        // Reading the answer proved that there is a voice codec in it.
        let Some(audio) = self.media[Side::Callee as usize].audio.clone() else { return };
        let formats = audio.formats.clone();
        let audio = match &offer {
            Some(offer) => audio.on_behalf_of(&offer.audio),
            None => audio,
        };
        let body = self.describe_to_phone(Side::Callee, audio.with_direction(Direction::SendRecv));
        let waiting: BTreeSet<u8> = (0..self.contacts).collect();
        for fork in &waiting {
            self.open.insert(Leg::Callee(*fork));
            self.out.push_back(Action::Invite { leg: Leg::Callee(*fork), offer: body.clone() });
        }
        let until = now.instant + self.limits.ring;
        let talk = BTreeSet::new();
        self.phase =
            Phase::Ringing(Ringing { until, offer, formats, waiting, best: None, rung: false, talk });
    }

    fn callee_answered(&mut self, state: Ringing, fork: u8, body: &[u8], now: Now) {
        self.at[Side::Callee as usize] = Some(Leg::Callee(fork));
        for other in state.waiting.iter().copied().filter(|other| *other != fork) {
            self.open.remove(&Leg::Callee(other));
            self.out.push_back(Action::End { leg: Leg::Callee(other) });
        }
        let answer = Description::parse(body).ok();
        let asked = self.phones[Side::Callee as usize].sent.as_ref();
        let agreed = asked.zip(answer.as_ref()).and_then(|(asked, a)| asked.agreed(&state.formats, &a.audio));
        let (Some(mut answer), Some(agreed)) = (answer, agreed) else {
            self.out.push_back(Action::Acknowledge { leg: Leg::Callee(fork) });
            self.phase = Phase::Ringing(state);
            return self.finish(EndCause::Failed, None, STATUS_NOT_ACCEPTABLE);
        };
        let Agreed { formats, offerer, answerer } = agreed;
        answer.audio.keys = answerer;
        let mut offer = state.offer;
        if let Some(offer) = &mut offer {
            offer.audio.keys = offerer;
        }
        self.phones[Side::Callee as usize].shape.follow(&answer);
        self.phones[Side::Callee as usize].accepted = Some(answer.audio.clone());
        let callee = answer.audio.with_formats(formats.clone());
        let offer_to_media = self.describe_to_media(Side::Callee, &callee);
        self.out.push_back(Action::Reinvite { leg: Leg::Media(Side::Callee), offer: offer_to_media });
        let caller = match &offer {
            Some(offer) => {
                let flow = offer.audio.direction.answer(callee.direction).flipped();
                offer.audio.with_formats(formats.clone()).with_direction(flow)
            }
            None => Audio::placeholder(formats.clone()),
        };
        self.invite_media(Side::Caller, &caller);
        let until = now.instant + self.limits.setup;
        self.phase = Phase::Joining(Joining { until, offer, formats, awaiting: Side::BOTH.into() });
    }

    fn media_joined(&mut self, state: Joining, side: Side, body: &[u8], now: Now) {
        self.phase = Phase::Joining(state);
        let Some(Phase::Joining(mut state)) = self.take_media_answer(side, body) else { return };
        state.awaiting.remove(&side);
        if !state.awaiting.is_empty() {
            self.phase = Phase::Joining(state);
            return;
        }
        match state.offer {
            Some(caller) => self.arm(caller, state.formats, false, now),
            None => self.offer_to_caller(state.formats),
        }
    }

    fn offer_to_caller(&mut self, formats: Formats) {
        let Some(audio) = self.toward(Side::Caller) else { return };
        let offer = audio.with_formats(formats.clone()).with_direction(Direction::SendRecv);
        let body = self.describe_to_phone(Side::Caller, offer);
        self.out.push_back(Action::Accept { leg: Leg::Caller, body });
        self.acknowledge_callee();
        self.phase = Phase::Offering(Offering { formats });
    }

    fn acknowledge_callee(&mut self) {
        if let Some(leg) = self.phone_leg(Side::Callee) {
            self.out.push_back(Action::Acknowledge { leg });
        }
    }

    pub(super) fn acknowledged_offer(&mut self, leg: Leg, body: Option<&[u8]>, now: Now) {
        let Phase::Offering(Offering { formats }) = &self.phase else { return };
        if leg != Leg::Caller {
            return;
        }
        let caller = body.and_then(|body| Description::parse(body).ok());
        let asked = self.phones[Side::Caller as usize].sent.as_ref();
        let agreed = asked.zip(caller.as_ref()).and_then(|(asked, c)| asked.agreed(formats, &c.audio));
        let (Some(caller), Some(Agreed { formats, .. })) = (caller, agreed) else {
            return self.finish(EndCause::Failed, None, STATUS_NOT_ACCEPTABLE);
        };
        self.phones[Side::Caller as usize].shape.follow(&caller);
        let offer = self.describe_to_media(Side::Caller, &caller.audio.with_formats(formats.clone()));
        self.out.push_back(Action::Reinvite { leg: Leg::Media(Side::Caller), offer });
        self.phase =
            Phase::Completing(Completing { until: now.instant + self.limits.setup, caller, formats });
    }

    fn arm(&mut self, caller: Description, formats: Formats, accepted: bool, now: Now) {
        let full_time = self.wants_full_time();
        let until = now.instant + if full_time { self.limits.arm } else { std::time::Duration::ZERO };
        self.phase = Phase::Arming(Arming { until, accepted, caller, formats });
        if !full_time {
            return self.establish(now);
        }
        let until = now.instant + self.limits.control;
        let order = self.recorder.start_full_time(true, until, now.wall, &mut self.rng);
        self.send_order(order);
    }

    /// Both parties are connected: the end of set-up.
    pub(super) fn establish(&mut self, now: Now) {
        let phase = std::mem::replace(&mut self.phase, Phase::Over);
        let Phase::Arming(Arming { accepted, caller, formats, .. }) = phase else {
            self.phase = phase;
            return;
        };
        if !accepted {
            self.accept_caller(&caller, &formats);
            self.acknowledge_callee();
        }
        for (side, direction) in [
            (Side::Caller, Some(caller.audio.direction)),
            (Side::Callee, self.phones[Side::Callee as usize].accepted.as_ref().map(|audio| audio.direction)),
        ] {
            self.phones[side as usize].holds = direction.is_some_and(Direction::holds);
        }
        self.phones[Side::Caller as usize].accepted = Some(caller.audio);
        self.phase = Phase::Established(Established::new(formats));
        self.touched = true;
        let parties = self.parties();
        self.emit(What::CallEstablished { parties });
        if let Some(request) = self.answering.take() {
            self.answer_command(request, None);
        }
        self.drain_recorder();
        self.watch_phones(now);
    }

    fn accept_caller(&mut self, caller: &Description, formats: &Formats) {
        let Some(audio) = self.toward(Side::Caller) else { return };
        let callee = self.phones[Side::Callee as usize].accepted.as_ref();
        let wish = callee.map_or(Direction::SendRecv, |audio| audio.direction);
        let answer = audio.with_formats(formats.clone()).with_direction(caller.audio.direction.answer(wish));
        let body = self.describe_to_phone(Side::Caller, answer);
        self.out.push_back(Action::Accept { leg: Leg::Caller, body });
    }

    pub(super) fn refused_in_setup(&mut self, leg: Leg, status: u16, now: Now) {
        // A refused re-INVITE leaves its dialog as it was, unless it says that there is none.
        let reinvite = match &self.phase {
            Phase::Joining(_) => leg == Leg::Media(Side::Callee),
            Phase::Completing(_) => true,
            Phase::Reserving(_)
            | Phase::Ringing(_)
            | Phase::Offering(_)
            | Phase::Arming(_)
            | Phase::Established(_)
            | Phase::Over => false,
        };
        if !reinvite {
            self.open.remove(&leg);
        }
        match &mut self.phase {
            Phase::Reserving(_) => {
                if status == STATUS_NOT_ACCEPTABLE {
                    self.finish(EndCause::Failed, None, status);
                } else {
                    self.finish(EndCause::NoMediaServer, None, STATUS_UNAVAILABLE);
                }
            }
            Phase::Ringing(state) => {
                let Leg::Callee(fork) = leg else { return };
                if !state.waiting.remove(&fork) {
                    return;
                }
                let best = state.best.map_or(status, |best| better_refusal(best, status));
                state.best = Some(best);
                if state.waiting.is_empty() || status >= 600 {
                    self.callee_refused(best);
                }
            }
            Phase::Joining(_) | Phase::Completing(_) if says_lost(status) => self.lose_media_server(now),
            Phase::Joining(_) | Phase::Completing(_) => self.finish(EndCause::Failed, None, STATUS_INTERNAL),
            Phase::Offering(_) | Phase::Arming(_) | Phase::Established(_) | Phase::Over => {
                tracing::debug!(?leg, status, at = ?now.instant, "refusal of nothing");
            }
        }
    }

    fn callee_refused(&mut self, status: u16) {
        let (cause, by, status) = match status {
            // Not ours to ask the caller for: the phone and we should trust each other.
            300..=399 | 401 | 407 => (EndCause::Failed, None, STATUS_NO_ANSWER),
            404 | 410 | 604 => (EndCause::NotFound, None, status),
            408 | 480 | 487 => (EndCause::NoAnswer, None, STATUS_NO_ANSWER),
            486 | 600 => (EndCause::Busy, Some(Side::Callee), status),
            603 => (EndCause::Refused, Some(Side::Callee), status),
            // 503 from one phone must not make the caller believe that the site is down (RFC 3261 16.7 step 6).
            503 => (EndCause::Failed, None, STATUS_INTERNAL),
            other => (EndCause::Failed, None, other),
        };
        self.finish(cause, by, status);
    }

    pub(super) fn expire_phase(&mut self, now: Now) {
        match &self.phase {
            Phase::Reserving(state) if state.until <= now.instant => {
                self.finish(EndCause::NoMediaServer, None, STATUS_UNAVAILABLE);
            }
            Phase::Ringing(state) if state.until <= now.instant => {
                self.finish(EndCause::NoAnswer, None, STATUS_NO_ANSWER);
            }
            Phase::Joining(Joining { until, .. }) | Phase::Completing(Completing { until, .. })
                if *until <= now.instant =>
            {
                self.lose_media_server(now);
            }
            Phase::Established(_) => self.expire_moving(now),
            Phase::Arming(state) if state.until <= now.instant => self.establish(now),
            Phase::Reserving(_)
            | Phase::Ringing(_)
            | Phase::Joining(_)
            | Phase::Offering(_)
            | Phase::Completing(_)
            | Phase::Arming(_)
            | Phase::Over => {}
        }
    }
}

/// Which of two refusals tells the caller more: 6xx before all, a decision of a person before a mere absence.
pub(super) fn better_refusal(one: u16, other: u16) -> u16 {
    let rank = |status: u16| match status {
        600.. => 0,
        486 => 1,
        400 | 402..=406 | 409..=479 | 481..=485 | 488..=499 => 2,
        408 | 480 | 487 => 3,
        500..=599 => 4,
        _ => 5,
    };
    if rank(other) < rank(one) { other } else { one }
}
