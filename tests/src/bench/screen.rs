//! Recording a screen, 1920×1080 at 5 frames a second, beside ffmpeg (x11grab, libx264 veryfast zerolatency crf 30) on the
//! same scene: `bench_screen` of agent-core records both side by side.

use super::line;
use crate::process::{built, run};
use anyhow::{Context, Result};
use serde_json::Value;
use std::process::Command;

const SECONDS: f64 = 60.0;

/// Processor seconds for a minute; behind them, of all pictures, the SSIM of the luma and that of the RGB, the former where the
/// scene is still as it was recorded, and megabytes an hour. ffmpeg unasked takes 4:4:4 from a screen; `peer420` is told to
/// sample 4:2:0, as ours does and browsers show. `limit420` is what 4:2:0 leaves of a picture with nothing else lost.
pub fn bench(name: &str, scene: &str) -> Result<String> {
    let seen = printed(&["--compare", scene, "--seconds", &SECONDS.to_string()])?;
    let cpu = |who: &str| number(&seen[who], "cpuSeconds");
    let figure = line(name, cpu("ours")?, cpu("peer")?, "cpu-s/min", "ffmpeg");
    let pictures = |who: &str| -> Result<String> {
        let of = &seen[who];
        let hourly = number(of, "bytes")? / SECONDS * 3600.0 / 1e6;
        let (luma, rgb) = (number(&of["ssim"], "luma")?, number(&of["ssim"], "rgb")?);
        let still = number(&of["ssimStill"], "luma")?;
        Ok(format!(
            "{who}_ssim={luma:.4} {who}_ssim_rgb={rgb:.4} {who}_ssim_still={still:.4} {who}_mb_h={hourly:.1}"
        ))
    };
    Ok(format!(
        "{figure} {} {} peer420={:.4} ratio420={:.3} {} limit420_ssim={:.4} limit420_ssim_rgb={:.4}",
        pictures("ours")?,
        pictures("peer")?,
        cpu("peer420")?,
        number(&seen["peer420"], "ratio")?,
        pictures("peer420")?,
        number(&seen["limit420"], "luma")?,
        number(&seen["limit420"], "rgb")?,
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
