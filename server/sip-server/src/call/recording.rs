//! A call's recording: commands to it, and what the media server says of them.

use super::{Action, Call, Failure, Leg, Now, Order, Phase, Side, Whose};
use hindsight_wire::component::{RecordingAction, RecordingControl};

impl Call {
    pub(super) fn on_control(&mut self, request: u64, control: RecordingControl, now: Now) {
        if !matches!(self.phase, Phase::Established(_)) {
            let error = Some("the call is not established".to_owned());
            return self.out.push_back(Action::Result { request, error });
        }
        let until = now.instant + self.limits.control;
        match self.recorder.command(control, request, until, now.wall, &mut self.rng) {
            Ok(order) => self.send_order(order),
            Err(refusal) => {
                self.out.push_back(Action::Result { request, error: Some(refusal.to_string()) });
            }
        }
    }

    pub(super) fn send_order(&mut self, order: Order) {
        self.send_order_at(self.agent, order);
    }

    /// The same in the dialog of this side's media leg: after what that leg is told before.
    pub(super) fn send_order_at(&mut self, side: Side, mut order: Order) {
        if order.action == RecordingAction::Start {
            let (agent, customer) = (self.number(self.agent), self.number(self.agent.other()));
            order.whose = Some(Whose { agent, customer, swapped: self.agent != self.opened_agent });
        }
        self.out.push_back(Action::Order { leg: Leg::Media(side), order });
    }

    pub(super) fn on_ordered(&mut self, serial: u32, outcome: Result<(), Failure>, now: Now) {
        if matches!(self.phase, Phase::Over) {
            return;
        }
        self.recorder.ordered(serial, outcome);
        if let Phase::Arming(_) = self.phase {
            return self.establish(now);
        }
        self.drain_recorder();
    }

    /// What still is to be recorded goes on as the next part, with what the media server has left.
    pub(super) fn on_recording_broke(&mut self, leg: Leg, reason: String, now: Now) {
        let goes_on = matches!(self.phase, Phase::Established(_)) && !self.is_reserving_again();
        if !goes_on || !self.open.contains(&leg) {
            return tracing::debug!(?leg, reason, "a recording that is over anyway broke");
        }
        self.recorder.interrupted(&reason);
        self.drain_recorder();
        if let Some(order) = self.recorder.go_on(true, now.instant + self.limits.control) {
            self.send_order(order);
        }
    }

    pub(super) fn drain_recorder(&mut self) {
        while let Some(action) = self.recorder.poll() {
            self.touched = true;
            self.out.push_back(action);
        }
    }
}
