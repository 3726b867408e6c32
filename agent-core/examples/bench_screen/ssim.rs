//! Structural similarity, as ffmpeg computes it; of the RGB, because ours is BT.709 and ffmpeg's recordings are BT.601.
//!
//! Pictures are compared in their order: files count time in different units, and a picture that is a digit of time early
//! would be compared with the one before.

use anyhow::bail;
use std::{path::Path, process::Command};

/// Of the pictures of two files at which `select` (ffmpeg's) is true.
pub fn compare(one: &Path, reference: &Path, frame_rate: u32, select: &str) -> anyhow::Result<f64> {
    let picked = picked(frame_rate, select);
    filtered(&[one, reference], &format!("[0:v]{picked}[a];[1:v]{picked}[b];[a][b]ssim"))
}

/// Of a file and what 4:2:0 leaves of it.
pub fn limit(reference: &Path, frame_rate: u32, select: &str) -> anyhow::Result<f64> {
    let picked = picked(frame_rate, select);
    filtered(&[reference], &format!("[0:v]{picked},split[a][b];[a]format=yuv420p,format=gbrp[c];[c][b]ssim"))
}

/// One picture each tick of the frame rate, then those selected, numbered.
fn picked(frame_rate: u32, select: &str) -> String {
    format!("fps={frame_rate},select='{select}',settb=1/1000000,setpts=N*1000,format=gbrp")
}

fn filtered(inputs: &[&Path], graph: &str) -> anyhow::Result<f64> {
    let mut command = Command::new("ffmpeg");
    command.arg("-nostdin");
    for input in inputs {
        command.arg("-i").arg(input);
    }
    let output = command.args(["-lavfi", graph, "-vsync", "passthrough", "-f", "null", "-"]).output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    let Some((_, all)) = said.rsplit_once("All:") else { bail!("ffmpeg gave no SSIM: {said}") };
    let value: String = all.chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect();
    Ok(value.parse()?)
}
