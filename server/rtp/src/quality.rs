//! Figures of quality of one party's packets, over all sources and restarts (RFC 3550 A.3, A.8).

use crate::sequence::Sequence;

/// Transit changes above this are jumps of a clock, not jitter, seconds.
const JITTER_LIMIT_S: u32 = 2;

/// What became of the packets of one party.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quality {
    /// Delivered in order.
    pub received: u64,
    /// Sent, by sequence numbers; without what was not meant to be delivered.
    pub expected: u64,
    /// Expected and never seen.
    pub lost: u64,
    /// Seen again.
    pub duplicate: u64,
    /// Seen after a packet with a higher number.
    pub reordered: u64,
    /// Seen, but too late to be delivered in order.
    pub late: u64,
    /// Largest interarrival jitter, RTP clock units.
    pub max_jitter: u32,
    /// Times that the source began anew: another SSRC, or a jump of its numbers.
    pub restarts: u64,
}

impl Quality {
    /// Adds the run of numbers of a source that ends; `ignored` of its packets were seen and not meant to be delivered.
    pub fn close_run(&mut self, run: &Sequence, ignored: u64) {
        self.expected += run.expected().saturating_sub(ignored);
        self.lost += run.expected() - run.unique();
    }
}

/// Interarrival jitter (RFC 3550 6.4.1, A.8), scaled by 16 as there.
#[derive(Clone, Copy, Debug, Default)]
pub struct Jitter {
    scaled: u32,
    transit: Option<u32>,
}

impl Jitter {
    /// Takes one packet; `arrival` in RTP clock units. Returns the jitter now.
    pub fn update(&mut self, timestamp: u32, arrival: u32, clock_rate: u32) -> u32 {
        let transit = arrival.wrapping_sub(timestamp);
        if let Some(last) = self.transit.replace(transit) {
            let change = (transit.wrapping_sub(last) as i32).unsigned_abs();
            if change < clock_rate.saturating_mul(JITTER_LIMIT_S) {
                self.scaled = self.scaled + change - ((self.scaled + 8) >> 4);
            }
        }
        self.scaled >> 4
    }

    /// Forgets the last packet: the next one has another clock.
    pub fn restart(&mut self) {
        self.transit = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steady_packets_have_no_jitter_and_alternating_delay_converges_on_its_size() {
        let mut jitter = Jitter::default();
        for n in 0..100u32 {
            assert_eq!(jitter.update(n * 160, 77 + n * 160, 8000), 0);
        }
        let mut last = 0;
        for n in 100..400u32 {
            last = jitter.update(n * 160, 77 + n * 160 + (n % 2) * 80, 8000);
        }
        assert!((70..=80).contains(&last), "{last}");
    }

    #[test]
    fn a_jump_of_the_clock_is_no_jitter() {
        let mut jitter = Jitter::default();
        jitter.update(0, 0, 8000);
        assert_eq!(jitter.update(0x8000_0000, 160, 8000), 0);
    }
}
