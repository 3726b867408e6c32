//! The controller's effects, done by Tauri, and what the window's commands share with them.

use crate::{
    config::Config,
    controller::{Effects, Event, Notice, Tray, View},
    recorder::Recorder,
    settings::Settings,
    tray, window,
};
use hindsight_wire::local::Ask;
use std::sync::{Mutex, PoisonError};
use tauri::{AppHandle, async_runtime::JoinHandle};
use tauri_plugin_notification::NotificationExt as _;
use tokio::sync::{mpsc, watch};

/// What the window's commands work with.
pub struct Shell {
    pub config: Config,
    pub events: mpsc::Sender<Event>,
    pub recorder: Recorder,
    pub views: watch::Sender<View>,
    settings: Mutex<Settings>,
    watching: Mutex<Option<JoinHandle<()>>>,
}

impl Shell {
    /// At the start.
    pub fn new(config: Config, settings: Settings, events: mpsc::Sender<Event>, recorder: Recorder) -> Self {
        Self {
            config,
            events,
            recorder,
            views: watch::Sender::default(),
            settings: Mutex::new(settings),
            watching: Mutex::default(),
        }
    }

    /// What the person chose.
    pub fn settings(&self) -> Settings {
        self.settings.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What the person chose now.
    pub fn set_settings(&self, settings: Settings) {
        *self.settings.lock().unwrap_or_else(PoisonError::into_inner) = settings;
    }

    /// One window, one watcher.
    pub fn watching(&self, watcher: Option<JoinHandle<()>>) {
        let before =
            std::mem::replace(&mut *self.watching.lock().unwrap_or_else(PoisonError::into_inner), watcher);
        if let Some(before) = before {
            before.abort();
        }
    }

    /// Nobody looks any more.
    pub fn window_is_gone(&self) {
        self.watching(None);
    }
}

/// The desktop, as the controller's effects reach it.
pub struct Desktop {
    app: AppHandle,
    tray: watch::Sender<Option<Tray>>,
    views: watch::Sender<View>,
    events: mpsc::Sender<Event>,
    recorder: Recorder,
}

impl Desktop {
    /// At the start.
    pub fn new(app: &AppHandle, shell: &Shell) -> Self {
        Self {
            app: app.clone(),
            tray: tray::show(app.clone()),
            views: shell.views.clone(),
            events: shell.events.clone(),
            recorder: shell.recorder.clone(),
        }
    }
}

impl Effects for Desktop {
    fn tray(&mut self, tray: &Tray) {
        self.tray.send_replace(Some(tray.clone()));
    }

    fn view(&mut self, view: &View) {
        self.views.send_replace(view.clone());
    }

    fn open(&mut self) {
        if let Err(error) = window::open(&self.app) {
            tracing::error!(%error, "the window cannot be shown");
        }
    }

    fn notify(&mut self, notice: &Notice) {
        // Sent by a task of the plugin: a session without notifications makes nobody wait.
        let shown = self.app.notification().builder().title(&notice.title).body(&notice.body).show();
        if let Err(error) = shown {
            tracing::info!(%error, "no notification");
        }
    }

    fn ask(&mut self, ask: Ask) {
        let (recorder, events) = (self.recorder.clone(), self.events.clone());
        tauri::async_runtime::spawn(async move {
            let result = recorder.ask(ask.clone()).await.map(drop);
            // Nobody is told when the program ends.
            let _ = events.send(Event::Answered { ask, result }).await;
        });
    }

    fn quit(&mut self) {
        self.app.exit(0);
    }
}
