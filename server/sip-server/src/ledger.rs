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

/// The file in the folder of the SIP server.
const FILE: &str = "kept";
/// Beside it, the one that is to replace it,
const NEXT: &str = ".new";
/// and the last one with damage.
const DAMAGED: &str = ".damaged";
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

/// Calls and registrations cannot be kept in this file.
#[derive(Debug, thiserror::Error)]
#[error(
    "calls and registrations cannot be kept in {}: {why}; move it away or mend it (chown, chattr -i): without it this \
     start knows neither the calls that went on nor who is registered",
    .path.display()
)]
pub struct LedgerError {
    path: PathBuf,
    why: String,
}

impl LedgerError {
    fn new(path: &Path, why: impl ToString) -> Self {
        Self { path: path.to_owned(), why: why.to_string() }
    }
}

/// How the file was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// Not there.
    Missing,
    /// Without a single line, which we never leave behind.
    Empty,
    /// Lines that cannot be read; none.
    Read {
        /// How many.
        damaged: usize,
    },
}

impl Condition {
    /// What is wrong with the file, and what follows from it; `None`: nothing. `ran_before`: it was there once.
    pub fn fault(self, ran_before: bool) -> Option<String> {
        const LOST: &str = "calls that it kept end as lost with the SIP server, phones that it kept cannot be called \
                            until they register again";
        match self {
            Self::Missing if ran_before => Some(format!("it is missing: {LOST}")),
            Self::Missing | Self::Read { damaged: 0 } => None,
            Self::Empty => Some(format!("it is empty: {LOST}")),
            Self::Read { damaged } => Some(format!("{damaged} line(s) cannot be read: {LOST}")),
        }
    }
}

/// Looks at the file in a SIP server's folder and changes nothing: whether it could be written anew, and how it is.
pub fn examine(folder: &Path) -> Result<Condition, LedgerError> {
    let path = folder.join(FILE);
    usable(&path)?;
    usable(&beside(&path, NEXT))?;
    let (_, condition) = read(&path).map_err(|error| LedgerError::new(&path, error))?;
    Ok(condition)
}

/// A file that may be replaced: not even its owner may where it is immutable, or a folder.
fn usable(path: &Path) -> Result<(), LedgerError> {
    let file = match File::options().read(true).write(true).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(LedgerError::new(path, error)),
    };
    match file.metadata() {
        Ok(metadata) if metadata.is_file() => Ok(()),
        Ok(_) => Err(LedgerError::new(path, "it is no file")),
        Err(error) => Err(LedgerError::new(path, error)),
    }
}

/// What stands beside the file, by its ending.
fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// Writes what is to be kept.
pub(crate) struct Ledger {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// What was kept, in the order of its keys.
pub(crate) struct Found {
    pub(crate) kept: Vec<(Key, Kept)>,
    /// How the file was.
    pub(crate) condition: Condition,
    /// Which it was.
    pub(crate) path: PathBuf,
}

impl Ledger {
    /// Reads the file in a SIP server's folder, writes it anew without what is out of date, and starts its thread. One
    /// with damage is set aside first.
    pub(crate) fn open(folder: &Path) -> Result<(Self, Found), LedgerError> {
        let path = &folder.join(FILE);
        let failed = |error: io::Error| LedgerError::new(path, error);
        usable(path)?;
        let (lines, condition) = read(path).map_err(failed)?;
        if matches!(condition, Condition::Read { damaged: 1.. }) {
            fs::copy(path, beside(path, DAMAGED)).map_err(failed)?;
        }
        let file = Book::write_anew(path, &lines).map_err(failed)?;
        let kept = lines.values().filter_map(|line| decode(line.as_bytes())).collect::<Vec<_>>();
        let kept = kept.into_iter().filter_map(|line| Some((line.key, line.kept?))).collect();
        let shared = Arc::new(Shared { waiting: Mutex::default(), changed: Condvar::new() });
        let size = lines.values().map(|line| line.len() as u64).sum();
        let book = Book { path: path.to_owned(), file, lines, size, live: size };
        let thread = std::thread::Builder::new().name("ledger".to_owned()).spawn({
            let shared = shared.clone();
            move || run(&shared, book)
        });
        let thread = Some(thread.map_err(failed)?);
        Ok((Self { shared, thread }, Found { kept, condition, path: path.clone() }))
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
            let path = book.path.display();
            tracing::error!(%path, %error, "calls and registrations are not kept: a restart would not know them");
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
        let next = beside(path, NEXT);
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

/// The newest line of every key, and how the file is.
fn read(path: &Path) -> io::Result<(BTreeMap<Key, String>, Condition)> {
    let bytes = match fs::read(path) {
        Ok(bytes) if bytes.is_empty() => return Ok((BTreeMap::new(), Condition::Empty)),
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok((BTreeMap::new(), Condition::Missing));
        }
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
    Ok((lines, Condition::Read { damaged }))
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
        let (ledger, found) = Ledger::open(folder.path()).unwrap();
        assert!(found.kept.is_empty() && found.condition == Condition::Missing);
        let calls: Vec<Key> = (0..3).map(|_| Key::Call(InteractionId::new())).collect();
        for call in &calls {
            ledger.keep(call.clone(), offered(1));
        }
        ledger.keep(calls[0].clone(), offered(2));
        ledger.keep(calls[1].clone(), None);
        ledger.close();
        let (_, found) = Ledger::open(folder.path()).unwrap();
        assert_eq!(found.condition, Condition::Read { damaged: 0 });
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
            let (lines, condition) = read(&path).unwrap();
            let Condition::Read { damaged } = condition else { panic!("{condition:?}") };
            // A changed byte may have become the end of a line.
            assert!(damaged >= 1, "byte {at}");
            assert_eq!(lines.keys().collect::<Vec<_>>(), [&Key::Dn("1002".into())]);
            fs::write(&path, format!("{first}{}", &second[..at])).unwrap();
            let (lines, condition) = read(&path).unwrap();
            let expected = (1, Condition::Read { damaged: usize::from(at > 0) });
            assert_eq!((lines.len(), condition), expected, "cut at {at}");
        }
        // What is left of it is used, and the whole of it is still there to be looked at.
        let bytes = fs::read(&path).unwrap();
        let (_, found) = Ledger::open(folder.path()).unwrap();
        assert_eq!((found.kept.len(), found.condition), (1, Condition::Read { damaged: 1 }));
        assert_eq!(fs::read(folder.path().join("kept.damaged")).unwrap(), bytes);
        assert!(found.condition.fault(true).unwrap().contains("register again"));
    }

    #[test]
    fn a_file_that_cannot_be_replaced_is_told_by_its_path_and_nothing_is_made() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(examine(folder.path()).unwrap(), Condition::Missing);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        fs::write(folder.path().join("kept"), "").unwrap();
        assert_eq!(examine(folder.path()).unwrap(), Condition::Empty);
        for name in ["kept", "kept.new"] {
            let path = folder.path().join(name);
            let _ = fs::remove_file(&path);
            fs::create_dir(&path).unwrap();
            let said = examine(folder.path()).unwrap_err().to_string();
            assert!(said.contains(path.to_str().unwrap()) && said.contains("move it away"), "{said}");
            assert!(Ledger::open(folder.path()).is_err());
            fs::remove_dir(&path).unwrap();
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
        let (_, found) = Ledger::open(folder.path()).unwrap();
        assert_eq!(found.kept, [(Key::Alive, offered(39_999).unwrap())]);
    }
}
