//! A directory for one test that stays when the test panics, or always with `HINDSIGHT_KEEP=1`.

use anyhow::{Context, Result};
use hindsight_tests::{
    console::Console,
    scenario::{SUPERVISOR_LOGIN, Scenario},
    site::Ports,
};
use std::path::Path;
use tempfile::TempDir;

pub struct Fixture {
    pub scenario: Scenario,
    // Last: the programs inside end before their directory goes.
    _dir: KeptOnFailure,
}

pub struct KeptOnFailure(Option<TempDir>);

impl KeptOnFailure {
    pub fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("hindsight-e2e-").tempdir();
        Self(Some(dir.expect("a temporary directory")))
    }

    pub fn path(&self) -> &Path {
        self.0.as_ref().map_or(Path::new("/nonexistent"), TempDir::path)
    }
}

impl Drop for KeptOnFailure {
    fn drop(&mut self) {
        let keep = std::thread::panicking() || std::env::var_os("HINDSIGHT_KEEP").is_some();
        if keep && let Some(dir) = self.0.take() {
            eprintln!("the test's directory with all logs is kept: {}", dir.keep().display());
        }
    }
}

impl Fixture {
    pub fn new(capture: &str) -> Self {
        Self::at("localhost", capture)
    }

    /// A site that phones on other hosts reach at `host`.
    pub fn at(host: &str, capture: &str) -> Self {
        Self::on(host, Vec::new(), capture)
    }

    /// A site on another host at `host`.
    pub fn on(host: &str, wrapper: Vec<String>, capture: &str) -> Self {
        let dir = KeptOnFailure::new();
        let ports = Ports::free().expect("free ports");
        let scenario = Scenario::on(host, wrapper, dir.path(), ports, capture).expect("a new site");
        Self { scenario, _dir: dir }
    }

    pub fn dir(&self) -> &Path {
        &self.scenario.dir
    }

    pub async fn console(&self) -> Result<Console> {
        Console::sign_in(&self.scenario.site, SUPERVISOR_LOGIN, &self.scenario.secrets.supervisor)
            .await
            .context("the supervisor signs in")
    }
}
