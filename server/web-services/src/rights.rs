//! Who may do what to the recording of an interaction, and who sees its signalling.
//!
//! Supervisors and administrators may do all of it. Agents may start, pause and resume the recording of their own
//! interactions, but not stop what policy records. Other systems may pause and resume, where their token says so.

use hindsight_model::event::{Event, What};
use hindsight_store::persons::PersonRole;
use hindsight_wire::{Timestamp, component::RecordingAction};
use std::collections::BTreeSet;

/// Who started a recording that policy asked for, in [`What::RecordingStarted`].
const FULL_TIME: &str = "full-time";

/// What policy asks of an interaction's recording, from its events so far, in whatever order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Standing {
    voice: bool,
    screen: bool,
    last_start: Option<(Timestamp, bool)>,
}

impl Standing {
    /// Of these events.
    pub fn of<'a>(events: impl IntoIterator<Item = &'a Event>) -> Self {
        let mut this = Self::default();
        for event in events {
            this.apply(event);
        }
        this
    }

    /// One more event.
    pub fn apply(&mut self, event: &Event) {
        match &event.what {
            What::CallOffered { record_voice, record_screen, .. } => {
                self.voice |= !record_voice.is_empty();
                self.screen |= !record_screen.is_empty();
            }
            What::CallTransferred { record_voice, record_screen, .. } => {
                self.voice |= !record_voice.is_empty();
                self.screen |= !record_screen.is_empty();
            }
            What::InteractionAnnounced(announced) => self.screen |= announced.record_screen,
            What::RecordingStarted { by, .. } if self.last_start.is_none_or(|(at, _)| at <= event.at) => {
                self.last_start = Some((event.at, by == FULL_TIME));
            }
            _ => {}
        }
    }

    /// Whether policy began what a stop would end: the voice, or the screens, whose capture ends with it. A recording
    /// whose start has not been heard of yet is policy's where policy asks for one.
    fn by_policy(&self) -> bool {
        self.screen || self.last_start.map_or(self.voice, |(_, by_policy)| by_policy)
    }
}

/// Why not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No role of theirs controls recordings.
    #[error("your roles do not allow this")]
    Roles,
    /// An agent would stop what policy records.
    #[error("this is recorded by policy: you may pause it, a supervisor may stop it")]
    Policy,
}

/// Whether a person with these roles may do this to the recording of an interaction that they may see.
pub fn may(
    roles: &BTreeSet<PersonRole>,
    action: RecordingAction,
    standing: &Standing,
) -> Result<(), Refusal> {
    if roles.contains(&PersonRole::Supervisor) || roles.contains(&PersonRole::Administrator) {
        return Ok(());
    }
    if !roles.contains(&PersonRole::Agent) {
        return Err(Refusal::Roles);
    }
    match action {
        RecordingAction::Start | RecordingAction::Pause | RecordingAction::Resume => Ok(()),
        RecordingAction::Stop if standing.by_policy() => Err(Refusal::Policy),
        RecordingAction::Stop => Ok(()),
    }
}

/// Whether a person with these roles may see the signalling of interactions: it shows addresses and devices of the network.
pub fn may_see_signalling(roles: &BTreeSet<PersonRole>) -> bool {
    roles.contains(&PersonRole::Administrator)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hindsight_wire::{CaptureId, InteractionId};

    fn event(seconds: i64, what: What) -> Event {
        Event { interaction: InteractionId::new(), at: Timestamp(seconds * 1_000_000), what }
    }

    fn offered(voice: bool, screen: bool) -> Event {
        let dns = |asked: bool| if asked { vec!["1001".to_owned()] } else { Vec::new() };
        let (caller, dialled) = ("0701".to_owned(), "1001".to_owned());
        event(0, What::CallOffered { caller, dialled, record_voice: dns(voice), record_screen: dns(screen) })
    }

    fn started(seconds: i64, by: &str) -> Event {
        event(seconds, What::RecordingStarted { capture: CaptureId::new(), by: by.into() })
    }

    fn allowed(roles: &[PersonRole], action: RecordingAction, history: &[Event]) -> bool {
        may(&roles.iter().copied().collect(), action, &Standing::of(history)).is_ok()
    }

    #[test]
    fn an_agent_may_not_stop_what_policy_records() {
        let agent = &[PersonRole::Agent];
        for (history, may_stop) in [
            (vec![offered(true, false), started(1, FULL_TIME)], false),
            (vec![offered(true, false)], false),
            (vec![started(1, FULL_TIME)], false),
            (vec![offered(false, true), started(1, "ann")], false),
            (vec![offered(false, false), started(1, "ann")], true),
            (vec![started(9, "ann"), started(1, FULL_TIME), offered(true, false)], true),
            (vec![offered(false, false)], true),
        ] {
            assert_eq!(allowed(agent, RecordingAction::Stop, &history), may_stop, "{history:?}");
            for action in [RecordingAction::Start, RecordingAction::Pause, RecordingAction::Resume] {
                assert!(allowed(agent, action, &history));
            }
        }
    }

    #[test]
    fn only_administrators_see_signalling() {
        let may = |roles: &[PersonRole]| may_see_signalling(&roles.iter().copied().collect());
        assert!(may(&[PersonRole::Agent, PersonRole::Administrator]));
        assert!(!may(&[PersonRole::Agent, PersonRole::Supervisor, PersonRole::Auditor]) && !may(&[]));
    }

    #[test]
    fn supervisors_and_administrators_may_do_everything_and_others_nothing() {
        let history = [offered(true, true), started(1, FULL_TIME)];
        for action in
            [RecordingAction::Start, RecordingAction::Pause, RecordingAction::Resume, RecordingAction::Stop]
        {
            assert!(allowed(&[PersonRole::Supervisor, PersonRole::Agent], action, &history));
            assert!(allowed(&[PersonRole::Administrator], action, &history));
            assert!(!allowed(&[PersonRole::Auditor], action, &history));
            assert!(!allowed(&[], action, &history));
        }
    }
}
