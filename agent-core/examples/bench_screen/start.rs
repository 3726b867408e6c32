//! From the start of a capture to its first picture.

use crate::{Arguments, compare::Program, job};
use anyhow::{Context as _, ensure};
use hindsight_agent_core::recording::{Command, Run, RunEvent};
use hindsight_seal::Recipient;
use std::{
    io::Read as _,
    process::{Command as Process, Stdio},
    sync::{Arc, mpsc},
    time::{Duration, Instant},
};

const TURNS: usize = 9;
const LIMIT: Duration = Duration::from_secs(10);
/// The envelope and the header of the stream.
const NOTHING_YET: u64 = 4096 + 40;

/// Medians of [`TURNS`] starts, in turn with ffmpeg's: milliseconds until the first picture was taken, until it was sealed
/// and in the spool's file, and until ffmpeg's first packet (its own start included, as it is the program that records).
pub fn measure(arguments: &Arguments) -> anyhow::Result<serde_json::Value> {
    let (_server, display) = crate::compare::start_display()?;
    let own = std::env::current_exe()?.with_file_name("screen_scene");
    let _scene = Program(Process::new(own).args(["office", "--display", &display]).spawn()?);
    let (mut taken, mut sealed, mut peer) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..TURNS {
        let (first, spooled) = ours(&Arguments { display: Some(display.clone()), ..arguments.clone() })?;
        taken.push(first);
        sealed.push(spooled);
        peer.push(ffmpeg(&display, arguments.frame_rate)?);
    }
    Ok(serde_json::json!({
        "takenMs": median(taken),
        "sealedMs": median(sealed),
        "peerMs": median(peer),
    }))
}

fn ours(arguments: &Arguments) -> anyhow::Result<(f64, f64)> {
    let directory = tempfile::tempdir()?;
    let key = rcgen::KeyPair::generate()?;
    let certificate = rcgen::CertificateParams::new(vec!["bench".to_owned()])?.self_signed(&key)?;
    let recipients = Arc::new(vec![Recipient::from_pem(&certificate.pem())?]);
    let job = job(arguments, directory.path().join("spool"), recipients)?;
    let (events, happened) = mpsc::channel();
    let started = Instant::now();
    let run = Run::start(job, move |event| {
        // Nobody waits for the last ones.
        let _ = events.send(event);
    })?;
    let recordings = match happened.recv_timeout(LIMIT)? {
        RunEvent::PartStarted { recordings, .. } => recordings,
        RunEvent::Ended(result) => anyhow::bail!("the capture ended at once: {result:?}"),
    };
    let taken = started.elapsed();
    let file = directory.path().join("spool").join(recordings[0].to_string()).join("sealed");
    while std::fs::metadata(&file).map_or(0, |file| file.len()) <= NOTHING_YET {
        ensure!(started.elapsed() < LIMIT, "nothing was sealed");
        std::thread::sleep(Duration::from_millis(1));
    }
    let sealed = started.elapsed();
    run.command(Command::Finish);
    run.join()?;
    Ok((taken.as_secs_f64() * 1000.0, sealed.as_secs_f64() * 1000.0))
}

fn ffmpeg(display: &str, frame_rate: u32) -> anyhow::Result<f64> {
    let started = Instant::now();
    let mut program = Program(
        Process::new("ffmpeg")
            .args(["-v", "error", "-f", "x11grab", "-framerate", &frame_rate.to_string()])
            .args(["-video_size", "1920x1080", "-i", display, "-c:v", "libx264", "-preset", "veryfast"])
            .args(["-tune", "zerolatency", "-crf", "30", "-flush_packets", "1", "-f", "h264", "pipe:1"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("ffmpeg")?,
    );
    let mut output = program.0.stdout.take().context("ffmpeg's output")?;
    output.read_exact(&mut [0; 64])?;
    Ok(started.elapsed().as_secs_f64() * 1000.0)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
