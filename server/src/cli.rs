//! The command line.

use crate::commands::join::VOICE;
use clap::{Args, Parser, Subcommand};
use hindsight_model::{RecordingId, Role};
use hindsight_store::api_tokens::Right;
use hindsight_wire::{Timestamp, enrolment::DeviceKind};
use std::path::PathBuf;

/// Longest life of an enrolment string, hours: a year.
const MOST_HOURS: i64 = 366 * 24;

/// Call and screen recording for contact centres.
#[derive(Parser)]
#[command(name = "hindsight-server", version, max_term_width = 100)]
pub struct Cli {
    /// Data directory: settings, certificates, keys, database, recordings.
    #[arg(long, global = true, env = "HINDSIGHT_DATA", default_value = "hindsight-data")]
    pub data: PathBuf,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Subcommand)]
pub enum Command {
    /// Makes a new site: authority, certificates, recording key, database, administrator.
    Init(InitArguments),
    /// Runs the server.
    Run(RunArguments),
    /// Looks for what would keep the server from running well; status 1 when something would.
    Check,
    /// Shows or changes the site's configuration: persons, DNs, recording policy.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Lets desktops, and voice components on other hosts, enrol.
    #[command(subcommand)]
    Enrol(EnrolCommand),
    /// Makes this host a voice component of a site that is on another host.
    Join(JoinArguments),
    /// Lets other systems (chat, e-mail, CRM) announce interactions of agents or pause recordings.
    #[command(subcommand)]
    Token(TokenCommand),
    /// Checks, opens and exports recordings.
    #[command(subcommand)]
    Recording(RecordingCommand),
    /// Lists and exports recording keys.
    #[command(subcommand)]
    Key(KeyCommand),
    /// Brings the database to this version's schema.
    Migrate,
    /// Prints the OpenAPI document of the web services.
    Openapi,
}

#[derive(Args)]
pub struct InitArguments {
    /// Name of the site, for people; it stands in certificates.
    #[arg(long, default_value = "Hindsight")]
    pub site: String,
    /// Host name or address under which browsers and devices reach this host; repeat it for more. `localhost` and
    /// 127.0.0.1 are always among them.
    #[arg(long = "host", value_name = "HOST")]
    pub hosts: Vec<String>,
    /// Port of HTTPS.
    #[arg(long, default_value_t = hindsight_web_services::config::DEFAULT_PORT,
        value_parser = clap::value_parser!(u16).range(1..))]
    pub https_port: u16,
    /// SIP domain and realm; the first host when absent.
    #[arg(long)]
    pub realm: Option<String>,
    /// Login of the administrator.
    #[arg(long, default_value = "admin")]
    pub administrator: String,
    /// Print what is to be noted down as JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Args)]
pub struct RunArguments {
    /// Only these roles, comma-separated; else those of the settings, else all.
    #[arg(long, value_delimiter = ',')]
    pub roles: Vec<Role>,
}

#[derive(Subcommand)]
pub enum ConfigCommand {
    /// Prints the configuration as a file, without passwords.
    Export,
    /// Shows what a file would change.
    Plan {
        /// The file.
        file: PathBuf,
    },
    /// Changes the configuration to what a file says.
    Apply {
        /// The file.
        file: PathBuf,
        /// Why; kept with the change.
        #[arg(long, default_value = "")]
        reason: String,
    },
}

#[derive(Subcommand)]
pub enum EnrolCommand {
    /// Prints an enrolment string, good for one device or for a number of them.
    New {
        /// What the device is: desktop; or media-server, resource-manager, sip-server, for `join` on another host.
        #[arg(long, value_parser = device_kind)]
        kind: DeviceKind,
        /// How long it is good for.
        #[arg(long, default_value_t = 24, value_parser = clap::value_parser!(u32).range(1..=MOST_HOURS))]
        hours: u32,
        /// How many devices may enrol with it: for a silent installation of many desktops.
        #[arg(long, default_value = "1")]
        uses: std::num::NonZeroU32,
    },
    /// Makes every enrolment string worthless that was given out and is not used up.
    End,
}

