//! The very same pictures through our recorder and through ffmpeg. Two recordings of a screen that moves never took the same
//! pictures; here each picture is compared with what it was made from, whatever moved.

use crate::{Arguments, job, writer_job};
use anyhow::{Context as _, ensure};
use hindsight_agent_core::{
    capture::{Frame, Region},
    encode::{Canvas, Scale},
    recording::{Schedule, Timeline, Writer},
};
use hindsight_seal::{PrivateKey, Recipient, open_all};
use std::{
    io::Read as _,
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
};

const SIZE: (u32, u32) = (1920, 1080);

/// Records the pictures of a file at the frame rate, on a clock of its own, as if a screen had shown them; writes the
/// decrypted recording.
pub fn ours(arguments: &Arguments, source: &Path, to: &Path) -> anyhow::Result<()> {
    let directory = tempfile::tempdir()?;
    let key = rcgen::KeyPair::generate()?;
    let certificate = rcgen::CertificateParams::new(vec!["bench".to_owned()])?.self_signed(&key)?;
    let recipients = Arc::new(vec![Recipient::from_pem(&certificate.pem())?]);
    let job = job(arguments, directory.path().join("spool"), recipients)?;
    let writer_job = writer_job(&job, SIZE);
    let recording = writer_job.recording;
    let mut writer = Writer::open(&job.spool, writer_job)?;
    let mut decoder = Command::new("ffmpeg")
        .args(["-v", "error", "-nostdin", "-i"])
        .arg(source)
        .args(["-vsync", "passthrough", "-f", "rawvideo", "-pix_fmt", "bgr0", "-"])
        .stdout(Stdio::piped())
        .spawn()
        .context("ffmpeg")?;
    let mut pictures = decoder.stdout.take().context("ffmpeg's output")?;
    let mut frame = Frame::new(SIZE.0, SIZE.1);
    let mut canvas = Canvas::new(SIZE.0, SIZE.1, Scale::for_size(SIZE.0, SIZE.1, 100)?, false);
    let mut schedule = Schedule::default();
    let mut pixels = vec![0; frame.data().len()];
    let mut at_us = 0;
    while pictures.read_exact(&mut pixels).is_ok() {
        let changed = frame.take_over(&pixels, frame.stride(), at_us == 0);
        let changed = canvas.update(&frame, changed.as_slice(), &Region::default())?;
        if let Some(shot) = schedule.look(at_us, changed) {
            writer.picture(canvas.picture(), at_us, false, shot.release)?;
            schedule.taken(at_us, shot);
        }
        at_us += 1_000_000 / u64::from(arguments.frame_rate);
    }
    ensure!(decoder.wait()?.success() && at_us > 0, "ffmpeg gave no pictures");
    writer.finish(at_us, Timeline::default(), 0)?;
    let sealed = std::fs::read(directory.path().join("spool").join(recording.to_string()).join("sealed"))?;
    let key = PrivateKey::from_pkcs8_pem(&key.serialize_pem())?;
    Ok(std::fs::write(to, open_all(recording.0, &sealed, &key)?)?)
}

/// Has ffmpeg encode them.
pub fn peer(source: &Path, codec: &[&str], to: &Path) -> anyhow::Result<()> {
    let status = Command::new("ffmpeg")
        .args(["-v", "error", "-nostdin", "-y", "-i"])
        .arg(source)
        .args(["-vsync", "passthrough"])
        .args(codec)
        .arg(to)
        .status()
        .context("ffmpeg")?;
    ensure!(status.success(), "ffmpeg failed");
    Ok(())
}
