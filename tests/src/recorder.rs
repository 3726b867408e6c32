//! `hindsight-recorder`, signed in as an agent.

use crate::{
    process::{Program, built, eventually},
    site::Site,
};
use anyhow::{Context, Result, ensure};
use hindsight_local::{Client, socket_path};
use hindsight_wire::{
    agent::{Problem, ProblemKind},
    local::DesktopStatus,
};
use std::{path::Path, process::Command, time::Duration};

/// An agent's desktop.
pub struct Desktop<'a> {
    pub login: &'a str,
    pub password: &'a str,
    pub display: &'a str,
    /// `auto`, `x11`, `scrap` or `wayland`.
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
        // No session of a desktop runs here, so no key store either.
        .env("HINDSIGHT_RECORDER_KEY_STORE", "file")
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

/// What the recorder of a data directory shows to windows now.
pub async fn status(data: &Path) -> Result<DesktopStatus> {
    let client = Client::connect(&socket_path(data)).await.context("the recorder's socket")?;
    let status = client.status().borrow().clone();
    Ok(status)
}

/// Waits until the recorder shows a problem of this kind.
pub async fn problem(data: &Path, kind: ProblemKind, limit: Duration) -> Result<Problem> {
    eventually(&format!("the problem {kind:?}"), limit, || async {
        let problems = status(data).await?.problems;
        let found = problems.iter().find(|problem| problem.kind == kind).cloned();
        found.with_context(|| format!("it has {problems:?}"))
    })
    .await
}

/// Waits until the recorder shows none.
pub async fn no_problem(data: &Path, kind: ProblemKind, limit: Duration) -> Result<()> {
    eventually(&format!("the end of the problem {kind:?}"), limit, || async {
        let problems = status(data).await?.problems;
        ensure!(problems.iter().all(|problem| problem.kind != kind), "it has {problems:?}");
        Ok(())
    })
    .await
}
