//! Where the recorder and its data are. The shell takes the recorder's own settings for it, so that both agree.

use crate::recorder::Start;
use anyhow::Context as _;
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// The site's settings, put there by a silent installation.
const SITE_FILE: &str = "/etc/hindsight/recorder.toml";
/// The recorder's own variables (`hindsight_agent_core::config`).
const DATA_DIR: &str = "HINDSIGHT_RECORDER_DATA_DIR";
const CONFIG: &str = "HINDSIGHT_RECORDER_CONFIG";
/// Another recorder than the one beside this program.
const RECORDER: &str = "HINDSIGHT_DESKTOP_RECORDER";

/// What the shell must know to start.
#[derive(Clone, Debug)]
pub struct Config {
    /// How the recorder is started.
    pub start: Start,
}

/// The part of the recorder's settings that the shell needs; the recorder judges the rest.
#[derive(Default, Deserialize)]
struct RecorderFile {
    data_dir: Option<PathBuf>,
}

impl Config {
    /// From the environment, the site's file, and the places of the user.
    pub fn load() -> anyhow::Result<Self> {
        let variable =
            |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let config =
            variable(CONFIG).or_else(|| Some(PathBuf::from(SITE_FILE)).filter(|file| file.is_file()));
        let file = config.as_deref().map(read).transpose()?.unwrap_or_default();
        let data_dir = match variable(DATA_DIR).or(file.data_dir) {
            Some(dir) => dir,
            None => user_data(&variable).context("neither XDG_DATA_HOME nor HOME is set")?.join("hindsight"),
        };
        let program = match variable(RECORDER) {
            Some(program) => program,
            None => beside()?,
        };
        Ok(Self { start: Start { program, config, data_dir } })
    }
}

fn read(path: &Path) -> anyhow::Result<RecorderFile> {
    let text = std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    toml::from_str(&text).with_context(|| format!("in {}", path.display()))
}

fn beside() -> anyhow::Result<PathBuf> {
    let program = std::env::current_exe().context("finding this program")?;
    Ok(program.with_file_name(format!("hindsight-recorder{}", std::env::consts::EXE_SUFFIX)))
}

fn user_data(variable: &impl Fn(&str) -> Option<PathBuf>) -> Option<PathBuf> {
    if cfg!(windows) {
        return variable("LOCALAPPDATA");
    }
    let home = variable("HOME")?;
    if cfg!(target_os = "macos") {
        return Some(home.join("Library/Application Support"));
    }
    variable("XDG_DATA_HOME").or_else(|| Some(home.join(".local/share")))
}
