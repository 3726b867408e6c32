//! The established call: re-INVITEs of either phone (hold, retrieve, a new address or codec), passed to the other phone,
//! then told to the media server, then answered: nothing changes before all agreed.

use super::{
    Action, Audio, Call, Description, EndCause, Formats, Leg, Now, Phase, STATUS_INTERNAL,
    STATUS_NOT_ACCEPTABLE, Side, What, hold::Directing, moving::Moving, says_lost,
};
use hindsight_sip::sdp::{Agreed, Direction, Format, SdpError};
use std::{collections::BTreeSet, time::Instant};

const STATUS_PENDING: u16 = 491;
const STATUS_MALFORMED: u16 = 400;

/// Both parties are connected.
pub(super) struct Established {
    formats: Formats,
    change: Option<Change>,
}

impl Established {
    pub(super) fn new(formats: Formats) -> Self {
        Self { formats, change: None }
    }

    pub(super) fn is_changing(&self) -> bool {
        self.change.is_some()
    }

    pub(super) fn formats(&self) -> &Formats {
        &self.formats
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        match &self.change {
            Some(Change::Moving(moving)) => Some(moving.deadline()),
            Some(
                Change::AwaitingAnswer { .. }
                | Change::AskingOther { .. }
                | Change::Updating { .. }
                | Change::Directing(_),
            )
            | None => None,
        }
    }

    /// The desktop's request that is under way.
    pub(super) fn commanded(&self) -> Option<u64> {
        match &self.change {
            Some(Change::Directing(directing)) => Some(directing.request),
            Some(
                Change::AwaitingAnswer { .. }
                | Change::AskingOther { .. }
                | Change::Updating { .. }
                | Change::Moving(_),
            )
            | None => None,
        }
    }

    /// Whose re-INVITE still waits for a final response.
    pub(super) fn unanswered(&self) -> Option<Side> {
        match &self.change {
            Some(
                Change::AskingOther { from, accepted: false, .. }
                | Change::Updating { from, accepted: false, .. },
            ) => Some(*from),
            Some(_) | None => None,
        }
    }
}

/// A change in progress: of a phone by its re-INVITE, or of a desktop.
pub(super) enum Change {
    /// Hold or retrieve by a desktop.
    Directing(Directing),
    /// The media server was lost.
    Moving(Moving),
    /// It had no offer: ours is out, the ACK brings the answer.
    AwaitingAnswer { from: Side },
    /// The other phone is asked.
    AskingOther { from: Side, accepted: bool, wish: Description, offered: Formats },
    /// The media server is told of both.
    Updating {
        from: Side,
        accepted: bool,
        wish: Description,
        formats: Formats,
        awaiting: BTreeSet<Side>,
        answer: Direction,
    },
}

impl Call {
    pub(super) fn on_offered(&mut self, leg: Leg, body: Option<&[u8]>) {
        // Even where nothing of the media changes, the phone may have moved.
        self.touched = true;
        let Phase::Established(state) = &mut self.phase else {
            return self.out.push_back(Action::Reject { leg, status: STATUS_PENDING });
        };
        let busy = state.change.is_some();
        let Some(from) = self.side_of(leg).filter(|_| !busy) else {
            // One change at a time; the phone tries again (RFC 3261 14.2).
            return self.out.push_back(Action::Reject { leg, status: STATUS_PENDING });
        };
        match body.map(Description::parse) {
            None => self.offer_in_call(leg, from),
            Some(Ok(wish)) => self.begin_change(from, wish, false),
            Some(Err(SdpError::Malformed)) => {
                self.out.push_back(Action::Reject { leg, status: STATUS_MALFORMED });
            }
            Some(Err(SdpError::NothingInCommon)) => {
                self.out.push_back(Action::Reject { leg, status: STATUS_NOT_ACCEPTABLE });
            }
        }
    }

    fn offer_in_call(&mut self, leg: Leg, from: Side) {
        let Some(audio) = self.phones[from as usize].sent.clone() else { return };
        // What the other phone would allow, whatever this one allowed so far (RFC 3261 14.2: a full offer).
        let other = self.phones[from.other() as usize].holds;
        let direction = if other { Direction::SendOnly } else { Direction::SendRecv };
        let body = self.describe_to_phone(from, audio.with_direction(direction));
        self.out.push_back(Action::Accept { leg, body });
        self.set_change(Some(Change::AwaitingAnswer { from }));
    }

    pub(super) fn set_change(&mut self, change: Option<Change>) {
        self.touched = true;
        if let Phase::Established(state) = &mut self.phase {
            state.change = change;
        }
    }

    pub(super) fn change(&self) -> Option<&Change> {
        match &self.phase {
            Phase::Established(state) => state.change.as_ref(),
            Phase::Reserving(_)
            | Phase::Ringing(_)
            | Phase::Joining(_)
            | Phase::Offering(_)
            | Phase::Completing(_)
            | Phase::Arming(_)
            | Phase::Over => None,
        }
    }

