//! Pauses that this desktop makes by itself: pressed by a person, by rule, while the session is locked. They hold at
//! once; the server is asked to pause the voice too, and what it answers is remembered.
//!
//! A pressed pause ends when the server has ended its own, or when it is pressed away and the voice is not paused
//! either: nobody sees screens go on while the voice is held back. It ends with its interaction in any case.

use super::{Action, reasons::Reasons};
use hindsight_wire::{
    InteractionId,
    agent::{AgentAction, InteractionView, Progress, RecordingState},
    component::RecordingAction,
};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// The server answers within this time.
const ANSWERS: Duration = Duration::from_secs(10);
/// A transfer it answers when somebody has taken the call, or nobody did: it gives up after 90 s itself.
const TRANSFERS: Duration = Duration::from_secs(95);
/// What is said of a request that finds no link, or loses it.
const NO_LINK: &str = "the server cannot be reached";
/// A voice that could not be paused is asked for again after so long.
const AGAIN: Duration = Duration::from_secs(15);
/// Requests that may wait for an answer.
const UNDER_WAY: usize = 64;

/// Local pauses and what was asked of the server.
#[derive(Debug, Default)]
pub struct Pauses {
    pressed: BTreeMap<InteractionId, Pressed>,
    rule: Option<String>,
    /// For whom the rule had the server asked.
    ruled: BTreeMap<InteractionId, Ruled>,
    locked: bool,
    /// Interactions of the agent, and whether their voice is paused.
    known: BTreeMap<InteractionId, bool>,
    requests: BTreeMap<u64, Request>,
    next_request: u64,
}

#[derive(Debug)]
struct Pressed {
    by: String,
    reason: String,
    voice: Voice,
    asked_at: Duration,
}

#[derive(Debug)]
struct Ruled {
    voice: Voice,
    asked_at: Duration,
}

/// Whether the server pauses the voice too.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Voice {
    Asking,
    Paused,
    Not(String),
}

#[derive(Debug)]
struct Request {
    what: What,
    /// Which window waits for the answer.
    ask: Option<u64>,
    until: Duration,
}

#[derive(Clone, Copy, Debug)]
enum What {
    Pause(InteractionId),
    Resume(InteractionId),
    RulePause(InteractionId),
    RuleResume(InteractionId),
    Other,
}

/// What stands between the screens and the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pause {
    /// Who asked.
    pub by: String,
    /// Why.
    pub reason: String,
    /// Why the voice is not paused with them, when it is not.
    pub voice_not: Option<String>,
}

/// A pressed pause, for the recorder's next start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KeptPause {
    /// Of whom.
    pub interaction: InteractionId,
    /// Who asked.
    pub by: String,
    /// Why.
    pub reason: String,
}

/// What is around a pause at a moment.
pub struct Around<'a> {
    pub reasons: &'a Reasons,
    /// The link is open to a server that takes requests.
    pub asks: bool,
    pub up: Duration,
    pub actions: &'a mut Vec<Action>,
}

impl Pauses {
    /// Pauses that held when the recorder ended; they end as others do, once the server has told what goes on.
    pub fn restore(&mut self, kept: Vec<KeptPause>) {
        for KeptPause { interaction, by, reason } in kept {
            self.known.insert(interaction, false);
            let voice = Voice::Not("the recorder was started again".to_owned());
            self.pressed.insert(interaction, Pressed { by, reason, voice, asked_at: Duration::ZERO });
        }
    }

    pub fn kept(&self) -> Vec<KeptPause> {
        let kept = |(interaction, pressed): (&InteractionId, &Pressed)| KeptPause {
            interaction: *interaction,
            by: pressed.by.clone(),
            reason: pressed.reason.clone(),
        };
        self.pressed.iter().map(kept).collect()
    }

