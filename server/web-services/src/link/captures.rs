//! Which desktop captures its screens for which call: pure, no clock, no sockets.
//!
//! Calls come as domain events, desktops come and go with their links. After every change the captures that are wanted
//! are compared with those that were commanded, and the difference is sent. A batch of events is taken whole before the
//! comparison: a call whose beginning and end arrive together (the server was away) starts nothing.

use hindsight_model::event::{Event, What};
use hindsight_wire::{
    CaptureId, DeviceId, InteractionId, PersonId, RecordingId, Timestamp, link::Down, policy::CapturePolicy,
};
use std::collections::{BTreeMap, HashMap, VecDeque};

/// Ended calls remembered, so that a desktop that was away learns of the end.
const ENDED_REMEMBERED: usize = 4096;
/// Of those, how many one desktop is told at most when it comes back.
const ENDED_TOLD: usize = 20;
/// A call without an end for so long is given up: its SIP server was lost with its journal.
const LONGEST_CALL_MS: i64 = 24 * 3600 * 1000;

/// What to do next.
#[derive(Clone)]
pub enum Output {
    /// Send this to a desktop.
    Send(DeviceId, Down),
    /// Append this to the event log.
    Log(Event),
}

/// A desktop with an open link.
#[derive(Clone, Debug)]
pub struct Desktop {
    /// Who signed in.
    pub person: PersonId,
    /// Where they sit.
    pub dn: String,
}

/// How captures are made: site policy and the certificates they are sealed for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Terms {
    /// Sent with every start.
    pub policy: CapturePolicy,
    /// PEM.
    pub recipients: Vec<String>,
}

#[derive(Default)]
struct Call {
    offered_at: Option<Timestamp>,
    record_screen: Vec<String>,
    established: Vec<String>,
    paused: Option<Paused>,
    stopped: bool,
}

#[derive(Clone, Debug, PartialEq)]
struct Paused {
    by: String,
    reason: String,
}

impl Call {
    fn wants(&self, dn: &str) -> bool {
        let here = |list: &[String]| list.iter().any(|one| one == dn);
        !self.stopped && here(&self.record_screen) && here(&self.established)
    }
}

struct AfterCall {
    until: Timestamp,
    /// Where it was captured to the end.
    dns: Vec<String>,
    paused: Option<Paused>,
    /// Everywhere it could have been.
    record_screen: Vec<String>,
}

struct Linked {
    desktop: Desktop,
    /// Grows with every link: of two desktops at one DN the last to come captures.
    arrival: u64,
    commanded: BTreeMap<InteractionId, Option<Paused>>,
}

/// The state of all calls and desktops.
#[derive(Default)]
pub struct Captures {
    terms: Terms,
    calls: HashMap<InteractionId, Call>,
    /// Over, and still captured for after-call work.
    after_call: BTreeMap<InteractionId, AfterCall>,
    ended: VecDeque<(InteractionId, Vec<String>)>,
    desktops: HashMap<DeviceId, Linked>,
    arrivals: u64,
}

impl Captures {
    /// How captures are made from now on.
    pub fn set_terms(&mut self, terms: Terms) {
        self.terms = terms;
    }

    /// How many desktops have a link.
    pub fn desktops(&self) -> usize {
        self.desktops.len()
    }

    /// How many calls are not over.
    pub fn calls(&self) -> usize {
        self.calls.len()
    }

    /// Events from the log, in its order.
    pub fn events(&mut self, events: &[Event], now: Timestamp) -> Vec<Output> {
        for event in events {
            self.apply(event);
        }
        self.calls.retain(|_, call| call.offered_at.is_none_or(|at| now.ms_since(at) < LONGEST_CALL_MS));
        self.on_time(now)
    }

    /// When [`Captures::on_time`] wants to be called.
    pub fn deadline(&self) -> Option<Timestamp> {
        self.after_call.values().map(|after| after.until).min()
    }

    /// After-call work may be over.
    pub fn on_time(&mut self, now: Timestamp) -> Vec<Output> {
        let over: Vec<InteractionId> =
            self.after_call.iter().filter(|(_, after)| after.until <= now).map(|(id, _)| *id).collect();
        for id in over {
            if let Some(after) = self.after_call.remove(&id) {
                self.note_end(id, after.record_screen);
            }
        }
        self.reconcile()
    }

