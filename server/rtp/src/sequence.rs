//! Extended sequence numbers of one source (RFC 3550 A.1), with a memory of what was seen.

/// A forward step of at least this many packets is a restart, not loss (RFC 3550 A.1).
pub const MAX_DROPOUT: u16 = 3000;
/// A backward step of at most this many packets is reordering (RFC 3550 A.1).
pub const MAX_MISORDER: u16 = 100;

/// Extended numbers start in the second cycle, so that a packet from before the first one seen has a number too.
const FIRST_CYCLE: u64 = 1 << 16;

/// What a sequence number says about its packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The newest so far.
    Newest(u64),
    /// Older than the newest, not seen before.
    Reordered(u64),
    /// Seen before.
    Duplicate,
    /// Too far from the newest to belong to the same run of numbers.
    Jump,
}

/// The run of sequence numbers of one source.
#[derive(Clone, Debug)]
pub struct Sequence {
    base: u64,
    max: u64,
    /// Bit n: `max - n` was seen. Wider than [`MAX_MISORDER`].
    seen: u128,
    unique: u64,
}

impl Sequence {
    /// Starts with the first packet of a source, whose extended number is [`Self::newest`].
    pub fn start(first: u16) -> Self {
        let first = FIRST_CYCLE + u64::from(first);
        Self { base: first, max: first, seen: 1, unique: 1 }
    }

    /// Judges one packet.
    pub fn update(&mut self, sequence: u16) -> Verdict {
        let ahead = sequence.wrapping_sub(self.max as u16);
        let behind = (self.max as u16).wrapping_sub(sequence);
        if ahead != 0 && ahead < MAX_DROPOUT {
            self.max += u64::from(ahead);
            self.seen = if ahead < 128 { (self.seen << ahead) | 1 } else { 1 };
            self.unique += 1;
            return Verdict::Newest(self.max);
        }
        if behind > MAX_MISORDER {
            return Verdict::Jump;
        }
        let bit = 1u128 << behind;
        if self.seen & bit != 0 {
            return Verdict::Duplicate;
        }
        self.seen |= bit;
        self.unique += 1;
        let extended = self.max - u64::from(behind);
        self.base = self.base.min(extended);
        Verdict::Reordered(extended)
    }

    /// Highest extended number.
    pub fn newest(&self) -> u64 {
        self.max
    }

    /// Packets that the source sent, by their numbers (RFC 3550 A.3).
    pub fn expected(&self) -> u64 {
        self.max - self.base + 1
    }

    /// Packets seen, without duplicates.
    pub fn unique(&self) -> u64 {
        self.unique
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_go_on_across_the_wrap() {
        let mut sequence = Sequence::start(65_534);
        for (number, extended) in [(65_535, 131_071), (0, 131_072), (2, 131_074)] {
            assert_eq!(sequence.update(number), Verdict::Newest(extended));
        }
        assert_eq!(sequence.update(1), Verdict::Reordered(131_073));
        assert_eq!(sequence.update(65_535), Verdict::Duplicate);
        assert_eq!((sequence.expected(), sequence.unique()), (5, 5));
    }

    #[test]
    fn a_packet_from_before_the_first_counts_as_expected() {
        let mut sequence = Sequence::start(0);
        assert_eq!(sequence.update(65_535), Verdict::Reordered(65_535));
        assert_eq!((sequence.expected(), sequence.unique()), (2, 2));
    }

    #[test]
    fn far_numbers_are_jumps_and_change_nothing() {
        let mut sequence = Sequence::start(1000);
        assert_eq!(sequence.update(5000), Verdict::Jump);
        assert_eq!(sequence.update(800), Verdict::Jump);
        assert_eq!(sequence.update(3999), Verdict::Newest(65_536 + 3999));
        assert_eq!((sequence.expected(), sequence.unique()), (3000, 2));
    }
}
