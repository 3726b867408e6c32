//! Memory of the recorder over a day, beside ffmpeg recording the same screen.

use crate::{Arguments, compare::Program, job, writer_job};
use anyhow::{Context as _, ensure};
use hindsight_agent_core::{
    capture::{Frame, Rect, Region},
    encode::{Canvas, Scale},
    recording::{Command, Mark, Run, RunEvent, Schedule, Timeline, Writer},
};
use hindsight_seal::Recipient;
use std::{
    process::{Command as Process, Stdio},
    sync::{Arc, mpsc},
    time::Duration,
};

/// Captures of a day, started, paused, resumed and ended, after some that fill the allocator's pools.
const CAPTURES: usize = 150;
const WARM_UP: usize = 15;
/// One recording of eight hours, on a clock that runs as fast as the encoder can.
const DAY_US: u64 = 8 * 3_600 * 1_000_000;
const LOOK_US: u64 = 200_000;
const SIZE: (u32, u32) = (640, 360);

/// MiB resident: grown by in each part of the day, at its end, and ffmpeg's after half a minute.
pub fn measure(arguments: &Arguments) -> anyhow::Result<serde_json::Value> {
    let (_server, display) = crate::compare::start_display()?;
    let own = std::env::current_exe()?.with_file_name("screen_scene");
    let _scene = Program(Process::new(own).args(["office", "--display", &display]).spawn()?);
    let peer = Program(
        Process::new("ffmpeg")
            .args(["-v", "error", "-f", "x11grab", "-framerate", &arguments.frame_rate.to_string()])
            .args(["-video_size", "1920x1080", "-i", &display, "-c:v", "libx264", "-preset", "veryfast"])
            .args(["-tune", "zerolatency", "-crf", "30", "-f", "null", "-"])
            .stdin(Stdio::null())
            .spawn()
            .context("ffmpeg")?,
    );
    let arguments = Arguments { display: Some(display), ..arguments.clone() };
    let key = rcgen::KeyPair::generate()?;
    let certificate = rcgen::CertificateParams::new(vec!["bench".to_owned()])?.self_signed(&key)?;
    let recipients = Arc::new(vec![Recipient::from_pem(&certificate.pem())?]);
    let directory = tempfile::tempdir()?;
    let captures = |count: usize| -> anyhow::Result<()> {
        for number in 0..count {
            let spool = directory.path().join("spool");
            capture(&arguments, spool.clone(), recipients.clone())
                .with_context(|| format!("capture {number}"))?;
            std::fs::remove_dir_all(spool)?;
        }
        Ok(())
    };
    captures(WARM_UP)?;
    let start = resident(std::process::id())?;
    captures(CAPTURES)?;
    let after_captures = resident(std::process::id())?;
    let mut grown = serde_json::Map::new();
    for (name, change_every_us) in [("recording", 1_000_000), ("idle", 300_000_000), ("paused", u64::MAX)] {
        let by = day(&arguments, directory.path().join(name), recipients.clone(), change_every_us)?;
        grown.insert(name.to_owned(), by.into());
    }
    let peer = resident(peer.0.id())?;
    Ok(serde_json::json!({
        "captures": CAPTURES,
        "capturesGrewMiB": after_captures - start,
        "dayGrewMiB": grown,
        "residentMiB": after_captures,
        "peerMiB": peer,
    }))
}

/// A call: recorded, paused, recorded, ended.
fn capture(arguments: &Arguments, spool: std::path::PathBuf, to: Arc<Vec<Recipient>>) -> anyhow::Result<()> {
    let (events, happened) = mpsc::channel();
    let run = Run::start(job(arguments, spool, to)?, move |event| {
        // Nobody waits for the last ones.
        let _ = events.send(event);
    })?;
    match happened.recv_timeout(Duration::from_secs(10))? {
        RunEvent::PartStarted { .. } => {}
        RunEvent::Ended(result) => anyhow::bail!("the capture ended at once: {result:?}"),
    }
    run.command(Command::Mark(Mark::Pause { by: "bench".to_owned(), reason: "bench".to_owned() }));
    run.command(Command::Mark(Mark::Resume));
    run.command(Command::Finish);
    run.join()?;
    Ok(())
}

/// Eight hours of one recording in which something changes this often; MiB that it grew by from its first hour on.
fn day(
    arguments: &Arguments,
    spool: std::path::PathBuf,
    to: Arc<Vec<Recipient>>,
    change_every_us: u64,
) -> anyhow::Result<f64> {
    let job = job(arguments, spool, to)?;
    let mut writer = Writer::open(&job.spool, writer_job(&job, SIZE))?;
    let mut canvas = Canvas::new(SIZE.0, SIZE.1, Scale::for_size(SIZE.0, SIZE.1, 100)?, false);
    let mut frame = Frame::new(SIZE.0, SIZE.1);
    let mut schedule = Schedule::default();
    let mut first_hour = None;
    for now_us in (0..DAY_US).step_by(LOOK_US as usize) {
        let changed = now_us % change_every_us < LOOK_US;
        if changed {
            let at = (now_us / 1_000_000 * 7) as i32;
            let area = Rect { x: at % 600, y: at / 600 * 11 % 340, width: 12, height: 16 };
            frame.put(&area, &[(at % 251) as u8; 12 * 16 * 4]);
            canvas.update(&frame, &[area], &Region::default())?;
        }
        if let Some(shot) = schedule.look(now_us, changed) {
            writer.picture(canvas.picture(), now_us, false, shot.release)?;
            schedule.taken(now_us, shot);
        }
        if writer.idle_due_us().is_some_and(|due| now_us >= due) {
            writer.idle(now_us)?;
        }
        if first_hour.is_none() && now_us > DAY_US / 8 {
            first_hour = Some(resident(std::process::id())?);
        }
    }
    let grown = resident(std::process::id())? - first_hour.context("an hour has passed")?;
    let manifest = writer.finish(DAY_US, Timeline::default(), 0)?;
    ensure!(manifest.duration_ms == Some(DAY_US / 1000), "a day was recorded");
    Ok(grown)
}

/// MiB of memory that a process has.
fn resident(process: u32) -> anyhow::Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("VmRSS")?;
    let kibibytes: f64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kibibytes / 1024.0)
}
