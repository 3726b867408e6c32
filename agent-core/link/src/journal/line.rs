//! One line of the journal: `<first 8 hexadecimal digits of the SHA-256 of the JSON> <JSON>\n`.

use aws_lc_rs::digest::{SHA256, digest};
use hindsight_wire::link::JournalEntry;
use serde::{Deserialize, Serialize};

/// What a line holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Line {
    /// An event.
    Entry(JournalEntry),
    /// Every sequence up to this one is used: what stood here was delivered, or is lost.
    Used {
        /// Highest.
        used: u64,
    },
}

impl Line {
    pub fn sequence(&self) -> u64 {
        match self {
            Self::Entry(entry) => entry.sequence,
            Self::Used { used } => *used,
        }
    }

    pub fn encode(&self) -> Vec<u8> {
        let json = serde_json::to_vec(self).expect("a JSON value and a number have a JSON form");
        let mut line = checksum(&json).into_bytes();
        line.push(b' ');
        line.extend_from_slice(&json);
        line.push(b'\n');
        line
    }

    /// Reads a line with its end; the error says why not.
    pub fn decode(line: &[u8]) -> Result<Self, &'static str> {
        let line = line.strip_suffix(b"\n").ok_or("line without an end")?;
        let (sum, rest) = line.split_at_checked(8).ok_or("line too short")?;
        let json = rest.strip_prefix(b" ").ok_or("no blank after the checksum")?;
        if sum != checksum(json).as_bytes() {
            return Err("checksum differs");
        }
        serde_json::from_slice(json).map_err(|_| "not an entry")
    }
}

fn checksum(json: &[u8]) -> String {
    hex::encode(&digest(&SHA256, json).as_ref()[..4])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_changed_or_missing_byte_is_noticed() {
        let entry = JournalEntry { sequence: 7, event: serde_json::json!({"type": "call-ended"}) };
        let line = Line::Entry(entry).encode();
        assert_eq!(Line::decode(&line).unwrap().encode(), line);
        for at in 0..line.len() {
            let mut changed = line.clone();
            changed[at] ^= 1;
            assert!(Line::decode(&changed).is_err(), "byte {at} changed");
            assert!(Line::decode(&line[..at]).is_err(), "cut at {at}");
        }
    }
}
