//! The established call whose media server was lost: it goes on through another one, which the resource manager chooses.
//!
//! ```text
//! Reserving   INVITE callee's media leg, then the caller's, with what both phones last described
//! Asking      re-INVITE both phones with their new addresses; the recording goes on meanwhile, as its next part
//! ```
//! It is over when both phones have answered and the media server knows what they said. Until then a phone's own
//! re-INVITE is refused with 491 (RFC 3261 14.2): it tries again. A phone that answers ours with 491 is asked again after
//! the time of RFC 3261 14.1. Where the new media server is lost as well, the next one is looked for; where there is
//! none, or a phone refuses, the call ends as one whose only media server was lost.

mod joined;

use super::{
    Action, Audio, Call, Description, EndCause, Leg, Now, Phase, STATUS_INTERNAL, STATUS_NOT_ACCEPTABLE,
    STATUS_UNAVAILABLE, Side, modify::Change, says_lost,
};
use hindsight_sip::sdp::{Agreed, Direction, Writer};
use rand::Rng;
use std::time::{Duration, Instant};

/// Media servers that a call tries one after the other.
const MOST_ATTEMPTS: u8 = 4;
/// How often a phone is asked within one attempt: again when the other one changed its keys.
const MOST_ASKED: u8 = 3;
const STATUS_PENDING: u16 = 491;
/// How often a media server is looked for that is to come back.
const TRY_AGAIN: Duration = Duration::from_millis(500);
const LOST: &str = "the media server was lost";

/// A call on its way to another media server.
pub(super) struct Moving {
    until: Instant,
    attempts: u8,
    stage: Stage,
    /// Answers that each phone still owes to what it was asked before: they say nothing any more.
    stale: [u8; 2],
    /// A phone that has our offer in a 200 and owes its answer in the ACK.
    pub(super) owes: Option<Side>,
    /// No media server was lost: somebody has joined.
    joining: bool,
}

enum Stage {
    /// The media leg of this side is invited.
    Reserving(Side),
    /// No media server is there yet; looked for again then.
    Waiting(Instant),
    /// The phones are asked.
    Asking(Box<Asking>),
}

#[derive(Default)]
struct Asking {
    asked: [u8; 2],
    awaiting: [u8; 2],
    /// When a phone is asked again that could not answer.
    again: [Option<Instant>; 2],
    /// Answers that the media legs owe: they learn what their phones have changed.
    telling: [u8; 2],
    /// What the media server was told of each phone.
    told: [Option<Audio>; 2],
}

/// Whether a phone that refused with this is asked again.
fn asks_again(status: u16) -> bool {
    matches!(status, STATUS_PENDING | STATUS_INTERNAL | STATUS_UNAVAILABLE)
}

impl Moving {
    fn new(until: Instant) -> Self {
        Self {
            until,
            attempts: 0,
            stage: Stage::Reserving(Side::Callee),
            stale: [0; 2],
            owes: None,
            joining: false,
        }
    }

    pub(super) fn deadline(&self) -> Instant {
        let again = match &self.stage {
            Stage::Reserving(_) => [None; 2],
            Stage::Waiting(at) => [Some(*at), None],
            Stage::Asking(asking) => asking.again,
        };
        again.into_iter().flatten().fold(self.until, Instant::min)
    }

    /// What each phone still owes becomes stale.
    fn give_up_asking(&mut self) {
        if let Stage::Asking(asking) = &self.stage {
            for (stale, awaiting) in self.stale.iter_mut().zip(asking.awaiting) {
                *stale += awaiting;
            }
        }
    }
}

impl Call {
    /// The media server is lost: another one is looked for once the parties speak; before, the call ends.
    pub(super) fn lose_media_server(&mut self, now: Now) {
        match self.phase {
            Phase::Established(_) if self.lacks_keys() => self.end_without_media_server(STATUS_INTERNAL),
            Phase::Established(_) => self.seek_media_server(now),
            Phase::Reserving(_)
            | Phase::Ringing(_)
            | Phase::Joining(_)
            | Phase::Offering(_)
            | Phase::Completing(_)
            | Phase::Arming(_)
            | Phase::Over => self.end_without_media_server(STATUS_INTERNAL),
        }
    }

