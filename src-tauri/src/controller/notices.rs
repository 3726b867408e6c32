//! What the person is told of, once: problems that begin, and pauses that they did not ask for.

use super::Language;
use hindsight_wire::{
    agent::{ProblemKind, RecordingState},
    local::{CaptureState, DesktopStatus},
};
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// A kind of problem that comes and goes is told of this often at most.
const AGAIN: Duration = Duration::from_secs(15 * 60);

/// A notification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Short.
    pub title: String,
    /// What it means and what to do.
    pub body: String,
}

/// What was told when.
#[derive(Default)]
pub struct Notices {
    told: BTreeMap<ProblemKind, Instant>,
}

impl Notices {
    /// What is new in `status`.
    pub fn of(
        &mut self,
        language: Language,
        before: Option<&DesktopStatus>,
        status: &DesktopStatus,
        own_pause: bool,
        now: Instant,
    ) -> Vec<Notice> {
        let words = language.words();
        let mut notices = Vec::new();
        for problem in &status.problems {
            let known =
                before.is_some_and(|before| before.problems.iter().any(|other| other.kind == problem.kind));
            let told = self.told.get(&problem.kind).is_some_and(|at| now.duration_since(*at) < AGAIN);
            // The shell tells of a restart itself; a lost link while nobody is signed in keeps nobody from work.
            let silent = problem.kind == ProblemKind::Restarted
                || (problem.kind == ProblemKind::Link && status.person.is_none());
            if known || told || silent {
                continue;
            }
            self.told.insert(problem.kind, now);
            notices.push(Notice {
                title: words.problem_title(problem.kind).to_owned(),
                body: words.problem_advice(problem.kind).to_owned(),
            });
        }
        notices.extend(paused_now(language, before, status, own_pause));
        notices
    }
}

/// Recording stands still and did not before, and the person has not asked for it; or it stands still only in part.
fn paused_now(
    language: Language,
    before: Option<&DesktopStatus>,
    status: &DesktopStatus,
    own: bool,
) -> Option<Notice> {
    let words = language.words();
    let voice_not = |status: &DesktopStatus| status.pause.as_ref().and_then(|pause| pause.voice_not.clone());
    if let Some(why) = voice_not(status).filter(|_| before.and_then(voice_not).is_none()) {
        return Some(Notice { title: words.voice_not_paused.to_owned(), body: why });
    }
    if !paused(status) || before.is_some_and(paused) || own {
        return None;
    }
    let body = match &status.pause {
        Some(pause) if !pause.reason.is_empty() => format!("{} ({})", words.paused_by_rule, pause.reason),
        Some(_) | None => words.paused_by_rule.to_owned(),
    };
    Some(Notice { title: words.paused.to_owned(), body })
}

fn paused(status: &DesktopStatus) -> bool {
    status.capture == CaptureState::Paused
        || status.interactions.iter().any(|interaction| interaction.voice == RecordingState::Paused)
}

/// The recorder ended and was started again.
pub fn restarted(language: Language) -> Notice {
    let words = language.words();
    Notice {
        title: words.problem_title(ProblemKind::Restarted).to_owned(),
        body: words.problem_advice(ProblemKind::Restarted).to_owned(),
    }
}

/// The recorder cannot be started.
pub fn down(language: Language, reason: &str) -> Notice {
    Notice { title: language.words().recorder_down.to_owned(), body: reason.to_owned() }
}

/// Something that was chosen in the menu could not be done.
pub fn failed(language: Language, reason: &str) -> Notice {
    Notice { title: language.words().failed.to_owned(), body: reason.to_owned() }
}
