//! A file system in memory that can lose what was not synced: contents per file, directory entries per directory in the
//! order of the operations (as journalling file systems do).

use crate::{
    entry::locked,
    storage::{AppendFile, LockGuard, Storage},
};
use rand::{Rng, rngs::StdRng};
use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::{Component, Path, PathBuf},
    sync::{Arc, Mutex},
};

#[derive(Clone)]
enum Inode {
    File { content: Vec<u8>, durable: Vec<u8> },
    Dir { entries: Entries, durable: Entries, unsynced: Vec<Change> },
}

type Entries = BTreeMap<String, usize>;

#[derive(Clone)]
enum Change {
    Link(String, usize),
    Unlink(String),
    Rename(String, String),
}

#[derive(Clone)]
struct Fs {
    inodes: Vec<Inode>,
    locks: BTreeSet<PathBuf>,
    operations: u64,
    fail_syncs: bool,
    room: Option<usize>,
    read_only: bool,
    fail_removals: bool,
}

#[derive(Default)]
struct Watch {
    /// Take a picture before this operation.
    at: Option<u64>,
    picture: Option<Fs>,
}

#[derive(Clone)]
pub(crate) struct SimDisk {
    fs: Arc<Mutex<Fs>>,
    watch: Arc<Mutex<Watch>>,
}

fn apply(entries: &mut Entries, change: &Change) {
    match change {
        Change::Link(name, inode) => {
            entries.insert(name.clone(), *inode);
        }
        Change::Unlink(name) => {
            entries.remove(name);
        }
        Change::Rename(from, to) => {
            if let Some(inode) = entries.remove(from) {
                entries.insert(to.clone(), inode);
            }
        }
    }
}

fn not_found() -> io::Error {
    io::ErrorKind::NotFound.into()
}

fn split(path: &Path) -> (PathBuf, String) {
    let name = path.file_name().unwrap().to_str().unwrap().to_owned();
    (path.parent().unwrap().to_owned(), name)
}

impl Fs {
    fn find(&self, path: &Path) -> io::Result<usize> {
        let names = path.components().filter_map(|part| match part {
            Component::Normal(name) => name.to_str(),
            _ => None,
        });
        let mut at = 0;
        for name in names {
            let Inode::Dir { entries, .. } = &self.inodes[at] else { return Err(not_found()) };
            at = *entries.get(name).ok_or_else(not_found)?;
        }
        Ok(at)
    }

    fn change(&mut self, dir: &Path, change: Change) -> io::Result<()> {
        let at = self.find(dir)?;
        let Inode::Dir { entries, unsynced, .. } = &mut self.inodes[at] else { return Err(not_found()) };
        apply(entries, &change);
        unsynced.push(change);
        Ok(())
    }

    fn file(&mut self, path: &Path) -> io::Result<&mut Vec<u8>> {
        let at = self.find(path)?;
        match &mut self.inodes[at] {
            Inode::File { content, .. } => Ok(content),
            Inode::Dir { .. } => Err(io::ErrorKind::IsADirectory.into()),
        }
    }

    fn sync(&mut self, at: usize) -> io::Result<()> {
        if self.fail_syncs {
            return Err(io::Error::other("input/output error"));
        }
        match &mut self.inodes[at] {
            Inode::File { content, durable } => durable.clone_from(content),
            Inode::Dir { entries, durable, unsynced } => {
                durable.clone_from(entries);
                unsynced.clear();
            }
        }
        Ok(())
    }

    /// What a power cut leaves: any part of what was not synced.
    fn cut(&mut self, rng: &mut StdRng) {
        self.locks.clear();
        for inode in &mut self.inodes {
            match inode {
                Inode::File { content, durable } => {
                    if content != durable {
                        let mut left = durable.clone();
                        if content.starts_with(durable) {
                            let kept = rng.random_range(durable.len()..=content.len());
                            left.extend_from_slice(&content[durable.len()..kept]);
                            if rng.random_bool(0.3) {
                                // Lengthened, but the bytes did not arrive.
                                left.resize(content.len(), 0);
                            }
                        } else if rng.random_bool(0.5) {
                            left = content[..rng.random_range(0..=content.len())].to_vec();
                        }
                        content.clone_from(&left);
                        *durable = left;
                    }
                }
                Inode::Dir { entries, durable, unsynced } => {
                    let kept = rng.random_range(0..=unsynced.len());
                    unsynced[..kept].iter().for_each(|change| apply(durable, change));
                    unsynced.clear();
                    entries.clone_from(durable);
                }
            }
        }
    }
}

