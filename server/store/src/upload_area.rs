//! Payloads that still arrive: append at an offset, durable before it is acknowledged.
//!
//! The bytes of an upload are the sealed file: envelope, then payload. They land in two files from the start
//! (`<id>.p7m.part`, `<id>.tink.part`), so that committing is a rename and nothing that was uploaded is written again.
//! The repair of a cut recording replaces its last segment: the new bytes are first kept in `<id>.tail`, so that a crash
//! in the middle of it is made good when the upload is next touched.

use crate::{
    DirectoryObjects, ObjectKey, ObjectKind, ObjectStore, StoreError,
    objects::{blocking, read_range, remove_if_there, sync_directory, write_atomically},
};
use bytes::Bytes;
use hindsight_wire::RecordingId;
use ring::digest;
use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Read},
    ops::Range,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::Arc,
};

/// Length of the envelope at the head of every upload. The format's larger envelope (8192 bytes, for more recipients than
/// a site has so far) would be split in the wrong place: its digests do not fit its manifest, and it is refused.
pub const ENVELOPE_LEN: u64 = 4096;

/// Where uploads land.
#[derive(Clone, Debug)]
pub struct UploadArea {
    directory: PathBuf,
}

/// The files of one upload.
#[derive(Clone)]
struct Parts {
    envelope: PathBuf,
    payload: PathBuf,
    tail: PathBuf,
}

impl UploadArea {
    /// Opens (and makes) the area of a directory of objects: a folder beside them, on the same file system.
    pub fn open(objects_root: &Path) -> Result<Self, StoreError> {
        let directory = objects_root.join("uploads");
        fs::create_dir_all(&directory).map_err(|error| StoreError::file(&directory, error))?;
        Ok(Self { directory })
    }

    /// Writes a few bytes and removes them again: whether uploads can arrive. Several may try at a time.
    pub async fn try_writing(&self) -> Result<(), StoreError> {
        let path = self.directory.join("writable");
        blocking(path.clone(), move || {
            fs::write(&path, b"?")?;
            remove_if_there(&path).map(drop)
        })
        .await
    }

    fn parts(&self, id: RecordingId) -> Parts {
        let part = |extension: &str| self.directory.join(format!("{id}.{extension}"));
        Parts { envelope: part("p7m.part"), payload: part("tink.part"), tail: part("tail") }
    }

    /// Begins an upload. An upload that exists keeps what it has.
    pub async fn create(&self, id: RecordingId) -> Result<(), StoreError> {
        let (parts, directory) = (self.parts(id), self.directory.clone());
        blocking(parts.payload.clone(), move || {
            for path in [&parts.envelope, &parts.payload] {
                OpenOptions::new().create(true).append(true).open(path)?;
            }
            sync_directory(&directory)
        })
        .await
    }

    /// Bytes that have arrived and are durable, envelope included; `None`: no such upload.
    pub async fn length(&self, id: RecordingId) -> Result<Option<u64>, StoreError> {
        let parts = self.parts(id);
        blocking(parts.payload.clone(), move || {
            let Some(files) = Files::settled(&parts)? else { return Ok(None) };
            files.sync()?;
            files.length().map(Some)
        })
        .await
    }

    /// Opens an upload for appending at `offset`, which must be its length. One request at a time, over all processes.
    pub async fn append(&self, id: RecordingId, offset: u64) -> Result<Appender, StoreError> {
        let parts = self.parts(id);
        let path = parts.payload.clone();
        let opened = blocking(path.clone(), move || match Files::open(&parts)? {
            Some(files) if files.lock()? => {
                apply_tail(&parts, &files)?;
                let length = files.length()?;
                Ok(Some(Ok((files, length))))
            }
            Some(_) => Ok(Some(Err(StoreError::Busy))),
            None => Ok(None),
        });
        let (files, expected) =
            opened.await?.ok_or_else(|| StoreError::NotFound(format!("upload {id}")))??;
        if expected != offset {
            return Err(StoreError::Offset { offered: offset, expected });
        }
        Ok(Appender { files: Arc::new(files), path, start: offset, offset })
    }

