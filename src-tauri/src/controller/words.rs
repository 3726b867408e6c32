//! What the tray and the notifications say, in each language.

use hindsight_wire::agent::ProblemKind;
use serde::{Deserialize, Serialize};

/// A language of the program.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Language {
    /// English.
    #[default]
    En,
    /// German.
    De,
}

impl Language {
    /// The language of the session, as `LANG` and its like name it (POSIX 8.2: the first that is set decides).
    pub fn of_session(variable: impl Fn(&str) -> Option<String>) -> Self {
        let set = ["LC_ALL", "LC_MESSAGES", "LANG"]
            .into_iter()
            .find_map(|name| variable(name).filter(|value| !value.is_empty()));
        if set.is_some_and(|value| value.starts_with("de")) { Language::De } else { Language::En }
    }

    /// What it says.
    pub fn words(self) -> &'static Words {
        match self {
            Language::En => &ENGLISH,
            Language::De => &GERMAN,
        }
    }
}

/// All words of the shell; a language that lacks one does not compile.
pub struct Words {
    pub starting: &'static str,
    pub recorder_down: &'static str,
    pub not_enrolled: &'static str,
    pub signed_out: &'static str,
    pub ready: &'static str,
    pub not_ready: &'static str,
    pub no_reason: &'static str,
    pub recording: &'static str,
    pub recording_voice: &'static str,
    pub paused: &'static str,
    pub paused_by_rule: &'static str,
    pub voice_not_paused: &'static str,
    pub uploading: &'static str,
    pub problem: &'static str,
    pub sign_in: &'static str,
    pub sign_out: &'static str,
    pub start: &'static str,
    pub pause: &'static str,
    pub resume: &'static str,
    pub stop: &'static str,
    pub open: &'static str,
    pub quit: &'static str,
    pub failed: &'static str,
    problems: [(&'static str, &'static str); 11],
}

impl Words {
    /// A problem in a few words.
    pub fn problem_title(&self, kind: ProblemKind) -> &'static str {
        self.problems[index(kind)].0
    }

    /// What it means and what to do.
    pub fn problem_advice(&self, kind: ProblemKind) -> &'static str {
        self.problems[index(kind)].1
    }
}

fn index(kind: ProblemKind) -> usize {
    match kind {
        ProblemKind::Link => 0,
        ProblemKind::Refused => 1,
        ProblemKind::Capture => 2,
        ProblemKind::DiskLow => 3,
        ProblemKind::DiskFull => 4,
        ProblemKind::UploadRefused => 5,
        ProblemKind::UploadBacklog => 6,
        ProblemKind::Clock => 7,
        ProblemKind::KeyStore => 8,
        ProblemKind::Restarted => 9,
        ProblemKind::Other => 10,
    }
}

const ENGLISH: Words = Words {
    starting: "Starting…",
    recorder_down: "The recorder cannot be started",
    not_enrolled: "This computer is not enrolled",
    signed_out: "Not signed in",
    ready: "Ready",
    not_ready: "Not ready",
    no_reason: "No reason",
    recording: "Recording voice and screen",
    recording_voice: "Recording voice",
    paused: "Recording paused",
    paused_by_rule: "Neither voice nor screen is recorded until it is resumed.",
    voice_not_paused: "The voice is still being recorded",
    uploading: "Sending recordings",
    problem: "There is a problem",
    sign_in: "Sign in…",
    sign_out: "Sign out",
    start: "Start recording",
    pause: "Pause recording",
    resume: "Resume recording",
    stop: "Stop recording",
    open: "Open Hindsight",
    quit: "Quit",
    failed: "That did not work",
    problems: [
        ("No connection to the server", "Recordings are kept on this computer and sent later."),
        ("The server refuses this computer", "Sign in again. If that does not help, tell your IT."),
        ("The screen cannot be recorded", "Open Hindsight to see why, and tell your IT."),
        ("Little disk space is left", "Free some space on this computer, or tell your IT."),
        ("No disk space for recordings", "Screens cannot be recorded until space is freed. Tell your IT."),
        ("The server refused a recording", "It is kept on this computer. Tell your IT."),
        ("Recordings are waiting to be sent", "Leave this computer on and connected."),
        ("The clock of this computer is wrong", "Tell your IT: recordings would not line up with the call."),
        ("The system's key store is not available", "You may have to sign in again at each start."),
        ("The recorder was restarted", "It had ended unexpectedly. Recording goes on."),
        ("There is a problem", "Open Hindsight to see more."),
    ],
};

const GERMAN: Words = Words {
    starting: "Startet …",
    recorder_down: "Der Rekorder lässt sich nicht starten",
    not_enrolled: "Dieser Rechner ist nicht registriert",
    signed_out: "Nicht angemeldet",
    ready: "Bereit",
    not_ready: "Nicht bereit",
    no_reason: "Ohne Grund",
    recording: "Sprache und Bildschirm werden aufgenommen",
    recording_voice: "Sprache wird aufgenommen",
    paused: "Aufnahme angehalten",
    paused_by_rule: "Bis zum Fortsetzen werden weder Sprache noch Bildschirm aufgenommen.",
    voice_not_paused: "Die Sprache wird weiter aufgenommen",
    uploading: "Aufnahmen werden gesendet",
    problem: "Es gibt ein Problem",
    sign_in: "Anmelden …",
    sign_out: "Abmelden",
    start: "Aufnahme starten",
    pause: "Aufnahme anhalten",
    resume: "Aufnahme fortsetzen",
    stop: "Aufnahme beenden",
    open: "Hindsight öffnen",
    quit: "Beenden",
    failed: "Das hat nicht geklappt",
    problems: [
        ("Keine Verbindung zum Server", "Aufnahmen bleiben auf diesem Rechner und werden später gesendet."),
        (
            "Der Server weist diesen Rechner ab",
            "Melden Sie sich neu an. Hilft das nicht, fragen Sie Ihre IT.",
        ),
        ("Der Bildschirm kann nicht aufgenommen werden", "Hindsight zeigt, warum. Melden Sie es Ihrer IT."),
        ("Wenig Speicherplatz frei", "Schaffen Sie Platz auf diesem Rechner oder fragen Sie Ihre IT."),
        (
            "Kein Speicherplatz für Aufnahmen",
            "Ohne freien Platz wird kein Bildschirm aufgenommen. Melden Sie es Ihrer IT.",
        ),
        ("Der Server hat eine Aufnahme abgewiesen", "Sie bleibt auf diesem Rechner. Melden Sie es Ihrer IT."),
        ("Aufnahmen warten auf das Senden", "Lassen Sie diesen Rechner eingeschaltet und verbunden."),
        (
            "Die Uhr dieses Rechners geht falsch",
            "Melden Sie es Ihrer IT: Aufnahmen passen sonst nicht zum Gespräch.",
        ),
        (
            "Der Schlüsselspeicher fehlt oder ist gesperrt",
            "Eventuell müssen Sie sich bei jedem Start neu anmelden.",
        ),
        ("Der Rekorder wurde neu gestartet", "Er war unerwartet zu Ende gegangen. Die Aufnahme geht weiter."),
        ("Es gibt ein Problem", "Hindsight zeigt mehr dazu."),
    ],
};
