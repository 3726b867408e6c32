//! Recording a screen, 1920×1080 at 5 frames a second, beside ffmpeg (x11grab, libx264 veryfast zerolatency crf 30) on the
//! same scene: `bench_screen` of agent-core records both side by side.

use super::line;
use crate::process::{built, run};
use anyhow::{Context, Result};
use serde_json::Value;
use std::process::Command;

const SECONDS: f64 = 60.0;

/// Processor seconds for a minute; behind them the SSIM of all pictures, that of those recorded where the scene is still, and
/// megabytes an hour. `peer420` is the same ffmpeg told to sample 4:2:0, as ours does and browsers show; `limit420_ssim` is
/// what 4:2:0 leaves of a picture with nothing else lost.
pub fn bench(name: &str, scene: &str) -> Result<String> {
    let seen = printed(&["--compare", scene, "--seconds", &SECONDS.to_string()])?;
    let number = |who: &str, what: &str| number(&seen[who], what);
    let figure =
        line(name, number("ours", "cpuSeconds")?, number("peer", "cpuSeconds")?, "cpu-s/min", "ffmpeg");
    let pictures = |who: &str| -> Result<String> {
        let hourly = number(who, "bytes")? / SECONDS * 3600.0 / 1e6;
        let (all, still) = (number(who, "ssim")?, number(who, "ssimStill")?);
        Ok(format!("{who}_ssim={all:.4} {who}_ssim_still={still:.4} {who}_mb_h={hourly:.1}"))
    };
    Ok(format!(
        "{figure} {} {} peer420={:.4} ratio420={:.3} {} limit420_ssim={:.4}",
        pictures("ours")?,
        pictures("peer")?,
        number("peer420", "cpuSeconds")?,
        number("peer420", "ratio")?,
        pictures("peer420")?,
        self::number(&seen, "limit420")?,
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
