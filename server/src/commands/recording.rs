//! `recording`: recordings at rest, checked and opened by hand. Memory does not grow with their length.

use crate::{
    cli::RecordingCommand,
    commands::{
        COMMAND_LINE,
        export::export,
        list::{list, must_be_here},
    },
    data_directory::DataDirectory,
    output::say,
};
use anyhow::{Context, bail, ensure};
use hindsight_crypto_server::{
    KeyStore,
    audit::{AuditLog, Record},
};
use hindsight_model::{RecordingId, Role};
use hindsight_recording_processor::repair::RecoveryRecord;
use hindsight_seal::{
    DataKey, HEADER_LEN, Opener, PrivateKey, SEGMENT_LEN, Verifier, envelope_len, open_envelope,
};
use hindsight_search::recordings::Wanted;
use hindsight_store::{DirectoryObjects, ObjectKey, ObjectKind};
use hindsight_wire::{Timestamp, manifest::Manifest};
use std::{
    fs::{self, File, OpenOptions},
    io::{BufWriter, Read, Seek, SeekFrom, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

/// Segments in memory at a time.
const CHUNK: usize = 64 * SEGMENT_LEN;

pub async fn recording(data: &DataDirectory, command: RecordingCommand) -> anyhow::Result<()> {
    match command {
        RecordingCommand::List { limit, agent, number, from, to, state } => {
            list(data, &Wanted { agent, number, from, to, state }, limit).await
        }
        RecordingCommand::Verify { recording } => {
            must_be_here(data, recording).await?;
            verify(data, recording)
        }
        RecordingCommand::Open { file, key, recording, out } => open(&file, &key, recording, &out),
        RecordingCommand::Export { recording, out } => {
            must_be_here(data, recording).await?;
            export(data, recording, &out).await
        }
    }
}

/// The file of an object; an error when there is none.
pub(super) fn object(
    data: &DataDirectory,
    recording: RecordingId,
    kind: ObjectKind,
) -> anyhow::Result<std::path::PathBuf> {
    let path = DirectoryObjects::open(&data.objects())?.path(ObjectKey::new(recording, kind));
    ensure!(path.is_file(), "{} is missing", path.display());
    Ok(path)
}

pub(super) fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    fs::read(path).with_context(|| path.display().to_string())
}

fn verify(data: &DataDirectory, recording: RecordingId) -> anyhow::Result<()> {
    let manifest = signed_manifest(data, recording)?;
    ensure!(manifest.recording == recording, "the manifest is another recording's");
    say(&format!("ok  manifest: signed by device {}", manifest.device));
    let envelope = read(&object(data, recording, ObjectKind::Envelope)?)?;
    let as_signed =
        hex::encode(ring::digest::digest(&ring::digest::SHA256, &envelope)) == manifest.envelope_sha256;
    say(if as_signed {
        "ok  envelope: as in the manifest"
    } else {
        "--  envelope: wrapped anew since the manifest"
    });
    let payload = object(data, recording, ObjectKind::Payload)?;
    let (size, sha256) = digest(&payload)?;
    let (signed, name) = signed_payload(data, &manifest)?;
    ensure!(size == signed.0, "payload: {size} bytes, {} in the {name}", signed.0);
    ensure!(sha256 == signed.1, "payload: another SHA-256 than in the {name}");
    say(&format!("ok  payload: {size} bytes, SHA-256 as in the {name}"));
    if !data.crypto().is_dir() {
        say("--  segments: the keys are not on this host");
        return Ok(());
    }
    let key = audited_key(data, recording, &envelope)?;
    let verified = verify_segments(&payload, 0, recording, &key)?;
    say(&format!("ok  segments: {} of {} opened, final one last", verified.segments, verified.segments));
    Ok(())
}

/// Size and SHA-256 that the payload must have, and who says so: the manifest, or for a recording that a crash cut, the
/// record of its repair, which must begin from what the manifest says.
fn signed_payload(
    data: &DataDirectory,
    manifest: &Manifest,
) -> anyhow::Result<((u64, String), &'static str)> {
    let Ok(path) = object(data, manifest.recording, ObjectKind::Recovery) else {
        return Ok(((manifest.payload_size, manifest.payload_sha256.clone()), "manifest"));
    };
    let document = read(&path)?;
    let signature = read(&object(data, manifest.recording, ObjectKind::RecoverySignature)?)?;
    let record: RecoveryRecord = serde_json::from_slice(&document).context("recovery record")?;
    let signer = signer(data, &document, &signature, record.recovered_at).context("recovery record")?;
    ensure!(
        signer.organizational_unit.as_deref() == Some(Role::RecordingProcessor.as_str()),
        "no recording processor signed the recovery record"
    );
    ensure!(
        record.recording == manifest.recording
            && record.original_size == manifest.payload_size
            && record.original_sha256 == manifest.payload_sha256,
        "the recovery record is about another payload than the manifest's"
    );
    say("ok  recovered: the server gave the last segment its final flag, and signed both hashes");
    Ok(((record.recovered_size, record.recovered_sha256), "recovery record"))
}

/// Who signed a document, by the site's authority at that time.
fn signer(
    data: &DataDirectory,
    document: &[u8],
    signature: &[u8],
    at: Timestamp,
) -> anyhow::Result<hindsight_seal::SignerInfo> {
    let path = data.authority().join(hindsight_management::authority::CERTIFICATE_FILE);
    let ca = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let at = u64::try_from(at.0 / 1_000_000).unwrap_or_default();
    Ok(hindsight_seal::verify_detached(document, signature, &ca, at)?)
}

/// The manifest, after checking its signature at the time when the recording began.
fn signed_manifest(data: &DataDirectory, recording: RecordingId) -> anyhow::Result<Manifest> {
    let document = read(&object(data, recording, ObjectKind::Manifest)?)?;
    let signature = read(&object(data, recording, ObjectKind::ManifestSignature)?)?;
    let manifest: Manifest = serde_json::from_slice(&document).context("manifest")?;
    let signer = signer(data, &document, &signature, manifest.started_at).context("manifest's signature")?;
    ensure!(
        signer.common_name == manifest.device.to_string(),
        "the manifest names device {}, {} signed it",
        manifest.device,
        signer.common_name
    );
    Ok(manifest)
}

/// No record, no key: here too.
pub(super) fn audited_key(
    data: &DataDirectory,
    recording: RecordingId,
    envelope: &[u8],
) -> anyhow::Result<DataKey> {
    let keys = KeyStore::open(&data.crypto())?;
    AuditLog::new(&data.crypto()).append(Record {
        at: Timestamp::now(),
        actor: COMMAND_LINE.to_owned(),
        caller: String::new(),
        action: "unwrap".to_owned(),
        object: recording.to_string(),
        purpose: "verify".to_owned(),
        outcome: "granted".to_owned(),
    })?;
    keys.unwrap(envelope).context("envelope")
}

/// Size and SHA-256 of a file.
pub(super) fn digest(path: &Path) -> anyhow::Result<(u64, String)> {
    let mut file = File::open(path).with_context(|| path.display().to_string())?;
    let mut context = ring::digest::Context::new(&ring::digest::SHA256);
    let mut buffer = vec![0; CHUNK];
    let mut size = 0;
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok((size, hex::encode(context.finish()))),
            read => {
                context.update(&buffer[..read]);
                size += read as u64;
            }
        }
    }
}

