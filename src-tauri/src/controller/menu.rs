//! The tray: icon and menu as a function of what is known.

use super::{Language, View, words::Words};
use hindsight_wire::{
    agent::Progress,
    component::RecordingAction,
    local::{CaptureState, DesktopStatus, LinkState, TrayState},
};

/// What can be chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// Opens the window.
    Open,
    /// Opens the window to sign in.
    SignIn,
    /// Signs out.
    SignOut,
    /// Ready.
    Ready,
    /// Not ready, for this reason or none.
    NotReady(Option<String>),
    /// All interactions that offer it.
    Recording(RecordingAction),
    /// Ends the program.
    Quit,
}

const RECORDING: [(RecordingAction, &str); 4] = [
    (RecordingAction::Start, "start"),
    (RecordingAction::Pause, "pause"),
    (RecordingAction::Resume, "resume"),
    (RecordingAction::Stop, "stop"),
];
const NOT_READY_FOR: &str = "not-ready:";

impl Item {
    /// The name in the menu of the toolkit.
    pub fn id(&self) -> String {
        match self {
            Item::Open => "open".to_owned(),
            Item::SignIn => "sign-in".to_owned(),
            Item::SignOut => "sign-out".to_owned(),
            Item::Ready => "ready".to_owned(),
            Item::NotReady(None) => "not-ready".to_owned(),
            Item::NotReady(Some(reason)) => format!("{NOT_READY_FOR}{reason}"),
            Item::Recording(action) => {
                let named = RECORDING.iter().find(|(of, _)| of == action);
                named.map_or("", |(_, name)| name).to_owned()
            }
            Item::Quit => "quit".to_owned(),
        }
    }

    /// The item of this name.
    pub fn named(id: &str) -> Option<Self> {
        if let Some(reason) = id.strip_prefix(NOT_READY_FOR) {
            return Some(Item::NotReady(Some(reason.to_owned())));
        }
        if let Some((action, _)) = RECORDING.iter().find(|(_, name)| *name == id) {
            return Some(Item::Recording(*action));
        }
        [Item::Open, Item::SignIn, Item::SignOut, Item::Ready, Item::NotReady(None), Item::Quit]
            .into_iter()
            .find(|item| item.id() == id)
    }
}

/// A line of the menu.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// Only to be read.
    Line(String),
    /// Between groups.
    Separator,
    /// To be chosen.
    Item {
        /// What.
        item: Item,
        /// For people.
        text: String,
        /// Now.
        enabled: bool,
        /// Ticked or not, where it is one of several.
        ticked: Option<bool>,
    },
    /// More of them.
    Submenu {
        /// For people.
        text: String,
        /// Now.
        enabled: bool,
        /// Lines.
        entries: Vec<Entry>,
    },
}

/// Icon and menu.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tray {
    /// Which icon.
    pub icon: TrayState,
    /// In one line, also for hosts that show a tooltip.
    pub line: String,
    /// From top to bottom.
    pub menu: Vec<Entry>,
}

/// The tray for what is known.
pub fn tray(view: &View, language: Language) -> Tray {
    let words = language.words();
    let icon = match view {
        View::Starting => TrayState::Idle,
        View::Down { .. } => TrayState::Problem,
        View::Running { status } => status.tray,
    };
    let line = line(view, words);
    let mut menu = vec![Entry::Line(line.clone()), Entry::Separator];
    if let Some(status) = view.status() {
        person(status, words, &mut menu);
    }
    menu.push(item(Item::Open, words.open, true));
    if view.status().is_none_or(|status| status.may_quit) {
        menu.push(Entry::Separator);
        menu.push(item(Item::Quit, words.quit, true));
    }
    Tray { icon, line, menu }
}

fn item(item: Item, text: &str, enabled: bool) -> Entry {
    Entry::Item { item, text: text.to_owned(), enabled, ticked: None }
}

fn ticked(item: Item, text: &str, enabled: bool, ticked: bool) -> Entry {
    Entry::Item { item, text: text.to_owned(), enabled, ticked: Some(ticked) }
}

fn line(view: &View, words: &Words) -> String {
    let status = match view {
        View::Starting => return words.starting.to_owned(),
        View::Down { .. } => return words.recorder_down.to_owned(),
        View::Running { status } => status,
    };
    let line = match status.tray {
        TrayState::Problem => {
            status.problems.first().map_or(words.problem, |problem| words.problem_title(problem.kind))
        }
        TrayState::Paused => words.paused,
        TrayState::Recording if status.capture == CaptureState::Recording => words.recording,
        TrayState::Recording => words.recording_voice,
        TrayState::Uploading => words.uploading,
        TrayState::Idle if status.link == LinkState::NotEnrolled => words.not_enrolled,
        TrayState::Idle if status.person.is_none() => words.signed_out,
        TrayState::Idle if status.agent.ready => words.ready,
        TrayState::Idle => words.not_ready,
    };
    line.to_owned()
}

fn person(status: &DesktopStatus, words: &Words, menu: &mut Vec<Entry>) {
    let Some(person) = &status.person else {
        menu.extend([item(Item::SignIn, words.sign_in, true), Entry::Separator]);
        return;
    };
    let up = status.link == LinkState::Up;
    let agent = &status.agent;
    menu.push(ticked(Item::Ready, words.ready, up, agent.ready));
    if status.reasons.is_empty() {
        menu.push(ticked(Item::NotReady(None), words.not_ready, up, !agent.ready));
    } else {
        let none = ticked(Item::NotReady(None), words.no_reason, up, !agent.ready && agent.reason.is_none());
        let reasons = status.reasons.iter().map(|reason| {
            let now = !agent.ready && agent.reason.as_ref() == Some(reason);
            ticked(Item::NotReady(Some(reason.clone())), reason, up, now)
        });
        let entries = std::iter::once(none).chain(reasons).collect();
        menu.push(Entry::Submenu { text: words.not_ready.to_owned(), enabled: up, entries });
    }
    menu.push(Entry::Separator);
    recording(status, words, menu);
    let name = if person.name.is_empty() { &person.login } else { &person.name };
    menu.extend([item(Item::SignOut, &format!("{} ({name})", words.sign_out), true), Entry::Separator]);
}

/// The controls that some interaction offers; all of them, grey, while there is one that offers none.
fn recording(status: &DesktopStatus, words: &Words, menu: &mut Vec<Entry>) {
    let on = |progress| progress != Progress::Ended;
    if !status.interactions.iter().any(|interaction| on(interaction.progress)) {
        return;
    }
    for (action, _) in RECORDING {
        let text = match action {
            RecordingAction::Start => words.start,
            RecordingAction::Pause => words.pause,
            RecordingAction::Resume => words.resume,
            RecordingAction::Stop => words.stop,
        };
        let offered =
            |interaction: &hindsight_wire::agent::InteractionView| interaction.recording.contains(&action);
        menu.push(item(Item::Recording(action), text, status.interactions.iter().any(offered)));
    }
    menu.push(Entry::Separator);
}
