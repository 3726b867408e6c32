//! How much went on at a time: a sweep over beginnings and ends, so that no moment is missed.

use crate::zone::Buckets;
use hindsight_wire::Timestamp;
use std::{cmp::Reverse, collections::BinaryHeap};

/// The most at a time in a span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peak {
    /// How many.
    pub count: u64,
    /// When first, in the span.
    pub at: Timestamp,
}

/// Takes what went on in the order of its beginnings; memory is what went on at a time.
pub struct Sweep<'a> {
    buckets: &'a Buckets,
    current: usize,
    open: BinaryHeap<Reverse<Timestamp>>,
    peaks: Vec<Peak>,
}

impl<'a> Sweep<'a> {
    /// Nothing so far.
    pub fn new(buckets: &'a Buckets) -> Self {
        let peaks = buckets.list.iter().map(|bucket| Peak { count: 0, at: bucket.start }).collect();
        Self { buckets, current: 0, open: BinaryHeap::new(), peaks }
    }

    /// Something went on from `start` until just before `end` (`None`: still does). `start` never goes back.
    pub fn add(&mut self, start: Timestamp, end: Option<Timestamp>) {
        let end = end.unwrap_or(Timestamp(i64::MAX));
        if end <= start || start >= self.buckets.end {
            return;
        }
        self.pass(start);
        self.open.push(Reverse(end));
        if start >= self.buckets.start() {
            self.note(self.buckets.index(start), start);
        }
    }

    /// The most in each span.
    pub fn finish(mut self) -> Vec<Peak> {
        self.pass(Timestamp(self.buckets.end.0 - 1));
        self.peaks
    }

    /// Time goes on to `at`: what ends until then is over, and spans that begin until then begin with what is open.
    fn pass(&mut self, at: Timestamp) {
        while let Some(bucket) = self.buckets.list.get(self.current).filter(|bucket| bucket.start <= at) {
            self.end_until(bucket.start);
            self.note(Some(self.current), bucket.start);
            self.current += 1;
        }
        self.end_until(at);
    }

    fn end_until(&mut self, at: Timestamp) {
        while self.open.peek().is_some_and(|Reverse(end)| *end <= at) {
            self.open.pop();
        }
    }

    fn note(&mut self, bucket: Option<usize>, at: Timestamp) {
        let count = self.open.len() as u64;
        if let Some(peak) =
            bucket.and_then(|bucket| self.peaks.get_mut(bucket)).filter(|peak| peak.count < count)
        {
            *peak = Peak { count, at };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::zone::Bucket;
    use proptest::prelude::*;

    fn buckets(starts: &[i64], end: i64) -> Buckets {
        let list = starts.iter().map(|at| Bucket { start: Timestamp(*at), label: String::new() }).collect();
        Buckets { list, end: Timestamp(end) }
    }

    /// By trying every instant.
    fn tried(spans: &[(i64, Option<i64>)], from: i64, to: i64) -> (u64, i64) {
        let open = |at: i64| {
            spans.iter().filter(|(start, end)| *start <= at && end.is_none_or(|end| at < end)).count()
        };
        (from..to)
            .map(|at| (open(at) as u64, at))
            .fold((0, from), |best, now| if now.0 > best.0 { now } else { best })
    }

    proptest! {
        #[test]
        fn the_sweep_finds_what_trying_every_instant_finds(
            mut spans in prop::collection::vec((-20_i64..60, prop::option::of(0_i64..30)), 0..40),
        ) {
            spans.sort_unstable();
            let spans: Vec<(i64, Option<i64>)> =
                spans.into_iter().map(|(start, length)| (start, length.map(|length| start + length))).collect();
            let buckets = buckets(&[0, 7, 8, 30], 45);
            let mut sweep = Sweep::new(&buckets);
            for (start, end) in &spans {
                sweep.add(Timestamp(*start), end.map(Timestamp));
            }
            let found: Vec<(u64, i64)> = sweep.finish().iter().map(|peak| (peak.count, peak.at.0)).collect();
            let expected: Vec<(u64, i64)> =
                [(0, 7), (7, 8), (8, 30), (30, 45)].iter().map(|(from, to)| tried(&spans, *from, *to)).collect();
            prop_assert_eq!(found, expected);
        }
    }
}
