//! Processor time of the media server per call-minute, beside rtpengine writing pcap: `record_load` of the media server
//! makes 100 calls of each in turn.

use crate::process::{built, run};
use anyhow::{Context, Result, ensure};
use std::process::Command;

const CALLS: &str = "100";
const SECONDS: &str = "30";
const ROUNDS: &str = "3";

pub fn bench() -> Result<String> {
    ensure!(
        run(Command::new("which").arg("rtpengine")).is_ok(),
        "rtpengine is missing: packaging/setup.sh bench"
    );
    let printed = run(Command::new(built("record_load")?).args([CALLS, SECONDS, ROUNDS]))?;
    let printed = String::from_utf8(printed)?;
    let (figures, line): (Vec<&str>, Vec<&str>) =
        printed.lines().partition(|line| !line.starts_with("bench "));
    figures.iter().for_each(|figure| eprintln!("  {figure}"));
    Ok(line.first().context("record_load printed no figure")?.to_string())
}
