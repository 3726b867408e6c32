//! Processor time of recording a screen, 1920×1080 at 5 frames a second, beside ffmpeg (x11grab, libx264 veryfast
//! zerolatency crf 30) on the same scene: `bench_screen --compare` of agent-core records both side by side.

use super::line;
use crate::process::{built, run};
use anyhow::{Context, Result};
use serde_json::Value;
use std::process::Command;

const SECONDS: &str = "60";

pub fn bench(name: &str, scene: &str) -> Result<String> {
    let printed = run(Command::new(built("bench_screen")?).args(["--compare", scene, "--seconds", SECONDS]))?;
    let seen: Value = serde_json::from_slice(&printed).context("what bench_screen printed")?;
    let number =
        |who: &str, what: &str| seen[who][what].as_f64().with_context(|| format!("{who}.{what} in {seen}"));
    let figure = line(name, number("ours", "cpuSeconds")?, number("peer", "cpuSeconds")?, "cpu-s", "ffmpeg");
    Ok(format!("{figure} ours_ssim={:.4} peer_ssim={:.4}", number("ours", "ssim")?, number("peer", "ssim")?))
}
