//! Start at login. A package may have put a file for everybody; what the person chose stands above it.

use anyhow::Context as _;
use std::{fs, path::PathBuf};
use tauri::{AppHandle, Manager as _, Wry, plugin::TauriPlugin};
use tauri_plugin_autostart::ManagerExt as _;

/// Name of the session's entry, for everybody and for the user.
const NAME: &str = "hindsight-desktop";
/// Of everybody (Desktop Application Autostart Specification, "Autostart Directories").
const FOR_EVERYBODY: &str = "/etc/xdg/autostart/hindsight-desktop.desktop";
/// An entry of the user that takes away the one of everybody (ibid., "Hidden Key").
const HIDDEN: &str = "[Desktop Entry]\nType=Application\nName=hindsight-desktop\nHidden=true\n";

/// The plugin that writes the session's entry.
pub fn plugin() -> TauriPlugin<Wry> {
    tauri_plugin_autostart::Builder::new().app_name(NAME).arg(crate::BACKGROUND).build()
}

/// A recorder that nobody started records nothing: on unless the person switches it off. Where a package has put the entry
/// for everybody none of the user's own is written: it would stay when the package goes.
pub fn first_start(app: &AppHandle) {
    if for_everybody() {
        return;
    }
    if let Err(error) = set(app, true) {
        tracing::warn!(error = format!("{error:#}"), "the start at login cannot be set");
    }
}

/// Whether the session starts the program.
pub fn is_on(app: &AppHandle) -> bool {
    match own_entry(app).and_then(|path| fs::read_to_string(path).ok()) {
        Some(entry) => !entry.lines().any(|line| line.trim() == "Hidden=true"),
        None => for_everybody() || app.autolaunch().is_enabled().unwrap_or(false),
    }
}

/// Switches it.
pub fn set(app: &AppHandle, on: bool) -> anyhow::Result<()> {
    let manager = app.autolaunch();
    if on && for_everybody() {
        return shown_again(app);
    }
    if on {
        return manager.enable().context("writing the session's entry");
    }
    match own_entry(app).filter(|_| for_everybody()) {
        Some(path) => fs::write(path, HIDDEN).context("writing the session's entry"),
        None => manager.disable().context("removing the session's entry"),
    }
}

/// Without an entry of the user's own that of everybody holds.
fn shown_again(app: &AppHandle) -> anyhow::Result<()> {
    match own_entry(app).map(fs::remove_file) {
        Some(Err(error)) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).context("removing the session's entry")
        }
        Some(_) | None => Ok(()),
    }
}

fn for_everybody() -> bool {
    cfg!(target_os = "linux") && PathBuf::from(FOR_EVERYBODY).exists()
}

fn own_entry(app: &AppHandle) -> Option<PathBuf> {
    if !cfg!(target_os = "linux") {
        return None;
    }
    Some(app.path().config_dir().ok()?.join(format!("autostart/{NAME}.desktop")))
}
