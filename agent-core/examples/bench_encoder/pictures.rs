//! The pictures to encode: a scene on a virtual display, grabbed losslessly.

use anyhow::{Context as _, ensure};
use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

/// A program that is ended with its owner.
struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Records a scene as it is, RGB.
pub fn record(scene: &str, seconds: u32, frame_rate: u32, to: &Path) -> anyhow::Result<()> {
    let mut server = Command::new("Xvfb")
        .args(["-displayfd", "1", "-screen", "0", "1920x1080x24", "-nolisten", "tcp", "-noreset"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .context("Xvfb")?;
    let output = server.stdout.take().context("Xvfb's output")?;
    let _server = Program(server);
    let mut number = String::new();
    BufReader::new(output).read_line(&mut number)?;
    let display = format!(":{}", number.trim());
    let player = std::env::current_exe()?.with_file_name("screen_scene");
    let _scene = Program(Command::new(player).args([scene, "--display", &display]).spawn()?);
    let status = Command::new("ffmpeg")
        .args(["-v", "error", "-nostdin", "-y", "-f", "x11grab", "-framerate", &frame_rate.to_string()])
        .args(["-video_size", "1920x1080", "-i", &display, "-t", &seconds.to_string()])
        .args(["-c:v", "libx264rgb", "-preset", "ultrafast", "-qp", "0"])
        .arg(to)
        .status()
        .context("ffmpeg")?;
    ensure!(status.success(), "ffmpeg failed");
    Ok(())
}
