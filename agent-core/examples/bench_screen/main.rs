//! Records a display with the real pipeline and prints what that cost, as one JSON line.
//!
//! `bench_screen --seconds 30 [--display :1] [--frame-rate 5] [--quantiser 22] [--backend x11] [--mp4 FILE]`
//!
//! `bench_screen --compare office --seconds 60`: the same beside ffmpeg, on a virtual display of its own that shows that
//! scene; prints both, their pictures' SSIM against a lossless recording, and the ratio of processor time.
//!
//! `bench_screen --start`: from the start of a capture to its first picture, sealed, in the spool. `bench_screen --memory`:
//! what the memory grows by in a day of captures, idle, recording and paused.
//!
//! The recording is sealed for a key made for this run and spooled in a temporary directory. `--mp4` writes the
//! decrypted recording of the first monitor, so that its picture can be compared (SSIM): here, and nowhere in the
//! product.

mod compare;
mod memory;
mod same_pictures;
mod ssim;
mod start;

use anyhow::Context as _;
use clap::Parser;
use hindsight_agent_core::{
    capture::Backend,
    recording::{Command, Origin, Run, RunEvent, RunJob, WriterJob},
};
use hindsight_seal::{PrivateKey, Recipient, open_all};
use hindsight_spool::{ItemInfo, Limits, Spool};
use hindsight_wire::{
    CaptureId, ClockOffset, DeviceId, RecordingId, Timestamp,
    manifest::{Media, Signed},
    policy::CapturePolicy,
};
use std::{
    io::Write as _,
    path::PathBuf,
    sync::{Arc, mpsc},
    time::{Duration, Instant},
};

#[derive(Clone, Parser)]
struct Arguments {
    /// For how long.
    #[arg(long, default_value_t = 30.0)]
    seconds: f64,
    /// Which display; without it the environment's.
    #[arg(long)]
    display: Option<String>,
    /// Pictures a second.
    #[arg(long, default_value_t = 5)]
    frame_rate: u32,
    /// H.264 quantiser.
    #[arg(long, default_value_t = CapturePolicy::default().quantiser)]
    quantiser: u8,
    /// Which backend.
    #[arg(long, value_enum, default_value_t)]
    backend: Backend,
    /// Compare with ffmpeg on this scene (idle, office, motion, clock).
    #[arg(long)]
    compare: Option<String>,
    /// Measure the time from the start of a capture to its first picture in the spool, beside ffmpeg's first packet.
    #[arg(long)]
    start: bool,
    /// Measure memory over a simulated day, beside ffmpeg's.
    #[arg(long)]
    memory: bool,
    /// Where to write the decrypted recording of the first monitor.
    #[arg(long)]
    mp4: Option<PathBuf>,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    if let Some(scene) = &arguments.compare {
        return print(&compare::compare(&arguments, scene)?);
    }
    if arguments.start {
        return print(&start::measure(&arguments)?);
    }
    if arguments.memory {
        return print(&memory::measure(&arguments)?);
    }
    let directory = tempfile::tempdir()?;
    let key = rcgen::KeyPair::generate()?;
    let certificate = rcgen::CertificateParams::new(vec!["bench".to_owned()])?.self_signed(&key)?;
    let recipients = Arc::new(vec![Recipient::from_pem(&certificate.pem())?]);
    let (events, happened) = mpsc::channel();
    let cpu_before = cpu_seconds();
    let started = Instant::now();
    let run = Run::start(job(&arguments, directory.path().join("spool"), recipients)?, move |event| {
        // The receiver outlives the run.
        let _ = events.send(event);
    })?;
    let recordings = match happened.recv()? {
        RunEvent::PartStarted { recordings, .. } => recordings,
        RunEvent::Ended(result) => anyhow::bail!("the capture ended at once: {result:?}"),
    };
    let first_picture = started.elapsed();
    std::thread::sleep(Duration::from_secs_f64(arguments.seconds).saturating_sub(first_picture));
    run.command(Command::Finish);
    run.join()?;
    let cpu = cpu_seconds() - cpu_before;
    for event in happened {
        if let RunEvent::Ended(result) = event {
            result?;
        }
    }
    let mut bytes = 0;
    for (number, recording) in recordings.iter().enumerate() {
        let sealed =
            std::fs::read(directory.path().join("spool").join(recording.to_string()).join("sealed"))?;
        bytes += sealed.len();
        if let (0, Some(path)) = (number, &arguments.mp4) {
            let key = PrivateKey::from_pkcs8_pem(&key.serialize_pem())?;
            std::fs::write(path, open_all(recording.0, &sealed, &key)?).context("writing the MP4")?;
        }
    }
    let line = serde_json::json!({
        "cpuSeconds": cpu,
        "seconds": arguments.seconds,
        "cpuPercent": cpu / arguments.seconds * 100.0,
        "bytes": bytes,
        "megabytesPerHour": bytes as f64 / arguments.seconds * 3600.0 / 1e6,
        "monitors": recordings.len(),
        "startToFirstPictureMs": first_picture.as_millis() as u64,
    });
    print(&line)
}

fn print(line: &serde_json::Value) -> anyhow::Result<()> {
    writeln!(std::io::stdout(), "{line}")?;
    Ok(())
}

fn job(arguments: &Arguments, spool: PathBuf, recipients: Arc<Vec<Recipient>>) -> anyhow::Result<RunJob> {
    Ok(RunJob {
        backend: arguments.backend,
        display: arguments.display.clone(),
        policy: CapturePolicy {
            frame_rate: arguments.frame_rate,
            quantiser: arguments.quantiser,
            ..CapturePolicy::default()
        },
        recipients,
        spool: Spool::open(spool, Limits::default())?,
        sign: Arc::new(|document| {
            use base64::{Engine as _, engine::general_purpose::STANDARD};
            Ok(Signed { document: STANDARD.encode(document), signature: String::new() })
        }),
        clock: Arc::new(ClockOffset::default),
        device: DeviceId::new(),
        person: None,
        dn: None,
        origin: Origin::new(CaptureId::new()),
        interactions: Vec::new(),
        paused: None,
    })
}

/// What the thread of one monitor gets, without a monitor.
fn writer_job(job: &RunJob, (width, height): (u32, u32)) -> WriterJob {
    WriterJob {
        recording: RecordingId::new(),
        info: ItemInfo {
            capture: job.origin.capture,
            part: 1,
            previous: None,
            device: job.device,
            person: None,
            dn: None,
            media: Media::Screen { monitor: 0, name: "bench".to_owned(), width, height, monitors: 1 },
            interactions: Vec::new(),
            started_at: Timestamp::now(),
            clock: (job.clock)(),
            pauses: Vec::new(),
            notes: Vec::new(),
        },
        recipients: job.recipients.clone(),
        size: (width, height),
        frame_rate: job.policy.frame_rate,
        quantiser: job.policy.quantiser,
        sign: job.sign.clone(),
        clock: job.clock.clone(),
    }
}

/// Processor time of this process, user and system.
fn cpu_seconds() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}
