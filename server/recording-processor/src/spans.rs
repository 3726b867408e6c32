//! Spans of server time, and what one set of them leaves uncovered of another.

use hindsight_wire::Timestamp;

/// From an instant to a later one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    /// First instant.
    pub from: Timestamp,
    /// First instant after it.
    pub to: Timestamp,
}

impl Span {
    /// A span; empty when `to` is before `from`.
    pub fn new(from: Timestamp, to: Timestamp) -> Self {
        Self { from, to: to.max(from) }
    }

    /// Length, milliseconds.
    pub fn ms(self) -> i64 {
        self.to.ms_since(self.from)
    }

    /// Whether an instant lies in it.
    pub fn holds(self, at: Timestamp) -> bool {
        self.from <= at && at < self.to
    }
}

/// What of `wanted` no span of `covered` covers, in order, without pieces of at most `tolerance_ms`.
pub fn uncovered(wanted: &[Span], covered: &[Span], tolerance_ms: i64) -> Vec<Span> {
    let mut covered = covered.to_vec();
    covered.sort();
    let mut holes = Vec::new();
    for span in wanted {
        let mut at = span.from;
        for cover in covered.iter().filter(|cover| cover.to > span.from && cover.from < span.to) {
            if cover.from > at {
                holes.push(Span::new(at, cover.from));
            }
            at = at.max(cover.to);
        }
        if at < span.to {
            holes.push(Span::new(at, span.to));
        }
    }
    holes.retain(|hole| hole.ms() > tolerance_ms);
    holes.sort();
    holes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(from_s: i64, to_s: i64) -> Span {
        Span::new(Timestamp(from_s * 1_000_000), Timestamp(to_s * 1_000_000))
    }

    #[test]
    fn what_is_not_covered_is_found_at_both_ends_and_in_between() {
        let holes = uncovered(&[span(0, 100)], &[span(60, 90), span(10, 50)], 0);
        assert_eq!(holes, [span(0, 10), span(50, 60), span(90, 100)]);
    }

    #[test]
    fn overlapping_covers_count_once_and_small_holes_not_at_all() {
        assert!(uncovered(&[span(0, 100)], &[span(0, 60), span(50, 98)], 2000).is_empty());
        assert_eq!(uncovered(&[span(0, 100)], &[span(0, 60), span(50, 97)], 2000), [span(97, 100)]);
    }

    #[test]
    fn nothing_wanted_leaves_nothing_uncovered() {
        assert!(uncovered(&[], &[span(0, 10)], 0).is_empty());
        assert!(uncovered(&[span(5, 5)], &[], 0).is_empty());
    }
}
