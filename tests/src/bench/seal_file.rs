//! Sealing and opening a file, beside `age`: MB a second of one core, file to file, in a process each.

use super::{cpu_time, line, median};
use crate::process::run;
use anyhow::{Context, Result, ensure};
use hindsight_seal::{
    HEADER_LEN, Opener, PrivateKey, Recipient, SEGMENT_LEN, Sealer, envelope_len, open_envelope,
};
use std::{
    fs::File,
    io::{Read, Seek, SeekFrom, Write},
    path::Path,
    process::{Command, Stdio},
};
use uuid::Uuid;

const SIZE: u64 = 512 << 20;
const PAIRS: usize = 5;
const BUFFER: usize = 1 << 20;

#[derive(Clone, Copy, PartialEq)]
pub enum Way {
    Seal,
    Open,
}

/// The bench's own recording id and key: fixed names in its own temporary directory.
const RECORDING: Uuid = Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0001);

pub fn bench(name: &str, way: Way) -> Result<String> {
    let dir = tempfile::tempdir()?;
    let at = |file: &str| dir.path().join(file);
    fill(&at("plain"))?;
    run(Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"])
        .args(["-subj", "/CN=bench", "-days", "2", "-keyout"])
        .arg(at("key.pem"))
        .arg("-out")
        .arg(at("cert.pem")))?;
    run(Command::new("age-keygen").arg("-o").arg(at("age.key")))?;
    let public = run(Command::new("age-keygen").arg("-y").arg(at("age.key")))?;
    let public = String::from_utf8(public)?.trim().to_owned();
    let ours = |flag: &str, from: &str, to: &str| -> Result<f64> {
        let mut command = Command::new(std::env::current_exe()?);
        Ok(cpu_time(command.arg(flag).arg(at(from)).arg(at(to)).stdout(Stdio::null()))?.as_secs_f64())
    };
    let age = |arguments: &[&str], from: &str, to: &str| -> Result<f64> {
        let mut command = Command::new("age");
        Ok(cpu_time(command.args(arguments).arg("-o").arg(at(to)).arg(at(from)).stdout(Stdio::null()))?
            .as_secs_f64())
    };
    let key = at("age.key");
    let key = key.to_str().context("path")?;
    let megabytes = SIZE as f64 / 1e6;
    let (mut mine, mut peer) = (Vec::new(), Vec::new());
    for _ in 0..PAIRS {
        let sealing =
            (ours("--seal", "plain", "ours.sealed")?, age(&["-r", &public], "plain", "age.sealed")?);
        let (us, they) = match way {
            Way::Seal => sealing,
            Way::Open => (
                ours("--open", "ours.sealed", "ours.plain")?,
                age(&["-d", "-i", key], "age.sealed", "age.plain")?,
            ),
        };
        mine.push(megabytes / us);
        peer.push(megabytes / they);
    }
    if way == Way::Open {
        run(Command::new("cmp").arg(at("plain")).arg(at("ours.plain")))?;
    }
    Ok(line(name, median(mine), median(peer), "MB/cpu-s", "age"))
}

fn fill(path: &Path) -> Result<()> {
    let mut random = File::open("/dev/urandom")?.take(SIZE);
    let written = std::io::copy(&mut random, &mut File::create(path)?)?;
    ensure!(written == SIZE, "filling {path:?}");
    Ok(())
}

/// In a process of its own: seals a file to the certificate beside it.
pub fn seal(from: &Path, to: &Path) -> Result<()> {
    let certificate = std::fs::read_to_string(from.with_file_name("cert.pem"))?;
    let (mut sealer, start) = Sealer::new(RECORDING, &[Recipient::from_pem(&certificate)?])?;
    let (mut input, mut output) = (File::open(from)?, File::create(to)?);
    output.write_all(&start)?;
    let mut plain = vec![0u8; BUFFER];
    let mut sealed = Vec::with_capacity(BUFFER * 2);
    loop {
        let count = input.read(&mut plain)?;
        if count == 0 {
            break;
        }
        sealed.clear();
        sealer.write(&plain[..count], &mut sealed)?;
        output.write_all(&sealed)?;
    }
    sealed.clear();
    sealer.finish(&mut sealed)?;
    output.write_all(&sealed)?;
    Ok(())
}

/// In a process of its own: opens what [`seal`] made.
pub fn open(from: &Path, to: &Path) -> Result<()> {
    let key = PrivateKey::from_pkcs8_pem(&std::fs::read_to_string(from.with_file_name("key.pem"))?)?;
    let mut input = File::open(from)?;
    let mut envelope = vec![0u8; 4096];
    input.read_exact(&mut envelope)?;
    let start = envelope_len(&envelope)? as u64;
    let data_key = open_envelope(&envelope, &key)?;
    let mut header = [0u8; HEADER_LEN];
    input.read_exact(&mut header)?;
    let opener = Opener::new(RECORDING, &data_key, &header, input.metadata()?.len() - start)?;
    let last = opener.last_segment();
    let mut sealed = vec![0u8; (last.end - last.start) as usize];
    input.seek(SeekFrom::Start(start + last.start))?;
    input.read_exact(&mut sealed)?;
    opener.prove_length(&sealed)?;
    let mut output = File::create(to)?;
    input.seek(SeekFrom::Start(start + HEADER_LEN as u64))?;
    let mut buffer = vec![0u8; BUFFER];
    let mut plain = Vec::with_capacity(BUFFER);
    let (mut segment, mut next) = (0u32, SEGMENT_LEN - HEADER_LEN);
    loop {
        let count = fill_up(&mut input, &mut buffer[..next])?;
        if count == 0 {
            return Ok(());
        }
        plain.clear();
        opener.open_segments(segment, &buffer[..count], &mut plain)?;
        output.write_all(&plain)?;
        segment += count.div_ceil(SEGMENT_LEN) as u32;
        next = BUFFER;
    }
}

fn fill_up(input: &mut File, buffer: &mut [u8]) -> Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match input.read(&mut buffer[filled..])? {
            0 => break,
            count => filled += count,
        }
    }
    Ok(filled)
}
