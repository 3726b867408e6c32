//! The parties change: what runs ends, and goes on as its next part where it is for the party that stays.

use super::{Action, Confirmed, Order, Pending, Recorder, RecordingAction, Waiting, What};
use std::time::Instant;

/// Who ends a recording when the party that it was for has left.
const TRANSFER: &str = "transfer";

/// What becomes of a recording when the parties change: one of its files never holds the voices of three.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::call) enum Cut {
    /// It was for who left.
    Ends,
    /// It is for who stays: goes on as its next part.
    GoesOn,
}

impl Recorder {
    /// The parties change: ends what runs; `None`: nothing does.
    pub(in crate::call) fn cut(&mut self, cut: Cut, until: Instant) -> Option<Order> {
        // A start that was given up may have been carried out all the same, and would be confirmed late.
        let late = self.given_up.take().filter(|order| order.action == RecordingAction::Start);
        let capture = match self.confirmed {
            Confirmed::Off => late?.capture,
            Confirmed::On(capture) | Confirmed::Paused(capture) => capture,
        };
        let order = Order {
            serial: self.next_serial(),
            action: RecordingAction::Stop,
            capture,
            by: TRANSFER.to_owned(),
            reason: "the parties of the call change".to_owned(),
            part: 1,
            paused: false,
            whole: false,
            whose: None,
        };
        self.pending =
            Some(Pending { order: order.clone(), request: None, also: None, cut: Some(cut), until });
        Some(order)
    }

    /// What was cut has ended.
    pub(super) fn was_cut(&mut self, cut: Cut) {
        let was_on = std::mem::take(&mut self.confirmed) != Confirmed::Off;
        match (cut, self.running.take()) {
            (Cut::GoesOn, Some(running)) => {
                self.waiting = Some(Waiting { running, request: None, also: None });
            }
            (Cut::Ends | Cut::GoesOn, _) if was_on => {
                let what = What::RecordingStopped { by: TRANSFER.to_owned(), voice_only: true };
                self.out.push_back(Action::Emit(what));
            }
            (Cut::Ends | Cut::GoesOn, _) => {}
        }
    }

    /// It cannot be ended: nothing is known of it any more.
    pub(super) fn cut_failed(&mut self, cut: Cut, reason: &str) {
        let running = self.running.clone();
        self.lose(reason);
        if let (Cut::GoesOn, Some(running)) = (cut, running) {
            self.waiting = Some(Waiting { running, request: None, also: None });
        }
    }
}
