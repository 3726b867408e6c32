//! Object storage: what belongs to a committed recording, one object per kind.
//!
//! The directory backend writes atomically and durably: a temporary file in the same directory, `fsync`, `rename`, `fsync`
//! of the directory. `cat <id>.p7m <id>.tink` is the sealed file.

use crate::StoreError;
use bytes::Bytes;
use hindsight_wire::RecordingId;
use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    ops::Range,
    os::unix::fs::{FileExt, MetadataExt},
    path::{Path, PathBuf},
};

/// What an object holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ObjectKind {
    /// Sealed media without its envelope; immutable.
    Payload,
    /// The CMS envelope with the data key; small, may be wrapped anew, its deletion shreds the recording.
    Envelope,
    /// The recorder's manifest, exact bytes.
    Manifest,
    /// Detached CMS signature of the manifest.
    ManifestSignature,
    /// The receipt given, exact bytes.
    Receipt,
    /// Detached CMS signature of the receipt.
    ReceiptSignature,
    /// What was repaired at ingest, with both hashes, exact bytes.
    Recovery,
    /// Detached CMS signature of the recovery record.
    RecoverySignature,
}

impl ObjectKind {
    /// All.
    pub const ALL: [ObjectKind; 8] = [
        ObjectKind::Payload,
        ObjectKind::Envelope,
        ObjectKind::Manifest,
        ObjectKind::ManifestSignature,
        ObjectKind::Receipt,
        ObjectKind::ReceiptSignature,
        ObjectKind::Recovery,
        ObjectKind::RecoverySignature,
    ];

    /// What follows the recording's id in the object's name.
    pub fn extension(self) -> &'static str {
        match self {
            ObjectKind::Payload => "tink",
            ObjectKind::Envelope => "p7m",
            ObjectKind::Manifest => "manifest.json",
            ObjectKind::ManifestSignature => "manifest.p7s",
            ObjectKind::Receipt => "receipt.json",
            ObjectKind::ReceiptSignature => "receipt.p7s",
            ObjectKind::Recovery => "recovery.json",
            ObjectKind::RecoverySignature => "recovery.p7s",
        }
    }
}

/// Name of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ObjectKey {
    /// Whose.
    pub recording: RecordingId,
    /// What.
    pub kind: ObjectKind,
}

impl ObjectKey {
    /// The object of this kind of a recording.
    pub fn new(recording: RecordingId, kind: ObjectKind) -> Self {
        Self { recording, kind }
    }
}

impl std::fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.recording, self.kind.extension())
    }
}

/// A place for objects. What a call has returned from is durable.
#[async_trait::async_trait]
pub trait ObjectStore: Send + Sync + 'static {
    /// Writes a small object as a whole, in place of an old one.
    async fn put(&self, key: ObjectKey, bytes: Bytes) -> Result<(), StoreError>;
    /// Takes a complete file on this host over as an object that never changes. Repeating it after a crash is harmless.
    async fn adopt(&self, key: ObjectKey, file: &Path) -> Result<(), StoreError>;
    /// Size in bytes; `None` when there is no such object.
    async fn size(&self, key: ObjectKey) -> Result<Option<u64>, StoreError>;
    /// Exactly the bytes of `range`; an error when the object is shorter.
    async fn read(&self, key: ObjectKey, range: Range<u64>) -> Result<Bytes, StoreError>;
    /// Removes an object; whether it was there.
    async fn remove(&self, key: ObjectKey) -> Result<bool, StoreError>;

    /// A small object as a whole.
    async fn get(&self, key: ObjectKey) -> Result<Option<Bytes>, StoreError> {
        match self.size(key).await? {
            Some(size) => self.read(key, 0..size).await.map(Some),
            None => Ok(None),
        }
    }
}

/// Objects in a directory, sharded by the last digits of the id (the first ones of a UUIDv7 are its time).
#[derive(Clone, Debug)]
pub struct DirectoryObjects {
    root: PathBuf,
}

impl DirectoryObjects {
    /// Opens (and makes) the directory.
    pub fn open(root: &Path) -> Result<Self, StoreError> {
        fs::create_dir_all(root).map_err(|error| StoreError::file(root, error))?;
        Ok(Self { root: root.to_owned() })
    }

