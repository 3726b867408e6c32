//! Call control by the desktop of one party: answer, hold, retrieve, hang up. Reported when the far ends have confirmed.

use super::{Action, Call, EndCause, Leg, Phase, STATUS_TERMINATED, Side};
use hindsight_wire::{agent::CallAction, component::CallControl};

/// Why a command was not done.
pub(super) const ENDED: &str = "the call has ended";
const STATUS_DECLINE: u16 = 603;

impl Call {
    pub(super) fn on_call_control(&mut self, request: u64, control: &CallControl) {
        let Some(side) = self.side_at(&control.dn) else {
            return self.answer_command(request, Some("this DN takes no part in the call"));
        };
        if self.is_over() {
            return self.answer_command(request, Some(ENDED));
        }
        tracing::info!(interaction = %self.interaction, action = ?control.action, "call control by a desktop");
        match control.action {
            CallAction::Answer => self.answer_by(request, side),
            CallAction::Hold => self.hold_by(request, side, true),
            CallAction::Retrieve => self.hold_by(request, side, false),
            CallAction::HangUp => self.hang_up_by(request, side),
            // Whom to call is for the directory to say: it comes as `Input::Transfer`.
            CallAction::Transfer => self.answer_command(request, Some("nobody to transfer to")),
        }
    }

    /// The party at a DN.
    pub fn side_at(&self, dn: &str) -> Option<Side> {
        let here = |side: &Side| {
            let who = &self.phones[*side as usize].who;
            who.is_dn && who.number == dn
        };
        Side::BOTH.into_iter().find(here)
    }

    pub(super) fn answer_command(&mut self, request: u64, error: Option<&str>) {
        let error = error.map(str::to_owned);
        self.out.push_back(Action::Result { request, error });
    }

    fn answer_by(&mut self, request: u64, side: Side) {
        let fork = match &self.phase {
            Phase::Ringing(state) if side == Side::Callee => state.talk.first().copied(),
            Phase::Ringing(_)
            | Phase::Reserving(_)
            | Phase::Joining(_)
            | Phase::Offering(_)
            | Phase::Completing(_)
            | Phase::Arming(_)
            | Phase::Established(_)
            | Phase::Over => return self.answer_command(request, Some("the phone does not ring")),
        };
        match fork {
            None => self.answer_command(request, Some("this phone can only be answered by hand")),
            Some(_) if self.answering.is_some() => {
                self.answer_command(request, Some("the phone was told to answer already"));
            }
            Some(fork) => {
                self.answering = Some(request);
                self.out.push_back(Action::Talk { leg: Leg::Callee(fork) });
            }
        }
    }

    /// The phone's word on being told to answer; that it did, its 2xx to the INVITE says.
    pub(super) fn on_talked(&mut self, leg: Leg, status: u16) {
        tracing::debug!(?leg, status, "told to answer");
        if status >= 300
            && let Some(request) = self.answering.take()
        {
            self.answer_command(request, Some(&format!("the phone refused: {status}")));
        }
    }

    fn hang_up_by(&mut self, request: u64, side: Side) {
        let (cause, status) = match (&self.phase, side) {
            (Phase::Reserving(_) | Phase::Ringing(_), Side::Caller) => {
                (EndCause::Cancelled, STATUS_TERMINATED)
            }
            (Phase::Reserving(_) | Phase::Ringing(_), Side::Callee) => (EndCause::Refused, STATUS_DECLINE),
            (
                Phase::Joining(_)
                | Phase::Offering(_)
                | Phase::Completing(_)
                | Phase::Arming(_)
                | Phase::Established(_)
                | Phase::Over,
                _,
            ) => (EndCause::HungUp, STATUS_TERMINATED),
        };
        self.finish(cause, Some(side), status);
        self.out.push_back(Action::Farewell { request });
    }
}
