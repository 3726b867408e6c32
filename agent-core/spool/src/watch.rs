//! The sync thread's look at the disk: how much room there is, leftovers that go, the reserve.

use crate::{
    Room,
    entry::locked,
    guard::Found,
    layout::{RESERVE, TRASH},
    sync::Syncer,
};
use std::{io, path::Path, sync::atomic::Ordering};

impl Syncer {
    /// Looks at the disk, removes what has its receipt and is still there, keeps the reserve.
    pub fn look(&self) {
        self.judge();
        if self.leftovers.load(Ordering::Acquire) && !matches!(*self.room.borrow(), Room::Unwritable(_)) {
            self.sweep();
            self.judge();
        }
        self.keep_reserve();
    }

    /// Measures and judges; quick.
    pub fn judge(&self) -> Room {
        let mut guard = locked(&self.guard);
        let changed = guard.look(self.found());
        let room = guard.room().clone();
        drop(guard);
        if changed {
            match &room {
                Room::Enough => tracing::info!("the spool's disk has room again"),
                room => tracing::warn!(?room, "the spool's disk"),
            }
            self.room.send_replace(room.clone());
            self.notify_changed();
        }
        room
    }

    fn found(&self) -> Found {
        let (storage, root) = (&self.storage, &self.root);
        let free = storage.writable(root).or_else(|error| match error.kind() {
            // Not made yet: the disk was read-only when it should have been.
            io::ErrorKind::NotFound => storage.create_dir(root),
            _ => Err(error),
        });
        match free.and_then(|()| storage.free_bytes(root)) {
            Ok(free) => Found::Free(free),
            Err(error) => Found::Unwritable(error.to_string()),
        }
    }

    /// Removes directories of received items whose deletion did not come to its end, oldest first.
    fn sweep(&self) {
        let Ok(names) = self.storage.list(&self.root) else { return };
        let mut trash: Vec<_> = names.into_iter().filter(|name| name.starts_with(TRASH)).collect();
        // Recordings' ids begin with their time.
        trash.sort_unstable();
        for name in trash {
            if let Err(error) = self.storage.remove_dir(&self.root.join(&name)) {
                tracing::warn!(name, %error, "a received recording could not be removed");
                return;
            }
        }
        self.leftovers.store(false, Ordering::Release);
    }

    fn keep_reserve(&self) {
        let (path, bytes) = (self.root.join(RESERVE), self.limits.reserve_bytes);
        let there = self.storage.len(&path).unwrap_or(0) == bytes;
        if there || !self.room.borrow().takes_new() {
            return;
        }
        // Zeros are written, not promised: some file systems hand out what they promised.
        let kept = self.storage.write(&path, &vec![0; bytes as usize]);
        if let Err(error) = kept.and_then(|()| self.storage.sync_file(&path)) {
            tracing::warn!(%error, "the spool's reserve could not be made");
        }
    }

    /// Gives the reserve back to the disk; false when there is none.
    fn release_reserve(&self) -> bool {
        let path = self.root.join(RESERVE);
        let held = self.storage.len(&path).unwrap_or(0) > 0;
        let released = held && self.storage.remove_file(&path).is_ok();
        if released {
            tracing::warn!("the spool's disk is full; the reserve is used to close what was recorded");
        }
        released
    }

    /// Writes a small file; on a full disk at the cost of the reserve.
    pub fn write_small(&self, path: &Path, content: &[u8]) -> io::Result<()> {
        match self.storage.write(path, content) {
            Err(error) if error.kind() == io::ErrorKind::StorageFull => {
                self.look_soon();
                if self.release_reserve() { self.storage.write(path, content) } else { Err(error) }
            }
            result => result,
        }
    }
}
