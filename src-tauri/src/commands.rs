//! What the window may call. Each forwards one request; nothing is decided here.

use crate::{
    autostart,
    controller::{Event, Item, Language, View},
    desktop::Shell,
    session_language,
    settings::{Settings, Theme},
};
use hindsight_wire::local::Ask;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tauri::{AppHandle, State, Url, ipc::Channel};
use tauri_plugin_opener::OpenerExt as _;

/// Sends what is known of the recorder now and whenever it changes, until the window is closed.
#[tauri::command]
pub fn watch(views: Channel<View>, shell: State<'_, Shell>) {
    let mut known = shell.views.subscribe();
    known.mark_changed();
    shell.watching(Some(tauri::async_runtime::spawn(async move {
        while known.changed().await.is_ok() {
            let view = known.borrow_and_update().clone();
            if views.send(view).is_err() {
                return;
            }
        }
    })));
}

/// Asks the recorder.
#[tauri::command]
pub async fn ask(ask: Ask, app: AppHandle, shell: State<'_, Shell>) -> Result<Value, String> {
    match ask {
        // Only the watchdog knows of that.
        Ask::Restarted { .. } => Err("not a request of the window".to_owned()),
        // The shell ends with it, as from the tray.
        Ask::Quit { .. } => told(&shell, Event::Chosen(Item::Quit)).await.map(|()| Value::Null),
        Ask::BeginSso { .. } => open_sign_in(&app, &shell.recorder.ask(ask).await?).map(|()| Value::Null),
        ask => {
            told(&shell, Event::WindowAsked(ask.clone())).await?;
            shell.recorder.ask(ask).await
        }
    }
}

async fn told(shell: &Shell, event: Event) -> Result<(), String> {
    shell.events.send(event).await.map_err(|_| "the program ends".to_owned())
}

/// The browser shows it: this window never shows a page of a network.
fn open_sign_in(app: &AppHandle, answer: &Value) -> Result<(), String> {
    let url = answer.get("url").and_then(Value::as_str).and_then(|url| Url::parse(url).ok());
    let url = url.filter(|url| url.scheme() == "https");
    let url = url.ok_or("the server gave no address to sign in at")?;
    let opened = app.opener().open_url(url.as_str(), None::<&str>);
    opened.map_err(|error| format!("the browser cannot be opened: {error}"))
}

/// The settings page.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Shown {
    language: Option<Language>,
    session_language: Language,
    theme: Theme,
    autostart: bool,
    version: &'static str,
}

/// What the person chose.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Chosen {
    language: Option<Language>,
    theme: Theme,
    autostart: bool,
}

/// The settings as they are.
#[tauri::command]
pub fn settings(app: AppHandle, shell: State<'_, Shell>) -> Shown {
    let Settings { language, theme } = shell.settings();
    Shown {
        language,
        session_language: session_language(),
        theme,
        autostart: autostart::is_on(&app),
        version: env!("CARGO_PKG_VERSION"),
    }
}

/// Saves them; they hold at once.
#[tauri::command]
pub async fn set_settings(chosen: Chosen, app: AppHandle, shell: State<'_, Shell>) -> Result<(), String> {
    let settings = Settings { language: chosen.language, theme: chosen.theme };
    settings.save(&app).map_err(|error| format!("{error:#}"))?;
    if chosen.autostart != autostart::is_on(&app) {
        autostart::set(&app, chosen.autostart).map_err(|error| format!("{error:#}"))?;
    }
    shell.set_settings(settings);
    told(&shell, Event::Language(chosen.language.unwrap_or_else(session_language))).await
}

/// Shows the directory of the recorder's log.
#[tauri::command]
pub fn open_logs(app: AppHandle, shell: State<'_, Shell>) -> Result<(), String> {
    let dir = shell.config.start.data_dir.display().to_string();
    app.opener().open_path(dir, None::<&str>).map_err(|error| error.to_string())
}
