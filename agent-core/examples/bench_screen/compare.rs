//! Ours and ffmpeg, at the same time on the same display.

use crate::{
    Arguments, same_pictures,
    ssim::{self, Matrix},
};
use anyhow::{Context as _, ensure};
use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// Between the start of the scene and the start of the recorders.
const LEAD: Duration = Duration::from_millis(600);
/// In the scenes `office` and `motion` nothing changes from 6 to 8 s of each 8 s: there pictures can be compared although the
/// recorders begin after the scene: [`LEAD`] after it at least, and [`LATEST`] at most. Their own time then is 5.6 to 6.4 s.
const STILL: &str = "between(mod(t\\,8)\\,5.6\\,6.4)";
const LATEST: Duration = Duration::from_millis(1_500);
const TURN_SECONDS: f64 = 8.0;

/// A program that is ended with its owner.
pub struct Program(pub Child);

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// ffmpeg's options as the benchmark names them. Without a pixel format ffmpeg takes 4:4:4, since a screen is RGB.
const PEER: [&str; 8] = ["-c:v", "libx264", "-preset", "veryfast", "-tune", "zerolatency", "-crf", "30"];
/// Sampled as ours is, and as browsers can show.
const AT_420: [&str; 2] = ["-pix_fmt", "yuv420p"];
/// What the others are compared with: the pixels as they were.
const REFERENCE: [&str; 6] = ["-c:v", "libx264rgb", "-preset", "ultrafast", "-qp", "0"];

/// Records `scene` with this program and twice with ffmpeg (x11grab, libx264 veryfast zerolatency crf 30): with the chroma of
/// each pixel, as it does unasked, and with 4:2:0 as ours. Compares processor time, size, and the pictures with a lossless
/// recording: those recorded where the scene is still (`ssimStill`), and all of them by encoding the lossless recording again
/// (`ssim`). `limit420` is what 4:2:0 alone leaves of it.
pub fn compare(arguments: &Arguments, scene: &str) -> anyhow::Result<serde_json::Value> {
    let (seconds, frame_rate) = (arguments.seconds, arguments.frame_rate);
    ensure!(seconds >= 2.0 * TURN_SECONDS, "at least 16 seconds: two turns of the scene");
    let directory = tempfile::tempdir()?;
    let file = |name: &str| directory.path().join(name);
    let (_server, display) = start_display()?;
    let own = std::env::current_exe()?;
    let player = own.with_file_name("screen_scene");
    let started = Instant::now();
    let _scene =
        Program(Command::new(player).args([scene, "--display", &display]).spawn().context("screen_scene")?);
    std::thread::sleep(LEAD);
    let grab = |codec: &[&str], name: &str| grab(&display, seconds, frame_rate, codec, &file(name));
    let mut reference = Program(grab(&REFERENCE, "reference.mkv")?);
    let mut peers = [
        ("peer", "ffmpeg x11grab libx264 veryfast zerolatency crf30", grab(&PEER, "peer.mp4")?),
        ("peer420", "the same, yuv420p", grab(&[&PEER[..], &AT_420].concat(), "peer420.mp4")?),
    ]
    .map(|(key, name, child)| (key, name, Program(child)));
    let ours = Command::new(own)
        .args(["--display", &display, "--quantiser", &arguments.quantiser.to_string()])
        .args(["--seconds", &seconds.to_string(), "--frame-rate", &frame_rate.to_string()])
        .arg("--mp4")
        .arg(file("ours.mp4"))
        .stderr(Stdio::inherit())
        .output()?;
    let began = started.elapsed().saturating_sub(Duration::from_secs_f64(seconds));
    ensure!(ours.status.success(), "our recorder failed");
    ensure!(
        began < LATEST,
        "the machine is too busy to compare pictures: we began {began:?} after the scene"
    );
    let ours: serde_json::Value = serde_json::from_slice(&ours.stdout)?;
    let ours_cpu = ours["cpuSeconds"].as_f64().context("cpuSeconds")?;
    let mut compared = serde_json::json!({ "scene": scene, "seconds": seconds });
    for (key, name, child) in &mut peers {
        let cpu = processor_time_at_end(&child.0)?;
        ensure!(child.0.wait()?.success(), "ffmpeg failed");
        compared[*key] = serde_json::json!({ "name": name, "cpuSeconds": cpu, "ratio": ours_cpu / cpu });
    }
    ensure!(reference.0.wait()?.success(), "ffmpeg failed");
    compared["ours"] = serde_json::json!({
        "cpuSeconds": ours_cpu,
        "startToFirstPictureMs": ours["startToFirstPictureMs"],
    });
    let reference = file("reference.mkv");
    for key in ["ours", "peer", "peer420"] {
        let matrix = if key == "ours" { Matrix::Bt709 } else { Matrix::Bt601 };
        let (recorded, again) = (file(&format!("{key}.mp4")), file(&format!("{key}-again.mp4")));
        compared[key]["bytes"] = std::fs::metadata(&recorded)?.len().into();
        compared[key]["ssimStill"] =
            serde_json::to_value(ssim::compare(&recorded, matrix, &reference, frame_rate, STILL)?)?;
        match key {
            "ours" => same_pictures::ours(arguments, &reference, &again)?,
            "peer" => same_pictures::peer(&reference, &PEER, &again)?,
            _ => same_pictures::peer(&reference, &[&PEER[..], &AT_420].concat(), &again)?,
        }
        compared[key]["ssim"] =
            serde_json::to_value(ssim::compare(&again, matrix, &reference, frame_rate, "1")?)?;
    }
    compared["limit420"] = serde_json::to_value(ssim::limit(&reference, frame_rate, "1")?)?;
    Ok(compared)
}

pub fn start_display() -> anyhow::Result<(Program, String)> {
    let mut server = Command::new("Xvfb")
        .args(["-displayfd", "1", "-screen", "0", "1920x1080x24", "-nolisten", "tcp", "-noreset"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .context("Xvfb")?;
    let output = server.stdout.take().context("Xvfb's output")?;
    let server = Program(server);
    let mut number = String::new();
    BufReader::new(output).read_line(&mut number)?;
    Ok((server, format!(":{}", number.trim())))
}

fn grab(display: &str, seconds: f64, frame_rate: u32, codec: &[&str], to: &Path) -> anyhow::Result<Child> {
    Command::new("ffmpeg")
        .args(["-v", "error", "-y", "-f", "x11grab", "-framerate", &frame_rate.to_string()])
        .args(["-video_size", "1920x1080", "-i", display, "-t", &seconds.to_string()])
        .args(codec)
        .arg(to)
        .stdin(Stdio::null())
        .spawn()
        .context("ffmpeg")
}

/// Waits until a child has ended, without taking its status; the processor time that it took, user and system.
fn processor_time_at_end(child: &Child) -> anyhow::Result<f64> {
    /// Ticks a second in /proc: fixed for all of Linux's user space.
    const TICKS: f64 = 100.0;
    loop {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.id()))?;
        let (_, after_name) = stat.rsplit_once(") ").context("/proc/…/stat")?;
        let fields: Vec<&str> = after_name.split(' ').collect();
        if fields[0] == "Z" {
            return Ok((fields[11].parse::<f64>()? + fields[12].parse::<f64>()?) / TICKS);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}
