//! What the person chose: a small file of their own.

use crate::controller::Language;
use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use std::{fs, io::ErrorKind, path::PathBuf};
use tauri::{AppHandle, Manager as _};

/// Light or dark.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Theme {
    /// As the session.
    #[default]
    System,
    /// Light.
    Light,
    /// Dark.
    Dark,
}

/// What the person chose.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Settings {
    /// Absent: the session's.
    pub language: Option<Language>,
    /// Light or dark.
    pub theme: Theme,
}

impl Settings {
    /// As saved; `true` at the first start of this user. A file that cannot be read is not worth a failure.
    pub fn load(app: &AppHandle) -> (Self, bool) {
        let text = match file(app).map(fs::read_to_string) {
            Ok(Ok(text)) => text,
            Ok(Err(error)) if error.kind() == ErrorKind::NotFound => return (Self::default(), true),
            Ok(Err(error)) => {
                tracing::warn!(%error, "the settings cannot be read");
                return (Self::default(), false);
            }
            Err(error) => {
                tracing::warn!(error = format!("{error:#}"), "there is no place for settings");
                return (Self::default(), false);
            }
        };
        let settings = serde_json::from_str(&text).unwrap_or_else(|error| {
            tracing::warn!(%error, "the settings are not understood");
            Self::default()
        });
        (settings, false)
    }

    /// Saved as one: never half a file.
    pub fn save(&self, app: &AppHandle) -> anyhow::Result<()> {
        let file = file(app)?;
        if let Some(dir) = file.parent() {
            fs::create_dir_all(dir).with_context(|| format!("making {}", dir.display()))?;
        }
        let new = file.with_extension("new");
        fs::write(&new, serde_json::to_vec_pretty(self)?).context("writing the settings")?;
        fs::rename(&new, &file).context("saving the settings")
    }
}

fn file(app: &AppHandle) -> anyhow::Result<PathBuf> {
    Ok(app.path().app_config_dir().context("the place for settings")?.join("desktop.json"))
}
