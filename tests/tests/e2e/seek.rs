//! Row 10: a seek into two hours costs its own segments and no more memory than one into ten minutes.

use anyhow::{Context, Result};
use hindsight_playback::{Payload, Plaintext, Voice};
use hindsight_seal::{DataKey, PrivateKey, Recipient, Sealer, envelope_len, open_envelope};
use hindsight_tests::process::run;
use hindsight_wire::manifest::IndexEntry;
use std::{
    alloc::{GlobalAlloc, Layout, System},
    fs::File,
    io::Write,
    ops::Range,
    os::unix::fs::FileExt,
    path::Path,
    process::Command,
    sync::atomic::{AtomicUsize, Ordering},
};
use uuid::Uuid;

/// Counts what this process holds, so that a test can tell its peak.
struct Counting;

static HELD: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call is handed to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let held = HELD.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        PEAK.fetch_max(held, Ordering::Relaxed);
        // SAFETY: the caller's promise about `layout`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promise about `at` and `layout`.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// A payload behind its envelope.
pub struct OnDisk(File);

impl Payload for OnDisk {
    fn len(&self) -> u64 {
        self.0.metadata().map_or(0, |m| m.len()) - 4096
    }

    async fn read(&self, range: Range<u64>) -> std::io::Result<Vec<u8>> {
        let mut bytes = vec![0; (range.end - range.start) as usize];
        self.0.read_exact_at(&mut bytes, range.start + 4096)?;
        Ok(bytes)
    }
}

/// EBML, only what this test needs: the recorder's own writer has tests of its own.
fn element(id: &[u8], body: &[u8]) -> Vec<u8> {
    [id, &(body.len() as u64 | 1 << 56).to_be_bytes(), body].concat()
}

fn head() -> Vec<u8> {
    let format = |tag: u8| [&[tag, 0, 1, 0][..], &[0; 14]].concat();
    let track = |number: u8| {
        element(&[0xae], &[element(&[0xd7], &[number]), element(&[0x63, 0xa2], &format(7))].concat())
    };
    let mut out = element(&[0x1a, 0x45, 0xdf, 0xa3], &[]);
    out.extend([0x18, 0x53, 0x80, 0x67, 0x01, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
    out.extend(element(&[0x16, 0x54, 0xae, 0x6b], &[track(1), track(2)].concat()));
    out
}

/// Half a second of two tracks whose octets tell the time.
fn cluster(half: u32) -> Vec<u8> {
    let mut body = element(&[0xe7], &(half * 500).to_be_bytes());
    for packet in 0..25u16 {
        for track in 1..=2u8 {
            let mut block = vec![0x80 | track];
            block.extend((packet * 20).to_be_bytes());
            block.push(0x80);
            block.extend([(half / 2 % 120) as u8 + 1; 160]);
            body.extend(element(&[0xa3], &block));
        }
    }
    element(&[0x1f, 0x43, 0xb6, 0x75], &body)
}

fn record(path: &Path, certificate: &str, seconds: u32) -> Result<(Uuid, Vec<IndexEntry>)> {
    let id = Uuid::now_v7();
    let (mut sealer, mut sealed) = Sealer::new(id, &[Recipient::from_pem(certificate)?])?;
    let mut file = File::create(path)?;
    let mut index = Vec::new();
    sealer.write(&head(), &mut sealed)?;
    for half in 0..seconds * 2 {
        index.push(IndexEntry {
            time_ms: u64::from(half) * 500,
            position: sealer.plaintext_len(),
            key: true,
            span_ms: None,
            pictures: None,
        });
        sealer.write(&cluster(half), &mut sealed)?;
        file.write_all(&sealed)?;
        sealed.clear();
    }
    sealer.finish(&mut sealed)?;
    file.write_all(&sealed)?;
    Ok((id, index))
}

/// A certificate for recordings, PEM, and its private key.
pub fn recipient(dir: &Path) -> Result<(String, PrivateKey)> {
    let at = |name: &str| dir.join(name);
    run(Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-subj",
            "/CN=seek",
        ])
        .args(["-days", "2", "-keyout"])
        .arg(at("key.pem"))
        .arg("-out")
        .arg(at("certificate.pem")))?;
    let certificate = std::fs::read_to_string(at("certificate.pem"))?;
    Ok((certificate, PrivateKey::from_pkcs8_pem(&std::fs::read_to_string(at("key.pem"))?)?))
}

/// The sealed file, opened; what is held from here on is the cost of a seek.
pub async fn opened(path: &Path, id: Uuid, private: &PrivateKey) -> Result<(Plaintext<OnDisk>, usize)> {
    let file = File::open(path)?;
    let mut envelope = vec![0; 4096];
    file.read_exact_at(&mut envelope, 0)?;
    anyhow::ensure!(envelope_len(&envelope)? == 4096);
    let key: DataKey = open_envelope(&envelope, private)?;
    let held = HELD.load(Ordering::Relaxed);
    PEAK.store(held, Ordering::Relaxed);
    Ok((Plaintext::open(OnDisk(file), id, &key).await?, held))
}

/// Most bytes held at a time since `held` was.
pub fn peak_since(held: usize) -> usize {
    PEAK.load(Ordering::Relaxed).saturating_sub(held)
}

#[tokio::test]
async fn a_seek_into_two_hours_opens_its_own_segments_in_constant_memory() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let (certificate, private) = recipient(dir.path())?;
    let mut costs = Vec::new();
    for seconds in [600u32, 7200] {
        let path = dir.path().join(seconds.to_string());
        let (id, index) = record(&path, &certificate, seconds)?;
        let (plaintext, held) = opened(&path, id, &private).await?;
        let opened_at_start = plaintext.segments_opened();
        let voice = Voice::open(plaintext, index, u64::from(seconds) * 1000).await?;
        let second = u64::from(seconds) * 3 / 4;
        let first_byte = voice.read(44 + second * 32_000..44 + second * 32_000 + 2).await?;
        let peak = peak_since(held);
        let sample = i16::from_le_bytes(first_byte.as_slice().try_into().context("two bytes")?);
        assert_ne!(sample, 0);
        println!(
            "{seconds} s: {} segments to open, {} in all for the first byte of the seek, peak {} KB of memory",
            opened_at_start,
            voice.segments_opened(),
            peak / 1024
        );
        costs.push((voice.segments_opened(), peak));
    }
    assert_eq!(costs[0].0, costs[1].0, "the longer recording costs more segments");
    assert!(costs[1].0 <= 16, "{costs:?}");
    assert!(costs[1].1 < costs[0].1 + 64 * 1024, "memory grows with the length: {costs:?}");
    Ok(())
}
