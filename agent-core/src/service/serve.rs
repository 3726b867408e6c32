//! The loop: what happens, in the order of its importance, and what is done about it.

use super::{
    Linked, Service,
    recovery::sign_interrupted,
    seat::{self, Ended},
    watch::{self, RuleWatch, Seen, SessionWatch},
};
use crate::{
    agent_view::Taken,
    controller::{Action, Input, Message, Moment},
    policy::{KeptPolicy, within_sense},
    recording::{RunEvent, media_clock_us},
};
use hindsight_link::{LinkEvent, Welcome};
use hindsight_local::Asked;
use hindsight_spool::Room;
use hindsight_wire::{
    CaptureId, Timestamp,
    agent::{AgentEvent, ProblemKind, Resume},
    link::{Down, Up},
    policy::CapturePolicy,
};
use std::{sync::PoisonError, time::Duration};
use tokio::{
    sync::watch as watched,
    time::{Instant, sleep_until},
};

/// The spool's state is told this often, and at most this often when it changes.
const SPOOL_EVERY: Duration = Duration::from_secs(60);
const SPOOL_AT_MOST: Duration = Duration::from_secs(1);
/// A link that is not open for so long is lost, for the offline policy and for people.
const LINK_PATIENCE: Duration = Duration::from_secs(5);
/// How often the display and, while nobody is signed in, the server are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// Least time between two reconnects for a gap in the event stream.
const GAP_AT_MOST: Duration = Duration::from_secs(5);
/// How long people are told that the recorder was restarted.
const RESTARTED_TOLD: Duration = Duration::from_secs(3600);
/// First version of the link with an agent's stream and requests.
pub(super) const REQUESTS_SINCE: u32 = 2;

/// What happens.
enum Event {
    Link(Option<LinkEvent>),
    Run(RunEvent),
    SignedIn(Ended),
    Asked(Option<Asked>),
    Seen(Option<Seen>),
    Room,
    Stop,
    Tick,
    Spool,
}

impl Service {
    /// Priorities: what the server says (a pause above all), windows (a pause pressed), the window in front, what captures
    /// tell, the order to stop, time, the spool.
    pub(super) async fn serve(&mut self, stop: &mut watched::Receiver<bool>) {
        let mut room = self.spool.room();
        room.mark_changed();
        let mut stopping = false;
        while !self.controller.is_done() {
            let tick = Instant::now() + self.controller.next_tick(now()).saturating_sub(now().up);
            let spool_may = self.spool_may_be_told();
            let event = tokio::select! {
                biased;
                event = next_of(&mut self.linked) => Event::Link(event),
                asked = self.desk.asks.recv() => Event::Asked(asked),
                seen = self.seen.recv() => Event::Seen(seen),
                event = self.captures.next_event() => Event::Run(event),
                ended = seat::finished(&mut self.signing_in) => Event::SignedIn(ended),
                _ = stop.changed(), if !stopping => Event::Stop,
                Ok(()) = room.changed() => Event::Room,
                () = sleep_until(tick) => Event::Tick,
                Ok(()) = self.uploads.changed(), if spool_may => Event::Spool,
            };
            match event {
                Event::Link(Some(event)) => self.link_event(event),
                Event::Link(None) => self.linked = None,
                Event::Run(event) => self.run_event(event).await,
                Event::SignedIn(ended) => self.signed_in(ended),
                Event::Asked(Some(asked)) => self.asked(asked),
                Event::Seen(Some(seen)) => self.seen(seen),
                Event::Asked(None) | Event::Seen(None) => {}
                Event::Room => {
                    let now_room = room.borrow_and_update().clone();
                    self.room(&now_room);
                }
                Event::Stop => {
                    stopping = true;
                    tracing::info!("stopping");
                    self.take(Input::Shutdown);
                }
                Event::Tick => self.tick(),
                Event::Spool => self.tell_spool(),
            }
            self.sign_out_when_quiet();
            self.show();
        }
    }

