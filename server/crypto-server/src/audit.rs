//! The audit log of the crypto server: one JSON object a line, each with the hash of the line before it.
//!
//! A record is on disk (`fsync`) before what it tells of is done. The log is written by the server and by the `key`
//! commands at the same time: each takes the file's lock and continues from the last line. A line changed, taken out or
//! put in breaks the chain; lines cut off at the end are found only against a [`Head`] noted elsewhere.
//!
//! A power cut can leave half a line at the end. It was never acknowledged, so nothing was done on the strength of it: it
//! is set aside in a file beside the log ([`TornTail`]), and the chain goes on from the last whole line.

use crate::CryptoError;
use hindsight_wire::Timestamp;
use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};
use std::{
    fs::{File, OpenOptions},
    io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

/// File in the crypto server's directory.
pub const AUDIT_FILE: &str = "audit.jsonl";
/// Longest line: names are cut to fit.
const LONGEST_LINE: u64 = 16 * 1024;

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// When.
    pub at: Timestamp,
    /// For whom: a login, a component, `command line`.
    pub actor: String,
    /// Which device asked; empty for commands.
    pub caller: String,
    /// `unwrap`, `repair`, `key.add`, `key.export`.
    pub action: String,
    /// A recording's id, or a key's.
    pub object: String,
    /// What for.
    pub purpose: String,
    /// `granted`, or why not.
    pub outcome: String,
}

#[derive(Serialize, Deserialize)]
struct Line {
    sequence: u64,
    #[serde(flatten)]
    record: Record,
    previous: String,
    hash: String,
}

/// The end of the log: to be noted elsewhere against lines cut off.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// Number of the last line; 0 when the log is empty.
    pub sequence: u64,
    /// Its hash.
    pub hash: String,
}

/// The log.
#[derive(Clone, Debug)]
pub struct AuditLog {
    path: PathBuf,
}

impl AuditLog {
    /// The log of a crypto server's directory.
    pub fn new(directory: &Path) -> Self {
        Self { path: directory.join(AUDIT_FILE) }
    }

    /// Appends a record; when this returns it is on disk.
    pub fn append(&self, record: Record) -> Result<Head, CryptoError> {
        self.append_locked(record).map_err(|error| CryptoError::file(&self.path, error))
    }

    fn append_locked(&self, record: Record) -> io::Result<Head> {
        let new = !self.path.exists();
        let mut file =
            OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(&self.path)?;
        file.lock()?;
        self.set_aside(&mut file)?;
        let (head, length) = last_line(&mut file)?;
        let mut line = Line { sequence: head.sequence + 1, record, previous: head.hash, hash: String::new() };
        line.hash = hash(&line)?;
        let mut text = serde_json::to_string(&line)?;
        text.push('\n');
        if text.len() as u64 > LONGEST_LINE {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the audit record is too long"));
        }
        let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
        if let Err(error) = written {
            // Half a line must not stay: the next record would be lost in it.
            file.set_len(length)?;
            return Err(error);
        }
        if new && let Some(parent) = self.path.parent() {
            File::open(parent)?.sync_all()?;
        }
        Ok(Head { sequence: line.sequence, hash: line.hash })
    }

    /// Moves half a line that a power cut has left at the end into a file beside the log; `None`: there is none.
    pub fn set_torn_tail_aside(&self) -> Result<Option<TornTail>, CryptoError> {
        let failed = |error| CryptoError::file(&self.path, error);
        let mut file = match OpenOptions::new().read(true).append(true).open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        file.lock().and_then(|()| self.set_aside(&mut file)).map_err(failed)
    }

    /// The same, under the log's lock. The copy is durable before the log is cut: nothing is ever deleted.
    fn set_aside(&self, file: &mut File) -> io::Result<Option<TornTail>> {
        let Some((start, tail)) = torn_tail(file)? else { return Ok(None) };
        let kept_in = self.keep(start, &tail)?;
        file.set_len(start)?;
        file.sync_all()?;
        let torn = TornTail { position: start, bytes: tail.len(), kept_in };
        tracing::warn!(
            log = %self.path.display(),
            position = torn.position,
            bytes = torn.bytes,
            kept_in = %torn.kept_in.display(),
            "half a record stood at the end of the key audit log, as a power cut leaves it; it was set aside"
        );
        Ok(Some(torn))
    }