    pub(super) fn take_change(&mut self) -> Option<Change> {
        self.touched = true;
        match &mut self.phase {
            Phase::Established(state) => state.change.take(),
            Phase::Reserving(_)
            | Phase::Ringing(_)
            | Phase::Joining(_)
            | Phase::Offering(_)
            | Phase::Completing(_)
            | Phase::Arming(_)
            | Phase::Over => None,
        }
    }

    pub(super) fn current_formats(&self) -> Formats {
        match &self.phase {
            Phase::Established(state) => state.formats.clone(),
            Phase::Reserving(_)
            | Phase::Ringing(_)
            | Phase::Joining(_)
            | Phase::Offering(_)
            | Phase::Completing(_)
            | Phase::Arming(_)
            | Phase::Over => Vec::new(),
        }
    }

    pub(super) fn set_formats(&mut self, formats: Formats) {
        if let Phase::Established(state) = &mut self.phase {
            state.formats = formats;
        }
    }

    pub(super) fn acknowledged_in_call(&mut self, leg: Leg, body: Option<&[u8]>) {
        let Some(from) = self.side_of(leg) else { return };
        match self.take_change() {
            Some(Change::AwaitingAnswer { from: asked }) if asked == from => {
                match body.map(Description::parse) {
                    Some(Ok(wish)) => self.begin_change(from, wish, true),
                    Some(Err(_)) | None => self.finish(EndCause::Failed, None, STATUS_INTERNAL),
                }
            }
            Some(Change::Moving(moving)) => {
                let answer = body.and_then(|body| Description::parse(body).ok());
                self.acknowledged_moving(moving, from, answer);
            }
            other => self.set_change(other),
        }
    }

    /// `accepted`: the phone has its 200 already, `wish` is its answer to our offer.
    fn begin_change(&mut self, from: Side, wish: Description, accepted: bool) {
        let to = from.other();
        let current = self.current_formats();
        self.phones[from as usize].shape.follow(&wish);
        let wish = self.within_holds(from, wish);
        // A refresh of what is (RFC 4028): answered as before, nobody else is asked.
        if self.phones[from as usize].accepted.as_ref() == Some(&wish.audio) {
            return self.answer_refresh(from, accepted);
        }
        let offered =
            Format::agreed(&wish.audio.formats, &current).unwrap_or_else(|| wish.audio.formats.clone());
        let Some(leg) = self.phone_leg(to) else {
            // The other has left, and who takes its place has not answered: nobody to ask.
            return self.update_media(from, accepted, wish, offered, &[from]);
        };
        let Some(toward) = self.media[to as usize].audio.clone() else { return };
        let offer = toward
            .on_behalf_of(&wish.audio)
            .with_formats(offered.clone())
            .with_direction(wish.audio.direction);
        if self.phones[to as usize].sent.as_ref() == Some(&offer) {
            // Only this phone's address changed: nothing to ask the other one.
            return self.update_media(from, accepted, wish, offered, &[from]);
        }
        let offer = self.describe_to_phone(to, offer);
        self.out.push_back(Action::Reinvite { leg, offer });
        self.set_change(Some(Change::AskingOther { from, accepted, wish, offered }));
    }

    fn answer_refresh(&mut self, from: Side, accepted: bool) {
        let (Some(leg), Some(sent)) = (self.phone_leg(from), self.phones[from as usize].sent.clone()) else {
            return;
        };
        if !accepted {
            let body = self.describe_to_phone(from, sent);
            self.out.push_back(Action::Accept { leg, body });
        }
    }

    pub(super) fn answered_in_call(&mut self, leg: Leg, body: &[u8], now: Now) {
        self.out.push_back(Action::Acknowledge { leg });
        if self.is_stale(leg) {
            return;
        }
        let description = Description::parse(body).ok();
        match (self.take_change(), leg) {
            (Some(Change::AskingOther { from, accepted, wish, offered }), leg)
                if self.phone_leg(from.other()) == Some(leg) =>
            {
                self.other_agreed(from, accepted, wish, &offered, description);
            }
            (
                Some(Change::Updating { from, accepted, wish, formats, mut awaiting, answer }),
                Leg::Media(side),
            ) => {
                let Some(description) = description else {
                    return self.finish(EndCause::Failed, None, STATUS_INTERNAL);
                };
                self.media[side as usize].audio = Some(description.audio);
                awaiting.remove(&side);
                let change = Change::Updating { from, accepted, wish, formats, awaiting, answer };
                self.set_change(Some(change));
                self.complete_change();
            }
            (Some(Change::Directing(directing)), leg) => self.answered_directing(directing, leg, description),
            (Some(Change::Moving(moving)), leg) => self.answered_moving(moving, leg, description, now),
            (change, _) => self.set_change(change),
        }
    }

    fn other_agreed(
        &mut self,
        from: Side,
        accepted: bool,
        mut wish: Description,
        offered: &Formats,
        answer: Option<Description>,
    ) {
        let to = from.other();
        let agreed = answer.as_ref().and_then(|answer| wish.audio.agreed(offered, &answer.audio));
        let (Some(answer), Some(Agreed { formats, offerer, answerer })) = (answer, agreed) else {
            return self.finish(EndCause::Failed, None, STATUS_NOT_ACCEPTABLE);
        };
        wish.audio.keys = offerer;
        self.phones[to as usize].accepted = Some(answer.audio.with_keys(answerer));
        self.update_media(from, accepted, wish, formats, &Side::BOTH);
    }

