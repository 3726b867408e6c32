//! Keeps what outlives this process in one file: a line for each change, whole lines only, checked when they are read.
//!
//! The calls never wait: what is to be kept replaces in memory what was to be kept of the same before, so what waits is
//! bounded by what there is, and one thread writes it. A process that is killed loses what was not written for a moment;
//! a power cut what was not synced, about a second. The file is written anew when most of it is out of date.

use crate::kept::{Kept, Key};
use aws_lc_rs::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, HashMap},
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    mem,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
    time::{Duration, Instant},
};

/// What was written is synced this often at most.
const SYNC: Duration = Duration::from_secs(1);
/// The file may be this much larger than what it must hold.
const SLACK: u64 = 1 << 20;
/// After a failed write.
const TRY_AGAIN: Duration = Duration::from_secs(1);

#[derive(Serialize, Deserialize)]
struct Line {
    key: Key,
    /// `None`: forgotten.
    kept: Option<Kept>,
}

#[derive(Default)]
struct Waiting {
    changes: HashMap<Key, Option<Kept>>,
    closed: bool,
}

struct Shared {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes what is to be kept.
pub(crate) struct Ledger {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// What was kept, in the order of its keys.
pub(crate) struct Found {
    pub(crate) kept: Vec<(Key, Kept)>,
    /// Lines that could not be read.
    pub(crate) damaged: usize,
}

impl Ledger {
    /// Reads the file, writes it anew without what is out of date, and starts its thread.
    pub(crate) fn open(path: &Path) -> io::Result<(Self, Found)> {
        let (lines, damaged) = read(path)?;
        let file = Book::write_anew(path, &lines)?;
        let kept = lines.values().filter_map(|line| decode(line.as_bytes())).collect::<Vec<_>>();
        let kept = kept.into_iter().filter_map(|line| Some((line.key, line.kept?))).collect();
        let shared = Arc::new(Shared { waiting: Mutex::default(), changed: Condvar::new() });
        let size = lines.values().map(|line| line.len() as u64).sum();
        let book = Book { path: path.to_owned(), file, lines, size, live: size };
        let thread = std::thread::Builder::new().name("ledger".to_owned()).spawn({
            let shared = shared.clone();
            move || run(&shared, book)
        })?;
        Ok((Self { shared, thread: Some(thread) }, Found { kept, damaged }))
    }

    /// To be kept, or to be forgotten. Never waits for the disk.
    pub(crate) fn keep(&self, key: Key, kept: Option<Kept>) {
        self.shared.lock().changes.insert(key, kept);
        self.shared.changed.notify_one();
    }

    /// Waits until everything is on disk.
    pub(crate) fn close(mut self) {
        self.end();
    }

    fn end(&mut self) {
        self.shared.lock().closed = true;
        self.shared.changed.notify_one();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that keeps calls and registrations broke");
        }
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        self.end();
    }
}

/// The file, and what it must hold.
struct Book {
    path: PathBuf,
    file: File,
    lines: BTreeMap<Key, String>,
    size: u64,
    live: u64,
}

fn run(shared: &Shared, mut book: Book) {
    let mut unsynced: Option<Instant> = None;
    loop {
        let mut waiting = shared.lock();
        while waiting.changes.is_empty() && !waiting.closed {
            waiting = match unsynced {
                None => shared.changed.wait(waiting).unwrap_or_else(PoisonError::into_inner),
                Some(since) => {
                    let left = SYNC.saturating_sub(since.elapsed());
                    if left.is_zero() {
                        break;
                    }
                    shared.changed.wait_timeout(waiting, left).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
        let changes = mem::take(&mut waiting.changes);
        let closed = waiting.closed;
        drop(waiting);
        let written = book.take(changes);
        if written.as_ref().is_ok_and(|written| *written) {
            unsynced.get_or_insert_with(Instant::now);
        }
        let synced = if closed || unsynced.is_some_and(|since| since.elapsed() >= SYNC) {
            unsynced = None;
            book.file.sync_data()
        } else {
            Ok(())
        };
        if let Err(error) = written.and(synced) {
            metrics::counter!("hindsight_sip_kept_failures_total").increment(1);
            tracing::error!(%error, "calls and registrations are not kept: a restart would not know them");
            book.size = u64::MAX; // to be written anew, also should a line have been cut
            if !closed {
                std::thread::sleep(TRY_AGAIN);
            }
        }
        if closed {
            return;
        }
    }
}

impl Book {
    /// Whether there was anything to write.
    fn take(&mut self, changes: HashMap<Key, Option<Kept>>) -> io::Result<bool> {
        let mut text = String::new();
        for (key, kept) in changes {
            let known = self.lines.remove(&key);
            if known.is_none() && kept.is_none() {
                continue;
            }
            self.live -= known.map_or(0, |line| line.len() as u64);
            let forgotten = kept.is_none();
            let line = encode(&Line { key: key.clone(), kept });
            text.push_str(&line);
            if !forgotten {
                self.live += line.len() as u64;
                self.lines.insert(key, line);
            }
        }
        if self.size > 2 * self.live + SLACK {
            self.file = Self::write_anew(&self.path, &self.lines)?;
            self.size = self.live;
            return Ok(true);
        }
        if text.is_empty() {
            return Ok(false);
        }
        self.file.write_all(text.as_bytes())?;
        self.size += text.len() as u64;
        Ok(true)
    }

    /// Replaces the file by one with these lines only.
    fn write_anew(path: &Path, lines: &BTreeMap<Key, String>) -> io::Result<File> {
        let mut next = path.as_os_str().to_owned();
        next.push(".new");
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&next)?;
        let text: String = lines.values().map(String::as_str).collect();
        file.write_all(text.as_bytes())?;
        file.sync_data()?;
        fs::rename(&next, path)?;
        if let Some(folder) = path.parent() {
            File::open(folder)?.sync_all()?;
        }
        Ok(file)
    }
}

/// The newest line of every key, and how many could not be read.
fn read(path: &Path) -> io::Result<(BTreeMap<Key, String>, usize)> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(error),
    };
    let (mut lines, mut damaged) = (BTreeMap::new(), 0);
    for bytes in bytes.split_inclusive(|byte| *byte == b'\n') {
        match (decode(bytes), std::str::from_utf8(bytes)) {
            (Some(Line { key, kept: Some(_) }), Ok(text)) => drop(lines.insert(key, text.to_owned())),
            (Some(Line { key, kept: None }), _) => drop(lines.remove(&key)),
            (None, _) | (Some(_), Err(_)) => damaged += 1,
        }
    }
    Ok((lines, damaged))
}

fn encode(line: &Line) -> String {
    let json = serde_json::to_string(line).expect("numbers, texts and lists have a JSON form");
    format!("{} {json}\n", checksum(json.as_bytes()))
}

fn decode(line: &[u8]) -> Option<Line> {
    let line = line.strip_suffix(b"\n")?;
    let (sum, rest) = line.split_at_checked(8)?;
    let json = rest.strip_prefix(b" ")?;
    let right = sum == checksum(json).as_bytes();
    right.then(|| serde_json::from_slice(json).ok()).flatten()
}

fn checksum(json: &[u8]) -> String {
    hex::encode(&digest(&SHA256, json).as_ref()[..4])
}

#[cfg(test)]
mod tests {
    use super::*;
    use hindsight_wire::{InteractionId, Timestamp};

