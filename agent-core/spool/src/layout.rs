//! Sizes and file names: what `SEAL.md` and the spool directory fix.

/// Bytes of the CMS envelope in front of the stream.
pub const ENVELOPE: u64 = 4096;
/// Bytes of one segment; the stream's 40-byte header lies inside segment 0.
pub const SEGMENT: u64 = 4096;

pub(crate) const SEALED: &str = "sealed";
pub(crate) const STATE: &str = "state.json";
pub(crate) const STATE_SYNC: &str = "state.json.sync";
pub(crate) const STATE_NEW: &str = "state.json.new";
pub(crate) const MANIFEST: &str = "manifest.json";
pub(crate) const UPLOAD: &str = "upload.json";
pub(crate) const UPLOAD_NEW: &str = "upload.json.new";
pub(crate) const REFUSED: &str = "refused.json";
pub(crate) const REFUSED_NEW: &str = "refused.json.new";
pub(crate) const LOCK: &str = "lock";
/// Bytes held back for closing recordings on a full disk.
pub(crate) const RESERVE: &str = ".reserve";
/// Prefix of a directory that is being deleted.
pub(crate) const TRASH: &str = ".trash-";

/// Whole segments in a file of `len` bytes.
pub fn whole_segments(len: u64) -> u64 {
    len.saturating_sub(ENVELOPE) / SEGMENT
}

/// Length of a file of `segments` whole segments.
pub fn len_of(segments: u64) -> u64 {
    ENVELOPE + segments * SEGMENT
}

/// How much of a file that still grows may be sent when `durable` bytes of it are synced: all but the newest whole
/// segment, which a repair seals again; nothing (not even the envelope) while there is no such segment, so that an
/// item that never got one leaves no trace at the server.
pub fn sendable_while_growing(durable: u64) -> u64 {
    match whole_segments(durable) {
        0 | 1 => 0,
        segments => len_of(segments - 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_whole_segment_of_a_growing_file_is_not_sendable() {
        assert_eq!(sendable_while_growing(0), 0);
        assert_eq!(sendable_while_growing(ENVELOPE + 40), 0);
        assert_eq!(sendable_while_growing(len_of(1)), 0);
        assert_eq!(sendable_while_growing(len_of(2)), len_of(1));
        assert_eq!(sendable_while_growing(len_of(2) + SEGMENT - 1), len_of(1));
        assert_eq!(sendable_while_growing(len_of(900)), len_of(899));
    }
}