    pub(super) fn end_without_media_server(&mut self, status: u16) {
        let joining = matches!(self.change(), Some(Change::Moving(moving)) if moving.joining);
        if self.may_be_over() || joining {
            return self.finish(EndCause::Failed, None, status);
        }
        self.recorder.broke(LOST.to_owned());
        self.drain_recorder();
        self.finish(EndCause::MediaServerLost, None, status);
    }

    fn seek_media_server(&mut self, now: Now) {
        let mut moving = self.interrupt_change(now);
        moving.attempts += 1;
        moving.joining = false;
        if moving.attempts > MOST_ATTEMPTS {
            return self.end_without_media_server(STATUS_INTERNAL);
        }
        tracing::info!(interaction = %self.interaction, attempt = moving.attempts, "another media server is looked for");
        self.end_media_legs();
        self.opened_agent = self.agent;
        self.unwatch_media();
        self.recorder.interrupted(LOST);
        self.drain_recorder();
        moving.until = now.instant + self.limits.setup;
        moving.stage = Stage::Reserving(Side::Callee);
        self.set_change(Some(Change::Moving(moving)));
        self.reserve_again(Side::Callee);
    }

    fn end_media_legs(&mut self) {
        for leg in Side::BOTH.map(Leg::Media) {
            if self.open.remove(&leg) {
                self.out.push_back(Action::End { leg });
            }
        }
    }

    /// The whole site may have been restarted: its media servers come back a moment later. Whether there is still time.
    fn wait_for_media_server(&mut self, now: Now) -> bool {
        if self.media_back_by.is_none_or(|by| by <= now.instant) {
            return false;
        }
        let Some(Change::Moving(mut moving)) = self.take_change() else { return false };
        self.end_media_legs();
        moving.stage = Stage::Waiting(now.instant + TRY_AGAIN);
        moving.until = now.instant + self.limits.setup;
        self.set_change(Some(Change::Moving(moving)));
        true
    }

    /// Asks both phones with what they were told before, from then on.
    pub(super) fn ask_again_at(&mut self, at: Instant, until: Instant) {
        let told = Side::BOTH.map(|side| self.media_view(side));
        let asking = Asking { told, again: [Some(at); 2], ..Asking::default() };
        let stage = Stage::Asking(Box::new(asking));
        self.set_change(Some(Change::Moving(Moving { stage, ..Moving::new(until) })));
    }

    /// Takes what is under way apart: what a phone asked for and was not granted is refused, so that it asks again.
    fn interrupt_change(&mut self, now: Now) -> Moving {
        let mut moving = Moving::new(now.instant);
        match self.take_change() {
            None => {}
            Some(Change::Moving(known)) => {
                moving = known;
                moving.give_up_asking();
            }
            Some(Change::AwaitingAnswer { from }) => moving.owes = Some(from),
            Some(Change::AskingOther { from, accepted, wish, .. }) => {
                moving.stale[from.other() as usize] += 1;
                self.interrupt_wish(from, accepted, wish.audio);
            }
            Some(Change::Updating { from, accepted, wish, .. }) => {
                self.interrupt_wish(from, accepted, wish.audio);
            }
            Some(Change::Directing(directing)) => {
                if let Some(phone) = directing.asked() {
                    moving.stale[phone as usize] += 1;
                }
                self.answer_command(directing.request, Some("the media server was lost; try again"));
            }
        }
        moving
    }

    pub(super) fn interrupt_wish(&mut self, from: Side, accepted: bool, wish: Audio) {
        if accepted {
            // Its answer to our offer: what it does from now on, whatever the other says.
            return self.phone_is(from, wish);
        }
        if let Some(leg) = self.phone_leg(from) {
            self.out.push_back(Action::Reject { leg, status: STATUS_PENDING });
        }
    }

