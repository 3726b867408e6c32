//! Hold and retrieve by a party's desktop (third-party call control, RFC 3725; RFC 3264 8.4): the other phone is asked
//! first, then the party's own, then the media server is told; nothing is reported before all agreed.
//!
//! The other phone is offered `sendonly` (`inactive` where it holds this party itself), the party's own `recvonly`: it
//! goes on sending, for the recording, and expects nothing. The media server passes nothing on to the other phone.

use super::{
    Action, Audio, Call, Description, EndCause, Leg, Now, Phase, STATUS_INTERNAL, STATUS_NOT_ACCEPTABLE,
    Side, What, modify::Change, says_lost,
};
use hindsight_sip::sdp::{Agreed, Direction};
use std::collections::BTreeSet;

/// A hold or retrieve in progress.
pub(super) struct Directing {
    pub(super) request: u64,
    by: Side,
    hold: bool,
    stage: Stage,
    /// The other phone was asked once more: the party's own has taken another key.
    again: bool,
}

enum Stage {
    /// A phone is asked; what it was told before.
    Asking(Side, Option<Audio>),
    /// The media server is told of both.
    Telling(BTreeSet<Side>),
}

impl Directing {
    /// The phone that owes an answer.
    pub(super) fn asked(&self) -> Option<Side> {
        match &self.stage {
            Stage::Asking(phone, _) => Some(*phone),
            Stage::Telling(_) => None,
        }
    }
}

impl Call {
    pub(super) fn hold_by(&mut self, request: u64, by: Side, hold: bool) {
        if let Err(why) = self.may_direct(by, hold) {
            return self.answer_command(request, Some(why));
        }
        let other = by.other();
        let stage = Stage::Asking(other, self.phones[other as usize].sent.clone());
        let directing = Directing { request, by, hold, stage, again: false };
        if self.ask(other, self.direction_for(other, by, hold)) {
            self.set_change(Some(Change::Directing(directing)));
        } else {
            self.ask_own(directing);
        }
    }