    pub(super) fn take(&mut self, input: Input) {
        for action in self.controller.handle(input, now(), &mut CaptureId::new) {
            self.act(action);
        }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Start(start) => self.captures.start(start),
            Action::Mark(mark) => self.captures.mark(mark),
            Action::NextPart => self.captures.next_part(),
            Action::Recipients(pem) => self.captures.recipients(&pem),
            Action::Finish => self.captures.finish(),
            Action::Send(message) => self.send(message),
            Action::Request { request, action } => self.send_up(Up::Request { request, action }),
            Action::Answer { ask, result } => self.answer(ask, result),
            Action::KeepPauses(pauses) => {
                if let Err(error) = self.pauses_file.store(&pauses) {
                    tracing::warn!(%error, "the pauses could not be kept for a restart");
                }
            }
            Action::Keep { policy, recipients } => self.keep_policy(policy, recipients),
        }
    }

    fn keep_policy(&mut self, policy: CapturePolicy, recipients: Vec<String>) {
        self.policy = policy.clone();
        self.upload_control.change(|conditions| conditions.policy = Some(policy.upload.clone()));
        self.watch_front();
        let kept = KeptPolicy { policy, recipients, seat: self.seat.clone() };
        if let Err(error) = self.policy_file.store(&kept) {
            tracing::warn!(%error, "the policy could not be kept for a start without the server");
        }
    }

    fn send(&self, message: Message) {
        self.send_up(Up::from(message));
    }

    pub(super) fn send_up(&self, message: Up) {
        let Some(linked) = &self.linked else { return };
        if let Err(error) = linked.handle.send(message) {
            tracing::warn!(%error, "a message to the server was not taken");
        }
    }

    fn link_event(&mut self, event: LinkEvent) {
        match event {
            LinkEvent::Up(welcome) => self.link_up(welcome),
            LinkEvent::Lost { reason, .. } => {
                tracing::info!(reason, "the link is lost");
                if let Some(linked) = &mut self.linked {
                    (linked.down_since, linked.told) = (Some(Instant::now()), true);
                }
                self.take(Input::LinkLost);
            }
            LinkEvent::Refused { reason, retry } => {
                tracing::warn!(reason, retry, "the link is refused");
                self.take(Input::LinkLost);
                if !retry {
                    self.sign_in_again(&reason);
                }
            }
            LinkEvent::Down(down) => self.down(down),
        }
    }

    fn link_up(&mut self, welcome: Welcome) {
        tracing::info!("the link is open");
        if let Some(linked) = &mut self.linked {
            (linked.down_since, linked.told) = (None, true);
            linked.protocol = welcome.protocol;
        }
        (self.spool_told, self.problems_told) = (None, None);
        self.desk.problem(ProblemKind::Link, None);
        self.desk.problem(ProblemKind::Refused, None);
        let requests = welcome.protocol >= REQUESTS_SINCE;
        let old = "the server is of an older version: no agent state, no interactions, and a pause pressed here is not \
                   the voice's";
        self.desk.problem(ProblemKind::Other, (!requests).then(|| old.to_owned()));
        let policy = welcome.policy.as_ref().map(within_sense);
        self.take(Input::LinkUp { policy, recipients: welcome.recipients, requests });
        self.tell_spool();
    }

    fn down(&mut self, down: Down) {
        match down {
            Down::StartCapture { interaction, recipients, policy } => {
                tracing::info!(%interaction, "capture wanted");
                self.take(Input::Start { interaction, recipients, policy: within_sense(&policy) });
            }
            Down::StopCapture { interaction } => {
                tracing::info!(%interaction, "capture no longer wanted");
                self.take(Input::Stop(interaction));
            }
            Down::PauseCapture { interaction, by, reason } => {
                tracing::info!(%interaction, "pause");
                self.take(Input::Pause { interaction, by, reason });
            }
            Down::ResumeCapture { interaction } => {
                tracing::info!(%interaction, "resume");
                self.take(Input::Resume(interaction));
            }
            Down::Welcome { policy: Some(policy), recipients, .. } => {
                self.take(Input::Policy { policy: within_sense(&policy), recipients });
            }
            Down::Agent { at, event } => self.agent_event(at, event),
            Down::Answer { request, error } => self.take(Input::Answered { request, error }),
            Down::Welcome { policy: None, .. }
            | Down::Refused { .. }
            | Down::Clock { .. }
            | Down::Accepted { .. }
            | Down::TraceStored { .. }
            | Down::Config(_)
            | Down::Control { .. }
            | Down::CallControl { .. }
            | Down::Unknown => tracing::debug!("a message that is not for a desktop"),
        }
    }

    fn agent_event(&mut self, at: Resume, event: AgentEvent) {
        let taken = self.view.take(at, event);
        self.greeting.lock().unwrap_or_else(PoisonError::into_inner).resume = self.view.at;
        match taken {
            Taken::Applied => self.take(Input::Known(self.view.interactions.clone())),
            Taken::Nothing => {}
            Taken::Gap => {
                let soon = self.gap_at.is_some_and(|gap| gap.elapsed() < GAP_AT_MOST);
                if !soon && let Some(linked) = &self.linked {
                    tracing::warn!("steps of the agent's events are missing; asking for all of it");
                    self.gap_at = Some(Instant::now());
                    linked.handle.reconnect();
                }
            }
        }
    }

    async fn run_event(&mut self, event: RunEvent) {
        match event {
            RunEvent::PartStarted { part, recordings, at } => {
                tracing::info!(part, monitors = recordings.len(), "capture started");
                self.display_problem(0, None);
                self.take(Input::PartStarted { part, recordings, at });
            }
            RunEvent::Ended(result) => {
                self.captures.ended().await;
                let error = result.err().map(|error| error.to_string());
                match &error {
                    Some(error) => tracing::warn!(error, "the capture broke off"),
                    None => tracing::info!("the capture ended"),
                }
                if error.is_some() {
                    self.display_problem(0, error.clone());
                }
                self.take(Input::Ended { error });
            }
        }
    }

    fn room(&mut self, room: &Room) {
        let free = self.spool.free_bytes().unwrap_or(0);
        self.desk.health.room(room, free, Timestamp::now());
        if !matches!(room, Room::Unwritable(_)) {
            // What a start on a read-only disk, or a full one, left unsigned.
            let (spool, identity) = (self.spool.clone(), self.identity.clone());
            tokio::task::spawn_blocking(move || {
                if let Err(error) = sign_interrupted(&spool, &identity) {
                    tracing::error!(%error, "what was cut could not be signed");
                }
            });
        }
        self.take(Input::Room { takes_new: room.takes_new(), ends_running: room.ends_running() });
    }

    fn seen(&mut self, seen: Seen) {
        match seen {
            Seen::Rule(rule) => {
                tracing::info!(holds = rule.is_some(), "the rule for windows in front");
                self.take(Input::Rule(rule));
            }
            Seen::Windows(error) => {
                let in_words =
                    |error| format!("the window in front cannot be told, everything is masked: {error}");
                if let Some(error) = error {
                    self.desk.problem(ProblemKind::Capture, Some(in_words(error)));
                } else {
                    self.desk.problem(ProblemKind::Capture, None);
                }
            }
            Seen::Display(error) => {
                if let Some(error) = &error {
                    tracing::warn!(error, "the screens cannot be captured");
                }
                self.display_problem(0, error);
            }
            Seen::Away(away) => {
                tracing::info!(away, "the session is locked or behind another");
                self.take(Input::Locked(away));
            }
            Seen::Server(offer) => {
                self.server_there = Some(offer.is_some());
                // What a server offered that is away now, it will offer again.
                self.single_sign_on = offer.unwrap_or(self.single_sign_on);
            }
        }
    }

    fn display_problem(&mut self, which: usize, error: Option<String>) {
        self.display_problems[which] = error;
        let worst = self.display_problems.iter().flatten().next().cloned();
        self.desk.problem(ProblemKind::Capture, worst);
    }

    fn tick(&mut self) {
        if let Some(linked) = &mut self.linked
            && let Some(since) = linked.down_since
            && since.elapsed() >= LINK_PATIENCE
        {
            let was_told = std::mem::replace(&mut linked.told, true);
            let detail = format!("the server {} cannot be reached", self.address);
            self.desk.problem(ProblemKind::Link, Some(detail));
            if !was_told {
                self.take(Input::LinkLost);
            }
        }
        if Instant::now() >= self.look_at {
            self.look_at = Instant::now() + LOOK_EVERY;
            self.look();
        }
        if self.restarted_at.is_some_and(|at| at.elapsed() >= RESTARTED_TOLD) {
            self.restarted_at = None;
            self.desk.problem(ProblemKind::Restarted, None);
        }
        if self.linked.as_ref().is_some_and(|linked| linked.handle.is_up()) && self.spool_due() {
            self.tell_spool();
        }
        self.take(Input::Tick);
    }

    /// A display that fails is a problem before a call needs it, and none once it works.
    fn look(&mut self) {
        use hindsight_wire::local::CaptureState;
        if self.controller.capture_state() == CaptureState::Idle {
            watch::display(self.config.backend, self.config.display.clone(), self.see.clone());
        }
        if self.linked.is_none()
            && let Ok(client) = self.identity.http_client()
        {
            watch::server(client, &self.address, self.see.clone());
        }
    }

    /// Looks at the session while somebody sits here, and at the window in front while policy has rules for it.
    pub(super) fn watch_front(&mut self) {
        let (backend, display) = (self.config.backend, self.config.display.clone());
        if self.seat.is_none() {
            if self.session_watch.take().is_some() {
                self.take(Input::Locked(false));
            }
        } else if self.session_watch.is_none() {
            self.session_watch = Some(SessionWatch::start(backend, display.clone(), self.see.clone()));
        }
        let wanted = self.seat.is_some() && !self.policy.pause_while.is_empty();
        let same = self.rule_watch.as_ref().is_some_and(|watch| watch.rules() == self.policy.pause_while);
        if wanted && !same {
            let rules = self.policy.pause_while.clone();
            self.rule_watch = Some(RuleWatch::start(backend, display, rules, self.see.clone()));
        } else if !wanted && self.rule_watch.take().is_some() {
            self.take(Input::Rule(None));
        }
    }

    fn spool_due(&self) -> bool {
        self.spool_told.is_none_or(|told| told.elapsed() >= SPOOL_EVERY)
    }

    fn spool_may_be_told(&self) -> bool {
        self.spool_told.is_none_or(|told| told.elapsed() >= SPOOL_AT_MOST)
    }

    fn tell_spool(&mut self) {
        self.spool_told = Some(Instant::now());
        let status = self.uploads.borrow_and_update().clone();
        self.desk.health.uploads(&status, Timestamp::now());
        self.send_up_if_open(status.to_link());
    }

    pub(super) fn send_up_if_open(&self, message: Up) {
        if self.linked.as_ref().is_some_and(|linked| linked.handle.is_up()) {
            self.send_up(message);
        }
    }

    /// Tells the server what is wrong, at every change.
    pub(super) fn tell_problems(&mut self) {
        let open = |linked: &Linked| linked.protocol >= REQUESTS_SINCE && linked.handle.is_up();
        let problems = self.desk.health.list();
        if self.linked.as_ref().is_some_and(open) && self.problems_told.as_ref() != Some(&problems) {
            self.send_up(Up::Problems { problems: problems.clone() });
            self.problems_told = Some(problems);
        }
    }
}

/// What the link tells next; never, while there is none.
async fn next_of(linked: &mut Option<Linked>) -> Option<LinkEvent> {
    match linked {
        Some(linked) => linked.events.recv().await,
        None => std::future::pending().await,
    }
}

pub(super) fn now() -> Moment {
    Moment { at: Timestamp::now(), up: Duration::from_micros(media_clock_us()) }
}
