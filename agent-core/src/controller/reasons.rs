//! Why there is a capture: the interactions that the server named.

use hindsight_wire::{InteractionId, policy::CapturePolicy};
use std::{collections::BTreeMap, time::Duration};

/// A pause of an interaction is sent right behind its start: so long a start waits for it, and no pixel is taken of a
/// call that is paused already.
const PAUSE_MAY_FOLLOW: Duration = Duration::from_millis(40);
/// After a lost link the server starts again what runs, and pauses it again if it still is paused: so long a pause
/// outlives such a start.
const PAUSE_MAY_BE_RENEWED: Duration = Duration::from_secs(2);

/// Interactions that want the screens.
#[derive(Debug, Default)]
pub struct Reasons {
    by_interaction: BTreeMap<InteractionId, Reason>,
}

#[derive(Debug)]
struct Reason {
    recipients: Vec<String>,
    policy: CapturePolicy,
    paused: Option<(String, String)>,
    /// Not a reason before this.
    ready_at: Duration,
    /// The pause ends then, unless it is renewed.
    pause_lapses_at: Option<Duration>,
    /// No reason any more, for want of word from the server. Kept because its pause must outlive it.
    expired: bool,
}

impl Reasons {
    /// Asked for again, after a lost link, a pause stays until it is renewed or lapses.
    pub fn start(
        &mut self,
        interaction: InteractionId,
        recipients: Vec<String>,
        policy: CapturePolicy,
        up: Duration,
    ) {
        let new = match self.by_interaction.remove(&interaction) {
            None => Reason {
                recipients,
                policy,
                paused: None,
                ready_at: up + PAUSE_MAY_FOLLOW,
                pause_lapses_at: None,
                expired: false,
            },
            Some(old) => {
                let pause_lapses_at = old.paused.is_some().then_some(up + PAUSE_MAY_BE_RENEWED);
                Reason { recipients, policy, pause_lapses_at, expired: false, ..old }
            }
        };
        self.by_interaction.insert(interaction, new);
    }

    pub fn stop(&mut self, interaction: InteractionId) {
        self.by_interaction.remove(&interaction);
    }

    pub fn pause(&mut self, interaction: InteractionId, by: String, reason: String) {
        if let Some(this) = self.by_interaction.get_mut(&interaction) {
            this.paused.get_or_insert((by, reason));
            this.pause_lapses_at = None;
        }
    }

    pub fn resume(&mut self, interaction: InteractionId) {
        if let Some(this) = self.by_interaction.get_mut(&interaction) {
            (this.paused, this.pause_lapses_at) = (None, None);
        }
    }

    /// Whether the server named it and has not ended it.
    pub fn contains(&self, interaction: InteractionId) -> bool {
        self.by_interaction.contains_key(&interaction)
    }

    /// Every one that the server named and has not ended.
    pub fn all(&self) -> impl Iterator<Item = InteractionId> {
        self.by_interaction.keys().copied()
    }

    /// Whether the server has paused it.
    pub fn is_paused(&self, interaction: InteractionId) -> bool {
        self.by_interaction.get(&interaction).is_some_and(|reason| reason.paused.is_some())
    }

    /// Nobody sits here any more.
    pub fn forget_all(&mut self) {
        self.by_interaction.clear();
    }

    /// Time has passed.
    pub fn tick(&mut self, up: Duration) {
        for reason in self.by_interaction.values_mut().filter(|reason| is_over(reason.pause_lapses_at, up)) {
            (reason.paused, reason.pause_lapses_at) = (None, None);
        }
    }

    /// When [`Reasons::tick`] or the passing of time alone changes something.
    pub fn next_change(&self, up: Duration) -> Option<Duration> {
        let times =
            self.by_interaction.values().flat_map(|reason| [Some(reason.ready_at), reason.pause_lapses_at]);
        times.flatten().filter(|at| *at > up).min()
    }

    /// The link has been lost for so long: what would have ended by its own limit has.
    pub fn expire(&mut self, lost: Duration) {
        for reason in self.by_interaction.values_mut().filter(|reason| lost >= limit(&reason.policy)) {
            reason.expired = true;
        }
    }

    /// Oldest first: ids are ordered by time.
    pub fn interactions(&self, up: Duration) -> Vec<InteractionId> {
        self.active(up).map(|(id, _)| id).collect()
    }

    /// One pause pauses all: they share the picture.
    pub fn paused(&self, up: Duration) -> Option<(String, String)> {
        self.active(up).find_map(|(_, reason)| reason.paused.clone())
    }

    /// Everyone who may open the recording of any of them, each once.
    pub fn recipients(&self, up: Duration) -> Vec<String> {
        let mut all: Vec<String> =
            self.active(up).flat_map(|(_, reason)| &reason.recipients).cloned().collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// Policy of the oldest.
    pub fn policy(&self, up: Duration) -> Option<CapturePolicy> {
        self.active(up).next().map(|(_, reason)| reason.policy.clone())
    }

    fn active(&self, up: Duration) -> impl Iterator<Item = (InteractionId, &Reason)> {
        let active = move |reason: &Reason| !reason.expired && reason.ready_at <= up;
        self.by_interaction.iter().filter(move |(_, reason)| active(reason)).map(|(id, reason)| (*id, reason))
    }
}

fn is_over(at: Option<Duration>, up: Duration) -> bool {
    at.is_some_and(|at| at <= up)
}

/// How long a capture may run without word from the server, and how long a part of it lasts.
pub fn limit(policy: &CapturePolicy) -> Duration {
    Duration::from_secs(60 * u64::from(policy.max_minutes.max(1)))
}