    /// Where an object is or would be.
    pub fn path(&self, key: ObjectKey) -> PathBuf {
        let id = key.recording.0.simple().to_string();
        self.root.join(&id[28..30]).join(&id[30..32]).join(key.to_string())
    }

    fn directory_of(&self, path: &Path) -> io::Result<()> {
        let Some(shard) = path.parent() else { return Ok(()) };
        if shard.is_dir() {
            return Ok(());
        }
        fs::create_dir_all(shard)?;
        // The names of both new levels must survive too.
        shard.parent().map_or(Ok(()), sync_directory)?;
        sync_directory(&self.root)
    }
}

#[async_trait::async_trait]
impl ObjectStore for DirectoryObjects {
    async fn put(&self, key: ObjectKey, bytes: Bytes) -> Result<(), StoreError> {
        let (this, path) = (self.clone(), self.path(key));
        blocking(path.clone(), move || {
            this.directory_of(&path)?;
            write_atomically(&path, &bytes)
        })
        .await
    }

    async fn adopt(&self, key: ObjectKey, file: &Path) -> Result<(), StoreError> {
        let (this, path, file) = (self.clone(), self.path(key), file.to_owned());
        blocking(path.clone(), move || {
            this.directory_of(&path)?;
            adopt(&file, &path)
        })
        .await
    }

    async fn size(&self, key: ObjectKey) -> Result<Option<u64>, StoreError> {
        let path = self.path(key);
        blocking(path.clone(), move || match fs::metadata(&path) {
            Ok(metadata) => Ok(Some(metadata.len())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        })
        .await
    }

    async fn read(&self, key: ObjectKey, range: Range<u64>) -> Result<Bytes, StoreError> {
        let path = self.path(key);
        let read = blocking(path.clone(), move || match File::open(&path) {
            Ok(file) => read_range(&file, range).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        });
        read.await?.ok_or_else(|| StoreError::NotFound(key.to_string()))
    }

    async fn remove(&self, key: ObjectKey) -> Result<bool, StoreError> {
        let path = self.path(key);
        blocking(path.clone(), move || {
            let removed = remove_if_there(&path)?;
            if removed {
                path.parent().map_or(Ok(()), sync_directory)?;
            }
            Ok(removed)
        })
        .await
    }
}

/// Runs file operations on the blocking threads; errors name `path`.
pub(crate) async fn blocking<T: Send + 'static>(
    path: PathBuf,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, StoreError> {
    let done = tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(io::Error::other(error)));
    done.map_err(|error| StoreError::file(&path, error))
}

/// Exactly the bytes of `range`.
pub(crate) fn read_range(file: &File, range: Range<u64>) -> io::Result<Bytes> {
    if range.end > file.metadata()?.len() || range.start > range.end {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let length = usize::try_from(range.end - range.start).map_err(io::Error::other)?;
    let mut bytes = vec![0; length];
    file.read_exact_at(&mut bytes, range.start)?;
    Ok(bytes.into())
}

/// Replaces a file as a whole, durably.
pub(crate) fn write_atomically(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.tmp", uuid::Uuid::new_v4().simple()));
    let temporary = path.with_file_name(name);
    let written = (|| {
        let mut file = OpenOptions::new().write(true).create_new(true).open(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    })();
    if let Err(error) = written {
        let _ = fs::remove_file(&temporary);
        return Err(error);
    }
    path.parent().map_or(Ok(()), sync_directory)
}

/// Gives `file` the name `path`, which must be free, and takes its old name away. Both on one file system.
fn adopt(file: &Path, path: &Path) -> io::Result<()> {
    match File::open(file) {
        Ok(open) => open.sync_all()?,
        // Adopted before, and the old name is gone.
        Err(error) if error.kind() == io::ErrorKind::NotFound && path.is_file() => return Ok(()),
        Err(error) => return Err(error),
    }
    match fs::hard_link(file, path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            if fs::metadata(file)?.ino() != fs::metadata(path)?.ino() {
                return Err(error);
            }
        }
        Err(error) => return Err(error),
    }
    path.parent().map_or(Ok(()), sync_directory)?;
    fs::remove_file(file)?;
    file.parent().map_or(Ok(()), sync_directory)
}

pub(crate) fn remove_if_there(path: &Path) -> io::Result<bool> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

pub(crate) fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}