    /// Why no pixel may be kept, as far as this desktop decides.
    pub fn holds(&self) -> Option<Pause> {
        let simple =
            |by: &str, reason: &str| Pause { by: by.to_owned(), reason: reason.to_owned(), voice_not: None };
        if let Some(pressed) = self.pressed.values().next() {
            let voice_not = self.pressed.values().find_map(|pressed| match &pressed.voice {
                Voice::Not(reason) => Some(reason.clone()),
                Voice::Asking | Voice::Paused => None,
            });
            return Some(Pause { voice_not, ..simple(&pressed.by, &pressed.reason) });
        }
        if let Some(rule) = &self.rule {
            let voice_not = self.ruled.values().find_map(|ruled| match &ruled.voice {
                Voice::Not(reason) => Some(reason.clone()),
                Voice::Asking | Voice::Paused => None,
            });
            return Some(Pause { voice_not, ..simple("rule", rule) });
        }
        self.locked.then(|| simple("system", "the session is locked"))
    }

    pub fn set_rule(&mut self, rule: Option<String>) {
        self.rule = rule;
    }

    pub fn set_locked(&mut self, locked: bool) {
        self.locked = locked;
    }

    /// The agent's interactions, as the server tells them. A voice that goes on again ends its pause.
    pub fn set_known(&mut self, interactions: &[InteractionView]) {
        let known: BTreeMap<InteractionId, bool> = interactions
            .iter()
            .filter(|view| view.progress != Progress::Ended)
            .map(|view| (view.id, view.voice == RecordingState::Paused))
            .collect();
        for (interaction, paused) in &known {
            if self.known.get(interaction) == Some(&true) && !paused {
                self.server_resumed(*interaction);
            }
        }
        self.known = known;
    }

    /// A server that tells nothing of interactions: what was kept from before is nobody's.
    pub fn know_nothing(&mut self) {
        self.known.clear();
    }

    /// Somebody else sits here, or nobody.
    pub fn forget_all(&mut self) {
        let (rule, locked) = (self.rule.take(), self.locked);
        *self = Self { rule, locked, next_request: self.next_request, ..Self::default() };
    }

    /// The server paused the screens, and so the voice.
    pub fn server_paused(&mut self, interaction: InteractionId) {
        if let Some(pressed) = self.pressed.get_mut(&interaction) {
            pressed.voice = Voice::Paused;
        }
    }

    /// The server goes on. A pause that it has not taken over yet stays.
    pub fn server_resumed(&mut self, interaction: InteractionId) {
        if self.pressed.get(&interaction).is_some_and(|pressed| pressed.voice == Voice::Paused) {
            self.pressed.remove(&interaction);
        }
    }

    /// A window asks for something.
    pub fn ask(&mut self, ask: u64, by: &str, action: AgentAction, around: &mut Around<'_>) {
        let AgentAction::Recording { interaction, action: recording, reason } = &action else {
            return self.request(What::Other, Some(ask), action, around);
        };
        match recording {
            RecordingAction::Pause => self.press(ask, by, *interaction, reason.clone(), around),
            RecordingAction::Resume => self.release(ask, *interaction, action, around),
            RecordingAction::Start | RecordingAction::Stop => {
                self.request(What::Other, Some(ask), action, around);
            }
        }
    }

    fn press(
        &mut self,
        ask: u64,
        by: &str,
        interaction: InteractionId,
        reason: String,
        around: &mut Around<'_>,
    ) {
        if !self.is_known(interaction, around.reasons) {
            return told(around, Some(ask), Err("there is no such interaction any more".to_owned()));
        }
        let voice_too = matches!(
            self.pressed.get(&interaction),
            Some(Pressed { voice: Voice::Asking | Voice::Paused, .. })
        );
        if voice_too {
            return told(around, Some(ask), Ok(()));
        }
        let (by, asked_at) = (by.to_owned(), around.up);
        let pressed = Pressed { by, reason: reason.clone(), voice: Voice::Asking, asked_at };
        self.pressed.insert(interaction, pressed);
        let action = AgentAction::Recording { interaction, action: RecordingAction::Pause, reason };
        self.request(What::Pause(interaction), Some(ask), action, around);
    }