    fn reserve_again(&mut self, side: Side) {
        let Some(audio) = self.media_view(side) else {
            return self.end_without_media_server(STATUS_INTERNAL);
        };
        self.media[side as usize].audio = None;
        self.media[side as usize].writer = Writer::new(u64::from(self.rng.random::<u32>()));
        self.invite_media(side, &audio);
    }

    /// What the media server is told of a phone: whom a desktop's hold keeps apart stays apart.
    fn media_view(&self, side: Side) -> Option<Audio> {
        let phone = &self.phones[side as usize];
        let accepted = phone.accepted.as_ref()?;
        let direction = match (self.phones[side.other() as usize].held_by_desktop, phone.held_by_desktop) {
            (true, _) => Direction::Inactive,
            (false, true) => Direction::new(accepted.direction.sends(), false),
            (false, false) => accepted.direction,
        };
        Some(accepted.with_formats(self.current_formats()).with_direction(direction))
    }

    pub(super) fn answered_moving(
        &mut self,
        moving: Moving,
        leg: Leg,
        answer: Option<Description>,
        now: Now,
    ) {
        match (leg, self.side_of(leg)) {
            (Leg::Media(side), _) => self.media_answered_moving(moving, side, answer, now),
            (Leg::Caller | Leg::Callee(_), Some(side)) => self.phone_answered_moving(moving, side, answer),
            (Leg::Caller | Leg::Callee(_), None) => self.set_change(Some(Change::Moving(moving))),
        }
    }

    fn media_answered_moving(
        &mut self,
        mut moving: Moving,
        side: Side,
        answer: Option<Description>,
        now: Now,
    ) {
        let expected = match &mut moving.stage {
            Stage::Waiting(_) => false,
            Stage::Reserving(wanted) => *wanted == side,
            Stage::Asking(asking) => {
                let owed = &mut asking.telling[side as usize];
                std::mem::replace(owed, owed.saturating_sub(1)) > 0
            }
        };
        if !expected {
            return self.set_change(Some(Change::Moving(moving)));
        }
        let Some(answer) = answer else {
            self.set_change(Some(Change::Moving(moving)));
            return self.finish(EndCause::Failed, None, STATUS_NOT_ACCEPTABLE);
        };
        self.media[side as usize].audio = Some(answer.audio);
        match (&mut moving.stage, side) {
            (Stage::Reserving(wanted), Side::Callee) => {
                *wanted = Side::Caller;
                self.set_change(Some(Change::Moving(moving)));
                self.reserve_again(Side::Caller);
            }
            (Stage::Reserving(_), Side::Caller) => self.ask_both(moving, now),
            (Stage::Asking(_) | Stage::Waiting(_), _) => self.settle_moving(moving),
        }
    }

    fn ask_both(&mut self, mut moving: Moving, now: Now) {
        self.watch_media(now);
        if let Some(order) = self.recorder.go_on(true, now.instant + self.limits.control) {
            self.send_order(order);
        }
        let told = Side::BOTH.map(|side| self.media_view(side));
        let mut asking = Asking { told, ..Asking::default() };
        for side in Side::BOTH {
            self.ask_to_move(&mut asking, side);
        }
        moving.stage = Stage::Asking(Box::new(asking));
        self.set_change(Some(Change::Moving(moving)));
    }

    /// Tells a phone its new address; whatever else it was offered and did not come about is offered no more.
    fn ask_to_move(&mut self, asking: &mut Asking, side: Side) {
        let formats = self.current_formats();
        let (Some(toward), Some(leg)) = (self.toward(side), self.phone_leg(side)) else { return };
        let offer = toward.with_formats(formats).with_direction(self.direction_toward(side));
        let offer = self.describe_to_phone(side, offer);
        self.out.push_back(Action::Reinvite { leg, offer });
        asking.asked[side as usize] += 1;
        asking.awaiting[side as usize] += 1;
        asking.again[side as usize] = None;
    }

