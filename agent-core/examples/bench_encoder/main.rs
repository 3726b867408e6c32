//! Encodes the very same pictures with different settings of openh264, and with x264: processor time, size, SSIM. Every picture
//! is compared with its own source, also in motion, which no two recordings of a running screen allow.
//!
//! `bench_encoder --scene motion --seconds 16 q=26 q=24,layers=1 q=26,usage=camera x264 x264-444`
//!
//! Settings of openh264: `q` (quantiser), `layers` (temporal), `cabac` (0, 1), `complexity` (0, 1, 2), `usage` (screen, camera),
//! `filter` (0: deblocking, 1: none), `refs` (reference pictures), `threads`. What is left out is as in the product.

mod ours;
mod pictures;

use anyhow::{Context as _, bail};
use clap::Parser;
use std::{
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
};

#[derive(Parser)]
struct Arguments {
    /// Which scene: idle, office, motion.
    #[arg(long, default_value = "motion")]
    scene: String,
    /// How much of it.
    #[arg(long, default_value_t = 16)]
    seconds: u32,
    /// Pictures a second.
    #[arg(long, default_value_t = 5)]
    frame_rate: u32,
    /// A lossless recording of pictures to use instead (RGB).
    #[arg(long)]
    from: Option<std::path::PathBuf>,
    /// Where to keep the pictures, losslessly.
    #[arg(long)]
    keep: Option<std::path::PathBuf>,
    /// What to try.
    settings: Vec<String>,
}

/// What one encoder did with the pictures.
struct Result {
    cpu_seconds: f64,
    bytes: u64,
    key_pictures: usize,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let directory = tempfile::tempdir()?;
    let source = match (&arguments.from, &arguments.keep) {
        (Some(source), _) => source.clone(),
        (None, Some(keep)) => keep.clone(),
        (None, None) => directory.path().join("source.mkv"),
    };
    if arguments.from.is_none() {
        pictures::record(&arguments.scene, arguments.seconds, arguments.frame_rate, &source)?;
    }
    let decoding = x264(&source, None)?.cpu_seconds;
    for settings in &arguments.settings {
        let (file, result) = match settings.split_once(':').unwrap_or((settings, "")) {
            ("x264" | "x264-444", more) => {
                let format = if settings.starts_with("x264-444") { "yuv444p" } else { "yuv420p" };
                let file = directory.path().join("peer.mp4");
                let more: Vec<&str> = more.split_whitespace().collect();
                let mut result = x264(&source, Some((format, &more, &file)))?;
                result.cpu_seconds -= decoding;
                (file, result)
            }
            _ => {
                let file = directory.path().join("ours.h264");
                let result = ours::encode(&source, settings, arguments.frame_rate, &file)?;
                (file, result)
            }
        };
        let (rgb, luma) = (ssim(&file, &source, "gbrp")?, ssim(&file, &source, "gray")?);
        writeln!(
            std::io::stdout(),
            "{settings:40} cpu={:7.3}s bytes={:9} keys={:3} ssim_rgb={rgb:.5} ssim_y={luma:.5}",
            result.cpu_seconds,
            result.bytes,
            result.key_pictures,
        )?;
    }
    Ok(())
}

/// Encodes as the benchmark's peer does; without `to` only decodes the source.
fn x264(source: &Path, to: Option<(&str, &[&str], &Path)>) -> anyhow::Result<Result> {
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-nostdin", "-y", "-benchmark", "-threads", "1", "-i"]).arg(source);
    match to {
        Some((format, more, to)) => command
            .args([
                "-v",
                "info",
                "-vsync",
                "passthrough",
                "-c:v",
                "libx264",
                "-preset",
                "veryfast",
                "-tune",
                "zerolatency",
            ])
            .args(["-crf", "30", "-pix_fmt", format])
            .args(more)
            .arg(to),
        None => command.args(["-v", "info", "-vsync", "passthrough", "-f", "null", "-"]),
    };
    let output = command.stdin(Stdio::null()).output().context("ffmpeg")?;
    let said = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        bail!("ffmpeg: {said}");
    }
    let seconds = |name: &str| -> anyhow::Result<f64> {
        let (_, after) = said.rsplit_once(name).with_context(|| format!("no {name} in {said}"))?;
        Ok(after.chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect::<String>().parse()?)
    };
    Ok(Result {
        cpu_seconds: seconds("utime=")? + seconds("stime=")?,
        bytes: to.map_or(Ok(0), |(_, _, to)| std::fs::metadata(to).map(|file| file.len()))?,
        key_pictures: 0,
    })
}

/// Structural similarity, picture by picture in order, in a pixel format.
fn ssim(one: &Path, source: &Path, format: &str) -> anyhow::Result<f64> {
    let convert = if format == "gray" { "format=gbrp,format=gray" } else { "format=gbrp" };
    let graph = format!(
        "[0:v]settb=1/1000,setpts=N*200,{convert}[a];[1:v]settb=1/1000,setpts=N*200,{convert}[b];[a][b]ssim"
    );
    let output = Command::new("ffmpeg")
        .args(["-nostdin", "-i"])
        .arg(one)
        .arg("-i")
        .arg(source)
        .args(["-lavfi", &graph, "-vsync", "passthrough", "-f", "null", "-"])
        .output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    let Some((_, all)) = said.rsplit_once("SSIM ") else { bail!("ffmpeg gave no SSIM: {said}") };
    let Some((_, all)) = all.rsplit_once("All:") else { bail!("ffmpeg gave no SSIM: {said}") };
    Ok(all.chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect::<String>().parse()?)
}
