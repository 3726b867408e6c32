//! Who asks for a transfer, and who is to join.

use crate::call::{Call, EndCause, Leg, Participant, Phase, Phone, STATUS_INTERNAL, Side};
use hindsight_wire::InteractionId;
use std::{fmt, ops::Range};

/// Who asks for a transfer, and how they learn what becomes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// By REFER in the dialog of this party; told by NOTIFY unless it wants none (RFC 4488).
    Refer {
        /// Whose dialog.
        leg: Leg,
        /// It wants to be told.
        notify: bool,
    },
    /// By the desktop of this party.
    Desktop {
        /// To be answered by [`crate::call::Action::Result`].
        request: u64,
        /// Which party.
        by: Side,
    },
}

/// Who is to join.
pub enum Target {
    /// Somebody who is called.
    Called {
        /// Who.
        who: Participant,
        /// The forks for their contacts, at least one.
        forks: Range<u8>,
    },
    /// The other party of another call of who leaves, which has ended with this.
    Consulted {
        /// Its phone.
        phone: Box<Consulted>,
        /// Its dialog's place in this call.
        leg: Leg,
    },
    /// Nobody can be reached there.
    Nobody {
        /// What was asked for.
        number: String,
        /// Why.
        status: u16,
    },
}

impl fmt::Debug for Target {
    /// Numbers reach no log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Called { forks, .. } => write!(f, "Called({forks:?})"),
            Self::Consulted { leg, .. } => write!(f, "Consulted({leg:?})"),
            Self::Nobody { status, .. } => write!(f, "Nobody({status})"),
        }
    }
}

/// A phone that comes from another call.
pub struct Consulted {
    pub(super) phone: Phone,
    /// That call.
    pub(super) from: InteractionId,
}

impl Call {
    /// Whether a party can be given to another call now, and who it would leave behind.
    pub fn may_hand_over(&self, side: Side) -> bool {
        matches!(&self.phase, Phase::Established(state) if !state.is_changing())
            && !self.may_be_over()
            && !self.lacks_keys()
            && self.transfer.is_none()
            && self.phone_leg(side).is_some()
            && !self.recorder.is_busy()
    }

    /// Gives a party's phone to another call; this one is over. Its dialog, in the first place, is no longer ours.
    pub fn hand_over(&mut self, side: Side) -> Option<(Leg, Box<Consulted>)> {
        if !self.may_hand_over(side) {
            return None;
        }
        let leg = self.phone_leg(side)?;
        let phone = self.new_phone(self.phones[side as usize].who.clone());
        let mut phone = std::mem::replace(&mut self.phones[side as usize], phone);
        (phone.holds, phone.held_by_desktop) = (false, false);
        self.open.remove(&leg);
        self.finish(EndCause::Transferred, Some(side.other()), STATUS_INTERNAL);
        Some((leg, Box::new(Consulted { phone, from: self.interaction })))
    }
}
