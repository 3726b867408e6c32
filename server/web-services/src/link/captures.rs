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
    /// Where it was stopped by command.
    stopped: Vec<String>,
}

#[derive(Clone, Debug, PartialEq)]
struct Paused {
    by: String,
    reason: String,
}

impl Call {
    fn wants(&self, dn: &str) -> bool {
        let here = |list: &[String]| list.iter().any(|one| one == dn);
        !here(&self.stopped) && here(&self.record_screen) && here(&self.established)
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
            What::CallTransferred { record_screen, .. } => {
                let call = self.calls.entry(id).or_default();
                call.record_screen.extend(record_screen.iter().cloned());
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
                    call.stopped.clear();
                    call.paused = None;
                }
            }
            What::RecordingStopped { voice_only: true, .. } => {
                // The pause was of the recording that has ended.
                if let Some(call) = self.calls.get_mut(&id) {
                    call.paused = None;
                }
            }
            What::RecordingStopped { voice_only: false, .. } => {
                if let Some(call) = self.calls.get_mut(&id) {
                    call.stopped.clone_from(&call.established);
                }
            }
            What::CallRinging { .. }
            | What::CallHeld { .. }
            | What::TransferFailed { .. }
            | What::CallRetrieved { .. }
            | What::RecordingFailed { .. }
            | What::RecordingLost { .. }
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
mod tests;
