//! A call's dialogs beyond the end of their process.

use super::Session;
use crate::{
    call::{Call, Leg, Limits, Now, Side},
    kept::{KeptCall, KeptDialog},
    leg::{Leg as State, Up},
    wires::Wires,
};
use hindsight_wire::{InteractionId, Timestamp};
use std::collections::BTreeMap;

/// Hops that are left to the requests of a call whose first request is not known any more.
const MAX_FORWARDS: u8 = 70;

impl Session {
    /// All that the next process needs; `None`: something is under way.
    pub(crate) fn kept(&self, now: Now) -> Option<KeptCall> {
        let mut kept = self.call.kept(now)?;
        for leg in legs(&kept) {
            let Some(State::Up(up)) = self.legs.get(&leg) else { return None };
            kept.dialogs.push(KeptDialog::of(&up.dialog, up.flow, up.trunk.as_ref()));
        }
        Some(kept)
    }

    /// The call that was kept; see [`Call::restored`].
    pub(crate) fn restored(
        interaction: InteractionId,
        kept: &KeptCall,
        limits: Limits,
        at: Timestamp,
        (seed, now): (u64, Now),
        wires: &mut Wires,
    ) -> Option<Self> {
        if kept.dialogs.len() != legs(kept).len() {
            return None;
        }
        let dialogs: Vec<_> = kept.dialogs.iter().map(KeptDialog::restored).collect::<Option<_>>()?;
        let call = Call::restored(interaction, kept, limits, at, seed, now)?;
        let mut legs_up = BTreeMap::new();
        for (leg, (dialog, flow, trunk)) in legs(kept).into_iter().zip(dialogs) {
            wires.dialogs.insert(dialog.id().clone(), (interaction, leg));
            // Connections end with their process.
            if let Some(way) = &trunk {
                wires.goes_by(interaction, leg, way.clone());
            }
            let up = Up { cut: true, ..Up::by(dialog, flow, trunk) };
            legs_up.insert(leg, State::Up(Box::new(up)));
        }
        let forks = kept.leaving.iter().flatten().copied().chain(kept.caller_fork).chain([kept.fork]);
        let next_fork = forks.max()?.checked_add(1)?;
        let max_forwards = MAX_FORWARDS;
        Some(Self {
            call,
            legs: legs_up,
            contacts: BTreeMap::new(),
            next_fork,
            max_forwards,
            answered: Vec::new(),
            goodbyes: 0,
            farewells: Vec::new(),
        })
    }
}

fn legs(kept: &KeptCall) -> Vec<Leg> {
    let caller = kept.caller_fork.map_or(Leg::Caller, Leg::Callee);
    let parties = [caller, Leg::Callee(kept.fork), Leg::Media(Side::Caller), Leg::Media(Side::Callee)];
    parties.into_iter().chain(kept.leaving()).collect()
}