impl SimDisk {
    pub fn new() -> Self {
        let root = Inode::Dir { entries: Entries::new(), durable: Entries::new(), unsynced: Vec::new() };
        Self::of(Fs {
            inodes: vec![root],
            locks: BTreeSet::new(),
            operations: 0,
            fail_syncs: false,
            room: None,
            read_only: false,
            fail_removals: false,
        })
    }

    fn of(fs: Fs) -> Self {
        Self { fs: Arc::new(Mutex::new(fs)), watch: Arc::default() }
    }

    /// The disk as another process finds it after this one was killed now.
    pub fn after_kill(&self) -> Self {
        let mut fs = locked(&self.fs).clone();
        fs.locks.clear();
        Self::of(fs)
    }

    /// The disk after a power cut now.
    pub fn after_power_cut(&self, rng: &mut StdRng) -> Self {
        let mut fs = locked(&self.fs).clone();
        fs.cut(rng);
        Self::of(fs)
    }

    pub fn operations(&self) -> u64 {
        locked(&self.fs).operations
    }

    /// Keeps a picture of the disk before its `at`th operation.
    pub fn watch(&self, at: u64) {
        *locked(&self.watch) = Watch { at: Some(at), picture: None };
    }

    /// The disk after a power cut at the moment watched for.
    pub fn picture_after_power_cut(&self, rng: &mut StdRng) -> Option<Self> {
        let mut fs = locked(&self.watch).picture.take()?;
        fs.cut(rng);
        Some(Self::of(fs))
    }

    pub fn fail_syncs(&self, fail: bool) {
        locked(&self.fs).fail_syncs = fail;
    }

    /// Nothing can be changed any more, or it can again.
    pub fn set_read_only(&self, read_only: bool) {
        locked(&self.fs).read_only = read_only;
    }

    /// Directories cannot be removed.
    pub fn fail_removals(&self, fail: bool) {
        locked(&self.fs).fail_removals = fail;
    }

    /// Room for this many bytes more.
    pub fn set_room(&self, room: Option<usize>) {
        locked(&self.fs).room = room;
    }

    fn step(&self) -> std::sync::MutexGuard<'_, Fs> {
        let mut fs = locked(&self.fs);
        fs.operations += 1;
        let mut watch = locked(&self.watch);
        if watch.at == Some(fs.operations) {
            watch.picture = Some(fs.clone());
        }
        fs
    }

    /// A step that changes something.
    fn change(&self) -> io::Result<std::sync::MutexGuard<'_, Fs>> {
        let fs = self.step();
        if fs.read_only { Err(io::ErrorKind::ReadOnlyFilesystem.into()) } else { Ok(fs) }
    }
}

struct SimFile {
    disk: SimDisk,
    inode: usize,
}

impl AppendFile for SimFile {
    fn append(&self, bytes: &[u8]) -> io::Result<()> {
        let mut fs = self.disk.change()?;
        let written = fs.room.map_or(bytes.len(), |room| room.min(bytes.len()));
        fs.room = fs.room.map(|room| room - written);
        let Inode::File { content, .. } = &mut fs.inodes[self.inode] else { return Err(not_found()) };
        content.extend_from_slice(&bytes[..written]);
        if written < bytes.len() { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        let mut fs = self.disk.change()?;
        let Inode::File { content, .. } = &mut fs.inodes[self.inode] else { return Err(not_found()) };
        let freed = content.len().saturating_sub(len as usize);
        content.truncate(len as usize);
        fs.room = fs.room.map(|room| room + freed);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.disk.step().sync(self.inode)
    }
}

struct SimLock {
    disk: SimDisk,
    path: PathBuf,
}

impl Drop for SimLock {
    fn drop(&mut self) {
        locked(&self.disk.fs).locks.remove(&self.path);
    }
}

impl Storage for SimDisk {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        if locked(&self.fs).find(path).is_ok() {
            return Ok(());
        }
        let mut fs = self.change()?;
        let (dir, name) = split(path);
        fs.inodes.push(Inode::Dir { entries: Entries::new(), durable: Entries::new(), unsynced: Vec::new() });
        let inode = fs.inodes.len() - 1;
        fs.change(&dir, Change::Link(name, inode))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let fs = self.step();
        match &fs.inodes[fs.find(dir)?] {
            Inode::Dir { entries, .. } => Ok(entries.keys().cloned().collect()),
            Inode::File { .. } => Err(io::ErrorKind::NotADirectory.into()),
        }
    }

