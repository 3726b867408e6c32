//! The file system as the spool needs it, so that a power cut can be simulated.

use std::{io, path::Path, sync::Arc};

/// Held as long as the lock is.
pub type LockGuard = Box<dyn Send + Sync>;

/// What the spool asks of a file system. Nothing is durable before the sync of the file *and* of its directory.
pub trait Storage: Send + Sync + 'static {
    /// Makes a directory (and its parents) that only this user can enter.
    fn create_dir(&self, path: &Path) -> io::Result<()>;
    /// Names in a directory.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;
    /// Bytes in a file.
    fn len(&self, path: &Path) -> io::Result<u64>;
    /// A whole small file.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;
    /// Up to `len` bytes from `offset`; fewer only at the end of the file.
    fn read_at(&self, path: &Path, offset: u64, len: usize) -> io::Result<Vec<u8>>;
    /// Makes a small file or replaces its content.
    fn write(&self, path: &Path, content: &[u8]) -> io::Result<()>;
    /// Makes a new file to append to; an error when it exists.
    fn create(&self, path: &Path) -> io::Result<Arc<dyn AppendFile>>;
    /// Cuts a file.
    fn truncate(&self, path: &Path, len: u64) -> io::Result<()>;
    /// Renames a file or directory, replacing a file.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file; no error when there is none.
    fn remove_file(&self, path: &Path) -> io::Result<()>;
    /// Removes a directory and all in it; no error when there is none.
    fn remove_dir(&self, path: &Path) -> io::Result<()>;
    /// Makes a file's content durable.
    fn sync_file(&self, path: &Path) -> io::Result<()>;
    /// Makes a directory's entries durable.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;
    /// Makes everything on the file system of `dir` durable in one go; false where the system cannot.
    fn sync_everything(&self, dir: &Path) -> io::Result<bool>;
    /// Bytes that may still be written below `dir`.
    fn free_bytes(&self, dir: &Path) -> io::Result<u64>;
    /// Whether entries of `dir` can be made and removed; the error says why not.
    fn writable(&self, dir: &Path) -> io::Result<()>;
    /// Takes a lock that ends with its holder's process; `None` when another holder has it.
    fn lock(&self, path: &Path) -> io::Result<Option<LockGuard>>;
}

/// A file that is being appended to.
pub trait AppendFile: Send + Sync {
    /// Writes all of `bytes` at the end.
    fn append(&self, bytes: &[u8]) -> io::Result<()>;
    /// Takes back what a failed append left.
    fn truncate(&self, len: u64) -> io::Result<()>;
    /// Makes the content durable.
    fn sync(&self) -> io::Result<()>;
}

/// Whether this error says that nothing can be changed there, by anybody or by this user.
pub(crate) fn is_unwritable(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied)
}
