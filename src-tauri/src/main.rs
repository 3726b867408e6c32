//! hindsight-desktop: the shell around the recorder. A tray icon, a window when somebody wants one, and a watch over
//! `hindsight-recorder`, which does the work in a process of its own.
//!
//! - [`controller`]: what the shell does, pure.
//! - [`recorder`]: the recorder's process and the connection to it.
//! - [`desktop`]: the controller's effects, done by Tauri.
//! - [`tray`], [`window`], [`autostart`], [`settings`], [`commands`]: one thing each.
#![cfg_attr(windows, windows_subsystem = "windows")]

mod autostart;
mod commands;
mod config;
mod controller;
mod desktop;
#[cfg(test)]
mod fixtures;
mod recorder;
mod settings;
mod tray;
mod window;

use anyhow::Context as _;
use controller::{Event, Item, Language};
use desktop::{Desktop, Shell};
use recorder::Supervisor;
use std::io::IsTerminal as _;
use tauri::{AppHandle, Manager as _, RunEvent};
use tauri_plugin_deep_link::DeepLinkExt as _;
use tokio::sync::mpsc;

/// Started by the session: no window.
const BACKGROUND: &str = "--background";
/// Where a package says which links are ours.
const PACKAGED_ENTRY: &str = "/usr/share/applications/hindsight-desktop.desktop";
/// Events that may wait.
const EVENTS: usize = 256;

fn main() -> anyhow::Result<()> {
    let filter = std::env::var("HINDSIGHT_DESKTOP_LOG").unwrap_or_else(|_| "info".to_owned());
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .init();
    let background = std::env::args().any(|argument| argument == BACKGROUND);
    let (events, received) = mpsc::channel(EVENTS);
    let (again, chosen) = (events.clone(), events.clone());
    let app = tauri::Builder::default()
        // First: a second start must end before anything else of it begins.
        .plugin(tauri_plugin_single_instance::init(move |_, arguments, _| {
            if !arguments.iter().any(|argument| argument == BACKGROUND) {
                tell(&again, Event::Open);
            }
        }))
        .plugin(tauri_plugin_deep_link::init())
        .plugin(tauri_plugin_notification::init())
        .plugin(tauri_plugin_opener::init())
        .plugin(autostart::plugin())
        .invoke_handler(tauri::generate_handler![
            commands::watch,
            commands::ask,
            commands::settings,
            commands::set_settings,
            commands::open_logs
        ])
        .on_menu_event(move |_, event| {
            if let Some(item) = Item::named(event.id().as_ref()) {
                tell(&chosen, Event::Chosen(item));
            }
        })
        .setup(move |app| {
            setup(app.handle(), events, received, background)?;
            Ok(())
        })
        .build(tauri::generate_context!())
        .context("starting the desktop's toolkit")?;
    app.run(|app, event| match event {
        // The last window was closed: the tray and the recorder's watch stay.
        RunEvent::ExitRequested { code: None, api, .. } => api.prevent_exit(),
        RunEvent::WindowEvent { event: tauri::WindowEvent::Destroyed, .. } => {
            app.state::<Shell>().window_is_gone();
        }
        _ => {}
    });
    Ok(())
}

/// Never waits: it is called by the toolkit's thread.
fn tell(events: &mpsc::Sender<Event>, event: Event) {
    if let Err(error) = events.try_send(event) {
        tracing::warn!(%error, "an event of the desktop is lost");
    }
}

fn setup(
    app: &AppHandle,
    events: mpsc::Sender<Event>,
    mut received: mpsc::Receiver<Event>,
    background: bool,
) -> anyhow::Result<()> {
    let config = config::Config::load()?;
    let (settings, first) = settings::Settings::load(app);
    if first {
        autostart::first_start(app);
    }
    let language = settings.language.unwrap_or_else(session_language);
    let socket = hindsight_local::socket_path(&config.start.data_dir);
    let (supervisor, recorder) = Supervisor::new(config.start.clone(), socket, events.clone());
    let shell = Shell::new(config, settings, events.clone(), recorder);
    let mut desktop = Desktop::new(app, &shell);
    app.manage(shell);
    links(app, &events);
    if !background {
        tell(&events, Event::Open);
    }
    tauri::async_runtime::spawn(supervisor.run());
    tauri::async_runtime::spawn(async move {
        let mut controller = controller::Controller::new(language, &mut desktop);
        while let Some(event) = received.recv().await {
            controller.handle(event, std::time::Instant::now(), &mut desktop);
        }
    });
    Ok(())
}

fn session_language() -> Language {
    Language::of_session(|name| std::env::var(name).ok())
}

/// Links that the browser opens, now and at the start; the session is told who opens them.
fn links(app: &AppHandle, events: &mpsc::Sender<Event>) {
    let opened = events.clone();
    app.deep_link().on_open_url(move |event| {
        for url in event.urls() {
            tell(&opened, Event::Link(url.to_string()));
        }
    });
    for url in app.deep_link().get_current().ok().flatten().unwrap_or_default() {
        tell(events, Event::Link(url.to_string()));
    }
    // A package registers them for everybody; an entry of the user's own would stay when the package goes.
    if cfg!(target_os = "linux") && std::path::Path::new(PACKAGED_ENTRY).exists() {
        return;
    }
    let app = app.clone();
    // It runs the session's own tools: not on the toolkit's thread.
    std::thread::spawn(move || {
        if let Err(error) = app.deep_link().register_all() {
            tracing::info!(%error, "links of single sign-on are not registered with the session");
        }
    });
}
