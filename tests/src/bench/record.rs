//! What a recorded call costs the media server, beside rtpengine writing pcap and beside a bare relay: `record_load` of
//! the media server loads each in turn.

use crate::process::{built, run};
use anyhow::{Context, Result, ensure};
use std::process::Command;

/// 100 calls of 30 s, three times each.
const LOAD: [&str; 3] = ["100", "30", "3"];

/// `way`: as `record_load` calls it.
pub fn bench(way: &str) -> Result<String> {
    ensure!(
        way == "limit" || run(Command::new("which").arg("rtpengine")).is_ok(),
        "rtpengine is missing: packaging/setup.sh bench"
    );
    let load = if way == "capacity" { &[][..] } else { &LOAD };
    let printed = run(Command::new(built("record_load")?).arg(way).args(load))?;
    let printed = String::from_utf8(printed)?;
    let (figures, line): (Vec<&str>, Vec<&str>) =
        printed.lines().partition(|line| !line.starts_with("bench "));
    figures.iter().for_each(|figure| eprintln!("  {figure}"));
    Ok(line.first().context("record_load printed no figure")?.to_string())
}