    fn note_end(&mut self, id: InteractionId, record_screen: Vec<String>) {
        self.ended.push_back((id, record_screen));
        if self.ended.len() > ENDED_REMEMBERED {
            self.ended.pop_front();
        }
    }

    /// A desktop's link is open.
    pub fn desktop_up(&mut self, device: DeviceId, desktop: Desktop) -> Vec<Output> {
        self.arrivals += 1;
        let told: Vec<InteractionId> = self.ended_at(&desktop.dn);
        let linked = Linked { desktop, arrival: self.arrivals, commanded: BTreeMap::new() };
        self.desktops.insert(device, linked);
        let stops =
            told.into_iter().map(|interaction| Output::Send(device, Down::StopCapture { interaction }));
        stops.chain(self.reconcile()).collect()
    }

    /// A desktop's link is gone. What it captures goes on under its own limits.
    pub fn desktop_down(&mut self, device: DeviceId) -> Vec<Output> {
        self.desktops.remove(&device);
        self.reconcile()
    }

    /// A desktop took its first frame.
    pub fn started(
        &self,
        device: DeviceId,
        interactions: &[InteractionId],
        capture: CaptureId,
        recordings: &[RecordingId],
        now: Timestamp,
    ) -> Vec<Output> {
        let Some(Linked { desktop, .. }) = self.desktops.get(&device) else { return Vec::new() };
        let event = |&interaction: &InteractionId| {
            let what = What::ScreenStarted {
                person: desktop.person,
                dn: desktop.dn.clone(),
                capture,
                recordings: recordings.to_vec(),
            };
            Output::Log(Event { interaction, at: now, what })
        };
        interactions.iter().filter(|id| self.knows(**id)).map(event).collect()
    }

    /// A desktop could not begin, or had to end before it was told to.
    pub fn failed(
        &self,
        device: DeviceId,
        interactions: &[InteractionId],
        error: &str,
        now: Timestamp,
    ) -> Vec<Output> {
        let Some(Linked { desktop, .. }) = self.desktops.get(&device) else { return Vec::new() };
        let event = |&interaction: &InteractionId| {
            let what = What::ScreenGap { dn: desktop.dn.clone(), reason: error.to_owned() };
            Output::Log(Event { interaction, at: now, what })
        };
        interactions.iter().filter(|id| self.knows(**id)).map(event).collect()
    }

    /// A device may speak only of calls that exist.
    fn knows(&self, interaction: InteractionId) -> bool {
        self.calls.contains_key(&interaction)
            || self.after_call.contains_key(&interaction)
            || self.ended.iter().any(|(id, _)| *id == interaction)
    }

    fn ended_at(&self, dn: &str) -> Vec<InteractionId> {
        let here = self.ended.iter().rev().filter(|(_, dns)| dns.iter().any(|one| one == dn));
        here.take(ENDED_TOLD).map(|(id, _)| *id).collect()
    }