    fn update_media(
        &mut self,
        from: Side,
        accepted: bool,
        mut wish: Description,
        formats: Formats,
        sides: &[Side],
    ) {
        let other = self.phones[from.other() as usize].accepted.clone();
        wish.audio.keep_key_of(other.as_ref());
        let other_direction = other.as_ref().map_or(Direction::SendRecv, |audio| audio.direction);
        let answer = wish.audio.direction.answer(other_direction);
        for side in sides.iter().copied() {
            let audio = if side == from {
                wish.audio.with_direction(answer.flipped())
            } else {
                match &other {
                    Some(audio) => audio.clone(),
                    None => continue,
                }
            };
            // Held by the other's desktop: nothing is passed on to it, whatever its phone has agreed to.
            let audio = if self.phones[side.other() as usize].held_by_desktop {
                audio.with_direction(Direction::Inactive)
            } else {
                audio
            };
            let offer = self.describe_to_media(side, &audio.with_formats(formats.clone()));
            self.out.push_back(Action::Reinvite { leg: Leg::Media(side), offer });
        }
        let awaiting = sides.iter().copied().collect();
        self.set_change(Some(Change::Updating { from, accepted, wish, formats, awaiting, answer }));
    }

    /// Answers the re-INVITE when the media server confirmed both legs.
    fn complete_change(&mut self) {
        match self.take_change() {
            Some(Change::Updating { from, accepted, wish, formats, awaiting, answer })
                if awaiting.is_empty() =>
            {
                self.change_done(from, accepted, wish, formats, answer);
            }
            other => self.set_change(other),
        }
    }

    fn change_done(
        &mut self,
        from: Side,
        accepted: bool,
        wish: Description,
        formats: Formats,
        answer: Direction,
    ) {
        let (Some(toward), Some(leg)) = (self.toward(from), self.phone_leg(from)) else { return };
        if !accepted {
            let body =
                self.describe_to_phone(from, toward.with_formats(formats.clone()).with_direction(answer));
            self.out.push_back(Action::Accept { leg, body });
        }
        self.set_formats(formats);
        self.phone_is(from, wish.audio);
    }

    /// What a phone does from now on; a hold that begins or ends by it is told.
    pub(super) fn phone_is(&mut self, from: Side, audio: Audio) {
        let phone = &mut self.phones[from as usize];
        let holds = audio.direction.holds() || phone.held_by_desktop;
        phone.accepted = Some(audio);
        if std::mem::replace(&mut phone.holds, holds) != holds {
            let by = self.number(from);
            self.emit(if holds { What::CallHeld { by, at_phone: true } } else { What::CallRetrieved { by } });
        }
    }

    pub(super) fn refused_in_call(&mut self, leg: Leg, status: u16, now: Now) {
        if self.is_stale(leg) {
            if matches!(status, 408 | 481) {
                self.finish(EndCause::Failed, None, STATUS_INTERNAL);
            }
            return;
        }
        match (self.take_change(), leg) {
            (Some(Change::AskingOther { from, accepted, .. }), leg)
                if self.phone_leg(from.other()) == Some(leg) =>
            {
                self.other_refused(from, accepted, status);
            }
            (change @ Some(Change::Updating { .. }), Leg::Media(_)) => {
                self.set_change(change);
                if says_lost(status) {
                    self.lose_media_server(now);
                } else {
                    // One phone has agreed to what the media server refuses: no state to go back to.
                    self.finish(EndCause::Failed, None, STATUS_INTERNAL);
                }
            }
            (Some(Change::Directing(directing)), leg) => self.refused_directing(directing, leg, status, now),
            (Some(Change::Moving(moving)), leg) => self.refused_moving(moving, leg, status, now),
            (change, _) => self.set_change(change),
        }
    }

    /// Whether this is the answer to what a phone was asked on behalf of a party that has left since.
    fn is_stale(&mut self, leg: Leg) -> bool {
        let Some(side) = self.side_of(leg) else { return false };
        let stale = &mut self.stale[side as usize];
        std::mem::replace(stale, stale.saturating_sub(1)) > 0
    }

    /// The other phone's refusal is the answer; both stay as they were (RFC 3261 14.1).
    fn other_refused(&mut self, from: Side, accepted: bool, status: u16) {
        if matches!(status, 408 | 481) {
            self.set_change(None);
            if let (false, Some(asking)) = (accepted, self.phone_leg(from)) {
                self.out.push_back(Action::Reject { leg: asking, status: STATUS_INTERNAL });
            }
            return self.finish(EndCause::Failed, None, STATUS_INTERNAL);
        }
        if let (false, Some(asking)) = (accepted, self.phone_leg(from)) {
            self.out.push_back(Action::Reject { leg: asking, status });
        }
    }
}
