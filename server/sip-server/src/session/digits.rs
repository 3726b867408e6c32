//! DTMF by INFO: passed on to the other phone as it came. It may be of a card number: nothing of it is read, kept or
//! logged here, and the media server, which records, never sees it.

use super::Session;
use crate::{
    call::Leg,
    guard,
    leg::{Errand, Leg as State},
    state::Output,
    wires::Wires,
};
use hindsight_sip::{Command, Request, ServerTransactionId, SipMessage, StatusCode};

/// What may wait for a phone at most.
const MOST_WAITING: usize = 32;

impl Session {
    /// INFO of a phone. The answer says that it was taken: not every phone understands what it is passed.
    pub(super) fn digit(&mut self, from: Leg, request: &Request, id: ServerTransactionId, wires: &mut Wires) {
        let status = self.pass_on(from, request, wires);
        let Some(State::Up(up)) = self.legs.get(&from) else { return };
        let mut response = up.dialog.response(request, status);
        if status == StatusCode::UNSUPPORTED_MEDIA_TYPE {
            response = response.with_header("Accept", guard::DTMF.join(", "));
        }
        wires.push(Output::Sip(Command::Respond(id, response)));
    }

    fn pass_on(&mut self, from: Leg, request: &Request, wires: &mut Wires) -> StatusCode {
        let kind = request.content_type();
        let Some(kind) = guard::DTMF.into_iter().find(|known| Some(*known) == kind.as_deref()) else {
            return StatusCode::UNSUPPORTED_MEDIA_TYPE;
        };
        let to = self.call.side_at_leg(from).and_then(|side| self.call.leg_of(side.other()));
        let Some((to, State::Up(up))) = to.and_then(|to| Some((to, self.legs.get(&to)?))) else {
            return StatusCode::TEMPORARILY_UNAVAILABLE;
        };
        if up.errands.len() >= MOST_WAITING {
            return StatusCode::SERVICE_UNAVAILABLE;
        }
        self.errand(to, Errand::Digit(kind, request.body.clone()), wires);
        StatusCode::OK
    }
}
