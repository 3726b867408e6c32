//! `run`: the roles of this process, from start to ordered end.
//!
//! A role that fails within its first seconds ends the process (a wrong setting, a port in use: somebody is watching). One
//! that fails later is started again with growing pauses, and the others go on: a crypto server in trouble must not end
//! calls. At the end the roles stop in the reverse order of their start: first who takes calls, last who keeps keys.

use crate::{
    data_directory::DataDirectory, output::told, requirements::requirements, roles::Roles, settings::Settings,
};
use anyhow::{Context, bail};
use hindsight_model::Role;
use hindsight_web_services::telemetry;
use std::{
    collections::BTreeSet,
    fs::{self, File, TryLockError},
    process::ExitCode,
    time::{Duration, Instant},
};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::mpsc,
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

/// A failure this soon after the process's start is one of settings.
const SETTLED: Duration = Duration::from_secs(5);
/// First pause before a role is started again; it doubles.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// Longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// A role that ran for so long begins with the first pause again.
const WELL_AGAIN: Duration = Duration::from_secs(120);
/// How long a role may take to stop.
const STOP_LIMIT: Duration = Duration::from_secs(30);

struct Running {
    role: Role,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

/// Runs until SIGTERM or SIGINT, or until a role fails at the start.
pub async fn run(settings: Settings, data: DataDirectory, asked: Vec<Role>) -> anyhow::Result<ExitCode> {
    let asked = if asked.is_empty() { settings.roles.clone() } else { asked };
    let wanted: BTreeSet<Role> = asked.into_iter().collect();
    if wanted.is_empty() {
        bail!("no roles to run");
    }
    refuse_what_cannot_go_well(&settings, &data, &wanted)?;
    let _locks = wanted.iter().map(|role| lock(&data, *role)).collect::<anyhow::Result<Vec<File>>>()?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let started = Instant::now();
    if wanted.contains(&Role::WebServices) {
        // Before any role counts what it found at its start.
        telemetry::recorder();
    }
    let roles = Roles::new(settings, data, &wanted).await?;
    let (failed, mut failures) = mpsc::channel(Role::ALL.len());
    let mut running = Vec::new();
    for role in Role::ALL.into_iter().filter(|role| wanted.contains(role)) {
        let stop = CancellationToken::new();
        let task = tokio::spawn(keep_running(roles.clone(), role, stop.clone(), started, failed.clone()));
        running.push(Running { role, stop, task });
    }
    drop(failed);
    tracing::info!(roles = ?wanted, version = env!("CARGO_PKG_VERSION"), "running");
    let failure = tokio::select! {
        () = either(&mut terminate, &mut interrupt) => None,
        failure = failures.recv() => failure,
    };
    let late = stop_all(running, &mut terminate, &mut interrupt).await;
    roles.close().await;
    match failure {
        Some(role) => bail!("{} failed at the start", Role::as_str(role)),
        None if late => Ok(ExitCode::FAILURE),
        None => Ok(ExitCode::SUCCESS),
    }
}

/// What `check` would call a failure of settings, keys and folders is one here: sooner than a recording fails of it.
fn refuse_what_cannot_go_well(
    settings: &Settings,
    data: &DataDirectory,
    wanted: &BTreeSet<Role>,
) -> anyhow::Result<()> {
    let unmet = requirements(settings, data, wanted).into_iter().filter_map(|requirement| {
        let why = requirement.met.err()?;
        Some(format!("{}: {why}", requirement.what))
    });
    let unmet: Vec<String> = unmet.collect();
    if unmet.is_empty() {
        return Ok(());
    }
    bail!("not started; `hindsight-server check` says the same: {}", unmet.join("; "));
}

async fn either(terminate: &mut Signal, interrupt: &mut Signal) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

/// Two processes with one role in one data directory would write the same journal.
fn lock(data: &DataDirectory, role: Role) -> anyhow::Result<File> {
    let path = data.lock(role);
    let open = || -> std::io::Result<File> {
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        File::options().create(true).truncate(false).write(true).open(&path)
    };
    let file = open().with_context(|| path.display().to_string())?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => bail!("{} runs in this data directory already", role.as_str()),
        Err(TryLockError::Error(error)) => Err(error).with_context(|| path.display().to_string()),
    }
}

/// Runs a role, again when it fails, until it is told to stop.
async fn keep_running(
    roles: Roles,
    role: Role,
    stop: CancellationToken,
    process_started: Instant,
    failed: mpsc::Sender<Role>,
) {
    let mut pause = FIRST_PAUSE;
    loop {
        let begun = Instant::now();
        let task = tokio::spawn({
            let (roles, stop) = (roles.clone(), stop.child_token());
            async move { roles.run(role, stop).await }
        });
        // A panic is a failure of the role, not of the process.
        let reason = match task.await {
            Ok(Ok(())) if stop.is_cancelled() => return,
            Ok(Ok(())) => "it ended by itself".to_owned(),
            Ok(Err(error)) => told(&error),
            Err(error) => error.to_string(),
        };
        if stop.is_cancelled() {
            tracing::warn!(role = role.as_str(), reason, "failed while stopping");
            return;
        }
        if process_started.elapsed() < SETTLED {
            tracing::error!(role = role.as_str(), reason, "failed at the start");
            let _ = failed.send(role).await;
            return;
        }
        if begun.elapsed() > WELL_AGAIN {
            pause = FIRST_PAUSE;
        }
        tracing::error!(role = role.as_str(), reason, again_in = ?pause, "failed");
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Stops the roles one after the other, last started first; whether one did not stop in time. A second signal ends the
/// waiting.
async fn stop_all(running: Vec<Running>, terminate: &mut Signal, interrupt: &mut Signal) -> bool {
    let mut late = false;
    for Running { role, stop, mut task } in running.into_iter().rev() {
        tracing::info!(role = role.as_str(), "stopping");
        stop.cancel();
        let stopped = tokio::select! {
            done = tokio::time::timeout(STOP_LIMIT, &mut task) => done.is_ok(),
            () = either(terminate, interrupt) => false,
        };
        if !stopped {
            tracing::error!(role = role.as_str(), "did not stop in time");
            task.abort();
            late = true;
        }
    }
    late
}
