//! Ours and ffmpeg, at the same time on the same display.

use anyhow::{Context as _, bail, ensure};
use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

/// Between the start of the scene and the start of the recorders.
const LEAD: Duration = Duration::from_millis(600);
/// In the scenes `office` and `motion` nothing changes from 6 to 8 s of each 8 s: there pictures can be compared although the
/// recorders begin up to a second after the scene.
const STILL: &str = "between(mod(t\\,8)\\,5.6\\,6.4)";

/// A program that is ended with its owner.
pub struct Program(pub Child);

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Records `scene` with this program and with ffmpeg (x11grab, libx264 veryfast zerolatency crf 30); compares processor
/// time, size, and the picture with a lossless recording (SSIM).
pub fn compare(scene: &str, seconds: f64, frame_rate: u32) -> anyhow::Result<serde_json::Value> {
    ensure!(seconds >= 16.0, "at least 16 seconds: two turns of the scene");
    let directory = tempfile::tempdir()?;
    let file = |name: &str| directory.path().join(name);
    let (_server, display) = start_display()?;
    let own = std::env::current_exe()?;
    let player = own.with_file_name("screen_scene");
    let _scene =
        Program(Command::new(player).args([scene, "--display", &display]).spawn().context("screen_scene")?);
    std::thread::sleep(LEAD);
    let lossless = ["-preset", "ultrafast", "-qp", "0", "-pix_fmt", "yuv444p"];
    let fast = ["-preset", "veryfast", "-tune", "zerolatency", "-crf", "30"];
    let mut reference = Program(grab(&display, seconds, frame_rate, &lossless, &file("reference.mp4"))?);
    let mut peer = Program(grab(&display, seconds, frame_rate, &fast, &file("peer.mp4"))?);
    let ours = Command::new(own)
        .args([
            "--display",
            &display,
            "--seconds",
            &seconds.to_string(),
            "--frame-rate",
            &frame_rate.to_string(),
        ])
        .arg("--mp4")
        .arg(file("ours.mp4"))
        .stderr(Stdio::inherit())
        .output()?;
    ensure!(ours.status.success(), "our recorder failed");
    let ours: serde_json::Value = serde_json::from_slice(&ours.stdout)?;
    let peer_cpu = processor_time_at_end(&peer.0)?;
    ensure!(peer.0.wait()?.success() && reference.0.wait()?.success(), "ffmpeg failed");
    let ours_cpu = ours["cpuSeconds"].as_f64().context("cpuSeconds")?;
    let bytes = |name: &str| std::fs::metadata(file(name)).map(|file| file.len());
    Ok(serde_json::json!({
        "scene": scene,
        "seconds": seconds,
        "ours": {
            "cpuSeconds": ours_cpu,
            "bytes": bytes("ours.mp4")?,
            "ssim": ssim(&file("ours.mp4"), &file("reference.mp4"), frame_rate)?,
            "startToFirstPictureMs": ours["startToFirstPictureMs"],
        },
        "peer": {
            "name": "ffmpeg x11grab libx264 veryfast zerolatency crf30",
            "cpuSeconds": peer_cpu,
            "bytes": bytes("peer.mp4")?,
            "ssim": ssim(&file("peer.mp4"), &file("reference.mp4"), frame_rate)?,
        },
        "ratio": ours_cpu / peer_cpu,
    }))
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
        .args(["-video_size", "1920x1080", "-i", display, "-t", &seconds.to_string(), "-c:v", "libx264"])
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

/// Structural similarity of two recordings, where the scene is still; as RGB, because ours is BT.709 and ffmpeg's BT.601.
fn ssim(one: &Path, reference: &Path, frame_rate: u32) -> anyhow::Result<f64> {
    let picked = format!("fps={frame_rate},select='{STILL}',setpts=N/{frame_rate}/TB,format=gbrp");
    let graph = format!("[0:v]{picked}[a];[1:v]{picked}[b];[a][b]ssim");
    let output = Command::new("ffmpeg")
        .args(["-nostdin", "-i"])
        .arg(one)
        .arg("-i")
        .arg(reference)
        .args(["-lavfi", &graph, "-f", "null", "-"])
        .output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    let Some((_, all)) = said.rsplit_once("All:") else { bail!("ffmpeg gave no SSIM: {said}") };
    let value: String = all.chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect();
    Ok(value.parse()?)
}
