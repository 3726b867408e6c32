//! When to ask for an update, fetch it, hand it over and start anew. Pure: time is that since some start, randomness an
//! argument. A recording never waits for an update; an update waits for recordings as long as they last.

use crate::{
    handover::{Outcome, State},
    manifest::Package,
};
use semver::Version;
use std::time::Duration;

/// The server is asked this often.
pub const ASK_EVERY: Duration = Duration::from_secs(6 * 3600);
/// The first time within this after the start, so that a site's desktops do not all ask at once in the morning.
pub const FIRST_WITHIN: Duration = Duration::from_secs(600);
/// After something failed, doubled with each failure up to [`ASK_EVERY`].
pub const RETRY: Duration = Duration::from_secs(60);
/// Nothing was recorded for so long before anything is handed over: calls often follow each other.
pub const QUIET: Duration = Duration::from_secs(20);
/// How often the result of an installation is looked for.
pub const LOOK: Duration = Duration::from_secs(2);

/// An update that fits and is signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// What it makes of this program.
    pub version: Version,
    /// What to fetch.
    pub package: Package,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// Time may have come.
    Tick,
    /// A capture or an interaction began or the last one ended.
    Busy(bool),
    /// Answer to [`Action::Ask`]: nothing new, an offer, or no usable answer.
    Answered(Result<Option<Offer>, String>),
    /// End of [`Action::Fetch`]: the bytes are those that were signed, or not.
    Fetched(Result<(), String>),
    /// End of [`Action::HandOver`].
    HandedOver(Result<(), String>),
    /// Answer to [`Action::Look`].
    Looked {
        /// Version of the installed package.
        installed: Version,
        /// What root says of the last update.
        state: Option<State>,
    },
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Ask the server.
    Ask,
    /// Fetch this; what is there of it already is kept.
    Fetch(Offer),
    /// Forget what was fetched: it is not what was signed.
    Discard,
    /// Give it to root.
    HandOver(Offer),
    /// See what root did.
    Look,
    /// Another version is installed than runs: end once nothing is recorded, whoever watches starts the new one.
    StartAnew,
    /// A line for the log.
    Tell(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Stage {
    /// Until the next question.
    Resting,
    /// The server is being asked.
    Asking,
    /// The package is on its way.
    Fetching(Offer),
    /// Fetched and right; waits for a quiet moment.
    Ready(Offer),
    /// Being copied to where root looks.
    HandingOver(Offer),
    /// Root has it.
    Given(Offer),
    /// The new version is installed; waits for a quiet moment.
    Replaced,
    /// This program has been told to end.
    Ending,
}

/// The recorder's half of an update.
#[derive(Debug)]
pub struct Updater {
    running: Version,
    stage: Stage,
    due: Duration,
    failures: u32,
    /// Not busy since.
    quiet_since: Option<Duration>,
    /// Root said no to it; it is not offered to root again while it is the same bytes.
    refused: Option<Package>,
}

impl Updater {
    /// Of a program of this version; `share` is a random number between 0 and 1.
    pub fn new(running: Version, now: Duration, share: f64) -> Self {
        let due = now + FIRST_WITHIN.mul_f64(share.clamp(0.0, 1.0));
        Self { running, stage: Stage::Resting, due, failures: 0, quiet_since: Some(now), refused: None }
    }

    /// Asks at the next tick.
    pub fn ask_now(&mut self, now: Duration) {
        if self.stage == Stage::Resting {
            self.due = now;
        }
    }

    /// When the next [`Input::Tick`] is due; `None`: only an input brings it on.
    pub fn next_tick(&self) -> Option<Duration> {
        match &self.stage {
            Stage::Resting | Stage::Given(_) => Some(self.due),
            Stage::Ready(_) | Stage::Replaced => self.quiet_since.map(|since| since + QUIET),
            Stage::Asking | Stage::Fetching(_) | Stage::HandingOver(_) | Stage::Ending => None,
        }
    }

    /// Whether an update is there and waits for the end of recordings.
    pub fn waits(&self) -> bool {
        matches!(self.stage, Stage::Ready(_) | Stage::Replaced) && self.quiet_since.is_none()
    }

    /// One step.
    pub fn handle(&mut self, input: Input, now: Duration) -> Vec<Action> {
        match input {
            Input::Tick => self.tick(now),
            Input::Busy(busy) => {
                self.quiet_since = if busy { None } else { self.quiet_since.or(Some(now)) };
                self.tick(now)
            }
            Input::Answered(answer) => self.answered(answer, now),
            Input::Fetched(result) => self.fetched(result, now),
            Input::HandedOver(result) => self.handed_over(result, now),
            Input::Looked { installed, state } => self.looked(&installed, state, now),
        }
    }

    fn quiet(&self, now: Duration) -> bool {
        self.quiet_since.is_some_and(|since| now >= since + QUIET)
    }

    fn tick(&mut self, now: Duration) -> Vec<Action> {
        match &self.stage {
            // An administrator may have installed another version meanwhile: that is seen before the server is asked.
            Stage::Resting if now >= self.due => {
                self.stage = Stage::Asking;
                vec![Action::Look, Action::Ask]
            }
            Stage::Ready(offer) if self.quiet(now) => {
                let offer = offer.clone();
                self.stage = Stage::HandingOver(offer.clone());
                vec![Action::HandOver(offer)]
            }
            Stage::Given(_) if now >= self.due => {
                self.due = now + LOOK;
                vec![Action::Look]
            }
            Stage::Replaced if self.quiet(now) => {
                self.stage = Stage::Ending;
                vec![Action::StartAnew]
            }
            Stage::Resting
            | Stage::Asking
            | Stage::Fetching(_)
            | Stage::Ready(_)
            | Stage::HandingOver(_)
            | Stage::Given(_)
            | Stage::Replaced
            | Stage::Ending => Vec::new(),
        }
    }

    fn answered(&mut self, answer: Result<Option<Offer>, String>, now: Duration) -> Vec<Action> {
        if self.stage != Stage::Asking {
            return Vec::new();
        }
        match answer {
            Ok(Some(offer)) if self.refused.as_ref() != Some(&offer.package) => {
                let told = Action::Tell(format!("the update {} is fetched", offer.version));
                self.stage = Stage::Fetching(offer.clone());
                vec![told, Action::Fetch(offer)]
            }
            Ok(_) => {
                self.rest(now);
                Vec::new()
            }
            Err(reason) => self.try_later(format!("no update: {reason}"), now),
        }
    }

    fn fetched(&mut self, result: Result<(), String>, now: Duration) -> Vec<Action> {
        let Stage::Fetching(offer) = &self.stage else { return Vec::new() };
        match result {
            Ok(()) => {
                self.stage = Stage::Ready(offer.clone());
                self.tick(now)
            }
            Err(reason) => {
                let mut actions = self.try_later(format!("the update was not fetched: {reason}"), now);
                actions.push(Action::Discard);
                actions
            }
        }
    }

    fn handed_over(&mut self, result: Result<(), String>, now: Duration) -> Vec<Action> {
        let Stage::HandingOver(offer) = &self.stage else { return Vec::new() };
        match result {
            Ok(()) => {
                let told = Action::Tell(format!("the update {} is handed over", offer.version));
                self.stage = Stage::Given(offer.clone());
                self.due = now + LOOK;
                vec![told, Action::Discard]
            }
            Err(reason) => self.try_later(format!("the update was not handed over: {reason}"), now),
        }
    }

    fn looked(&mut self, installed: &Version, state: Option<State>, now: Duration) -> Vec<Action> {
        if *installed != self.running && self.stage != Stage::Ending && self.stage != Stage::Replaced {
            self.stage = Stage::Replaced;
            let told =
                Action::Tell(format!("version {installed} is installed and starts when nothing is recorded"));
            return std::iter::once(told).chain(self.tick(now)).collect();
        }
        let Stage::Given(offer) = &self.stage else { return Vec::new() };
        let about_it = |state: &State| state.version.as_ref().is_none_or(|version| *version == offer.version);
        match state.filter(about_it) {
            Some(State { outcome: Outcome::Refused | Outcome::Failed | Outcome::Broken, reason, .. }) => {
                self.refused = Some(offer.package.clone());
                let told = Action::Tell(format!("the update {} was not installed: {reason}", offer.version));
                self.rest(now);
                vec![told]
            }
            Some(State { outcome: Outcome::Waiting | Outcome::Installed, .. }) | None => Vec::new(),
        }
    }

    fn rest(&mut self, now: Duration) {
        (self.stage, self.failures, self.due) = (Stage::Resting, 0, now + ASK_EVERY);
    }

    fn try_later(&mut self, told: String, now: Duration) -> Vec<Action> {
        self.failures = self.failures.saturating_add(1);
        let wait = RETRY.saturating_mul(1 << (self.failures - 1).min(10)).min(ASK_EVERY);
        (self.stage, self.due) = (Stage::Resting, now + wait);
        vec![Action::Tell(told)]
    }
}

#[cfg(test)]
mod tests;
