//! The server binary: commands, and the wiring of roles; nothing else.

mod cli;
mod commands;
mod data_directory;
mod listeners;
mod logging;
mod output;
mod process;
mod requirements;
mod roles;
mod run;
mod settings;
mod site_address;

use anyhow::Context;
use clap::Parser;
use cli::{Cli, Command, RunArguments};
use data_directory::DataDirectory;
use settings::Settings;
use std::{process::ExitCode, time::Duration};

/// For threads that are still busy when everything has stopped.
const LEFTOVERS: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    let cli = Cli::parse();
    process::harden();
    match execute(cli) {
        Ok(code) => code,
        Err(error) => {
            output::complain(&format!("hindsight-server: {}", output::told(&error)));
            ExitCode::FAILURE
        }
    }
}

fn execute(cli: Cli) -> anyhow::Result<ExitCode> {
    // One provider is compiled in; libraries that ask for the process's default find it.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let data = DataDirectory::new(cli.data);
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start threads")?;
    let done = match cli.command {
        Command::Run(arguments) => runtime.block_on(serve(data, arguments)),
        Command::Check => runtime.block_on(commands::check::check(&data)),
        other => runtime.block_on(run_command(other, &data)).map(|()| ExitCode::SUCCESS),
    };
    // What still blocks a thread after the ordered end is given up.
    runtime.shutdown_timeout(LEFTOVERS);
    done
}

async fn serve(data: DataDirectory, arguments: RunArguments) -> anyhow::Result<ExitCode> {
    process::raise_descriptor_limit();
    let settings = Settings::load(&data)?;
    logging::start(&settings.log)?;
    run::run(settings, data, arguments.roles).await
}

async fn run_command(command: Command, data: &DataDirectory) -> anyhow::Result<()> {
    match command {
        Command::Init(arguments) => commands::init::init(data, &arguments).await,
        Command::Config(command) => commands::config::config(data, command).await,
        Command::Enrol(command) => commands::enrol::enrol(data, command).await,
        Command::Join(arguments) => commands::join::join(data, &arguments).await,
        Command::Token(command) => commands::token::token(data, command).await,
        Command::Recording(command) => commands::recording::recording(data, command).await,
        Command::Key(command) => commands::key::key(data, command),
        Command::Migrate => commands::migrate::migrate(data).await,
        Command::Openapi => commands::openapi::openapi(),
        Command::Run(_) | Command::Check => Ok(()), // Handled by the caller: they have an exit status of their own.
    }
}
