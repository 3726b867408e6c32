//! Deadlines of all transactions in one heap. An entry that no longer matches its transaction is skipped.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Instant;

use crate::event::{ClientTransactionId, ServerTransactionId};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Name {
    Client(ClientTransactionId),
    Server(ServerTransactionId),
}

#[derive(Debug, Default)]
pub(super) struct Clock(BinaryHeap<Reverse<(Instant, Name)>>);

impl Clock {
    pub(super) fn set(&mut self, name: Name, at: Instant) {
        self.0.push(Reverse((at, name)));
    }

    /// The earliest deadline that still holds.
    pub(super) fn next(&mut self, actual: impl Fn(Name) -> Option<Instant>) -> Option<Instant> {
        while let Some(Reverse((at, name))) = self.0.peek().copied() {
            if actual(name) == Some(at) {
                return Some(at);
            }
            self.0.pop();
        }
        None
    }

    /// Takes a transaction whose deadline has come.
    pub(super) fn pop_due(&mut self, now: Instant, actual: impl Fn(Name) -> Option<Instant>) -> Option<Name> {
        let due = self.next(actual)? <= now;
        due.then(|| self.0.pop()).flatten().map(|Reverse((_, name))| name)
    }
}