    fn may_direct(&self, by: Side, hold: bool) -> Result<(), &'static str> {
        match &self.phase {
            Phase::Established(state) if !state.is_changing() => {}
            Phase::Established(_) => return Err("the call is being changed; try again"),
            Phase::Reserving(_)
            | Phase::Ringing(_)
            | Phase::Joining(_)
            | Phase::Offering(_)
            | Phase::Completing(_)
            | Phase::Arming(_)
            | Phase::Over => return Err("the call is not established"),
        }
        if self.phone_leg(by.other()).is_none() {
            return Err("the other party has left the call");
        }
        let phone = &self.phones[by as usize];
        match (hold, phone.holds, phone.held_by_desktop) {
            (true, true, _) => Err("the call is on hold already"),
            (false, true, false) => Err("the phone put the call on hold; take it back there"),
            (false, false, _) => Err("the call is not on hold"),
            (true, false, _) | (false, true, true) => Ok(()),
        }
    }

    /// What a phone is offered while `by` holds the call, or has taken it back.
    fn direction_for(&self, phone: Side, by: Side, hold: bool) -> Direction {
        let other_holds = self.phones[by.other() as usize].holds;
        if phone == by { Direction::new(!hold, !other_holds) } else { Direction::new(!other_holds, !hold) }
    }

    /// Asks a phone; whether there was anything to ask.
    fn ask(&mut self, phone: Side, direction: Direction) -> bool {
        let formats = self.current_formats();
        let (Some(toward), Some(leg)) = (self.toward(phone), self.phone_leg(phone)) else { return false };
        let offer = toward.with_formats(formats).with_direction(direction);
        if self.phones[phone as usize].sent.as_ref() == Some(&offer) {
            return false;
        }
        let offer = self.describe_to_phone(phone, offer);
        self.out.push_back(Action::Reinvite { leg, offer });
        true
    }

    fn ask_own(&mut self, mut directing: Directing) {
        let Directing { by, hold, .. } = directing;
        directing.stage = Stage::Asking(by, self.phones[by as usize].sent.clone());
        if self.ask(by, self.direction_for(by, by, hold)) {
            self.set_change(Some(Change::Directing(directing)));
        } else {
            self.tell_media(directing);
        }
    }

    /// The party's own phone may have taken another key with its answer (RFC 4568 7.1.4): the other phone is told, once.
    fn tell_key(&mut self, mut directing: Directing) {
        let Directing { by, hold, again, .. } = directing;
        let other = by.other();
        let before = self.phones[other as usize].sent.clone();
        if !again && self.ask(other, self.direction_for(other, by, hold)) {
            directing.again = true;
            directing.stage = Stage::Asking(other, before);
            self.set_change(Some(Change::Directing(directing)));
        } else {
            self.tell_media(directing);
        }
    }

    fn tell_media(&mut self, mut directing: Directing) {
        let Directing { by, hold, .. } = directing;
        let formats = self.current_formats();
        let mut awaiting = BTreeSet::new();
        for side in Side::BOTH {
            let Some(accepted) = self.phones[side as usize].accepted.clone() else { continue };
            let holds = |side: Side| {
                if side == by { hold } else { self.phones[side as usize].held_by_desktop }
            };
            let direction = match (holds(side.other()), holds(side)) {
                (true, _) => Direction::Inactive,
                (false, true) => Direction::new(accepted.direction.sends(), false),
                (false, false) => accepted.direction,
            };
            let audio = accepted.with_formats(formats.clone()).with_direction(direction);
            let offer = self.describe_to_media(side, &audio);
            self.out.push_back(Action::Reinvite { leg: Leg::Media(side), offer });
            awaiting.insert(side);
        }
        directing.stage = Stage::Telling(awaiting);
        self.set_change(Some(Change::Directing(directing)));
    }

    /// 2xx of a phone or of the media server to what it was asked; acknowledged already.
    pub(super) fn answered_directing(
        &mut self,
        mut directing: Directing,
        leg: Leg,
        answer: Option<Description>,
    ) {
        match (&mut directing.stage, leg) {
            (Stage::Asking(phone, _), leg) if self.phone_leg(*phone) == Some(leg) => {
                let phone = *phone;
                let formats = self.current_formats();
                let asked = self.phones[phone as usize].sent.as_ref();
                let agreed =
                    asked.zip(answer.as_ref()).and_then(|(asked, a)| asked.agreed(&formats, &a.audio));
                let (Some(answer), Some(Agreed { answerer, .. })) = (answer, agreed) else {
                    self.answer_command(directing.request, Some("the phones agree on no codec any more"));
                    return self.finish(EndCause::Failed, None, STATUS_NOT_ACCEPTABLE);
                };
                self.phones[phone as usize].accepted = Some(answer.audio.with_keys(answerer));
                if phone == directing.by { self.tell_key(directing) } else { self.ask_own(directing) }
            }
            (Stage::Telling(awaiting), Leg::Media(side)) => {
                awaiting.remove(&side);
                let done = awaiting.is_empty();
                let Some(answer) = answer else {
                    self.answer_command(directing.request, Some("the media server gave no answer"));
                    return self.finish(EndCause::Failed, None, STATUS_INTERNAL);
                };
                self.media[side as usize].audio = Some(answer.audio);
                if done {
                    self.directed(&directing);
                } else {
                    self.set_change(Some(Change::Directing(directing)));
                }
            }
            (Stage::Asking(..) | Stage::Telling(_), _) => self.set_change(Some(Change::Directing(directing))),
        }
    }

    fn directed(&mut self, directing: &Directing) {
        let Directing { request, by, hold, .. } = *directing;
        let phone = &mut self.phones[by as usize];
        (phone.holds, phone.held_by_desktop) = (hold, hold);
        let by = self.number(by);
        self.emit(if hold { What::CallHeld { by, at_phone: false } } else { What::CallRetrieved { by } });
        self.answer_command(request, None);
    }

    pub(super) fn refused_directing(&mut self, directing: Directing, leg: Leg, status: u16, now: Now) {
        match (&directing.stage, leg) {
            (Stage::Asking(phone, before), leg) if self.phone_leg(*phone) == Some(leg) => {
                // It stays as it was (RFC 3261 14.1).
                let own = *phone == directing.by;
                self.phones[*phone as usize].sent.clone_from(before);
                if matches!(status, 408 | 481) {
                    self.answer_command(directing.request, Some("a phone was lost"));
                    self.finish(EndCause::Failed, None, STATUS_INTERNAL);
                } else if own || directing.again {
                    // The media server keeps the parties apart all the same.
                    self.tell_media(directing);
                } else {
                    let why = format!("the other phone refused: {status}");
                    self.answer_command(directing.request, Some(&why));
                }
            }
            (Stage::Telling(_), Leg::Media(_)) => {
                if says_lost(status) {
                    self.set_change(Some(Change::Directing(directing)));
                    self.lose_media_server(now);
                } else {
                    self.answer_command(directing.request, Some("the media server refused"));
                    self.finish(EndCause::Failed, None, STATUS_INTERNAL);
                }
            }
            (Stage::Asking(..) | Stage::Telling(_), _) => self.set_change(Some(Change::Directing(directing))),
        }
    }

    /// A phone's wish as far as a hold by a desktop allows it: the phone knows nothing of that hold.
    pub(super) fn within_holds(&self, from: Side, mut wish: Description) -> Description {
        let held = |side: Side| self.phones[side as usize].held_by_desktop;
        let direction = wish.audio.direction;
        wish.audio.direction =
            Direction::new(direction.sends() && !held(from.other()), direction.receives() && !held(from));
        wish
    }
}
