//! What is looked at beside the captures: the window in front, the display, the server while nobody is signed in.

use crate::{
    capture::{self, Backend, Monitor, session::Session, windows},
    recording::media_clock_us,
};
use hindsight_wire::{policy::WindowMatch, single_sign_on};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::sync::mpsc;

/// How often the window in front is looked at.
const LOOK: Duration = Duration::from_millis(100);
/// How often the session is looked at.
const SESSION_LOOK: Duration = Duration::from_millis(500);
/// Wait before a list of windows that failed is opened again.
const OPEN_AGAIN: Duration = Duration::from_secs(5);

/// What was seen.
#[derive(Debug)]
pub enum Seen {
    /// A window of `pauseWhile` is in front, or none is.
    Rule(Option<String>),
    /// Windows cannot be listed, or can again.
    Windows(Option<String>),
    /// The session is locked or behind another, or is in front again.
    Away(bool),
    /// The display can be captured, or why not.
    Display(Option<String>),
    /// The server answers, and whether it offers single sign-on; or it does not answer.
    Server(Option<bool>),
}

/// A thread that looks at the window in front; ends when dropped.
pub struct RuleWatch {
    stop: Arc<AtomicBool>,
    rules: Vec<WindowMatch>,
}

impl RuleWatch {
    /// Tells at every change whether one of `rules` holds.
    pub fn start(
        backend: Backend,
        display: Option<String>,
        rules: Vec<WindowMatch>,
        tell: mpsc::Sender<Seen>,
    ) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, watched) = (stop.clone(), rules.clone());
        let started = std::thread::Builder::new()
            .name("window-in-front".to_owned())
            .spawn(move || watch(backend, display.as_deref(), &watched, &stopped, &tell));
        if let Err(error) = started {
            tracing::error!(%error, "the window in front is not looked at");
        }
        Self { stop, rules }
    }

    /// What it looks for.
    pub fn rules(&self) -> &[WindowMatch] {
        &self.rules
    }
}

impl Drop for RuleWatch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn watch(
    backend: Backend,
    display: Option<&str>,
    rules: &[WindowMatch],
    stop: &AtomicBool,
    tell: &mpsc::Sender<Seen>,
) {
    let monitors = monitors(backend, display, rules);
    let mut told: Option<Option<String>> = None;
    let stopped = || stop.load(Ordering::Relaxed);
    while !stopped() {
        let failed = match windows::open(backend, display) {
            Err(error) => error.to_string(),
            Ok(mut list) => loop {
                if stopped() {
                    return;
                }
                let holds = match list.look() {
                    Ok(desktop) => desktop.front_matches(rules, &monitors).map(in_words),
                    Err(error) => break error.to_string(),
                };
                if told.as_ref() != Some(&holds) {
                    let seen = [Seen::Windows(None), Seen::Rule(holds.clone())];
                    if seen.into_iter().any(|seen| tell.blocking_send(seen).is_err()) {
                        return;
                    }
                    told = Some(holds);
                }
                std::thread::sleep(LOOK);
            },
        };
        told = None;
        if tell.blocking_send(Seen::Windows(Some(failed))).is_err() {
            return;
        }
        std::thread::sleep(OPEN_AGAIN);
    }
}

/// A thread that looks whether the session is locked or switched away; ends when dropped.
pub struct SessionWatch(Arc<AtomicBool>);

impl SessionWatch {
    /// Tells at every change; a session is in front until it is known to be otherwise.
    pub fn start(backend: Backend, display: Option<String>, tell: mpsc::Sender<Seen>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let started = std::thread::Builder::new().name("session".to_owned()).spawn(move || {
            let mut session = Session::open(backend, display.as_deref());
            let mut told = false;
            while !stopped.load(Ordering::Relaxed) {
                session.poll(media_clock_us());
                if session.is_away() != told {
                    told = session.is_away();
                    if tell.blocking_send(Seen::Away(told)).is_err() {
                        return;
                    }
                }
                std::thread::sleep(SESSION_LOOK);
            }
        });
        if let Err(error) = started {
            tracing::error!(%error, "a locked session is not noticed");
        }
        Self(stop)
    }
}

impl Drop for SessionWatch {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Needed only by rules that name one.
fn monitors(backend: Backend, display: Option<&str>, rules: &[WindowMatch]) -> Vec<Monitor> {
    if rules.iter().all(|rule| rule.monitor.is_none()) {
        return Vec::new();
    }
    capture::open(backend, display).map(|screens| screens.monitors().to_vec()).unwrap_or_default()
}

/// The rule, not the window: a title may hold what must not be written down.
fn in_words(rule: &WindowMatch) -> String {
    let parts = [("title", &rule.title), ("program", &rule.program), ("monitor", &rule.monitor)];
    let named = parts.iter().filter_map(|(what, value)| Some(format!("{what} \"{}\"", value.as_ref()?)));
    format!("window in front: {}", named.collect::<Vec<_>>().join(", "))
}

/// Whether the display can be captured, once. Not asked of a Wayland compositor: it would ask a person.
pub fn display(backend: Backend, display: Option<String>, tell: mpsc::Sender<Seen>) {
    let wayland = std::env::var_os("WAYLAND_DISPLAY").is_some_and(|name| !name.is_empty());
    let asks_a_person = match backend {
        Backend::Auto => display.is_none() && wayland,
        Backend::Wayland => true,
        Backend::X11 | Backend::Scrap | Backend::WindowsGraphics | Backend::ScreenCaptureKit => false,
    };
    if asks_a_person {
        return;
    }
    drop(tokio::task::spawn_blocking(move || {
        let error = capture::open(backend, display.as_deref()).err().map(|error| error.to_string());
        // The recorder may have ended.
        let _ = tell.blocking_send(Seen::Display(error));
    }));
}

/// Whether the server answers, and offers single sign-on, once. A server of an older version offers nothing.
pub fn server(client: reqwest::Client, address: &str, tell: mpsc::Sender<Seen>) {
    let url = format!("https://{address}{}", single_sign_on::PATH);
    drop(tokio::spawn(async move {
        let offer = match client.get(url).timeout(Duration::from_secs(10)).send().await {
            Ok(answer) if answer.status().is_success() => {
                let offer = answer.json::<single_sign_on::Offer>().await;
                Some(offer.is_ok_and(|offer| offer.offered))
            }
            Ok(_) => Some(false),
            Err(_) => None,
        };
        // The recorder may have ended.
        let _ = tell.send(Seen::Server(offer)).await;
    }));
}
