//! The journal's file: append, read from the first undelivered entry, recover, compact.
//!
//! `journal.log` lines of [`Line`]; `journal.accepted` the highest sequence that the server has (a hint: what is
//! delivered twice is ignored by the server); `journal.damaged` lines that could not be read, with their reason.

use super::line::Line;
use crate::atomic;
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use hindsight_wire::link::JournalEntry;
use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
};

pub(crate) const LOG: &str = "journal.log";
const ACCEPTED: &str = "journal.accepted";
const DAMAGED: &str = "journal.damaged";
/// Longest line believed; more without an end is damage.
const MAX_LINE: u64 = 1 << 20;
/// A batch ends behind the line that reaches this: with the largest event it stays below the server's limit of 1 MiB
/// for a message.
const MAX_BATCH: u64 = 256 << 10;

/// Where things are in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    /// First byte that the server has not accepted.
    pub cursor: u64,
    /// End of the durable lines.
    pub end: u64,
    /// Highest sequence accepted.
    pub accepted: u64,
    /// Highest sequence that is durable.
    pub durable: u64,
}

/// What opening found.
pub(crate) struct Opened {
    pub file: File,
    pub position: Position,
    /// First sequence that may be used.
    pub next: u64,
    /// Lines set aside.
    pub damaged: u64,
}

