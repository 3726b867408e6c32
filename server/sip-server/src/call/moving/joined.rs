//! The asking of `moving` for a call whose parties have changed: the media server is told of both, the one that stayed is
//! asked with what the new phone described, the new phone once more where it has to know something else than it was told.

use super::{Asking, Change, Moving, Stage};
use crate::call::{Audio, Call, Now, Side};

impl Call {
    /// A phone has joined at this side and has answered already.
    pub(in crate::call) fn move_to_joined(&mut self, joined: Side, now: Now) {
        let mut asking = Asking::default();
        for side in Side::BOTH {
            self.tell_what_changed(&mut asking, side);
        }
        self.ask_to_move(&mut asking, joined.other());
        if !self.knows_its_way(joined) {
            self.ask_to_move(&mut asking, joined);
        }
        self.stale[joined as usize] = 0;
        let stage = Stage::Asking(Box::new(asking));
        let moving = Moving { stage, joining: true, ..Moving::new(now.instant + self.limits.setup) };
        self.set_change(Some(Change::Moving(moving)));
    }

    /// Whether a phone was told the address and the key that hold now.
    fn knows_its_way(&self, side: Side) -> bool {
        let way = |audio: &Audio| (audio.rtp(), audio.rtcp(), audio.profile, audio.keys.clone());
        let sent = self.phones[side as usize].sent.as_ref().map(way);
        sent == self.toward(side).as_ref().map(way)
    }

    /// A party has left for good: what it was asked it will not answer, and what it asked for is of no interest.
    pub(in crate::call) fn give_up_asking(&mut self, left: Side) {
        let stays = left.other();
        match self.take_change() {
            None => {}
            Some(Change::Moving(mut moving)) => {
                moving.stale[left as usize] = 0;
                moving.owes = moving.owes.filter(|owes| *owes != left);
                if let Stage::Asking(asking) = &mut moving.stage {
                    asking.awaiting[left as usize] = 0;
                    asking.again[left as usize] = None;
                }
                self.settle_moving(moving);
            }
            Some(Change::AskingOther { from, accepted, wish, .. }) if from == stays => {
                self.interrupt_wish(from, accepted, wish.audio);
            }
            Some(Change::AskingOther { .. }) => self.stale[stays as usize] += 1,
            Some(Change::Directing(directing)) => {
                if directing.asked() == Some(stays) {
                    self.stale[stays as usize] += 1;
                }
                self.answer_command(directing.request, Some("the other party has left the call"));
            }
            Some(Change::AwaitingAnswer { from } | Change::Updating { from, .. }) if from == left => {}
            other @ Some(Change::AwaitingAnswer { .. } | Change::Updating { .. }) => self.set_change(other),
        }
    }
}