    /// Bytes of the sealed file so far, in its positions.
    pub async fn read(&self, id: RecordingId, range: Range<u64>) -> Result<Bytes, StoreError> {
        let parts = self.parts(id);
        let read = blocking(parts.payload.clone(), move || {
            let Some(files) = Files::settled(&parts)? else { return Ok(None) };
            let split = range.start.max(ENVELOPE_LEN).min(range.end.max(ENVELOPE_LEN));
            if range.end <= ENVELOPE_LEN {
                return read_range(&files.envelope, range).map(Some);
            }
            let payload = read_range(&files.payload, split - ENVELOPE_LEN..range.end - ENVELOPE_LEN)?;
            if range.start >= ENVELOPE_LEN {
                return Ok(Some(payload));
            }
            let mut bytes = read_range(&files.envelope, range.start..ENVELOPE_LEN)?.to_vec();
            bytes.extend_from_slice(&payload);
            Ok(Some(bytes.into()))
        });
        read.await?.ok_or_else(|| StoreError::NotFound(format!("upload {id}")))
    }

    /// SHA-256 of the envelope and of the payload, and the payload's length.
    pub async fn digest(&self, id: RecordingId) -> Result<Digests, StoreError> {
        let parts = self.parts(id);
        let digests = blocking(parts.payload.clone(), move || {
            let Some(files) = Files::settled(&parts)? else { return Ok(None) };
            Ok(Some(Digests {
                envelope_sha256: hex::encode(sha256_of(&files.envelope)?),
                payload_sha256: hex::encode(sha256_of(&files.payload)?),
                payload_size: files.payload.metadata()?.len(),
            }))
        });
        digests.await?.ok_or_else(|| StoreError::NotFound(format!("upload {id}")))
    }

    /// Replaces the payload's bytes from `payload_offset` to its end. All or nothing, also over a crash.
    pub async fn replace_tail(
        &self,
        id: RecordingId,
        payload_offset: u64,
        bytes: Bytes,
    ) -> Result<(), StoreError> {
        let parts = self.parts(id);
        let replaced = blocking(parts.payload.clone(), move || {
            let Some(files) = Files::open(&parts)? else { return Ok(None) };
            if !files.lock()? {
                return Ok(Some(Err(StoreError::Busy)));
            }
            if payload_offset > files.payload.metadata()?.len() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let mut tail = payload_offset.to_be_bytes().to_vec();
            tail.extend_from_slice(&bytes);
            write_atomically(&parts.tail, &tail)?;
            apply_tail(&parts, &files)?;
            Ok(Some(Ok(())))
        });
        replaced.await?.ok_or_else(|| StoreError::NotFound(format!("upload {id}")))?
    }

    /// Hands a whole upload over as payload and envelope objects. Repeating it after a crash is harmless.
    pub async fn commit(&self, id: RecordingId, objects: &dyn ObjectStore) -> Result<(), StoreError> {
        let parts = self.parts(id);
        let settle = parts.clone();
        blocking(parts.payload.clone(), move || Files::settled(&settle).map(drop)).await?;
        objects.adopt(ObjectKey::new(id, ObjectKind::Payload), &parts.payload).await?;
        objects.adopt(ObjectKey::new(id, ObjectKind::Envelope), &parts.envelope).await
    }

    /// Gives an upload up and frees its bytes.
    pub async fn discard(&self, id: RecordingId) -> Result<(), StoreError> {
        let (parts, directory) = (self.parts(id), self.directory.clone());
        blocking(parts.payload.clone(), move || {
            for path in [&parts.tail, &parts.payload, &parts.envelope] {
                remove_if_there(path)?;
            }
            sync_directory(&directory)
        })
        .await
    }
}

/// What an upload holds, hashes in lower-case hexadecimal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Digests {
    /// Of the envelope.
    pub envelope_sha256: String,
    /// Of the payload.
    pub payload_sha256: String,
    /// Bytes of the payload.
    pub payload_size: u64,
}

struct Files {
    envelope: File,
    payload: File,
}

impl Files {
    fn open(parts: &Parts) -> io::Result<Option<Self>> {
        let open = |path| OpenOptions::new().read(true).write(true).open(path);
        match (open(&parts.envelope), open(&parts.payload)) {
            (Ok(envelope), Ok(payload)) => Ok(Some(Self { envelope, payload })),
            (Err(error), _) | (_, Err(error)) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            (Err(error), _) | (_, Err(error)) => Err(error),
        }
    }