/// Opens and repairs the journal in `dir`.
pub(crate) fn open(dir: &Path) -> io::Result<Opened> {
    let path = dir.join(LOG);
    let accepted = read_accepted(dir);
    let mut scan = Scan { used: accepted, ..Scan::default() };
    match File::open(&path) {
        Ok(file) => scan.read(BufReader::new(file), accepted)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let next = scan.used + scan.unread_after + 1;
    if !scan.damaged.is_empty() {
        set_aside(dir, &scan.damaged)?;
        rewrite(dir, &scan.kept, next - 1)?;
        let mut again = Scan { used: accepted, ..Scan::default() };
        again.read(BufReader::new(File::open(&path)?), accepted)?;
        (scan.cursor, scan.end) = (again.cursor, again.end);
    }
    let file = append_to(&path)?;
    // A line that a crash tore: its sequence may have been seen by nobody, but is not used again.
    file.set_len(scan.end)?;
    file.sync_all()?;
    atomic::sync_dir(dir)?;
    let position = Position { cursor: scan.cursor, end: scan.end, accepted, durable: next - 1 };
    Ok(Opened { file, position, next, damaged: scan.damaged.len() as u64 })
}

pub(crate) fn append_to(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.append(true).create(true);
    atomic::private(&mut options).open(path)
}

#[derive(Default)]
struct Scan {
    used: u64,
    cursor: u64,
    end: u64,
    /// Lines after the last readable one: each may have had a sequence of its own.
    unread_after: u64,
    damaged: Vec<(u64, &'static str, Vec<u8>)>,
    /// Spans of readable lines that were not accepted yet, to be kept when damage is cut out.
    kept: Vec<(u64, u64)>,
}

impl Scan {
    fn read(&mut self, mut reader: BufReader<File>, accepted: u64) -> io::Result<()> {
        let mut line = Vec::new();
        let (mut at, mut undelivered) = (0, false);
        loop {
            line.clear();
            let read = (&mut reader).take(MAX_LINE).read_until(b'\n', &mut line)? as u64;
            if read == 0 {
                break;
            }
            match Line::decode(&line) {
                Ok(decoded) => {
                    self.used = self.used.max(decoded.sequence());
                    self.unread_after = 0;
                    undelivered |= matches!(&decoded, Line::Entry(entry) if entry.sequence > accepted);
                    if undelivered {
                        self.kept.push((at, at + read));
                    }
                }
                Err(_) if !line.ends_with(b"\n") && read < MAX_LINE => {
                    self.unread_after += 1;
                    break;
                }
                Err(reason) => {
                    self.unread_after += 1;
                    self.damaged.push((at, reason, line.clone()));
                }
            }
            at += read;
            self.end = at;
            if !undelivered {
                self.cursor = at;
            }
        }
        Ok(())
    }
}

fn set_aside(dir: &Path, damaged: &[(u64, &'static str, Vec<u8>)]) -> io::Result<()> {
    let mut file = append_to(&dir.join(DAMAGED))?;
    for (at, reason, line) in damaged {
        let note = serde_json::json!({ "position": at, "reason": reason, "line": BASE64.encode(line) });
        writeln!(file, "{note}")?;
    }
    file.sync_all()
}

/// Writes the journal anew: everything up to `used` is taken, then these spans of the old one.
pub(crate) fn rewrite(dir: &Path, spans: &[(u64, u64)], used: u64) -> io::Result<u64> {
    let (path, next) = (dir.join(LOG), dir.join("journal.log.new"));
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    let mut new = atomic::private(&mut options).open(&next)?;
    let head = Line::Used { used }.encode();
    new.write_all(&head)?;
    let mut old = File::open(&path)?;
    for (from, to) in spans {
        old.seek(SeekFrom::Start(*from))?;
        io::copy(&mut (&mut old).take(to - from), &mut new)?;
    }
    new.sync_all()?;
    fs::rename(&next, &path)?;
    atomic::sync_dir(dir)?;
    Ok(head.len() as u64)
}

/// Writes the journal anew with what was not accepted, numbered from behind `used` on.
pub(crate) fn renumber(dir: &Path, position: &Position, used: u64) -> io::Result<Position> {
    let (path, next) = (dir.join(LOG), dir.join("journal.log.new"));
    let head = Line::Used { used }.encode();
    let (mut lines, mut sequence) = (head.clone(), used);
    each_line(&path, position, |line, _| {
        if let Line::Entry(entry) = line
            && entry.sequence > position.accepted
        {
            sequence += 1;
            lines.extend(Line::Entry(JournalEntry { sequence, ..entry }).encode());
        }
        true
    })?;
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    let mut new = atomic::private(&mut options).open(&next)?;
    new.write_all(&lines)?;
    new.sync_all()?;
    fs::rename(&next, &path)?;
    atomic::sync_dir(dir)?;
    let (cursor, end) = (head.len() as u64, lines.len() as u64);
    Ok(Position { cursor, end, accepted: used, durable: sequence })
}

/// Up to `most` entries from the cursor on.
pub(crate) fn batch(path: &Path, position: &Position, most: usize) -> io::Result<Vec<JournalEntry>> {
    let mut entries = Vec::new();
    each_line(path, position, |line, at| {
        if let Line::Entry(entry) = line
            && entry.sequence > position.accepted
        {
            entries.push(entry);
        }
        entries.len() < most && at - position.cursor < MAX_BATCH
    })?;
    Ok(entries)
}

/// Moves the cursor behind everything up to `sequence`.
pub(crate) fn accept(path: &Path, position: &mut Position, sequence: u64) -> io::Result<()> {
    let mut cursor = position.cursor;
    each_line(path, position, |line, end| {
        let accepted = line.sequence() <= sequence || matches!(line, Line::Used { .. });
        if accepted {
            cursor = end;
        }
        accepted
    })?;
    position.cursor = cursor;
    position.accepted = position.accepted.max(sequence.min(position.durable));
    Ok(())
}

/// Calls `take` with each line from the cursor on and the position behind it, while it returns true.
fn each_line(path: &Path, position: &Position, mut take: impl FnMut(Line, u64) -> bool) -> io::Result<()> {
    if position.cursor >= position.end {
        return Ok(());
    }
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(position.cursor))?;
    let mut reader = BufReader::new(file.take(position.end - position.cursor));
    let (mut line, mut at) = (Vec::new(), position.cursor);
    loop {
        line.clear();
        let read = reader.read_until(b'\n', &mut line)? as u64;
        at += read;
        if read == 0 {
            return Ok(());
        }
        match Line::decode(&line) {
            Ok(decoded) => {
                if !take(decoded, at) {
                    return Ok(());
                }
            }
            // Damaged since it was written: the next start sets it aside.
            Err(reason) => tracing::error!(position = at - read, reason, "journal line unreadable"),
        }
    }
}

pub(crate) fn write_accepted(dir: &Path, accepted: u64) -> io::Result<()> {
    let next: PathBuf = dir.join("journal.accepted.new");
    fs::write(&next, accepted.to_string())?;
    fs::rename(&next, dir.join(ACCEPTED))
}

fn read_accepted(dir: &Path) -> u64 {
    let text = fs::read_to_string(dir.join(ACCEPTED)).unwrap_or_default();
    text.trim().parse().unwrap_or(0)
}
