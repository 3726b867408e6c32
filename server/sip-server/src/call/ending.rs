//! The end of a call: every leg is ended, whatever was under way, and everybody who waits is told.

use super::{Action, Call, EndCause, Leg, Phase, STATUS_TERMINATED, Side, control};

impl Call {
    /// Ends every leg. `status` refuses the caller's INVITE where it still waits for a final response.
    pub(super) fn finish(&mut self, cause: EndCause, by: Option<Side>, status: u16) {
        let phase = std::mem::replace(&mut self.phase, Phase::Over);
        let caller_waits = match phase {
            Phase::Over => return,
            Phase::Reserving(_) | Phase::Ringing(_) => true,
            Phase::Joining(_) => true,
            Phase::Arming(state) => !state.accepted,
            Phase::Offering(_) | Phase::Completing(_) => false,
            Phase::Established(state) => {
                if let Some(request) = state.commanded() {
                    self.answer_command(request, Some(control::ENDED));
                }
                if let Some(leg) = state.unanswered().and_then(|side| self.phone_leg(side))
                    && self.open.contains(&leg)
                {
                    self.out.push_back(Action::Reject { leg, status: STATUS_TERMINATED });
                }
                false
            }
        };
        self.touched = true;
        self.end_transfer();
        for leg in std::mem::take(&mut self.open) {
            match leg {
                Leg::Caller if caller_waits => self.out.push_back(Action::Reject { leg, status }),
                Leg::Caller | Leg::Callee(_) | Leg::Media(_) => self.out.push_back(Action::End { leg }),
            }
        }
        self.leaving.clear();
        self.recorder.call_ended();
        self.drain_recorder();
        if let Some(request) = self.answering.take() {
            self.answer_command(request, Some(control::ENDED));
        }
        let by = by.map(|side| self.number(side));
        self.emit_end(cause, by);
    }
}