    /// Writes the tail beside the log, under a name that is free; one with the same content is of an earlier try.
    fn keep(&self, start: u64, tail: &[u8]) -> io::Result<PathBuf> {
        let mut number = 1;
        let path = loop {
            let path = self.path.with_file_name(format!("{AUDIT_FILE}.torn-{start}-{number}"));
            match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
                Ok(mut kept) => {
                    kept.write_all(tail)?;
                    kept.sync_all()?;
                    break path;
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    if std::fs::read(&path)? == tail {
                        break path;
                    }
                }
                Err(error) => return Err(error),
            }
            number += 1;
        };
        if let Some(parent) = path.parent() {
            File::open(parent)?.sync_all()?;
        }
        Ok(path)
    }

    /// Follows the chain from the first line to the last; the end of the log. Changes nothing: half a line at the end is
    /// [`CryptoError::AuditTorn`], once everything before it has proved whole.
    pub fn verify(&self) -> Result<Head, CryptoError> {
        self.read(|_| ())
    }

    /// As [`AuditLog::verify`], handing every record out.
    pub fn read(&self, mut each: impl FnMut(Record)) -> Result<Head, CryptoError> {
        let failed = |error| CryptoError::file(&self.path, error);
        let mut file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Head::default()),
            Err(error) => return Err(failed(error)),
        };
        // Not in the middle of a line being written.
        file.lock_shared().map_err(failed)?;
        let torn = torn_tail(&mut file).map_err(failed)?;
        let whole = torn.as_ref().map_or(u64::MAX, |(start, _)| *start);
        file.seek(SeekFrom::Start(0)).map_err(failed)?;
        let mut head = Head::default();
        for text in BufReader::new(file.take(whole)).lines() {
            let broken = |why| CryptoError::Audit { line: head.sequence + 1, why };
            let text = text.map_err(|error| match error.kind() {
                io::ErrorKind::InvalidData => broken("it is no text"),
                _ => CryptoError::file(&self.path, error),
            })?;
            let line: Line = serde_json::from_str(&text).map_err(|_| broken("it is no record"))?;
            if line.sequence != head.sequence + 1 {
                return Err(broken("its number does not follow"));
            }
            if line.previous != head.hash {
                return Err(broken("it does not follow the line before it"));
            }
            // The exact text counts, not only what it means.
            let same_text = serde_json::to_string(&line).is_ok_and(|written| written == text);
            if !same_text || hash(&line).ok().as_ref() != Some(&line.hash) {
                return Err(broken("it was changed"));
            }
            head = Head { sequence: line.sequence, hash: line.hash };
            each(line.record);
        }
        match torn {
            None => Ok(head),
            Some((_, tail)) => Err(CryptoError::AuditTorn { line: head.sequence + 1, bytes: tail.len() }),
        }
    }
}

/// Half a line that was set aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TornTail {
    /// Where in the log it began.
    pub position: u64,
    /// How long it is.
    pub bytes: usize,
    /// Where it is now.
    pub kept_in: PathBuf,
}

/// SHA-256 over the line's JSON without its own hash.
fn hash(line: &Line) -> io::Result<String> {
    let bytes = serde_json::to_vec(&(line.sequence, &line.previous, &line.record))?;
    Ok(hex::encode(digest(&SHA256, &bytes)))
}

/// What no line's end follows, and where it begins. A line is synced before the next one is written, so there is at most
/// one; blocks of it that never reached the disk read as zeros.
fn torn_tail(file: &mut File) -> io::Result<Option<(u64, Vec<u8>)>> {
    let length = file.seek(SeekFrom::End(0))?;
    let mut window = 2 * LONGEST_LINE;
    loop {
        let start = length.saturating_sub(window);
        let mut tail = Vec::new();
        file.seek(SeekFrom::Start(start))?;
        Read::by_ref(file).take(length - start).read_to_end(&mut tail)?;
        match tail.iter().rposition(|&byte| byte == b'\n') {
            Some(end) if end + 1 == tail.len() => return Ok(None),
            Some(end) => return Ok(Some((start + end as u64 + 1, tail.split_off(end + 1)))),
            None if tail.is_empty() => return Ok(None),
            None if start == 0 => return Ok(Some((0, tail))),
            None => window = window.saturating_mul(2),
        }
    }
}

