//! What the process before this one knew, and what the next one is to know.

use super::{Output, SipServer};
use crate::{
    call::Now,
    kept::{Kept, KeptCall, Key},
    session::Session,
};
use hindsight_model::{
    Event as DomainEvent,
    event::{EndCause, What},
};
use hindsight_wire::{InteractionId, Timestamp};
use rand::Rng;
use std::time::Duration;

/// Between the first questions of two calls: thousands at the same moment would be a flood.
const APART: Duration = Duration::from_millis(2);

/// What became of what was kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Restored {
    /// Calls that may go on.
    pub calls: usize,
    /// Calls that ended with the process before.
    pub ended: usize,
    /// DNs that are registered.
    pub registered: usize,
    /// Entries that could not be read.
    pub damaged: usize,
}

impl SipServer {
    /// Takes up what was kept by the process before. Its calls ended, as far as they cannot go on, when it was last known
    /// to run.
    pub fn restore(&mut self, kept: Vec<(Key, Kept)>, now: Now) -> Restored {
        let lost_at = kept.iter().filter_map(|(_, kept)| written_at(kept)).max();
        let lost_at = lost_at.unwrap_or(now.wall).min(now.wall);
        let mut restored = Restored::default();
        for (key, kept) in kept {
            let taken = match (&key, kept) {
                (Key::Alive, Kept::Alive { .. }) => true,
                (Key::Dn(number), Kept::Registered { bindings }) => {
                    restored.damaged += self.registrar.restore(number, &bindings, now);
                    let known = self.registrar.knows(number);
                    restored.registered += usize::from(known);
                    known
                }
                (Key::Call(interaction), Kept::Call(call)) => {
                    let ask_at = now.instant + APART * u32::try_from(restored.calls).unwrap_or(u32::MAX);
                    let asked = Now { instant: ask_at, ..now };
                    if self.restore_call(*interaction, &call, lost_at, asked) {
                        restored.calls += 1;
                        true
                    } else {
                        restored.damaged += 1;
                        restored.ended += 1;
                        self.end_lost(*interaction, lost_at);
                        false
                    }
                }
                (Key::Call(interaction), Kept::Offered { .. }) => {
                    restored.ended += 1;
                    self.end_lost(*interaction, lost_at);
                    false
                }
                (Key::Alive | Key::Dn(_) | Key::Call(_), _) => {
                    restored.damaged += 1;
                    false
                }
            };
            if !taken {
                self.wires.push(Output::Keep(key, None));
            }
        }
        restored
    }

    fn restore_call(&mut self, id: InteractionId, kept: &KeptCall, lost_at: Timestamp, asked: Now) -> bool {
        let (limits, seed) = (self.config.limits(), self.rng.random());
        let session = Session::restored(id, kept, limits, lost_at, (seed, asked), &mut self.wires);
        let Some(session) = session else { return false };
        self.sessions.insert(id, session);
        self.with_session(id, asked, |_, _| {});
        true
    }

    fn end_lost(&mut self, interaction: InteractionId, at: Timestamp) {
        let what = What::CallEnded { cause: EndCause::SipServerLost, by: None };
        self.wires.push(Output::Journal(DomainEvent { interaction, at, what }));
    }

    /// What the next process is to know of a call, as far as that has changed.
    pub(super) fn keep(&mut self, interaction: InteractionId, now: Now) {
        let Some(session) = self.sessions.get_mut(&interaction) else { return };
        let key = Key::Call(interaction);
        if session.call.is_over() {
            if session.call.take_touched() {
                self.wires.push(Output::Keep(key, None));
            }
        } else if session.call.is_touched()
            && let Some(kept) = session.kept(now)
        {
            session.call.take_touched();
            self.wires.push(Output::Keep(key, Some(Kept::Call(Box::new(kept)))));
        }
    }

    /// What the next process is to know of a DN.
    pub(super) fn keep_registrations(&mut self, number: &str, now: Now) {
        let bindings = self.registrar.kept(number, now);
        let kept = (!bindings.is_empty()).then_some(Kept::Registered { bindings });
        self.wires.push(Output::Keep(Key::Dn(number.to_owned()), kept));
    }
}

fn written_at(kept: &Kept) -> Option<Timestamp> {
    match kept {
        Kept::Offered { at } | Kept::Alive { at } => Some(*at),
        Kept::Call(call) => Some(call.at),
        Kept::Registered { .. } => None,
    }
}
