//! The status that windows are shown, put together.

use super::{Service, serve::now};
use hindsight_wire::{
    Timestamp,
    agent::{AgentState, Medium, Progress},
    local::{DesktopStatus, LinkState, PauseView, SignedInPerson, SpoolStatus},
};
use std::time::Duration;

/// A link that is being opened for so long is down.
const PATIENCE: Duration = Duration::from_secs(5);

impl Service {
    /// Shows how things are, to windows and, what is wrong, to the server.
    pub(super) fn show(&mut self) {
        let clock = self.linked.as_ref().and_then(|linked| *linked.handle.watch_clock().borrow());
        // A positive offset of the device's means that the server's clock is ahead.
        let clock_offset_ms = clock.map(|clock| (-(clock.offset_us as f64) / 100.0).round() / 10.0);
        self.desk.health.clock(clock_offset_ms, Timestamp::now());
        self.tell_problems();
        // RTP goes first.
        let in_call = self.in_call();
        self.upload_control.change(|conditions| conditions.in_call = in_call);
        let status = DesktopStatus {
            server: Some(self.address.clone()),
            sso: self.single_sign_on,
            sso_failure: self.browser_failure.clone(),
            link: self.link_state(),
            person: self.seat.as_ref().map(|seat| SignedInPerson {
                login: seat.login.clone(),
                name: self.view.name.clone(),
                dn: seat.dn.clone(),
            }),
            agent: self.agent_state(),
            reasons: self.view.reasons.clone(),
            capture: self.controller.capture_state(),
            pause: self.controller.pause(now()).map(|pause| PauseView {
                by: pause.by,
                reason: pause.reason,
                voice_not: pause.voice_not,
            }),
            monitors: u32::try_from(self.controller.monitors()).unwrap_or(u32::MAX),
            interactions: self.view.interactions.clone(),
            spool: self.spool_status(),
            clock_offset_ms,
            own_recordings: self.view.own_recordings,
            may_quit: self.seat.is_none() || self.policy.may_quit,
            ..DesktopStatus::default()
        };
        self.desk.publish(status);
    }

    fn link_state(&self) -> LinkState {
        match &self.linked {
            Some(linked) if linked.handle.is_up() => LinkState::Up,
            Some(linked) if linked.told => LinkState::Down,
            Some(linked) if linked.down_since.is_some_and(|since| since.elapsed() > PATIENCE) => {
                LinkState::Down
            }
            Some(_) => LinkState::Connecting,
            None => match self.server_there {
                Some(true) => LinkState::Up,
                Some(false) => LinkState::Down,
                None => LinkState::Connecting,
            },
        }
    }

    fn in_call(&self) -> bool {
        let talks = |progress| matches!(progress, Progress::Established | Progress::Held);
        self.view.interactions.iter().any(|view| view.medium == Medium::Voice && talks(view.progress))
    }

    fn agent_state(&self) -> AgentState {
        self.view.state.clone()
    }

    fn spool_status(&self) -> SpoolStatus {
        let status = self.uploads.borrow();
        SpoolStatus {
            waiting: status.waiting,
            waiting_bytes: status.waiting_bytes,
            refused: status.refused,
            // Whole megabytes: nobody is told of every file that others write.
            free_bytes: status.free_bytes >> 20 << 20,
        }
    }
}