    fn apply(&mut self, event: &Event) {
        let id = event.interaction;
        match &event.what {
            What::CallOffered { record_screen, .. } => {
                let call = self.calls.entry(id).or_default();
                call.offered_at = Some(event.at);
                call.record_screen.clone_from(record_screen);
            }
            What::CallEstablished { parties } => {
                let call = self.calls.entry(id).or_default();
                call.offered_at.get_or_insert(event.at);
                call.established =
                    parties.iter().filter(|party| party.is_dn).map(|party| party.number.clone()).collect();
            }
            What::CallEnded { .. } | What::InteractionEnded { .. } => {
                let Some(call) = self.calls.remove(&id) else { return };
                if call.record_screen.is_empty() {
                    return;
                }
                let dns: Vec<String> =
                    call.record_screen.iter().filter(|dn| call.wants(dn)).cloned().collect();
                let seconds = i64::from(self.terms.policy.after_call_seconds);
                if seconds == 0 || dns.is_empty() {
                    return self.note_end(id, call.record_screen);
                }
                let until = event.at.plus_ms(seconds * 1000);
                let Call { paused, record_screen, .. } = call;
                self.after_call.insert(id, AfterCall { until, dns, paused, record_screen });
            }
            What::InteractionAnnounced(announced) => {
                let call = self.calls.entry(id).or_default();
                call.offered_at = Some(event.at);
                call.established = vec![announced.dn.clone()];
                call.record_screen =
                    if announced.record_screen { call.established.clone() } else { Vec::new() };
            }
            What::RecordingPaused { by, reason, .. } => {
                if let Some(call) = self.calls.get_mut(&id) {
                    call.paused = Some(Paused { by: by.clone(), reason: reason.clone() });
                }
            }
            What::RecordingResumed { .. } => {
                if let Some(call) = self.calls.get_mut(&id) {
                    call.paused = None;
                }
            }
            What::RecordingStarted { .. } => {
                if let Some(call) = self.calls.get_mut(&id) {
                    call.stopped = false;
                    call.paused = None;
                }
            }
            What::RecordingStopped { .. } => {
                if let Some(call) = self.calls.get_mut(&id) {
                    call.stopped = true;
                }
            }
            What::CallRinging { .. }
            | What::CallHeld { .. }
            | What::CallRetrieved { .. }
            | What::RecordingFailed { .. }
            | What::RecordingOpened { .. }
            | What::ScreenStarted { .. }
            | What::ScreenGap { .. }
            | What::SessionEnded(_) => {}
        }
    }

    fn reconcile(&mut self) -> Vec<Output> {
        let mut at_dn: HashMap<String, (u64, DeviceId)> = HashMap::new();
        for (device, linked) in &self.desktops {
            let newest = at_dn.entry(linked.desktop.dn.clone()).or_insert((linked.arrival, *device));
            *newest = (*newest).max((linked.arrival, *device));
        }
        let mut outputs = Vec::new();
        for (device, linked) in &mut self.desktops {
            let captures = at_dn.get(&linked.desktop.dn).is_some_and(|(_, newest)| newest == device);
            let wanted: BTreeMap<InteractionId, Option<Paused>> = if captures {
                let dn = &linked.desktop.dn;
                let calls = self.calls.iter().filter(|(_, call)| call.wants(dn));
                let after = self.after_call.iter().filter(|(_, after)| after.dns.contains(dn));
                let calls = calls.map(|(id, call)| (*id, call.paused.clone()));
                calls.chain(after.map(|(id, after)| (*id, after.paused.clone()))).collect()
            } else {
                BTreeMap::new()
            };
            difference(&linked.commanded, &wanted, &self.terms, |down| {
                outputs.push(Output::Send(*device, down))
            });
            linked.commanded = wanted;
        }
        outputs
    }
}