    fn len(&self, path: &Path) -> io::Result<u64> {
        Ok(self.step().file(path)?.len() as u64)
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.step().file(path).cloned()
    }

    fn read_at(&self, path: &Path, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        let mut fs = self.step();
        let content = fs.file(path)?;
        let from = (offset as usize).min(content.len());
        Ok(content[from..(from + len).min(content.len())].to_vec())
    }

    fn write(&self, path: &Path, new: &[u8]) -> io::Result<()> {
        let mut fs = self.change()?;
        let before = fs.file(path).map_or(0, |content| content.len());
        let room = fs.room.map_or(usize::MAX, |room| room + before);
        let kept = new[..room.min(new.len())].to_vec();
        fs.room = fs.room.map(|room| room + before - kept.len());
        let result = if kept.len() < new.len() { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) };
        if let Ok(content) = fs.file(path) {
            *content = kept;
            return result;
        }
        let (dir, name) = split(path);
        fs.inodes.push(Inode::File { content: kept, durable: Vec::new() });
        let inode = fs.inodes.len() - 1;
        fs.change(&dir, Change::Link(name, inode)).and(result)
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn AppendFile>> {
        let mut fs = self.change()?;
        if fs.find(path).is_ok() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let (dir, name) = split(path);
        fs.inodes.push(Inode::File { content: Vec::new(), durable: Vec::new() });
        let inode = fs.inodes.len() - 1;
        fs.change(&dir, Change::Link(name, inode))?;
        Ok(Arc::new(SimFile { disk: self.clone(), inode }))
    }

    fn truncate(&self, path: &Path, len: u64) -> io::Result<()> {
        self.change()?.file(path)?.truncate(len as usize);
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut fs = self.change()?;
        fs.find(from)?;
        let ((dir, from), (same, to)) = (split(from), split(to));
        assert_eq!(dir, same, "the spool renames inside one directory");
        fs.change(&dir, Change::Rename(from, to))
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        let mut fs = self.change()?;
        let freed = fs.file(path).map_or(0, |content| content.len());
        fs.room = fs.room.map(|room| room + freed);
        let (dir, name) = split(path);
        fs.change(&dir, Change::Unlink(name))
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        if locked(&self.fs).fail_removals {
            return Err(io::Error::other("directory busy"));
        }
        self.remove_file(path)
    }

    fn sync_file(&self, path: &Path) -> io::Result<()> {
        let mut fs = self.step();
        let at = fs.find(path)?;
        fs.sync(at)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.sync_file(path)
    }

    fn sync_everything(&self, _dir: &Path) -> io::Result<bool> {
        let mut fs = self.step();
        (0..fs.inodes.len()).try_for_each(|at| fs.sync(at))?;
        Ok(true)
    }

    fn free_bytes(&self, _dir: &Path) -> io::Result<u64> {
        Ok(locked(&self.fs).room.map_or(u64::MAX, |room| room as u64))
    }

    fn writable(&self, dir: &Path) -> io::Result<()> {
        let fs = locked(&self.fs);
        if fs.read_only {
            return Err(io::ErrorKind::ReadOnlyFilesystem.into());
        }
        fs.find(dir).map(drop)
    }

    fn lock(&self, path: &Path) -> io::Result<Option<LockGuard>> {
        let free = self.change()?.locks.insert(path.to_owned());
        Ok(free.then(|| Box::new(SimLock { disk: self.clone(), path: path.to_owned() }) as LockGuard))
    }
}
