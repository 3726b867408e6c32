//! Somebody answered who is to join: the recording ends, confirmed, then they take the place of who leaves.

use super::{Asked, LEAVES_WITHIN, STATUS_OK, Stage, Transfer};
use crate::call::{Call, Leg, Now, STATUS_NOT_ACCEPTABLE, Side, recorder::Cut};
use hindsight_model::event::What;
use hindsight_sip::sdp::Agreed;

impl Call {
    /// Goes on where nothing else of the call is under way.
    pub(in crate::call) fn advance_transfer(&mut self, now: Now) {
        let Some(transfer) = &self.transfer else { return };
        let (Stage::Answered { leg, .. } | Stage::Cutting { leg }) = &transfer.stage else { return };
        let (leg, by) = (*leg, transfer.by);
        if self.change().is_some() || self.recorder.is_busy() {
            return;
        }
        let cut = if self.goes_on_recorded(by) { Cut::GoesOn } else { Cut::Ends };
        let by_policy = self.recorder.runs_by_policy();
        if let Some(order) = self.recorder.cut(cut, now.instant + self.limits.control) {
            if let Some(transfer) = &mut self.transfer {
                transfer.recorded_by_policy |= by_policy;
                transfer.stage = Stage::Cutting { leg };
            }
            return self.send_order_at(by, order);
        }
        self.join(now);
    }

    /// Whether what runs is for the party that stays: policy's where its policy asks for it, anybody else's where it is the
    /// agent. Where the roles change it is another recording.
    fn goes_on_recorded(&self, by: Side) -> bool {
        let stays = by.other();
        if self.agent_after(by) != self.agent {
            return false;
        }
        if self.recorder.runs_by_policy() {
            self.phones[stays as usize].who.record_voice
        } else {
            self.agent == stays
        }
    }

    /// The agent once who joins is there: the DN. Of two, who is now, unless policy records the other one only.
    fn agent_after(&self, by: Side) -> Side {
        let joins = self.transfer.as_ref().is_some_and(|transfer| transfer.phone.who.is_dn);
        match (joins, self.is_dn(by.other())) {
            (true, false) => return by,
            (false, true) => return by.other(),
            (true, true) | (false, false) => {}
        }
        let joins = self.transfer.as_ref().is_some_and(|transfer| transfer.phone.who.record_voice);
        let stays = self.phones[by.other() as usize].who.record_voice;
        match (joins, stays) {
            (true, false) => by,
            (false, true) => by.other(),
            (true, true) | (false, false) => self.agent,
        }
    }

    fn join(&mut self, now: Now) {
        let Some(transfer) = &self.transfer else { return };
        let by = transfer.by;
        let agreed = transfer.phone.accepted.as_ref();
        let Some(Agreed { formats, .. }) = agreed.and_then(|audio| self.agreed_by_joining(transfer, audio))
        else {
            return self.transfer_failed(STATUS_NOT_ACCEPTABLE);
        };
        let agent = self.agent_after(by);
        self.tell_transfer(STATUS_OK);
        let Some(transfer) = self.transfer.take() else { return };
        let Transfer { asked, mut phone, consultation, stage, recorded_by_policy, .. } = *transfer;
        let (Stage::Answered { leg, .. } | Stage::Cutting { leg }) = stage else { return };
        phone.holds = phone.accepted.as_ref().is_some_and(|audio| audio.direction.holds());
        let left = self.number(by);
        if let Some(old) = self.at[by as usize].replace(leg) {
            self.farewell(asked, old, now);
        }
        let who = phone.who.clone();
        self.phones[by as usize] = phone;
        self.agent = agent;
        self.set_formats(formats);
        self.touched = true;
        let asked_for = |wanted: bool| wanted.then(|| who.number.clone()).into_iter().collect();
        self.emit(What::CallTransferred {
            by: left,
            to: who.number.clone(),
            attended: consultation.is_some(),
            record_voice: asked_for(who.record_voice),
            record_screen: asked_for(who.record_screen),
            consultation,
        });
        let parties = self.parties();
        self.emit(What::CallEstablished { parties });
        self.move_to_joined(by, now);
        self.record_joined(by, recorded_by_policy, now);
        if let Asked::Desktop { request, .. } = asked {
            self.answer_command(request, None);
        }
    }

    /// Who left hangs up by itself when it was told by NOTIFY that the transfer succeeded; else it is ended here.
    fn farewell(&mut self, asked: Asked, leg: Leg, now: Now) {
        match asked {
            Asked::Refer { notify: true, .. } => {
                self.leaving.insert(leg, now.instant + LEAVES_WITHIN);
            }
            Asked::Refer { notify: false, .. } | Asked::Desktop { .. } => self.end_legs([leg]),
        }
    }

    /// In the dialog of the media leg that has just been told of the new phone: nothing of the old one comes after that.
    fn record_joined(&mut self, by: Side, was_by_policy: bool, now: Now) {
        let until = now.instant + self.limits.control;
        let wanted = |side: Side| self.phones[side as usize].who.record_voice;
        if let Some(order) = self.recorder.go_on(false, until) {
            self.send_order_at(by, order);
        } else if wanted(by) || (was_by_policy && wanted(by.other())) {
            let order = self.recorder.start_full_time(false, until, now.wall, &mut self.rng);
            self.send_order_at(by, order);
        }
    }
}