    /// What the other party allows, as far as holds by desktops do.
    fn direction_toward(&self, side: Side) -> Direction {
        let (phone, other) = (&self.phones[side as usize], &self.phones[side.other() as usize]);
        let wish = other.accepted.as_ref().map_or(Direction::SendRecv, |audio| audio.direction);
        Direction::new(wish.sends() && !phone.held_by_desktop, wish.receives() && !other.held_by_desktop)
    }

    fn phone_answered_moving(&mut self, mut moving: Moving, side: Side, answer: Option<Description>) {
        let index = side as usize;
        if moving.stale[index] > 0 {
            moving.stale[index] -= 1;
            return self.set_change(Some(Change::Moving(moving)));
        }
        let Stage::Asking(asking) = &mut moving.stage else {
            return self.set_change(Some(Change::Moving(moving)));
        };
        asking.awaiting[index] = asking.awaiting[index].saturating_sub(1);
        let formats = self.current_formats();
        let agreed = answer.and_then(|answer| {
            let agreed = self.phones[index].sent.as_ref()?.agreed(&formats, &answer.audio)?;
            Some((answer.audio, agreed))
        });
        let Some((audio, Agreed { answerer, .. })) = agreed else {
            self.set_change(Some(Change::Moving(moving)));
            return self.finish(EndCause::Failed, None, STATUS_NOT_ACCEPTABLE);
        };
        let audio = audio.with_keys(answerer);
        let other_keys = self.phones[index].accepted.as_ref().is_none_or(|known| known.keys != audio.keys);
        self.phones[index].accepted = Some(audio);
        // What this one protects its packets with, the other has to know.
        let other = side.other();
        if other_keys && asking.asked[other as usize] < MOST_ASKED {
            self.ask_to_move(asking, other);
        }
        self.tell_what_changed(asking, side);
        self.settle_moving(moving);
    }

    fn tell_what_changed(&mut self, asking: &mut Asking, side: Side) {
        let view = self.media_view(side);
        if view == asking.told[side as usize] {
            return;
        }
        if let Some(audio) = &view {
            let offer = self.describe_to_media(side, audio);
            self.out.push_back(Action::Reinvite { leg: Leg::Media(side), offer });
            asking.telling[side as usize] += 1;
        }
        asking.told[side as usize] = view;
    }

    /// Ends the move when nobody owes anything any more.
    fn settle_moving(&mut self, moving: Moving) {
        let settled = match &moving.stage {
            Stage::Reserving(_) | Stage::Waiting(_) => false,
            Stage::Asking(asking) => {
                asking.awaiting == [0; 2] && asking.again == [None; 2] && asking.telling == [0; 2]
            }
        };
        if settled && moving.owes.is_none() && self.may_be_over() {
            return self.parties_are_there();
        }
        if settled && moving.owes.is_none() {
            let (interaction, joining) = (self.interaction, moving.joining);
            return tracing::info!(%interaction, joining, "both parties go on with other addresses");
        }
        self.set_change(Some(Change::Moving(moving)));
    }

    /// The answer that a phone owed in its ACK.
    pub(super) fn acknowledged_moving(
        &mut self,
        mut moving: Moving,
        side: Side,
        answer: Option<Description>,
    ) {
        if moving.owes != Some(side) {
            return self.set_change(Some(Change::Moving(moving)));
        }
        moving.owes = None;
        let Some(answer) = answer else {
            self.set_change(Some(Change::Moving(moving)));
            return self.finish(EndCause::Failed, None, STATUS_INTERNAL);
        };
        let answer = self.within_holds(side, answer);
        self.phone_is(side, answer.audio);
        if let Stage::Asking(asking) = &mut moving.stage {
            self.tell_what_changed(asking, side);
        }
        self.settle_moving(moving);
    }