    fn offered(at: i64) -> Option<Kept> {
        Some(Kept::Offered { at: Timestamp(at) })
    }

    #[test]
    fn what_was_kept_last_is_found_and_what_was_forgotten_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kept");
        let (ledger, found) = Ledger::open(&path).unwrap();
        assert!(found.kept.is_empty());
        let calls: Vec<Key> = (0..3).map(|_| Key::Call(InteractionId::new())).collect();
        for call in &calls {
            ledger.keep(call.clone(), offered(1));
        }
        ledger.keep(calls[0].clone(), offered(2));
        ledger.keep(calls[1].clone(), None);
        ledger.close();
        let (_, found) = Ledger::open(&path).unwrap();
        assert_eq!(found.damaged, 0);
        let mut expected =
            vec![(calls[0].clone(), offered(2).unwrap()), (calls[2].clone(), offered(1).unwrap())];
        expected.sort_by(|one, other| one.0.cmp(&other.0));
        assert_eq!(found.kept, expected);
    }

    #[test]
    fn damaged_lines_are_counted_and_skipped_wherever_a_byte_is_changed_or_cut() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kept");
        let line = |number: &str| encode(&Line { key: Key::Dn(number.to_owned()), kept: offered(7) });
        let (first, second) = (line("1001"), line("1002"));
        for at in 0..first.len() - 1 {
            let mut bytes = format!("{first}{second}").into_bytes();
            bytes[at] ^= 1;
            fs::write(&path, &bytes).unwrap();
            let (lines, damaged) = read(&path).unwrap();
            // A changed byte may have become the end of a line.
            assert!(damaged >= 1, "byte {at}");
            assert_eq!(lines.keys().collect::<Vec<_>>(), [&Key::Dn("1002".into())]);
            fs::write(&path, format!("{first}{}", &second[..at])).unwrap();
            let (lines, damaged) = read(&path).unwrap();
            assert_eq!((lines.len(), damaged), (1, usize::from(at > 0)), "cut at {at}");
        }
    }

    #[test]
    fn the_file_does_not_grow_for_ever_and_is_nobody_elses_to_read() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kept");
        let (lines, _) = read(&path).unwrap();
        let file = Book::write_anew(&path, &lines).unwrap();
        let mut book = Book { path: path.clone(), file, lines, size: 0, live: 0 };
        for at in 0..40_000 {
            book.take(HashMap::from([(Key::Alive, offered(at))])).unwrap();
        }
        let metadata = fs::metadata(&path).unwrap();
        assert!(metadata.len() < SLACK + 1000, "{} bytes", metadata.len());
        assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
        drop(book);
        let (_, found) = Ledger::open(&path).unwrap();
        assert_eq!(found.kept, [(Key::Alive, offered(39_999).unwrap())]);
    }
}
