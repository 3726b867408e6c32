//! Recording a screen, 1920×1080 at 5 frames a second, beside ffmpeg (x11grab, libx264 veryfast zerolatency crf 30) on the
//! same scene: `bench_screen` of agent-core records both side by side.

use super::line;
use crate::process::{built, run};
use anyhow::{Context, Result};
use serde_json::Value;
use std::process::Command;

const SECONDS: f64 = 60.0;

/// Processor seconds for a minute; behind them the pictures' SSIM and megabytes an hour.
pub fn bench(name: &str, scene: &str) -> Result<String> {
    let seen = printed(&["--compare", scene, "--seconds", &SECONDS.to_string()])?;
    let number = |who: &str, what: &str| number(&seen[who], what);
    let figure =
        line(name, number("ours", "cpuSeconds")?, number("peer", "cpuSeconds")?, "cpu-s/min", "ffmpeg");
    let hourly = |bytes: f64| bytes / SECONDS * 3600.0 / 1e6;
    Ok(format!(
        "{figure} ours_ssim={:.4} peer_ssim={:.4} ours_mb_h={:.1} peer_mb_h={:.1}",
        number("ours", "ssim")?,
        number("peer", "ssim")?,
        hourly(number("ours", "bytes")?),
        hourly(number("peer", "bytes")?),
    ))
}

/// Milliseconds from the start of a capture to its first picture, sealed in the spool; ffmpeg's to its first packet, its own
/// start included (it is started for each recording, the recorder is not).
pub fn start(name: &str) -> Result<String> {
    let seen = printed(&["--start"])?;
    let figure = line(name, number(&seen, "sealedMs")?, number(&seen, "peerMs")?, "ms", "ffmpeg");
    Ok(format!("{figure} ours_taken={:.1}", number(&seen, "takenMs")?))
}

/// MiB resident after a day of captures, and what it grew by in them and in eight hours of one recording; beside ffmpeg's
/// memory while it records the same screen.
pub fn memory(name: &str) -> Result<String> {
    let seen = printed(&["--memory"])?;
    let figure = line(name, number(&seen, "residentMiB")?, number(&seen, "peerMiB")?, "MiB", "ffmpeg");
    let grown = |part: &str| number(&seen["dayGrewMiB"], part);
    Ok(format!(
        "{figure} captures={} grew_captures={:.1} grew_recording={:.1} grew_idle={:.1} grew_paused={:.1}",
        number(&seen, "captures")?,
        number(&seen, "capturesGrewMiB")?,
        grown("recording")?,
        grown("idle")?,
        grown("paused")?,
    ))
}

fn printed(arguments: &[&str]) -> Result<Value> {
    let printed = run(Command::new(built("bench_screen")?).args(arguments))?;
    serde_json::from_slice(&printed).context("what bench_screen printed")
}

fn number(seen: &Value, what: &str) -> Result<f64> {
    seen[what].as_f64().with_context(|| format!("{what} in {seen}"))
}
