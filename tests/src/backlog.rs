//! Sealed recordings that wait in a desktop's spool, made as the recorder makes them, with known bytes.

use anyhow::{Context, Result, ensure};
use hindsight_link::Identity;
use hindsight_seal::{Recipient, Sealer};
use hindsight_spool::{ItemInfo, Limits, Spool};
use hindsight_wire::{
    CaptureId, ClockOffset, RecordingId, Timestamp,
    enrolment::{DeviceKind, EnrolmentString},
    manifest::{Ending, Media},
};
use rand::{Rng as _, RngCore as _, SeedableRng as _, rngs::StdRng};
use ring::digest::{SHA256, digest};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// A recording that was put into a spool.
#[derive(Clone, Debug)]
pub struct Waiting {
    pub recording: RecordingId,
    /// Of envelope and payload together.
    pub bytes: u64,
    /// SHA-256 of envelope, then payload.
    pub sha256: String,
}

/// The desktop's identity in `data` (the recorder's data directory); enrolled there if there is none yet.
pub async fn identity(data: &Path, enrolment: &str) -> Result<Identity> {
    let enrolment: EnrolmentString = enrolment.parse().context("the enrolment string")?;
    let dir = data.join("identity");
    Ok(Identity::load_or_enrol(&dir, DeviceKind::Desktop, "backlog", Some(&enrolment)).await?)
}

/// Puts `count` finished recordings of `bytes` each, more or less, into the spool of the recorder's data directory.
/// Nobody may have it open.
pub fn fill(
    data: &Path,
    identity: &Identity,
    recipient_pem: &str,
    count: usize,
    bytes: usize,
    seed: u64,
) -> Result<Vec<Waiting>> {
    let recipients = [Recipient::from_pem(recipient_pem)?];
    let limits = Limits { low_free_bytes: 0, min_free_bytes: 0, stop_free_bytes: 0, ..Limits::default() };
    let spool = Spool::open(data.join("spool"), limits)?;
    let mut rng = StdRng::seed_from_u64(seed);
    let mut waiting = Vec::new();
    for _ in 0..count {
        let length = rng.random_range(bytes / 2..=bytes + bytes / 2);
        let mut content = vec![0; length];
        rng.fill_bytes(&mut content);
        waiting.push(put(&spool, identity, &recipients, &content)?);
    }
    spool.sync();
    ensure!(spool.items().len() == count, "all of them are in the spool");
    Ok(waiting)
}

fn put(spool: &Spool, identity: &Identity, recipients: &[Recipient], content: &[u8]) -> Result<Waiting> {
    let recording = RecordingId::new();
    let (mut sealer, mut sealed) = Sealer::new(recording.0, recipients)?;
    sealer.write(content, &mut sealed)?;
    sealer.finish(&mut sealed)?;
    let mut item = spool.create(recording, info(identity))?;
    item.append(&sealed)?;
    let mut manifest = item.manifest();
    ensure!(manifest.ending == Ending::Complete, "a whole recording");
    manifest.duration_ms = Some(1_000);
    item.finish(&identity.sign_json(&manifest)?)?;
    let sha256 = hex::encode(digest(&SHA256, &sealed));
    Ok(Waiting { recording, bytes: sealed.len() as u64, sha256 })
}

fn info(identity: &Identity) -> ItemInfo {
    ItemInfo {
        capture: CaptureId::new(),
        part: 1,
        previous: None,
        device: identity.device(),
        person: None,
        dn: None,
        media: Media::Screen { monitor: 0, name: "backlog".to_owned(), width: 640, height: 480, monitors: 1 },
        interactions: Vec::new(),
        started_at: Timestamp::now(),
        clock: ClockOffset::default(),
        pauses: Vec::new(),
        notes: Vec::new(),
    }
}

/// The certificate for which a site's recordings are sealed.
pub fn recipient(site: &Path) -> Result<String> {
    let keys = fs::read_dir(site.join("crypto/keys")).context("the site's keys")?;
    let files = keys.flatten().map(|entry| entry.path());
    let certificate = files.into_iter().find(|path| path.extension().is_some_and(|end| end == "pem"));
    Ok(fs::read_to_string(certificate.context("no certificate")?)?)
}

/// Directories of recordings in the spool of a recorder's data directory.
pub fn spooled(data: &Path) -> usize {
    let entries = fs::read_dir(data.join("spool")).into_iter().flatten().flatten();
    entries.filter(|entry| !entry.file_name().to_string_lossy().starts_with('.')).count()
}

/// What a server stored: SHA-256 of envelope, then payload, by recording.
pub fn stored(objects: &Path) -> Result<BTreeMap<RecordingId, String>> {
    let mut found = BTreeMap::new();
    for payload in files(objects)? {
        let id = payload.file_stem().and_then(|stem| stem.to_str()?.parse().ok());
        if let (Some(id), Some("tink")) = (id, payload.extension().and_then(|end| end.to_str())) {
            let mut whole = fs::read(payload.with_extension("p7m")).context("its envelope")?;
            whole.extend(fs::read(&payload)?);
            found.insert(id, hex::encode(digest(&SHA256, &whole)));
        }
    }
    Ok(found)
}

fn files(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).with_context(|| format!("{dir:?}"))? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            found.extend(files(&entry.path())?);
        } else {
            found.push(entry.path());
        }
    }
    Ok(found)
}
