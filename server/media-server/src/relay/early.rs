//! What a party says between its answer and the recorder's order: a phone speaks from its own 200 OK on, and the
//! order to record comes some milliseconds later. Pure.

use zeroize::Zeroizing;

/// Longest time from the first packet to the order, microseconds. An order in mid-call gets nothing from before it.
const WINDOW_US: i64 = 1_000_000;
/// Most packets: the window at 10 ms a packet.
const MAX_PACKETS: usize = 100;

/// The first packets of a leg, kept in memory for a recorder that may come. Over for good once it is taken or given up.
#[derive(Debug, Default)]
pub struct Early {
    over: bool,
    packets: Vec<(i64, Zeroizing<Vec<u8>>)>,
}

impl Early {
    /// Keeps a packet that arrived at `at_us`.
    pub fn put(&mut self, at_us: i64, bytes: &[u8]) {
        if self.over {
            return;
        }
        if self.packets.len() >= MAX_PACKETS || self.is_stale(at_us) {
            return self.give_up();
        }
        self.packets.push((at_us, Zeroizing::new(bytes.to_vec())));
    }

    /// The packets with their arrival, oldest first; none of a call that has gone on for longer than the window.
    pub fn take(&mut self, now_us: i64) -> Vec<(i64, Zeroizing<Vec<u8>>)> {
        let stale = self.is_stale(now_us);
        let packets = std::mem::take(&mut self.packets);
        self.over = true;
        if stale { Vec::new() } else { packets }
    }

    /// Nobody will record them.
    pub fn give_up(&mut self) {
        *self = Self { over: true, packets: Vec::new() };
    }

    fn is_stale(&self, now_us: i64) -> bool {
        self.packets.first().is_some_and(|(first_us, _)| now_us - first_us > WINDOW_US)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(early: &mut Early, now_us: i64) -> Vec<i64> {
        early.take(now_us).into_iter().map(|(at_us, _)| at_us).collect()
    }

    #[test]
    fn the_first_packets_wait_for_the_order_and_are_given_once() {
        let mut early = Early::default();
        early.put(0, b"one");
        early.put(20_000, b"two");
        assert_eq!(times(&mut early, 30_000), [0, 20_000]);
        early.put(40_000, b"three");
        assert_eq!(times(&mut early, 50_000), [0; 0]);
    }

    #[test]
    fn an_order_in_mid_call_gets_nothing_from_before_it() {
        let mut early = Early::default();
        early.put(0, b"one");
        assert_eq!(times(&mut early, WINDOW_US + 1), [0; 0]);
        let mut early = Early::default();
        for n in 0..200 {
            early.put(n * 5_000, b"x");
        }
        assert_eq!(times(&mut early, WINDOW_US), [0; 0], "bounded in number");
        let mut early = Early::default();
        early.put(0, b"one");
        early.give_up();
        assert_eq!(times(&mut early, 1), [0; 0]);
    }
}
