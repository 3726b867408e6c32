//! The tray icon. A session may have no host for it, or one that comes up later: it is tried again, less and less often,
//! and nothing needs it. On Linux a left click never reaches the program: everything is in the menu.

#[cfg_attr(target_os = "linux", path = "host/linux.rs")]
#[cfg_attr(not(target_os = "linux"), path = "host/other.rs")]
mod host;

use crate::controller::{Entry, Tray};
use hindsight_wire::{backoff::Backoff, local::TrayState};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};
use tauri::{
    AppHandle, Wry,
    image::Image,
    include_image,
    menu::{CheckMenuItem, IsMenuItem, Menu, MenuItem, PredefinedMenuItem, Submenu},
    tray::TrayIconBuilder,
};
use tokio::sync::{oneshot, watch};

const ID: &str = "hindsight";
const AGAIN: Backoff = Backoff { base: Duration::from_secs(2), cap: Duration::from_secs(300) };

/// Why it is not shown.
#[derive(Debug, thiserror::Error)]
enum TrayError {
    /// As the toolkit says; tried again.
    #[error("{0}")]
    Toolkit(#[from] tauri::Error),
    /// The library for it is not on this machine (it panics then).
    #[error("the session's library for tray icons is missing")]
    NoLibrary,
    /// The program ends.
    #[error("the toolkit is gone")]
    Ending,
}

/// Shows whatever is wanted, from now on.
pub fn show(app: AppHandle) -> watch::Sender<Option<Tray>> {
    let (wanted, mut to_show) = watch::channel(None::<Tray>);
    tauri::async_runtime::spawn(async move {
        let (mut failures, mut icon) = (0, None);
        host::wait().await;
        while to_show.changed().await.is_ok() {
            loop {
                let Some(tray) = to_show.borrow_and_update().clone() else { break };
                let new_icon = (icon != Some(tray.icon)).then_some(tray.icon);
                match on_toolkit_thread(&app, tray, new_icon).await {
                    Ok(()) => {
                        (failures, icon) = (0, new_icon.or(icon));
                        break;
                    }
                    Err(TrayError::Toolkit(error)) => {
                        failures += 1;
                        let wait = AGAIN.delay(failures, 1.0);
                        tracing::info!(%error, ?wait, "no tray icon for now");
                        tokio::time::sleep(wait).await;
                    }
                    Err(error) => {
                        tracing::warn!(%error, "no tray icon");
                        return;
                    }
                }
            }
        }
    });
    wanted
}

async fn on_toolkit_thread(app: &AppHandle, tray: Tray, icon: Option<TrayState>) -> Result<(), TrayError> {
    let (done, result) = oneshot::channel();
    let toolkit = app.clone();
    app.run_on_main_thread(move || {
        let shown = catch_unwind(AssertUnwindSafe(|| place(&toolkit, &tray, icon)));
        let shown = shown.unwrap_or(Err(TrayError::NoLibrary));
        // Whoever waits may be gone with the program.
        let _ = done.send(shown);
    })?;
    result.await.map_err(|_| TrayError::Ending)?
}

fn place(app: &AppHandle, tray: &Tray, icon: Option<TrayState>) -> Result<(), TrayError> {
    let menu = Menu::new(app)?;
    for entry in &tray.menu {
        menu.append(&*line(app, entry)?)?;
    }
    match app.tray_by_id(ID) {
        Some(shown) => {
            if let Some(icon) = icon {
                shown.set_icon(Some(picture(icon)))?;
            }
            shown.set_menu(Some(menu))?;
            shown.set_tooltip(Some(&tray.line))?;
        }
        None => {
            TrayIconBuilder::with_id(ID)
                .icon(picture(tray.icon))
                .tooltip(&tray.line)
                .menu(&menu)
                .build(app)?;
        }
    }
    Ok(())
}

fn line(app: &AppHandle, entry: &Entry) -> tauri::Result<Box<dyn IsMenuItem<Wry>>> {
    Ok(match entry {
        Entry::Separator => Box::new(PredefinedMenuItem::separator(app)?),
        Entry::Line(text) => Box::new(MenuItem::new(app, literal(text), false, None::<&str>)?),
        Entry::Item { item, text, enabled, ticked: None } => {
            Box::new(MenuItem::with_id(app, item.id(), literal(text), *enabled, None::<&str>)?)
        }
        Entry::Item { item, text, enabled, ticked: Some(ticked) } => {
            Box::new(CheckMenuItem::with_id(app, item.id(), literal(text), *enabled, *ticked, None::<&str>)?)
        }
        Entry::Submenu { text, enabled, entries } => {
            let menu = Submenu::new(app, literal(text), *enabled)?;
            for entry in entries {
                menu.append(&*line(app, entry)?)?;
            }
            Box::new(menu)
        }
    })
}

/// The toolkit takes `&` for the mark of a key.
fn literal(text: &str) -> String {
    text.replace('&', "&&")
}

/// One shape each, so that nobody needs to tell colours apart.
fn picture(state: TrayState) -> Image<'static> {
    match state {
        TrayState::Idle => include_image!("icons/tray-idle.png"),
        TrayState::Recording => include_image!("icons/tray-recording.png"),
        TrayState::Paused => include_image!("icons/tray-paused.png"),
        TrayState::Uploading => include_image!("icons/tray-uploading.png"),
        TrayState::Problem => include_image!("icons/tray-problem.png"),
    }
}
