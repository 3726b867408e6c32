//! `recording export`: a recording copied out, still sealed. Its file has its name when it is whole and in the audit log.

use crate::{
    commands::{
        COMMAND_LINE,
        damage::missing,
        database,
        recording::{audited_key, digest, object, read},
    },
    data_directory::DataDirectory,
    output::say,
};
use anyhow::{Context, bail, ensure};
use hindsight_model::RecordingId;
use hindsight_store::{
    Database, ObjectKind, audit,
    recordings::{self, Recording},
};
use hindsight_wire::Timestamp;
use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

/// A file under a name of its own until it is whole; removed if it never is.
struct Unfinished(PathBuf);

impl Drop for Unfinished {
    fn drop(&mut self) {
        // Renamed: there is nothing to remove.
        let _ = fs::remove_file(&self.0);
    }
}

pub async fn export(data: &DataDirectory, recording: RecordingId, out: &Path) -> anyhow::Result<()> {
    let database = database(data).await?;
    let known = recordings::by_id(&mut *database.read().await?, recording).await?;
    let parts = [ObjectKind::Envelope, ObjectKind::Payload];
    let parts = parts.map(|kind| object(data, recording, kind));
    let parts = parts.into_iter().collect::<anyhow::Result<Vec<PathBuf>>>();
    let parts = parts.with_context(|| match known {
        Some(_) => format!("recording {recording} is known, its files are not all there"),
        None => format!("no recording {recording}"),
    })?;
    let sealed = out.join(format!("{recording}.sealed"));
    ensure!(!sealed.exists(), "{} exists: nothing is written over", sealed.display());
    fs::create_dir_all(out).with_context(|| out.display().to_string())?;
    let unfinished = together(&parts, &out.join(format!(".{recording}.sealed.part")))?;
    // No record, no export.
    record(&database, recording).await?;
    database.close().await;
    fs::rename(&unfinished.0, &sealed).with_context(|| sealed.display().to_string())?;
    say(&sealed.display().to_string());
    for kind in ObjectKind::ALL {
        if let (false, Ok(path)) =
            (matches!(kind, ObjectKind::Envelope | ObjectKind::Payload), object(data, recording, kind))
        {
            let copy = out.join(path.file_name().unwrap_or_default());
            fs::copy(&path, &copy).with_context(|| path.display().to_string())?;
            say(&copy.display().to_string());
        }
    }
    match known {
        Some(known) => as_received(data, &known),
        None => Ok(()),
    }
}

/// One file of these, durable.
fn together(parts: &[PathBuf], path: &Path) -> anyhow::Result<Unfinished> {
    // One that an earlier try left behind may be written over.
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
    let mut file = file.with_context(|| path.display().to_string())?;
    let unfinished = Unfinished(path.to_owned());
    for part in parts {
        io::copy(&mut File::open(part)?, &mut file).with_context(|| part.display().to_string())?;
    }
    file.sync_all().with_context(|| path.display().to_string())?;
    Ok(unfinished)
}

async fn record(database: &Database, recording: RecordingId) -> anyhow::Result<()> {
    let mut write = database.write().await?;
    let object_name = recording.to_string();
    let record = audit::Record {
        at: Timestamp::now(),
        actor: COMMAND_LINE,
        action: "recording.export",
        object: &object_name,
        details: serde_json::json!({ "sealed": true }),
    };
    audit::append(&mut write, &record).await?;
    write.commit().await?;
    Ok(())
}

/// Whether the payload is still what was received. If not, says what of the media is missing, and fails: the export is
/// there all the same.
fn as_received(data: &DataDirectory, known: &Recording) -> anyhow::Result<()> {
    let recording = known.id();
    let payload = object(data, recording, ObjectKind::Payload)?;
    let (size, sha256) = digest(&payload)?;
    if (size, sha256.as_str()) == (known.payload_size, known.payload_sha256.as_str()) {
        return Ok(());
    }
    say("--  the payload is not what was received: it is damaged");
    ensure!(data.crypto().is_dir(), "exported, but damaged; what is missing cannot be told without the keys");
    let envelope = read(&object(data, recording, ObjectKind::Envelope)?)?;
    let key = audited_key(data, recording, &envelope)?;
    let missing = missing(&payload, known, &key)?;
    missing.iter().for_each(|line| say(&format!("--  missing: {line}")));
    bail!("exported, but damaged: {}", missing.join("; "));
}
