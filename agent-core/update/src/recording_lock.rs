//! Who records on this machine, known to the kernel: every recorder holds a shared lock on one file while it captures or a
//! call runs, the installer takes it alone. A recorder that dies lets go by itself, and no recorder ever waits.

use std::{fs::File, io, path::Path};

/// Made by the package (tmpfiles.d), writable by root only; a lock needs no writing.
pub const RECORDING_LOCK: &str = "/run/hindsight/recording.lock";

/// Keeps the installer waiting until dropped.
#[derive(Debug)]
pub struct Recording {
    _shared: File,
}

impl Recording {
    /// `None`: nobody installs here, or an installation runs at this moment; recording goes on in either case.
    pub fn begin(lock: &Path) -> Option<Self> {
        let file = File::open(lock).ok()?;
        file.try_lock_shared().ok()?;
        Some(Self { _shared: file })
    }
}

/// Holds off nobody, but is only had when nobody records.
#[derive(Debug)]
pub struct Installing {
    _alone: File,
}

impl Installing {
    /// Waits until nobody records.
    pub fn wait(lock: &Path) -> io::Result<Self> {
        let file = Self::open(lock)?;
        file.lock()?;
        Ok(Self { _alone: file })
    }

    /// Whether somebody records now.
    pub fn would_wait(lock: &Path) -> io::Result<bool> {
        match Self::open(lock)?.try_lock() {
            Ok(()) => Ok(false),
            Err(std::fs::TryLockError::WouldBlock) => Ok(true),
            Err(std::fs::TryLockError::Error(error)) => Err(error),
        }
    }

    fn open(lock: &Path) -> io::Result<File> {
        if let Some(directory) = lock.parent() {
            std::fs::create_dir_all(directory)?;
        }
        File::options().read(true).append(true).create(true).open(lock)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_installer_waits_for_every_recorder_and_no_recorder_for_it() {
        let directory = tempfile::tempdir().unwrap();
        let lock = directory.path().join("run/recording.lock");
        assert!(Recording::begin(&lock).is_none(), "nobody installs here");
        assert!(!Installing::would_wait(&lock).unwrap());
        let (one, other) = (Recording::begin(&lock).unwrap(), Recording::begin(&lock).unwrap());
        let installer = std::thread::spawn({
            let lock = lock.clone();
            move || Installing::wait(&lock).unwrap()
        });
        assert!(Installing::would_wait(&lock).unwrap());
        drop(one);
        assert!(Installing::would_wait(&lock).unwrap() && !installer.is_finished());
        drop(other);
        let installing = installer.join().unwrap();
        assert!(Recording::begin(&lock).is_none(), "it returns at once");
        drop(installing);
        assert!(Recording::begin(&lock).is_some());
    }
}