    fn release(
        &mut self,
        ask: u64,
        interaction: InteractionId,
        action: AgentAction,
        around: &mut Around<'_>,
    ) {
        if self.rule.is_some() {
            let reason = "a window that must not be recorded is in front".to_owned();
            return told(around, Some(ask), Err(reason));
        }
        let voice = self.pressed.get(&interaction).map(|pressed| pressed.voice.clone());
        match voice {
            Some(Voice::Not(_)) if !around.asks && !self.paused_there(interaction, around.reasons) => {
                self.pressed.remove(&interaction);
                told(around, Some(ask), Ok(()));
            }
            Some(_) | None => self.request(What::Resume(interaction), Some(ask), action, around),
        }
    }

    /// Brings the server to what the rule asks for, gives up what is late, forgets what is over.
    pub fn settle(&mut self, around: &mut Around<'_>) {
        let late: Vec<u64> = self
            .requests
            .iter()
            .filter(|(_, request)| request.until <= around.up)
            .map(|(id, _)| *id)
            .collect();
        for request in late {
            self.failed(request, "the server gave no answer", around);
        }
        let alive = |id: &InteractionId, known: &BTreeMap<_, _>| {
            known.contains_key(id) || around.reasons.contains(*id)
        };
        self.pressed.retain(|id, _| alive(id, &self.known));
        self.ruled.retain(|id, _| alive(id, &self.known));
        if around.asks {
            self.ask_again(AGAIN, around);
            self.settle_rule(around);
        }
    }

    fn settle_rule(&mut self, around: &mut Around<'_>) {
        let recording = |interaction, action, reason: &str| AgentAction::Recording {
            interaction,
            action,
            reason: reason.to_owned(),
        };
        let Some(rule) = self.rule.clone() else {
            let answered = |(_, ruled): &(&InteractionId, &Ruled)| ruled.voice != Voice::Asking;
            let over: Vec<InteractionId> = self.ruled.iter().filter(answered).map(|(id, _)| *id).collect();
            for interaction in over {
                let voice = self.ruled.remove(&interaction).map(|ruled| ruled.voice);
                if voice == Some(Voice::Paused) && !self.pressed.contains_key(&interaction) {
                    let action = recording(interaction, RecordingAction::Resume, "");
                    self.request(What::RuleResume(interaction), None, action, around);
                }
            }
            return;
        };
        let all: BTreeSet<InteractionId> = around.reasons.all().chain(self.known.keys().copied()).collect();
        for interaction in all {
            let paused =
                self.pressed.contains_key(&interaction) || self.paused_there(interaction, around.reasons);
            let due = match self.ruled.get(&interaction) {
                None => true,
                Some(Ruled { voice: Voice::Not(_), asked_at }) => *asked_at + AGAIN <= around.up,
                Some(Ruled { voice: Voice::Asking | Voice::Paused, .. }) => false,
            };
            if !paused && due {
                self.ruled.insert(interaction, Ruled { voice: Voice::Asking, asked_at: around.up });
                let action = recording(interaction, RecordingAction::Pause, &rule);
                self.request(What::RulePause(interaction), None, action, around);
            }
        }
    }

    /// When [`Pauses::settle`] has something to give up.
    pub fn next_change(&self) -> Option<Duration> {
        self.requests.values().map(|request| request.until).min()
    }

    /// Pressed pauses that the server does not know of are asked for again.
    pub fn link_up(&mut self, around: &mut Around<'_>) {
        self.ask_again(Duration::ZERO, around);
    }

    fn ask_again(&mut self, after: Duration, around: &mut Around<'_>) {
        let up = around.up;
        let again: Vec<(InteractionId, String)> = self
            .pressed
            .iter_mut()
            .filter(|(_, pressed)| matches!(pressed.voice, Voice::Not(_)) && pressed.asked_at + after <= up)
            .map(|(interaction, pressed)| {
                (pressed.voice, pressed.asked_at) = (Voice::Asking, up);
                (*interaction, pressed.reason.clone())
            })
            .collect();
        for (interaction, reason) in again {
            let action = AgentAction::Recording { interaction, action: RecordingAction::Pause, reason };
            self.request(What::Pause(interaction), None, action, around);
        }
    }