/// The commands that lead from what was commanded to what is wanted. A pause goes before everything else.
fn difference(
    commanded: &BTreeMap<InteractionId, Option<Paused>>,
    wanted: &BTreeMap<InteractionId, Option<Paused>>,
    terms: &Terms,
    mut send: impl FnMut(Down),
) {
    let pause = |interaction, Paused { by, reason }: &Paused| Down::PauseCapture {
        interaction,
        by: by.clone(),
        reason: reason.clone(),
    };
    for (&interaction, state) in wanted {
        match (commanded.get(&interaction), state) {
            (Some(before), Some(paused)) if before.as_ref() != Some(paused) => {
                send(pause(interaction, paused))
            }
            (Some(Some(_)), None) => send(Down::ResumeCapture { interaction }),
            _ => {}
        }
    }
    for (&interaction, state) in wanted.iter().filter(|(id, _)| !commanded.contains_key(id)) {
        let Terms { policy, recipients } = terms.clone();
        send(Down::StartCapture { interaction, recipients, policy });
        if let Some(paused) = state {
            send(pause(interaction, paused));
        }
    }
    for &interaction in commanded.keys().filter(|id| !wanted.contains_key(id)) {
        send(Down::StopCapture { interaction });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hindsight_model::event::{CallParty, EndCause};
    use hindsight_wire::manifest::Party;

    const NOW: Timestamp = Timestamp(1_795_000_000_000_000);

    fn event(interaction: InteractionId, what: What) -> Event {
        Event { interaction, at: NOW, what }
    }

    fn offered(interaction: InteractionId, dns: &[&str]) -> Event {
        let record_screen = dns.iter().map(|dn| (*dn).to_owned()).collect();
        let (caller, dialled) = ("0701".to_owned(), "1001".to_owned());
        event(interaction, What::CallOffered { caller, dialled, record_voice: vec![], record_screen })
    }

    fn established(interaction: InteractionId, dn: &str) -> Event {
        let party = CallParty { number: dn.to_owned(), role: Party::Agent, is_dn: true };
        event(interaction, What::CallEstablished { parties: vec![party] })
    }

    fn ended(interaction: InteractionId) -> Event {
        event(interaction, What::CallEnded { cause: EndCause::HungUp, by: None })
    }

    fn desktop(dn: &str) -> Desktop {
        Desktop { person: PersonId::new(), dn: dn.to_owned() }
    }

    fn told(outputs: Vec<Output>) -> Vec<String> {
        let name = |output: Output| match output {
            Output::Send(_, Down::StartCapture { .. }) => "start".to_owned(),
            Output::Send(_, Down::StopCapture { .. }) => "stop".to_owned(),
            Output::Send(_, Down::PauseCapture { reason, .. }) => format!("pause {reason}"),
            Output::Send(_, Down::ResumeCapture { .. }) => "resume".to_owned(),
            Output::Send(..) => "other".to_owned(),
            Output::Log(event) => format!("log {:?}", event.what),
        };
        outputs.into_iter().map(name).collect()
    }

    #[test]
    fn a_desktop_captures_from_the_answer_to_the_end() {
        let (mut captures, call) = (Captures::default(), InteractionId::new());
        captures.desktop_up(DeviceId::new(), desktop("1001"));
        assert!(captures.events(&[offered(call, &["1001"])], NOW).is_empty());
        assert_eq!(told(captures.events(&[established(call, "1001")], NOW)), ["start"]);
        assert!(captures.events(&[established(call, "1001")], NOW).is_empty(), "an event may come twice");
        assert_eq!(told(captures.events(&[ended(call)], NOW)), ["stop"]);
    }

    #[test]
    fn a_dn_whose_policy_asks_for_no_screens_starts_nothing() {
        let (mut captures, call) = (Captures::default(), InteractionId::new());
        captures.desktop_up(DeviceId::new(), desktop("1002"));
        assert!(captures.events(&[offered(call, &["1001"]), established(call, "1002")], NOW).is_empty());
    }

    #[test]
    fn a_call_that_came_and_went_while_the_server_was_away_starts_nothing() {
        let (mut captures, call) = (Captures::default(), InteractionId::new());
        captures.desktop_up(DeviceId::new(), desktop("1001"));
        let batch = [offered(call, &["1001"]), established(call, "1001"), ended(call)];
        assert!(captures.events(&batch, NOW).is_empty());
    }

    #[test]
    fn a_desktop_that_comes_back_is_told_of_active_and_of_ended_calls() {
        let (mut captures, device) = (Captures::default(), DeviceId::new());
        let (active, over) = (InteractionId::new(), InteractionId::new());
        captures.desktop_up(device, desktop("1001"));
        captures.events(&[offered(over, &["1001"]), established(over, "1001")], NOW);
        captures.desktop_down(device);
        captures.events(&[ended(over), offered(active, &["1001"]), established(active, "1001")], NOW);
        assert_eq!(told(captures.desktop_up(device, desktop("1001"))), ["stop", "start"]);
    }

    #[test]
    fn a_pause_reaches_a_capture_that_runs_and_one_that_begins_later() {
        let (mut captures, call) = (Captures::default(), InteractionId::new());
        let paused = event(call, What::RecordingPaused { by: "ann".into(), reason: "card".into() });
        let first = DeviceId::new();
        captures.desktop_up(first, desktop("1001"));
        captures.events(&[offered(call, &["1001"]), established(call, "1001")], NOW);
        assert_eq!(told(captures.events(&[paused], NOW)), ["pause card"]);
        captures.desktop_down(first);
        assert_eq!(told(captures.desktop_up(first, desktop("1001"))), ["start", "pause card"]);
        let resumed = event(call, What::RecordingResumed { by: "ann".into() });
        assert_eq!(told(captures.events(&[resumed], NOW)), ["resume"]);
    }

    #[test]
    fn of_two_desktops_at_one_dn_the_last_to_come_captures() {
        let (mut captures, call) = (Captures::default(), InteractionId::new());
        captures.desktop_up(DeviceId::new(), desktop("1001"));
        captures.events(&[offered(call, &["1001"]), established(call, "1001")], NOW);
        let mut outputs = told(captures.desktop_up(DeviceId::new(), desktop("1001")));
        outputs.sort();
        assert_eq!(outputs, ["start", "stop"]);
    }

    #[test]
    fn a_stop_by_a_person_ends_the_screens_too_and_a_start_brings_them_back() {
        let (mut captures, call) = (Captures::default(), InteractionId::new());
        captures.desktop_up(DeviceId::new(), desktop("1001"));
        captures.events(&[offered(call, &["1001"]), established(call, "1001")], NOW);
        let stopped = event(call, What::RecordingStopped { by: "ann".into() });
        assert_eq!(told(captures.events(&[stopped], NOW)), ["stop"]);
        let started = event(call, What::RecordingStarted { capture: CaptureId::new(), by: "ann".into() });
        assert_eq!(told(captures.events(&[started], NOW)), ["start"]);
    }

    #[test]
    fn after_call_work_is_captured_for_as_long_as_policy_says_and_only_where_the_call_was() {
        let (mut captures, call) = (Captures::default(), InteractionId::new());
        let policy = CapturePolicy { after_call_seconds: 20, ..CapturePolicy::default() };
        captures.set_terms(Terms { policy, ..Terms::default() });
        let device = DeviceId::new();
        captures.desktop_up(device, desktop("1001"));
        captures.desktop_up(DeviceId::new(), desktop("1002"));
        captures.events(&[offered(call, &["1001", "1002"]), established(call, "1001")], NOW);
        assert!(captures.events(&[ended(call)], NOW).is_empty());
        assert_eq!(captures.deadline(), Some(NOW.plus_ms(20_000)));
        assert!(captures.on_time(NOW.plus_ms(19_999)).is_empty());
        captures.desktop_down(device);
        assert_eq!(told(captures.desktop_up(device, desktop("1001"))), ["start"], "it may have lost its way");
        assert_eq!(told(captures.on_time(NOW.plus_ms(20_000))), ["stop"]);
        assert_eq!(captures.deadline(), None);
        captures.desktop_down(device);
        assert_eq!(told(captures.desktop_up(device, desktop("1001"))), ["stop"]);
    }

    #[test]
    fn an_announced_interaction_is_captured_as_a_call_is() {
        use hindsight_model::event::Announcement;
        let announced = |record_screen| {
            What::InteractionAnnounced(Announcement {
                medium: hindsight_wire::agent::Medium::Chat,
                from: "a visitor".into(),
                to: "sales".into(),
                dn: "1001".into(),
                person: None,
                record_screen,
                attached: BTreeMap::new(),
                by: "chat".into(),
            })
        };
        let (mut captures, chat) = (Captures::default(), InteractionId::new());
        captures.desktop_up(DeviceId::new(), desktop("1001"));
        assert!(captures.events(&[event(InteractionId::new(), announced(false))], NOW).is_empty());
        assert_eq!(told(captures.events(&[event(chat, announced(true))], NOW)), ["start"]);
        let paused = What::RecordingPaused { by: "crm".into(), reason: "card".into() };
        assert_eq!(told(captures.events(&[event(chat, paused)], NOW)), ["pause card"]);
        let over = What::InteractionEnded { by: "chat".into() };
        assert_eq!(told(captures.events(&[event(chat, over)], NOW)), ["stop"]);
    }

    #[test]
    fn a_device_cannot_speak_of_calls_that_do_not_exist() {
        let (mut captures, device) = (Captures::default(), DeviceId::new());
        captures.desktop_up(device, desktop("1001"));
        assert!(captures.failed(device, &[InteractionId::new()], "no display", NOW).is_empty());
        let call = InteractionId::new();
        captures.events(&[offered(call, &["1001"])], NOW);
        assert_eq!(captures.failed(device, &[call], "no display", NOW).len(), 1);
    }
}
