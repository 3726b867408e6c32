//! What the shell does: pure. Events go in, effects on the desktop come out behind one trait; no window, no socket, no
//! clock. The menu is a function of what is known, so the tray can never tell another story than the status.

mod link;
mod menu;
mod notices;
#[cfg(test)]
mod tests;
mod words;

pub use menu::{Entry, Item, Tray};
pub use notices::Notice;
pub use words::Language;

use hindsight_wire::{
    agent::AgentAction,
    component::RecordingAction,
    local::{Ask, DesktopStatus, Secret},
};
use serde::Serialize;
use std::time::{Duration, Instant};

/// A pause that follows the person's own request within this time needs no notification.
const OWN_REQUEST: Duration = Duration::from_secs(10);

/// What the shell knows of the recorder.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(tag = "recorder", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum View {
    /// Being started or looked for.
    #[default]
    Starting,
    /// It cannot be started; tried again.
    Down {
        /// For people.
        reason: String,
    },
    /// Connected.
    Running {
        /// As it says.
        status: Box<DesktopStatus>,
    },
}

impl View {
    /// What the recorder says, if it is there.
    pub fn status(&self) -> Option<&DesktopStatus> {
        match self {
            View::Running { status } => Some(status),
            View::Starting | View::Down { .. } => None,
        }
    }
}

/// What happens to the shell.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The recorder is there, or says something new.
    Status(Box<DesktopStatus>),
    /// The recorder is gone; it will be started again.
    Gone,
    /// The recorder cannot be started.
    Down {
        /// For people.
        reason: String,
    },
    /// The recorder was started again and is connected.
    Restarted {
        /// How the one before ended.
        cause: String,
    },
    /// Chosen in the tray's menu.
    Chosen(Item),
    /// The program was started again by the person, or they want to see it.
    Open,
    /// A link was opened in the browser.
    Link(String),
    /// The window asked for something.
    WindowAsked(Ask),
    /// A request of the tray was answered.
    Answered {
        /// What was asked for.
        ask: Ask,
        /// How it went; the error is for people.
        result: Result<(), String>,
    },
    /// Another language was chosen.
    Language(Language),
}

/// What the shell can do to the desktop.
pub trait Effects {
    /// Shows this icon and this menu.
    fn tray(&mut self, tray: &Tray);
    /// Shows this in the window, if there is one.
    fn view(&mut self, view: &View);
    /// Shows the window.
    fn open(&mut self);
    /// Tells the person.
    fn notify(&mut self, notice: &Notice);
    /// Asks the recorder; [`Event::Answered`] follows.
    fn ask(&mut self, ask: Ask);
    /// Ends the shell.
    fn quit(&mut self);
}

/// The shell's state.
pub struct Controller {
    view: View,
    language: Language,
    shown: Option<Tray>,
    notices: notices::Notices,
    asked_pause: Option<Instant>,
    /// The browser came back before the recorder was there.
    came_back: Option<Secret>,
    quitting: bool,
}

impl Controller {
    /// A shell that knows nothing yet; shows the tray.
    pub fn new(language: Language, effects: &mut impl Effects) -> Self {
        let mut controller = Self {
            view: View::Starting,
            language,
            shown: None,
            notices: notices::Notices::default(),
            asked_pause: None,
            came_back: None,
            quitting: false,
        };
        controller.show(effects);
        controller
    }

