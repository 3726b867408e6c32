//! Logs: on standard error, as text or as one JSON object a line.

use anyhow::Context;
use serde::{Deserialize, Serialize};
use tracing_subscriber::EnvFilter;

/// `[log]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogSettings {
    /// What is logged, in the form of `RUST_LOG`, which goes before it.
    pub filter: String,
    /// How.
    pub format: Format,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
}

impl Default for LogSettings {
    fn default() -> Self {
        Self { filter: "info".to_owned(), format: Format::Text }
    }
}

/// What is to be logged.
pub fn filter(settings: &LogSettings) -> anyhow::Result<EnvFilter> {
    let (text, whose) = match std::env::var("RUST_LOG") {
        Ok(text) => (text, "RUST_LOG"),
        Err(_) => (settings.filter.clone(), "log.filter"),
    };
    EnvFilter::try_new(&text)
        .with_context(|| format!("{whose} = {text:?} (such as info, or info,hindsight_link=debug)"))
}

/// Begins to log.
pub fn start(settings: &LogSettings) -> anyhow::Result<()> {
    let builder = tracing_subscriber::fmt().with_env_filter(filter(settings)?).with_writer(std::io::stderr);
    match settings.format {
        Format::Text => builder.with_ansi(false).init(),
        Format::Json => builder.json().init(),
    }
    Ok(())
}