    pub(super) fn refused_moving(&mut self, mut moving: Moving, leg: Leg, status: u16, now: Now) {
        let side = match (leg, self.side_of(leg)) {
            (Leg::Media(side), _) => return self.media_refused_moving(moving, side, status, now),
            (Leg::Caller | Leg::Callee(_), Some(side)) => side,
            (Leg::Caller | Leg::Callee(_), None) => return self.set_change(Some(Change::Moving(moving))),
        };
        let again = now.instant + self.retry_after(side);
        let stale = &mut moving.stale[side as usize];
        let was_stale = *stale > 0;
        *stale = stale.saturating_sub(1);
        if let (false, Stage::Asking(asking)) = (was_stale, &mut moving.stage) {
            asking.awaiting[side as usize] = asking.awaiting[side as usize].saturating_sub(1);
            asking.again[side as usize] = Some(again);
        }
        if self.may_be_over() && !was_stale && !matches!(status, 408 | 481) && !asks_again(status) {
            // It is there, whatever it thinks of being asked.
            if let Stage::Asking(asking) = &mut moving.stage {
                asking.again[side as usize] = None;
            }
            return self.settle_moving(moving);
        }
        self.set_change(Some(Change::Moving(moving)));
        match (status, was_stale) {
            (408 | 481, _) => self.finish(EndCause::Failed, None, STATUS_INTERNAL),
            (STATUS_UNAVAILABLE, _) if self.may_be_over() => {} // it cannot be reached yet
            (STATUS_PENDING | STATUS_INTERNAL, _) | (_, true) => {}
            (_, false) => self.end_without_media_server(STATUS_INTERNAL),
        }
    }

    fn media_refused_moving(&mut self, moving: Moving, side: Side, status: u16, now: Now) {
        let reserving = match &moving.stage {
            Stage::Reserving(wanted) if *wanted == side => true,
            Stage::Asking(asking) if asking.telling[side as usize] > 0 => false,
            Stage::Reserving(_) | Stage::Asking(_) | Stage::Waiting(_) => {
                return self.set_change(Some(Change::Moving(moving)));
            }
        };
        self.set_change(Some(Change::Moving(moving)));
        if reserving {
            self.open.remove(&Leg::Media(side));
        }
        match status {
            // There is none: the resource manager has tried all that it knows.
            STATUS_UNAVAILABLE if reserving => {
                if !self.wait_for_media_server(now) {
                    self.end_without_media_server(STATUS_INTERNAL);
                }
            }
            _ if says_lost(status) => self.seek_media_server(now),
            _ if reserving => self.end_without_media_server(STATUS_INTERNAL),
            _ => self.finish(EndCause::Failed, None, STATUS_INTERNAL),
        }
    }

    /// RFC 3261 14.1: who owns the Call-ID waits longer.
    fn retry_after(&mut self, side: Side) -> Duration {
        let range = match self.phone_leg(side) {
            Some(Leg::Callee(_)) => 210..=400,
            Some(Leg::Caller | Leg::Media(_)) | None => 0..=200,
        };
        Duration::from_millis(10 * self.rng.random_range(range))
    }

    pub(super) fn is_reserving_again(&self) -> bool {
        matches!(
            self.change(),
            Some(Change::Moving(Moving { stage: Stage::Reserving(_) | Stage::Waiting(_), .. }))
        )
    }

    pub(super) fn expire_moving(&mut self, now: Now) {
        let Some(Change::Moving(moving)) = self.change() else { return };
        if moving.deadline() > now.instant {
            return;
        }
        if moving.until <= now.instant {
            if !self.is_reserving_again() || !self.wait_for_media_server(now) {
                self.end_without_media_server(STATUS_INTERNAL);
            }
            return;
        }
        let Some(Change::Moving(mut moving)) = self.take_change() else { return };
        if let Stage::Waiting(_) = &moving.stage {
            moving.until = now.instant + self.limits.setup;
            moving.stage = Stage::Reserving(Side::Callee);
            self.set_change(Some(Change::Moving(moving)));
            return self.reserve_again(Side::Callee);
        }
        if let Stage::Asking(asking) = &mut moving.stage {
            for side in Side::BOTH {
                if asking.again[side as usize].is_some_and(|at| at <= now.instant) {
                    self.ask_to_move(asking, side);
                }
            }
        }
        self.set_change(Some(Change::Moving(moving)));
    }
}
