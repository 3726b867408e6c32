//! Counts of one outcome each, put together.

use hindsight_store::reports::SpanCount;
use std::collections::BTreeMap;

/// What happened in one span, for one DN, tenant or media server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    /// How many arrived: the sum of all outcomes.
    pub arrived: u64,
    /// By outcome.
    pub outcomes: BTreeMap<String, u64>,
    /// How many of them were incoming, where a DN is looked at.
    pub incoming: u64,
    /// Time spoken by those that are over, milliseconds.
    pub talk_ms: u64,
    /// The longest of them.
    pub longest_talk_ms: u64,
    /// Time until the answer of those that were answered, milliseconds.
    pub wait_ms: u64,
}

impl Sum {
    /// How many had this outcome.
    pub fn of(&self, outcome: &str) -> u64 {
        self.outcomes.get(outcome).copied().unwrap_or(0)
    }

    fn add(&mut self, count: &SpanCount) {
        self.arrived += count.count;
        *self.outcomes.entry(count.outcome.clone()).or_default() += count.count;
        self.incoming += count.incoming;
        self.talk_ms += count.talk_ms;
        self.longest_talk_ms = self.longest_talk_ms.max(count.longest_talk_ms);
        self.wait_ms += count.wait_ms;
    }
}

/// The sums by span and key; spans in which nothing happened have none.
pub fn sums(counts: &[SpanCount]) -> BTreeMap<(usize, String), Sum> {
    let mut sums: BTreeMap<(usize, String), Sum> = BTreeMap::new();
    for count in counts {
        sums.entry((count.span, count.key.clone())).or_default().add(count);
    }
    sums
}

/// All of it in one.
pub fn total(counts: &[SpanCount]) -> Sum {
    let mut total = Sum::default();
    counts.iter().for_each(|count| total.add(count));
    total
}
