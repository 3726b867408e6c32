//! Whether what should have been recorded is there: pure.

use crate::spans::{Span, uncovered};
use hindsight_store::interactions::Completeness;
use hindsight_wire::Timestamp;

/// How long to wait before something that should be there and is not counts as missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// Nothing was announced: events and uploads of the last seconds may still be under way, milliseconds.
    pub unannounced_ms: i64,
    /// A recorder has begun and not delivered: it may be offline, milliseconds. What comes later still counts.
    pub announced_ms: i64,
}

impl Default for Patience {
    fn default() -> Self {
        Self { unannounced_ms: 20_000, announced_ms: 900_000 }
    }
}

/// Pieces of a conversation without voice that do not count: a crash costs half a second, a hand-over the rest.
pub const VOICE_TOLERANCE_MS: i64 = 2_000;
/// The same for screens: a command travels, the first frame is taken, a still screen is sampled.
pub const SCREEN_TOLERANCE_MS: i64 = 5_000;

/// What is known of one kind of media of one party.
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    /// When it should have been recorded.
    pub wanted: Vec<Span>,
    /// When it was: recordings that can be replayed.
    pub covered: Vec<Span>,
    /// Recordings announced that cannot be replayed yet and may be one day.
    pub waiting: usize,
    /// Recordings that never will.
    pub lost: usize,
    /// The end of the interaction; `None`: it goes on.
    pub ended_at: Option<Timestamp>,
}

/// The judgement.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// In one word.
    pub completeness: Completeness,
    /// What is missing, when something is.
    pub holes: Vec<Span>,
    /// When time alone changes it.
    pub recheck_at: Option<Timestamp>,
}

/// Judges at `now`.
pub fn judge(evidence: &Evidence, tolerance_ms: i64, patience: Patience, now: Timestamp) -> Verdict {
    let verdict = |completeness, holes, recheck_at| Verdict { completeness, holes, recheck_at };
    let Evidence { wanted, covered, waiting, lost, ended_at } = evidence;
    let anything = !covered.is_empty() || *waiting > 0 || *lost > 0;
    if wanted.is_empty() && !anything {
        return verdict(Completeness::None, Vec::new(), None);
    }
    let Some(ended_at) = ended_at else { return verdict(Completeness::Pending, Vec::new(), None) };
    // Small holes are borne in what was recorded; where nothing was, even a short conversation is missing.
    let holes = if covered.is_empty() { wanted.clone() } else { uncovered(wanted, covered, tolerance_ms) };
    let whole = holes.is_empty() && *lost == 0;
    let patience_ms = match (waiting, whole) {
        (0, true) => return verdict(Completeness::Complete, Vec::new(), None),
        (0, false) if *lost > 0 => 0,
        (0, false) => patience.unannounced_ms,
        (_, _) => patience.announced_ms,
    };
    let until = ended_at.plus_ms(patience_ms);
    if now < until {
        return verdict(Completeness::Pending, holes, Some(until));
    }
    let completeness = if covered.is_empty() { Completeness::Missing } else { Completeness::Partial };
    verdict(completeness, holes, None)
}

/// Several parties' screens in one word.
pub fn together(verdicts: impl Iterator<Item = Completeness>) -> Completeness {
    let all: Vec<Completeness> = verdicts.filter(|one| *one != Completeness::None).collect();
    let is = |wanted: Completeness| all.iter().filter(|one| **one == wanted).count();
    if all.is_empty() {
        Completeness::None
    } else if is(Completeness::Pending) > 0 {
        Completeness::Pending
    } else if is(Completeness::Complete) == all.len() {
        Completeness::Complete
    } else if is(Completeness::Missing) == all.len() {
        Completeness::Missing
    } else {
        Completeness::Partial
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::project::tests::{at, span};

    const P: Patience = Patience { unannounced_ms: 20_000, announced_ms: 900_000 };

    #[test]
    fn a_short_conversation_of_which_nothing_was_recorded_is_missing() {
        let short = Evidence { wanted: vec![span(10, 12)], ended_at: Some(at(12)), ..Evidence::default() };
        let verdict = judge(&short, SCREEN_TOLERANCE_MS, P, at(100));
        assert_eq!((verdict.completeness, verdict.holes), (Completeness::Missing, vec![span(10, 12)]));
    }

    fn evidence(covered: &[Span], waiting: usize, lost: usize) -> Evidence {
        Evidence {
            wanted: vec![span(10, 60)],
            covered: covered.to_vec(),
            waiting,
            lost,
            ended_at: Some(at(60)),
        }
    }

    fn word(evidence: &Evidence, now: i64) -> Completeness {
        judge(evidence, 2000, P, at(now)).completeness
    }

    #[test]
    fn nothing_wanted_and_nothing_there_is_none() {
        assert_eq!(word(&Evidence { ended_at: Some(at(60)), ..Evidence::default() }, 99), Completeness::None);
    }

    #[test]
    fn a_call_that_goes_on_is_pending() {
        let active = Evidence { ended_at: None, ..evidence(&[], 1, 0) };
        assert_eq!(word(&active, 9999), Completeness::Pending);
    }

    #[test]
    fn all_of_it_is_complete_at_once_and_a_part_after_a_while_partial() {
        assert_eq!(word(&evidence(&[span(10, 59)], 0, 0), 60), Completeness::Complete);
        let part = evidence(&[span(10, 40)], 0, 0);
        let soon = judge(&part, 2000, P, at(61));
        assert_eq!((soon.completeness, soon.recheck_at), (Completeness::Pending, Some(at(80))));
        let late = judge(&part, 2000, P, at(80));
        assert_eq!(
            (late.completeness, late.holes, late.recheck_at),
            (Completeness::Partial, vec![span(40, 60)], None)
        );
    }

    #[test]
    fn nothing_announced_is_missing_soon_and_something_announced_late() {
        assert_eq!(word(&evidence(&[], 0, 0), 79), Completeness::Pending);
        assert_eq!(word(&evidence(&[], 0, 0), 80), Completeness::Missing);
        assert_eq!(word(&evidence(&[], 1, 0), 959), Completeness::Pending);
        assert_eq!(word(&evidence(&[], 1, 0), 960), Completeness::Missing);
    }

    #[test]
    fn what_is_lost_for_good_is_said_at_once() {
        assert_eq!(word(&evidence(&[], 0, 1), 60), Completeness::Missing);
        assert_eq!(word(&evidence(&[span(10, 59)], 0, 1), 60), Completeness::Partial);
    }

    #[test]
    fn screens_together_are_as_good_as_all_of_them() {
        use Completeness::{Complete, Missing, None, Partial, Pending};
        for (all, expected) in [
            (vec![], None),
            (vec![None, Complete], Complete),
            (vec![Complete, Missing], Partial),
            (vec![Missing, Missing], Missing),
            (vec![Missing, Pending], Pending),
            (vec![Partial, Complete], Partial),
        ] {
            assert_eq!(together(all.into_iter()), expected);
        }
    }
}