    /// One event, to its end.
    pub fn handle(&mut self, event: Event, now: Instant, effects: &mut impl Effects) {
        match event {
            Event::Status(status) => self.status(status, now, effects),
            Event::Gone => self.turn(View::Starting, effects),
            Event::Down { reason } => {
                let first = !matches!(self.view, View::Down { .. });
                self.turn(View::Down { reason: reason.clone() }, effects);
                if first {
                    effects.notify(&notices::down(self.language, &reason));
                }
            }
            Event::Restarted { cause } => {
                effects.notify(&notices::restarted(self.language));
                effects.ask(Ask::Restarted { cause });
            }
            Event::Chosen(item) => self.chosen(item, now, effects),
            Event::Open => effects.open(),
            Event::Link(url) => {
                effects.open();
                match link::sign_in_code(&url) {
                    Some(code) if self.view.status().is_some() => effects.ask(Ask::EndSso { code }),
                    // The link started the program: the recorder is told once it is there.
                    Some(code) => self.came_back = Some(code),
                    None => {}
                }
            }
            Event::WindowAsked(ask) => self.note(&ask, now),
            Event::Answered { ask: Ask::Quit { .. }, result: Ok(()) } => effects.quit(),
            Event::Answered { ask, result } => {
                if let Ask::Quit { .. } = ask {
                    self.quitting = false;
                }
                // That the server could not be told of a restart is no news for the person.
                if let (Err(reason), false) = (&result, matches!(ask, Ask::Restarted { .. })) {
                    effects.notify(&notices::failed(self.language, reason));
                }
            }
            Event::Language(language) => {
                self.language = language;
                self.show(effects);
            }
        }
    }

    fn status(&mut self, status: Box<DesktopStatus>, now: Instant, effects: &mut impl Effects) {
        let own_pause = self.asked_pause.is_some_and(|at| now.duration_since(at) < OWN_REQUEST);
        for notice in self.notices.of(self.language, self.view.status(), &status, own_pause, now) {
            effects.notify(&notice);
        }
        self.turn(View::Running { status }, effects);
        if let Some(code) = self.came_back.take() {
            effects.ask(Ask::EndSso { code });
        }
    }

    fn turn(&mut self, view: View, effects: &mut impl Effects) {
        if view == self.view {
            return;
        }
        self.view = view;
        effects.view(&self.view);
        self.show(effects);
    }

    /// The tray, when it is not shown so already: a menu that is open would close.
    fn show(&mut self, effects: &mut impl Effects) {
        let tray = menu::tray(&self.view, self.language);
        if self.shown.as_ref() != Some(&tray) {
            effects.tray(&tray);
            self.shown = Some(tray);
        }
    }

    fn chosen(&mut self, item: Item, now: Instant, effects: &mut impl Effects) {
        match item {
            Item::SignIn | Item::Open => effects.open(),
            Item::SignOut => effects.ask(Ask::SignOut),
            Item::Ready => self.agent_state(true, None, effects),
            Item::NotReady(reason) => self.agent_state(false, reason, effects),
            Item::Recording(action) => {
                for ask in self.recording(action) {
                    self.note(&ask, now);
                    effects.ask(ask);
                }
            }
            Item::Quit => self.quit(effects),
        }
    }

    /// The toolkit moves the tick when it is clicked; it is to stand where the status says.
    fn agent_state(&mut self, ready: bool, reason: Option<String>, effects: &mut impl Effects) {
        effects.ask(Ask::Agent(AgentAction::State { ready, reason }));
        self.shown = None;
        self.show(effects);
    }

    /// The same for every interaction that offers it.
    fn recording(&self, action: RecordingAction) -> Vec<Ask> {
        let interactions = self.view.status().map_or(&[][..], |status| &status.interactions);
        let offering = interactions.iter().filter(|interaction| interaction.recording.contains(&action));
        let ask = |interaction: &hindsight_wire::agent::InteractionView| {
            let reason = String::new();
            Ask::Agent(AgentAction::Recording { interaction: interaction.id, action, reason })
        };
        offering.map(ask).collect()
    }

    fn note(&mut self, ask: &Ask, now: Instant) {
        if let Ask::Agent(AgentAction::Recording { action: RecordingAction::Pause, .. }) = ask {
            self.asked_pause = Some(now);
        }
    }

    fn quit(&mut self, effects: &mut impl Effects) {
        match self.view.status() {
            Some(status) if !status.may_quit || self.quitting => {}
            Some(_) => {
                self.quitting = true;
                effects.ask(Ask::Quit { now: false });
            }
            None => effects.quit(),
        }
    }
}