/// The end of the log and its length; there is no half line.
fn last_line(file: &mut File) -> io::Result<(Head, u64)> {
    let length = file.seek(SeekFrom::End(0))?;
    file.seek(SeekFrom::Start(length.saturating_sub(2 * LONGEST_LINE)))?;
    let mut tail = Vec::new();
    file.read_to_end(&mut tail)?;
    let Some(body) = tail.strip_suffix(b"\n") else { return Ok((Head::default(), length)) };
    let text = body.rsplit(|&byte| byte == b'\n').next().unwrap_or_default();
    let line: Line = serde_json::from_slice(text)?;
    Ok((Head { sequence: line.sequence, hash: line.hash }, length))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(object: &str) -> Record {
        Record {
            at: Timestamp(1_795_000_000_000_000),
            actor: "anna".to_owned(),
            caller: String::new(),
            action: "unwrap".to_owned(),
            object: object.to_owned(),
            purpose: "play".to_owned(),
            outcome: "granted".to_owned(),
        }
    }

    fn log_of_three() -> (tempfile::TempDir, AuditLog) {
        let directory = tempfile::tempdir().unwrap();
        let log = AuditLog::new(directory.path());
        for object in ["one", "two", "three"] {
            log.append(record(object)).unwrap();
        }
        (directory, log)
    }

    #[test]
    fn a_chain_verifies_and_an_empty_log_too() {
        let (_directory, log) = log_of_three();
        assert_eq!(log.verify().unwrap().sequence, 3);
        let nothing = tempfile::tempdir().unwrap();
        assert_eq!(AuditLog::new(nothing.path()).verify().unwrap(), Head::default());
    }

    #[test]
    fn every_changed_byte_is_noticed() {
        let (_directory, log) = log_of_three();
        let good = std::fs::read(&log.path).unwrap();
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            std::fs::write(&log.path, &bad).unwrap();
            // The last line's end may be another character without harm: no record hangs on it.
            assert!(log.verify().is_err() || at + 1 == good.len(), "byte {at}");
        }
    }

    #[test]
    fn a_line_taken_out_or_moved_is_noticed() {
        let (_directory, log) = log_of_three();
        let text = std::fs::read_to_string(&log.path).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        for order in [[0, 2].as_slice(), &[1, 2], &[0, 2, 1]] {
            let other: String = order.iter().map(|&at| format!("{}\n", lines[at])).collect();
            std::fs::write(&log.path, other).unwrap();
            assert!(log.verify().is_err(), "{order:?}");
        }
    }

    #[test]
    fn half_a_line_left_by_a_crash_is_set_aside_and_the_chain_goes_on() {
        let (_directory, log) = log_of_three();
        let good = std::fs::read(&log.path).unwrap();
        let second = good.iter().take(good.len() - 1).rposition(|&byte| byte == b'\n').unwrap() + 1;
        let zeros = [&good[..second], &[0; 70_000]].concat();
        for torn in [&good[..good.len() - 20], &good[..good.len() - 1], &zeros[..]] {
            std::fs::write(&log.path, torn).unwrap();
            let verified = log.verify();
            assert!(
                matches!(verified, Err(CryptoError::AuditTorn { line: 3, bytes }) if bytes == torn.len() - second)
            );
            assert_eq!(std::fs::read(&log.path).unwrap(), torn, "looking changes nothing");
            let tail = log.set_torn_tail_aside().unwrap().unwrap();
            assert_eq!(std::fs::read(&tail.kept_in).unwrap(), &torn[second..], "nothing is deleted");
            assert_eq!(log.set_torn_tail_aside().unwrap(), None);
            assert_eq!(log.verify().unwrap().sequence, 2);
            assert_eq!(log.append(record("four")).unwrap().sequence, 3, "the third was never acknowledged");
            assert_eq!(log.verify().unwrap().sequence, 3);
        }
        let kept = std::fs::read_dir(log.path.parent().unwrap()).unwrap().count();
        assert_eq!(kept, 1 + 3, "each has a file of its own");
    }

    #[test]
    fn a_writer_that_meets_half_a_line_keeps_it_and_one_in_the_middle_stays_an_error() {
        let (directory, log) = log_of_three();
        let good = std::fs::read(&log.path).unwrap();
        std::fs::write(&log.path, &good[..good.len() - 20]).unwrap();
        assert_eq!(log.append(record("four")).unwrap().sequence, 3);
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 2, "beside the log");
        let lines: Vec<&[u8]> = good.split_inclusive(|&byte| byte == b'\n').collect();
        std::fs::write(&log.path, [lines[0], &lines[1][..30], b"\n", lines[2]].concat()).unwrap();
        assert_eq!(log.set_torn_tail_aside().unwrap(), None);
        assert!(matches!(log.verify(), Err(CryptoError::Audit { line: 2, .. })));
    }

    #[test]
    fn two_writers_continue_one_chain() {
        let (_directory, log) = log_of_three();
        let other = log.clone();
        let writer =
            std::thread::spawn(move || (0..50).for_each(|_| drop(other.append(record("a")).unwrap())));
        (0..50).for_each(|_| drop(log.append(record("b")).unwrap()));
        writer.join().unwrap();
        assert_eq!(log.verify().unwrap().sequence, 103);
    }
}