    pub fn link_lost(&mut self, around: &mut Around<'_>) {
        for request in self.requests.keys().copied().collect::<Vec<_>>() {
            self.failed(request, NO_LINK, around);
        }
    }

    /// The server answered.
    pub fn answered(&mut self, request: u64, error: Option<String>, around: &mut Around<'_>) {
        let Some(Request { what, ask, .. }) = self.requests.remove(&request) else { return };
        let refused = error.is_some();
        match what {
            What::Pause(interaction) => {
                // Refused because it is paused already: that is as good.
                let error = error.filter(|_| !self.paused_there(interaction, around.reasons));
                if let Some(pressed) = self.pressed.get_mut(&interaction) {
                    pressed.voice = error.clone().map_or(Voice::Paused, Voice::Not);
                }
                let not = |error| format!("the screens are paused, the voice is not: {error}");
                told(around, ask, error.map_or(Ok(()), |error| Err(not(error))));
            }
            What::Resume(interaction) => {
                let paused_there = self.paused_there(interaction, around.reasons);
                let lifted = !refused || !paused_there;
                let was_pressed = lifted && self.pressed.remove(&interaction).is_some();
                let held_back = refused && !was_pressed;
                told(around, ask, if held_back { Err(error.unwrap_or_default()) } else { Ok(()) });
            }
            What::RulePause(interaction) => {
                if let Some(ruled) = self.ruled.get_mut(&interaction) {
                    ruled.voice = error.map_or(Voice::Paused, Voice::Not);
                }
            }
            What::RuleResume(_) => {}
            What::Other => told(around, ask, error.map_or(Ok(()), Err)),
        }
    }

    /// No answer will come: whether it was done is not known.
    fn failed(&mut self, request: u64, reason: &str, around: &mut Around<'_>) {
        let Some(Request { what, ask, .. }) = self.requests.remove(&request) else { return };
        match what {
            What::Pause(interaction) => {
                if let Some(pressed) = self.pressed.get_mut(&interaction) {
                    pressed.voice = Voice::Not(reason.to_owned());
                }
                told(around, ask, Err(format!("the screens are paused, the voice is not: {reason}")));
            }
            What::Resume(_) | What::Other => told(around, ask, Err(reason.to_owned())),
            // Asked for again with the next link, if the rule holds then.
            What::RulePause(interaction) => drop(self.ruled.remove(&interaction)),
            // The voice may still be paused for a rule that is over: that is tried again with the next link.
            What::RuleResume(interaction) => {
                let asked_at = around.up;
                drop(self.ruled.insert(interaction, Ruled { voice: Voice::Paused, asked_at }));
            }
        }
    }

    fn request(&mut self, what: What, ask: Option<u64>, action: AgentAction, around: &mut Around<'_>) {
        let request = self.next_request;
        self.next_request += 1;
        let full = self.requests.len() >= UNDER_WAY;
        let within = if matches!(action, AgentAction::Transfer { .. }) { TRANSFERS } else { ANSWERS };
        self.requests.insert(request, Request { what, ask, until: around.up + within });
        if around.asks && !full {
            around.actions.push(Action::Request { request, action });
        } else {
            self.failed(request, if full { "too many requests wait already" } else { NO_LINK }, around);
        }
    }

    fn is_known(&self, interaction: InteractionId, reasons: &Reasons) -> bool {
        self.known.contains_key(&interaction) || reasons.contains(interaction)
    }

    fn paused_there(&self, interaction: InteractionId, reasons: &Reasons) -> bool {
        self.known.get(&interaction) == Some(&true) || reasons.is_paused(interaction)
    }
}

fn told(around: &mut Around<'_>, ask: Option<u64>, result: Result<(), String>) {
    around.actions.extend(ask.map(|ask| Action::Answer { ask, result }));
}