    /// As [`Files::open`], after carrying out a replacement that a crash interrupted.
    fn settled(parts: &Parts) -> io::Result<Option<Self>> {
        let Some(files) = Self::open(parts)? else { return Ok(None) };
        if parts.tail.exists() {
            // Not the lock of an appender: replacements happen when all bytes have arrived, so this wait is short.
            files.payload.lock()?;
            apply_tail(parts, &files)?;
            files.payload.unlock()?;
        }
        Ok(Some(files))
    }

    /// Whether the lock was free; it is released when the file is closed, also by a crash.
    fn lock(&self) -> io::Result<bool> {
        match self.payload.try_lock() {
            Ok(()) => Ok(true),
            Err(TryLockError::WouldBlock) => Ok(false),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    fn length(&self) -> io::Result<u64> {
        let envelope = self.envelope.metadata()?.len();
        let payload = self.payload.metadata()?.len();
        // Payload bytes without the whole envelope cannot be: appends run in order and the envelope is synced first.
        Ok(if envelope < ENVELOPE_LEN { envelope } else { ENVELOPE_LEN + payload })
    }

    fn sync(&self) -> io::Result<()> {
        self.envelope.sync_data()?;
        self.payload.sync_data()
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let room = ENVELOPE_LEN.saturating_sub(offset).min(bytes.len() as u64) as usize;
        let (envelope, payload) = bytes.split_at(room);
        if !envelope.is_empty() {
            self.envelope.write_all_at(envelope, offset)?;
            if !payload.is_empty() {
                self.envelope.sync_data()?;
            }
        }
        if payload.is_empty() {
            return Ok(());
        }
        self.payload.write_all_at(payload, offset.max(ENVELOPE_LEN) - ENVELOPE_LEN)
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        self.payload.set_len(length.saturating_sub(ENVELOPE_LEN))?;
        self.envelope.set_len(length.min(ENVELOPE_LEN))?;
        self.sync()
    }
}

/// Carries out a replacement that a crash may have interrupted.
fn apply_tail(parts: &Parts, files: &Files) -> io::Result<()> {
    let tail = match fs::read(&parts.tail) {
        Ok(tail) => tail,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let Some((offset, bytes)) = tail.split_first_chunk::<8>() else {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the kept tail is too short"));
    };
    let offset = u64::from_be_bytes(*offset);
    files.payload.write_all_at(bytes, offset)?;
    files.payload.set_len(offset + bytes.len() as u64)?;
    files.payload.sync_data()?;
    fs::remove_file(&parts.tail)?;
    parts.tail.parent().map_or(Ok(()), sync_directory)
}

fn sha256_of(file: &File) -> io::Result<[u8; 32]> {
    let mut context = digest::Context::new(&digest::SHA256);
    let mut buffer = vec![0; 256 * 1024];
    let mut reader = file;
    loop {
        match reader.read(&mut buffer)? {
            0 => break,
            read => context.update(&buffer[..read]),
        }
    }
    let mut out = [0; 32];
    out.copy_from_slice(context.finish().as_ref());
    Ok(out)
}

/// The right to append to one upload; released when dropped.
pub struct Appender {
    files: Arc<Files>,
    path: PathBuf,
    start: u64,
    offset: u64,
}

impl Appender {
    /// Appends; not durable before [`Appender::finish`].
    pub async fn write(&mut self, bytes: Bytes) -> Result<(), StoreError> {
        let (files, offset, length) = (self.files.clone(), self.offset, bytes.len() as u64);
        blocking(self.path.clone(), move || files.write_at(&bytes, offset)).await?;
        self.offset += length;
        Ok(())
    }

    /// Position after the last byte written.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Makes what was written durable; the new length.
    pub async fn finish(self) -> Result<u64, StoreError> {
        let files = self.files.clone();
        blocking(self.path.clone(), move || files.sync()).await?;
        Ok(self.offset)
    }

    /// Takes back what this appender wrote: its checksum was wrong.
    pub async fn abandon(self) -> Result<(), StoreError> {
        let (files, start) = (self.files.clone(), self.start);
        blocking(self.path.clone(), move || files.truncate(start)).await
    }
}

/// Objects and uploads in one directory, as `init` lays it out.
pub fn open_directory(root: &Path) -> Result<(DirectoryObjects, UploadArea), StoreError> {
    Ok((DirectoryObjects::open(root)?, UploadArea::open(root)?))
}
