//! From the relay to the recorder: a bounded queue in memory that never makes the relay wait.
//!
//! The relay appends to one buffer, the recorder takes it whole some twenty times a second and leaves an empty one: no
//! wake-up and no allocation per packet. The lock is held for a copy of one packet, or for the exchange of two buffers.

use std::sync::{Arc, Mutex, PoisonError};

/// Most bytes that wait, about three seconds of 300 calls; what comes on top is dropped and counted as lost.
const CAPACITY: usize = 16 << 20;
const HEADER: usize = 16;
/// Most RTCP of one leg in a second: a phone reports every few seconds, and what is more than this would only take the
/// place of voices.
const MOST_CONTROL: u32 = 20;

/// One recorder's queue.
#[derive(Debug, Default)]
pub struct TapQueue {
    waiting: Mutex<Vec<u8>>,
}

/// What a leg puts on its packets.
#[derive(Clone, Debug)]
pub struct Tap {
    /// Where they go.
    pub queue: Arc<TapQueue>,
    /// Which capture.
    pub capture: u32,
    /// Which party: 0 agent, 1 customer.
    pub party: u8,
}

/// A packet taken from the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tapped<'a> {
    /// Which capture.
    pub capture: u32,
    /// Which party: 0 agent, 1 customer.
    pub party: u8,
    /// Arrival on the media server's clock, microseconds.
    pub at_us: i64,
    /// Whether it came to the RTCP port.
    pub is_control: bool,
    /// The datagram.
    pub bytes: &'a [u8],
}

impl Tap {
    /// Queues a packet; false when the queue is full.
    pub fn put(&self, at_us: i64, is_control: bool, bytes: &[u8]) -> bool {
        let Ok(length) = u16::try_from(bytes.len()) else { return false };
        let mut waiting = self.queue.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() + HEADER + bytes.len() > CAPACITY {
            return false;
        }
        let mut header = [0; HEADER];
        header[0..4].copy_from_slice(&self.capture.to_ne_bytes());
        header[4..6].copy_from_slice(&length.to_ne_bytes());
        header[6] = self.party;
        header[7] = u8::from(is_control);
        header[8..16].copy_from_slice(&at_us.to_ne_bytes());
        waiting.extend_from_slice(&header);
        waiting.extend_from_slice(bytes);
        true
    }
}

impl TapQueue {
    /// Exchanges the waiting packets with an empty buffer.
    pub fn take(&self, buffer: &mut Vec<u8>) {
        buffer.clear();
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::swap(&mut *waiting, buffer);
    }
}

/// Goes through a taken buffer.
pub fn packets(mut buffer: &[u8]) -> impl Iterator<Item = Tapped<'_>> {
    std::iter::from_fn(move || {
        let (header, rest) = buffer.split_first_chunk::<HEADER>()?;
        let length = u16::from_ne_bytes([header[4], header[5]]);
        let (bytes, rest) = rest.split_at_checked(usize::from(length))?;
        buffer = rest;
        let capture = u32::from_ne_bytes([header[0], header[1], header[2], header[3]]);
        let at_us = i64::from_ne_bytes([
            header[8], header[9], header[10], header[11], header[12], header[13], header[14], header[15],
        ]);
        Some(Tapped { capture, party: header[6], at_us, is_control: header[7] != 0, bytes })
    })
}

/// How much RTCP of a leg goes to its recorder.
#[derive(Clone, Copy, Debug, Default)]
pub struct ControlAllowance {
    since_us: i64,
    taken: u32,
}

impl ControlAllowance {
    /// Whether one more may go, at `now_us`.
    pub fn take(&mut self, now_us: i64) -> bool {
        if now_us - self.since_us >= 1_000_000 {
            *self = Self { since_us: now_us, taken: 0 };
        }
        self.taken = self.taken.saturating_add(1);
        self.taken <= MOST_CONTROL
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_come_out_as_they_went_in() {
        let queue = Arc::new(TapQueue::default());
        let tap = Tap { queue: queue.clone(), capture: 7, party: 1 };
        assert!(tap.put(123, false, b"one") && tap.put(456, true, b""));
        let mut buffer = vec![1, 2, 3];
        queue.take(&mut buffer);
        let taken: Vec<_> =
            packets(&buffer).map(|p| (p.capture, p.party, p.at_us, p.is_control, p.bytes.to_vec())).collect();
        assert_eq!(taken, [(7, 1, 123, false, b"one".to_vec()), (7, 1, 456, true, Vec::new())]);
        queue.take(&mut buffer);
        assert!(buffer.is_empty());
    }

    #[test]
    fn a_full_queue_drops_and_says_so() {
        let tap = Tap { queue: Arc::default(), capture: 1, party: 0 };
        let packet = [0; 1400];
        let taken = (0..20_000).take_while(|n| tap.put(*n, false, &packet)).count();
        assert_eq!(taken, CAPACITY / (HEADER + 1400));
    }

    #[test]
    fn a_flood_of_rtcp_reaches_no_recorder_and_does_not_last() {
        let mut allowance = ControlAllowance::default();
        let taken = |allowance: &mut ControlAllowance, second: i64| {
            (0..1_000).filter(|ms| allowance.take(second * 1_000_000 + ms * 1_000)).count()
        };
        assert_eq!((1..4).map(|second| taken(&mut allowance, second)).collect::<Vec<_>>(), [20; 3]);
        assert!(allowance.take(4_000_000));
    }
}
