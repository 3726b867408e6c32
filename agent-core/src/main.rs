//! hindsight-recorder: records the screens of the person who is signed in, when the server says so. No window.

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use hindsight_agent_core::{
    config::{ENVIRONMENT, RecorderConfig},
    probe, service, system,
};
use std::{
    io::{IsTerminal as _, Write as _},
    path::PathBuf,
    process::ExitCode,
};
use tokio::sync::watch;

#[derive(Parser)]
#[command(version, about)]
struct Arguments {
    /// Settings, TOML; every key also as HINDSIGHT_RECORDER_… in the environment.
    #[arg(long, env = "HINDSIGHT_RECORDER_CONFIG")]
    config: Option<PathBuf>,
    /// Read the password from standard input.
    #[arg(long)]
    password_stdin: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Run until told to stop (the default).
    Run,
    /// List backends and monitors, as JSON.
    Probe,
}

fn main() -> ExitCode {
    match start() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // One line, whatever the environment says of backtraces.
            let line = format!("{error:#}").replace('\n', " ");
            // Without standard error there is nobody to tell.
            let _ = writeln!(std::io::stderr(), "hindsight-recorder: {line}");
            ExitCode::FAILURE
        }
    }
}

fn start() -> anyhow::Result<()> {
    // Pictures of the screen and data keys are in this memory: no core dumps, no reading of it by others of this user.
    system::keep_memory_private().context("forbidding core dumps")?;
    let arguments = Arguments::parse();
    let filter = std::env::var(format!("{ENVIRONMENT}LOG")).unwrap_or_else(|_| "info".to_owned());
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .init();
    let config = RecorderConfig::load(arguments.config.as_deref())?;
    match arguments.command.unwrap_or(Command::Run) {
        Command::Probe => {
            let found = serde_json::to_string_pretty(&probe::probe(config.display.as_deref()))?;
            writeln!(std::io::stdout(), "{found}")?;
            Ok(())
        }
        Command::Run => run(config, arguments.password_stdin),
    }
}

fn run(config: RecorderConfig, password_stdin: bool) -> anyhow::Result<()> {
    let by_settings = !config.login.is_empty();
    let password = by_settings.then(|| config.password(password_stdin)).transpose()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let (stop, stopped) = watch::channel(false);
        let told = system::told_to_stop()?;
        tokio::spawn(async move {
            told.await;
            stop.send_replace(true);
        });
        service::run(config, password, stopped).await?;
        Ok(())
    })
}