#[derive(Args)]
pub struct JoinArguments {
    /// What `hindsight-server enrol new --kind …` printed on the site's first host.
    #[arg(env = "HINDSIGHT_ENROLMENT", hide_env_values = true)]
    pub enrolment: String,
    /// What this host becomes: media-server, resource-manager, sip-server.
    #[arg(long)]
    pub role: Role,
    /// Its name among the devices, for people; the host's own name when absent.
    #[arg(long)]
    pub name: Option<String>,
}

#[derive(Subcommand)]
pub enum TokenCommand {
    /// Makes a token for a system and prints it once; one that it had before is good no more.
    New {
        /// Name of the system, as it stands in events and in the audit log.
        name: String,
        /// What it may do: `announce` (announce and end interactions), `pause` (pause and resume recordings). Repeat it
        /// for both.
        #[arg(long = "right", value_parser = right, default_value = "announce")]
        rights: Vec<Right>,
    },
    /// Lists the systems that have a token.
    List,
    /// Refuses a system's token from now on.
    Revoke {
        /// Name of the system.
        name: String,
    },
}

#[derive(Subcommand)]
pub enum RecordingCommand {
    /// Lists recordings, newest first: id, kind, start, length, state, agents, numbers.
    List {
        /// How many at most.
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        limit: u32,
        /// Only of this agent: login, name or DN.
        #[arg(long)]
        agent: Option<String>,
        /// Only with this number, caller's or dialled.
        #[arg(long)]
        number: Option<String>,
        /// Only what began at or after this time (2026-11-23T07:00:00Z).
        #[arg(long, value_parser = instant)]
        from: Option<Timestamp>,
        /// Only what began before this time.
        #[arg(long, value_parser = instant)]
        to: Option<Timestamp>,
        /// Only in this state: ready (as its recorder closed it), repairing (cut by a crash, the repair is due),
        /// recovered (cut and repaired), failed (beyond repair). What has not arrived is not in the list.
        #[arg(long, value_parser = ["ready", "repairing", "recovered", "failed"])]
        state: Option<String>,
    },
    /// Checks a recording at rest: signatures, hashes, and every segment where the keys are on this host.
    Verify {
        /// Which.
        recording: RecordingId,
    },
    /// Opens a sealed file (envelope and payload in one) with an exported private key.
    Open {
        /// The sealed file.
        file: PathBuf,
        /// Private key, PKCS#8 PEM.
        #[arg(long)]
        key: PathBuf,
        /// The recording's id; the file's name up to the first dot when absent.
        #[arg(long)]
        recording: Option<RecordingId>,
        /// Where the media goes; must not exist.
        #[arg(long)]
        out: PathBuf,
    },
    /// Copies a recording out, still sealed, with its manifest and receipt.
    Export {
        /// Which.
        recording: RecordingId,
        /// Directory to write to.
        #[arg(long)]
        out: PathBuf,
    },
}

#[derive(Subcommand)]
pub enum KeyCommand {
    /// Lists the recording certificates.
    List,
    /// Writes a recording's private key to a file, PEM, unencrypted. Audited.
    Export {
        /// Where to; must not exist.
        #[arg(long)]
        out: PathBuf,
        /// Start of the certificate's SHA-256, when there are several.
        #[arg(long, default_value = "")]
        certificate: String,
    },
}

fn instant(text: &str) -> Result<Timestamp, String> {
    text.parse().map_err(|_| "a time such as 2026-11-23T07:00:00Z is expected".to_owned())
}

fn right(text: &str) -> Result<Right, String> {
    let found = Right::ALL.into_iter().find(|right| right.as_str() == text);
    found.ok_or_else(|| format!("no right `{text}`: announce or pause"))
}

/// A desktop, or what `join` makes of a host: nothing else is ever enrolled.
fn device_kind(text: &str) -> Result<DeviceKind, String> {
    let kinds = VOICE.iter().map(|(_, kind)| *kind).chain([DeviceKind::Desktop]);
    let found = kinds.into_iter().find(|kind| kind.as_str() == text);
    found.ok_or_else(|| {
        format!("`{text}` cannot be enrolled: desktop, media-server, resource-manager or sip-server can")
    })
}
