//! One interaction as its agents are shown it: pure, from its events in the order of the log.

use crate::rights::{Standing, may};
use hindsight_model::event::{Announcement, Event, What};
use hindsight_store::persons::PersonRole;
use hindsight_wire::{
    InteractionId, Timestamp,
    agent::{CallAction, Hold, InteractionView, Medium, Progress, RecordingState},
    component::RecordingAction,
};
use std::collections::{BTreeMap, BTreeSet};

/// What is known of an interaction that is not over.
#[derive(Clone, Debug, Default)]
pub struct Story {
    /// When it began.
    pub began: Option<Timestamp>,
    medium: Medium,
    from: String,
    to: String,
    attached: BTreeMap<String, String>,
    /// DNs that take part.
    dns: BTreeSet<String>,
    /// A DN that rings to take the place of a party.
    joining: Option<String>,
    established: bool,
    /// Since when it is so far as it is.
    since: Option<Timestamp>,
    answerable: bool,
    /// DNs and numbers that hold the other, and whether they do at the phone itself.
    holders: BTreeMap<String, bool>,
    voice: RecordingState,
    screens: BTreeMap<String, RecordingState>,
    paused: bool,
    stopped: bool,
    standing: Standing,
}

impl Story {
    /// Takes an event in. Ends are the caller's to see.
    pub fn apply(&mut self, event: &Event) {
        self.began.get_or_insert(event.at);
        self.standing.apply(event);
        match &event.what {
            What::CallOffered { caller, dialled, .. } => {
                self.from.clone_from(caller);
                self.to.clone_from(dialled);
                if !self.established {
                    self.dns = BTreeSet::from([caller.clone(), dialled.clone()]);
                    self.since = Some(event.at);
                }
            }
            What::CallRinging { dn, .. } if self.established => self.joining = Some(dn.clone()),
            What::CallRinging { answerable, .. } => self.answerable |= answerable,
            What::TransferFailed { .. } => self.joining = None,
            What::CallTransferred { by, to, .. } => {
                self.joining = None;
                self.holders.remove(by);
                let role = if self.from == *by { &mut self.from } else { &mut self.to };
                role.clone_from(to);
            }
            What::CallEstablished { parties } => {
                self.dns =
                    parties.iter().filter(|party| party.is_dn).map(|party| party.number.clone()).collect();
                self.established = true;
                self.since = Some(event.at);
            }
            What::CallHeld { by, at_phone } => {
                self.holders.insert(by.clone(), *at_phone);
                self.since = Some(event.at);
            }
            What::CallRetrieved { by } => {
                self.holders.remove(by);
                self.since = Some(event.at);
            }
            What::RecordingStarted { .. } => {
                self.voice = RecordingState::Recording;
                (self.paused, self.stopped) = (false, false);
            }
            What::RecordingPaused { .. } => {
                self.voice = RecordingState::Paused;
                self.paused = true;
            }
            What::RecordingResumed { .. } => {
                self.voice = RecordingState::Recording;
                self.paused = false;
            }
            What::RecordingStopped { voice_only: true, .. } => {
                self.voice = RecordingState::Off;
                self.paused = false;
            }
            What::RecordingStopped { voice_only: false, .. } => {
                self.voice = RecordingState::Off;
                self.screens.clear();
                (self.paused, self.stopped) = (false, true);
            }
            What::RecordingFailed { .. } => self.voice = RecordingState::Failed,
            What::ScreenStarted { dn, .. } => {
                self.screens.insert(dn.clone(), RecordingState::Recording);
            }
            What::ScreenGap { dn, .. } => {
                self.screens.insert(dn.clone(), RecordingState::Failed);
            }
            What::InteractionAnnounced(announced) => self.announced(announced, event.at),
            What::CallEnded { .. }
            | What::InteractionEnded { .. }
            | What::RecordingLost { .. }
            | What::RecordingOpened { .. }
            | What::SessionEnded(_) => {}
        }
    }

