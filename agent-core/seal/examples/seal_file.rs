//! Seals and opens files with constant memory: how a program drives the crate, and what `age` is measured against.
//!
//! ```text
//! seal_file seal CERTIFICATE.pem IN OUT       seal_file open KEY.pem IN OUT
//! ```

use hindsight_seal::{
    HEADER_LEN, Opener, PrivateKey, Recipient, SEGMENT_LEN, Sealer, envelope_len, open_envelope,
};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use uuid::Uuid;

/// A real program has an id per file.
const RECORDING: Uuid = Uuid::from_u128(0x0198_c0de_0000_7000_8000_0000_0000_0001);
/// Read, and so written, at a time; stays in the second-level cache.
const CHUNK: usize = 64 * SEGMENT_LEN;

type Outcome = Result<(), Box<dyn std::error::Error>>;

fn main() -> Outcome {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["seal", certificate, from, to] => seal(certificate, from, to),
        ["open", key, from, to] => open(key, from, to),
        _ => Err("seal CERTIFICATE IN OUT | open KEY IN OUT".into()),
    }
}

fn seal(certificate: &str, from: &str, to: &str) -> Outcome {
    let recipient = Recipient::from_pem(&std::fs::read_to_string(certificate)?)?;
    let (mut sealer, mut out) = Sealer::new(RECORDING, &[recipient])?;
    let (mut from, mut to) = (File::open(from)?, File::create(to)?);
    let mut chunk = vec![0; CHUNK];
    loop {
        let len = from.read(&mut chunk)?;
        if len == 0 {
            break;
        }
        sealer.write(&chunk[..len], &mut out)?;
        to.write_all(&out)?;
        out.clear();
    }
    sealer.finish(&mut out)?;
    Ok(to.write_all(&out)?)
}

fn open(key: &str, from: &str, to: &str) -> Outcome {
    let key = PrivateKey::from_pkcs8_pem(&std::fs::read_to_string(key)?)?;
    let (mut from, mut to) = (File::open(from)?, File::create(to)?);
    let file_len = from.metadata()?.len();
    let mut read_at = |position: u64, into: &mut [u8]| {
        from.seek(SeekFrom::Start(position))?;
        from.read_exact(into)
    };
    let mut start = [0; 4];
    read_at(0, &mut start)?;
    let mut envelope = vec![0; envelope_len(&start)?];
    read_at(0, &mut envelope)?;
    let base = envelope.len() as u64;
    let mut header = [0; HEADER_LEN];
    read_at(base, &mut header)?;
    let data_key = open_envelope(&envelope, &key)?;
    let opener = Opener::new(RECORDING, &data_key, &header, file_len - base)?;
    let range = opener.last_segment();
    let mut last = vec![0; (range.end - range.start) as usize];
    read_at(base + range.start, &mut last)?;
    opener.prove_length(&last)?;
    let (mut chunk, mut out) = (vec![0; CHUNK], Vec::new());
    let segments = opener.shape().last() + 1;
    for first in (0..segments).step_by(CHUNK / SEGMENT_LEN) {
        let end = (first + (CHUNK / SEGMENT_LEN) as u32).min(segments);
        let range = opener.shape().segment(first).start..opener.shape().segment(end - 1).end;
        let chunk = &mut chunk[..(range.end - range.start) as usize];
        read_at(base + range.start, chunk)?;
        out.clear();
        opener.open_segments(first, chunk, &mut out)?;
        to.write_all(&out)?;
    }
    Ok(())
}
