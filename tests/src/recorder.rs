//! `hindsight-recorder`, signed in as an agent.

use crate::{
    process::{Program, built},
    site::Site,
};
use anyhow::Result;
use std::{path::Path, process::Command};

/// An agent's desktop.
pub struct Desktop<'a> {
    pub login: &'a str,
    pub password: &'a str,
    pub display: &'a str,
    /// `x11` or `scrap`.
    pub backend: &'a str,
}

/// The recorder's command line in `dir` (its data directory is inside).
pub fn command(site: &Site, dir: &Path, desktop: &Desktop<'_>, wrapper: &[String]) -> Result<Command> {
    std::fs::create_dir_all(dir)?;
    let program = built("hindsight-recorder")?;
    let mut command = match wrapper.split_first() {
        Some((first, rest)) => {
            let mut command = Command::new(first);
            command.args(rest).arg(program);
            command
        }
        None => Command::new(program),
    };
    let enrolment = dir.join("enrolment");
    std::fs::write(&enrolment, &site.noted.desktop_enrolment)?;
    command
        .env("HINDSIGHT_RECORDER_DATA_DIR", dir.join("data"))
        .env("HINDSIGHT_RECORDER_ENROLMENT_FILE", enrolment)
        .env("HINDSIGHT_RECORDER_LOGIN", desktop.login)
        .env("HINDSIGHT_RECORDER_PASSWORD", desktop.password)
        .env("HINDSIGHT_RECORDER_BACKEND", desktop.backend)
        .env("DISPLAY", desktop.display);
    Ok(command)
}

/// Starts it in `dir`.
pub fn start(site: &Site, dir: &Path, desktop: &Desktop<'_>) -> Result<Program> {
    Program::spawn("hindsight-recorder", &mut command(site, dir, desktop, &[])?, &dir.join("recorder.log"))
}