    fn announced(&mut self, announced: &Announcement, at: Timestamp) {
        self.medium = announced.medium;
        self.from.clone_from(&announced.from);
        self.to.clone_from(&announced.to);
        self.attached.clone_from(&announced.attached);
        self.dns = BTreeSet::from([announced.dn.clone()]);
        self.established = true;
        self.since = Some(at);
    }

    /// What the agent at a DN is shown of it; `None`: not theirs.
    pub fn view(&self, id: InteractionId, dn: &str, roles: &BTreeSet<PersonRole>) -> Option<InteractionView> {
        let joining = self.joining.as_deref() == Some(dn);
        if !self.dns.contains(dn) && !joining {
            return None;
        }
        if joining && !self.dns.contains(dn) {
            return Some(self.view_of_joining(id));
        }
        let voice = if self.medium == Medium::Voice { self.voice } else { RecordingState::Off };
        let screen = match self.screens.get(dn).copied().unwrap_or_default() {
            RecordingState::Recording if self.paused => RecordingState::Paused,
            state => state,
        };
        Some(InteractionView {
            id,
            medium: self.medium,
            from: self.from.clone(),
            to: self.to.clone(),
            progress: self.progress(),
            since: self.since.or(self.began).unwrap_or(Timestamp(0)),
            voice,
            screen,
            calls: self.call_actions(dn),
            holds: self.holds(dn),
            recording: self.recording_actions(voice, screen, roles),
            attached: self.attached.clone(),
        })
    }

    /// To whom it rings, nothing is shown but who calls: the phone takes or refuses it.
    fn view_of_joining(&self, id: InteractionId) -> InteractionView {
        InteractionView {
            id,
            medium: self.medium,
            from: self.from.clone(),
            to: self.joining.clone().unwrap_or_default(),
            progress: Progress::Ringing,
            since: self.since.or(self.began).unwrap_or(Timestamp(0)),
            voice: RecordingState::Off,
            screen: RecordingState::Off,
            calls: Vec::new(),
            holds: Vec::new(),
            recording: Vec::new(),
            attached: self.attached.clone(),
        }
    }

    fn progress(&self) -> Progress {
        match (self.established, self.holders.is_empty()) {
            (false, _) => Progress::Ringing,
            (true, true) => Progress::Established,
            (true, false) => Progress::Held,
        }
    }

    fn call_actions(&self, dn: &str) -> Vec<CallAction> {
        match (self.medium, self.established) {
            (Medium::Voice, false) if self.answerable && self.to == dn => {
                vec![CallAction::Answer, CallAction::HangUp]
            }
            (Medium::Voice, false) => vec![CallAction::HangUp],
            (Medium::Voice, true) => match self.holders.get(dn) {
                None => vec![CallAction::Hold, CallAction::HangUp],
                Some(false) => vec![CallAction::Retrieve, CallAction::HangUp],
                // Only the phone can end a hold that it began.
                Some(true) => vec![CallAction::HangUp],
            },
            (Medium::Chat | Medium::Email | Medium::WorkItem, _) => Vec::new(),
        }
    }

    fn holds(&self, dn: &str) -> Vec<Hold> {
        let hold = |(holder, at_phone): (&String, &bool)| match (holder == dn, at_phone) {
            (true, false) => Hold::Agent,
            (true, true) => Hold::AgentsPhone,
            (false, _) => Hold::OtherParty,
        };
        self.holders.iter().map(hold).collect()
    }

    fn recording_actions(
        &self,
        voice: RecordingState,
        screen: RecordingState,
        roles: &BTreeSet<PersonRole>,
    ) -> Vec<RecordingAction> {
        if !self.established {
            return Vec::new();
        }
        let call = self.medium == Medium::Voice;
        let possible: &[RecordingAction] = match if call { voice } else { screen } {
            RecordingState::Recording => &[RecordingAction::Pause, RecordingAction::Stop],
            RecordingState::Paused => &[RecordingAction::Resume, RecordingAction::Stop],
            RecordingState::Off | RecordingState::Failed if call || self.stopped => &[RecordingAction::Start],
            RecordingState::Off | RecordingState::Failed => &[],
        };
        possible.iter().copied().filter(|action| may(roles, *action, &self.standing).is_ok()).collect()
    }
}