fn verify_segments(
    path: &Path,
    start: u64,
    recording: RecordingId,
    key: &DataKey,
) -> anyhow::Result<hindsight_seal::Verified> {
    let mut file = File::open(path).with_context(|| path.display().to_string())?;
    file.seek(SeekFrom::Start(start))?;
    let mut verifier = Verifier::new(recording.0, key);
    let mut buffer = vec![0; CHUNK];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(verifier.finish()?),
            read => verifier.write(&buffer[..read])?,
        }
    }
}

fn open(file: &Path, key: &Path, recording: Option<RecordingId>, out: &Path) -> anyhow::Result<()> {
    let recording = match recording {
        Some(id) => id,
        None => id_in_name(file)?,
    };
    let pem = zeroize::Zeroizing::new(fs::read_to_string(key).with_context(|| key.display().to_string())?);
    let key = PrivateKey::from_pkcs8_pem(&pem)?;
    let mut sealed = File::open(file).with_context(|| file.display().to_string())?;
    let mut start = [0; 4];
    sealed.read_exact(&mut start).context("too short to be a sealed file")?;
    let mut envelope = vec![0; envelope_len(&start)?];
    sealed.seek(SeekFrom::Start(0))?;
    sealed.read_exact(&mut envelope).context("the envelope is cut")?;
    let data_key = open_envelope(&envelope, &key)?;
    // Every segment is proved before a byte of media is written.
    let verified = verify_segments(file, envelope.len() as u64, recording, &data_key)?;
    write_media(&mut sealed, envelope.len() as u64, recording, &data_key, verified.payload_len, out)?;
    say(&format!("{} bytes of media -> {}", verified.plaintext_len, out.display()));
    Ok(())
}

fn id_in_name(file: &Path) -> anyhow::Result<RecordingId> {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let id = name.split('.').next().unwrap_or_default().parse();
    id.with_context(|| format!("{name}: the file is not named by the recording's id; give --recording"))
}

fn write_media(
    sealed: &mut File,
    payload_start: u64,
    recording: RecordingId,
    key: &DataKey,
    payload_len: u64,
    out: &Path,
) -> anyhow::Result<()> {
    let mut at = |range: std::ops::Range<u64>| -> anyhow::Result<Vec<u8>> {
        let mut bytes = vec![0; usize::try_from(range.end - range.start)?];
        sealed.seek(SeekFrom::Start(payload_start + range.start))?;
        sealed.read_exact(&mut bytes)?;
        Ok(bytes)
    };
    let header = <[u8; HEADER_LEN]>::try_from(at(0..HEADER_LEN as u64)?);
    let Ok(header) = header else { bail!("the payload has no header") };
    let opener = Opener::new(recording.0, key, &header, payload_len)?;
    opener.prove_length(&at(opener.last_segment())?)?;
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(out);
    let mut file = BufWriter::new(file.with_context(|| out.display().to_string())?);
    let mut position = 0;
    while position < opener.plaintext_len() {
        let end = opener.plaintext_len().min(position + CHUNK as u64);
        let segments = at(opener.segments_for(position..end)?)?;
        file.write_all(&opener.open_range(position..end, &segments)?)?;
        position = end;
    }
    file.into_inner()?.sync_all()?;
    Ok(())
}
