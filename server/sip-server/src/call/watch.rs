//! Watching the far ends: OPTIONS in the media legs' dialogs every few seconds, in the phones' dialogs now and then.
//!
//! A media server that died says nothing; the resource manager before it answers 408 for it, a restarted one 481. Either
//! brings the call to another media server at once, or ends it. Where nobody answers, not even the resource manager,
//! nothing is known of the media server, and the media flows without either: such silence is borne for
//! [`super::Limits::silence`], minutes, and only then ends the call.
//!
//! Both media legs are asked: to the media server our requests are the only sign of life of a leg whose phone sends no
//! media (on hold, listening only).

use super::{Call, Leg, Now, Phase, Side, says_lost};
use hindsight_model::event::EndCause;
use std::time::{Duration, Instant};

/// A phone that may be about to come back.
const ASK_AGAIN: Duration = Duration::from_secs(1);

#[derive(Default)]
pub(super) struct Watch {
    /// Next probe of the media legs; `None`: one is under way, or there is none yet.
    media_next: Option<Instant>,
    /// When the media server's silence becomes its loss; renewed with each answer.
    media_lost_at: Option<Instant>,
    /// Next probe of both phones.
    phones_next: Option<Instant>,
}

impl Watch {
    pub(super) fn deadline(&self) -> Option<Instant> {
        [self.media_next, self.media_lost_at, self.phones_next].into_iter().flatten().min()
    }
}

impl Call {
    pub(super) fn watch_media(&mut self, now: Now) {
        self.watch_media_at(now.instant + self.limits.probe, now.instant + self.limits.silence);
    }

    pub(super) fn watch_media_at(&mut self, next: Instant, lost_at: Instant) {
        (self.watch.media_next, self.watch.media_lost_at) = (Some(next), Some(lost_at));
    }

    pub(super) fn unwatch_media(&mut self) {
        (self.watch.media_next, self.watch.media_lost_at) = (None, None);
    }

    pub(super) fn watch_phones(&mut self, now: Now) {
        self.watch_phones_at(now.instant + self.limits.phone_probe);
    }

    pub(super) fn watch_phones_at(&mut self, next: Instant) {
        self.watch.phones_next = Some(next);
    }

    pub(super) fn on_probed(&mut self, leg: Leg, status: u16, now: Now) {
        if matches!(self.phase, Phase::Over) {
            return;
        }
        match leg {
            // Said of the legs that were given up.
            Leg::Media(_) if self.is_reserving_again() => {}
            Leg::Media(_) if says_lost(status) => self.lose_media_server(now),
            Leg::Media(_) => self.watch_media(now),
            // It has left, or is to join.
            Leg::Caller | Leg::Callee(_) if self.side_of(leg).is_none() => {}
            // Any answer but these shows that the phone is there, whatever it thinks of OPTIONS.
            Leg::Caller | Leg::Callee(_) if matches!(status, 408 | 481) => {
                tracing::debug!(?leg, status, "phone lost");
                if let Some(side) = self.side_of(leg).filter(|side| self.is_leaving(*side)) {
                    self.end_legs([leg]);
                    return self.leave_early(side);
                }
                // Its leg is ended like the others: it may only have been out of reach.
                self.finish(EndCause::Failed, None, super::STATUS_INTERNAL);
            }
            Leg::Caller | Leg::Callee(_) => self.is_there(leg),
        }
    }

    /// No answer at all. A phone is gone then; of the media server it says nothing, so it is asked again.
    pub(super) fn on_probe_unanswered(&mut self, leg: Leg, now: Now) {
        match leg {
            Leg::Media(_) if matches!(self.phase, Phase::Over) || self.is_reserving_again() => {}
            Leg::Media(_) => {
                let next = now.instant + self.limits.probe;
                self.watch.media_next = Some(self.watch.media_next.map_or(next, |known| known.min(next)));
            }
            // Its connection ended with the SIP server before this one: it has to open another.
            Leg::Caller | Leg::Callee(_) if self.waits_for_parties(now) => {
                self.watch_phones_at(now.instant + ASK_AGAIN);
            }
            Leg::Caller | Leg::Callee(_) => self.on_probed(leg, super::STATUS_TIMEOUT, now),
        }
    }

    pub(super) fn expire_watch(&mut self, now: Now) {
        if matches!(self.phase, Phase::Over) {
            return;
        }
        if self.watch.media_lost_at.is_some_and(|at| at <= now.instant) {
            return self.end_without_media_server(super::STATUS_INTERNAL);
        }
        if self.watch.media_next.is_some_and(|at| at <= now.instant) {
            self.watch.media_next = None;
            for leg in Side::BOTH.map(Leg::Media).into_iter().filter(|leg| self.open.contains(leg)) {
                self.out.push_back(super::Action::Probe { leg });
            }
        }
        if self.watch.phones_next.is_some_and(|at| at <= now.instant) {
            self.watch_phones(now);
            let phones = Side::BOTH.map(|side| self.phone_leg(side));
            for leg in phones.into_iter().flatten() {
                self.out.push_back(super::Action::Probe { leg });
            }
        }
    }
}
