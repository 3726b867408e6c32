//! What the events of one interaction say: pure, in whatever order and however often they came.

use crate::spans::Span;
use hindsight_model::event::{Event, What};
use hindsight_wire::{PersonId, RecordingId, Timestamp, agent::Medium};
use std::collections::{BTreeMap, BTreeSet};

/// The story of one interaction.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Timeline {
    /// Offered, or the first thing known.
    pub started_at: Option<Timestamp>,
    /// Answered.
    pub established_at: Option<Timestamp>,
    /// Over.
    pub ended_at: Option<Timestamp>,
    /// What kind of interaction.
    pub medium: Medium,
    /// Who called.
    pub caller: String,
    /// What was dialled.
    pub dialled: String,
    /// DNs of this site that spoke.
    pub dns: BTreeSet<String>,
    /// DNs whose policy asks for voice.
    pub record_voice: BTreeSet<String>,
    /// DNs whose policy asks for screens.
    pub record_screen: BTreeSet<String>,
    /// Recording was paused.
    pub paused: bool,
    /// Voice recordings that the media server opened.
    pub opened: BTreeSet<RecordingId>,
    /// Why recording failed, in order.
    pub failures: Vec<String>,
    /// Screen recordings that desktops began, by DN.
    pub screens: BTreeMap<String, BTreeSet<RecordingId>>,
    /// Who sat at a DN when its screen was recorded.
    pub seated: BTreeMap<String, PersonId>,
    /// Why a DN's screen is missing, as its desktop said.
    pub screen_gaps: BTreeMap<String, String>,
    /// Recording on or off by command, in the order of time.
    switches: Vec<(Timestamp, bool)>,
}

impl Timeline {
    /// Of these events.
    pub fn of(events: &[Event]) -> Self {
        let mut sorted: Vec<&Event> = events.iter().collect();
        sorted.sort_by_key(|event| event.at);
        let mut this = Self::default();
        for event in sorted {
            this.add(event);
        }
        this
    }

    fn add(&mut self, event: &Event) {
        self.started_at.get_or_insert(event.at);
        match &event.what {
            What::CallOffered { caller, dialled, record_voice, record_screen } => {
                self.started_at = Some(event.at);
                self.caller.clone_from(caller);
                self.dialled.clone_from(dialled);
                self.record_voice.extend(record_voice.iter().cloned());
                self.record_screen.extend(record_screen.iter().cloned());
            }
            What::CallEstablished { parties } => {
                self.established_at.get_or_insert(event.at);
                self.dns.extend(parties.iter().filter(|party| party.is_dn).map(|party| party.number.clone()));
            }
            What::CallEnded { .. } => {
                self.ended_at.get_or_insert(event.at);
            }
            What::RecordingStarted { .. } => self.switches.push((event.at, true)),
            What::RecordingStopped { .. } => self.switches.push((event.at, false)),
            What::RecordingPaused { .. } => self.paused = true,
            What::RecordingFailed { reason } => self.failures.push(reason.clone()),
            What::RecordingOpened { recording, .. } => {
                self.opened.insert(*recording);
            }
            What::ScreenStarted { person, dn, recordings, .. } => {
                self.seated.insert(dn.clone(), *person);
                self.screens.entry(dn.clone()).or_default().extend(recordings);
            }
            What::ScreenGap { dn, reason } => {
                self.screen_gaps.insert(dn.clone(), reason.clone());
            }
            What::InteractionAnnounced(announced) => {
                self.started_at = Some(event.at);
                self.established_at = Some(event.at);
                self.medium = announced.medium;
                self.caller.clone_from(&announced.from);
                self.dialled.clone_from(&announced.to);
                self.dns.insert(announced.dn.clone());
                if announced.record_screen {
                    self.record_screen.insert(announced.dn.clone());
                }
                if let Some(person) = announced.person {
                    self.seated.entry(announced.dn.clone()).or_insert(person);
                }
            }
            What::InteractionEnded { .. } => {
                self.ended_at.get_or_insert(event.at);
            }
            What::CallRinging { .. }
            | What::CallHeld { .. }
            | What::CallRetrieved { .. }
            | What::RecordingResumed { .. }
            | What::SessionEnded(_) => {}
        }
    }

    /// Both parties spoke, and until when (or `now`). While it goes on it is never empty: the component that saw its start
    /// may be ahead of our clock.
    pub fn conversation(&self, now: Timestamp) -> Option<Span> {
        let from = self.established_at?;
        Some(Span::new(from, self.ended_at.unwrap_or(now.max(from.plus_ms(1)))))
    }

    /// When voice should have been recorded: by policy from the answer on, by command when commanded.
    pub fn voice_wanted(&self, now: Timestamp) -> Vec<Span> {
        if self.medium != Medium::Voice {
            return Vec::new();
        }
        self.wanted(now, !self.record_voice.is_empty())
    }

    /// When the screen of a DN should have been recorded: a stop by command stops it too.
    pub fn screen_wanted(&self, dn: &str, now: Timestamp) -> Vec<Span> {
        if self.record_screen.contains(dn) && self.dns.contains(dn) {
            self.wanted(now, true)
        } else {
            Vec::new()
        }
    }

    fn wanted(&self, now: Timestamp, by_policy: bool) -> Vec<Span> {
        let Some(conversation) = self.conversation(now) else { return Vec::new() };
        let mut spans = Vec::new();
        let mut since = by_policy.then_some(conversation.from);
        for (at, on) in &self.switches {
            let at = (*at).clamp(conversation.from, conversation.to);
            match (since, on) {
                (None, true) => since = Some(at),
                (Some(from), false) => {
                    spans.push(Span::new(from, at));
                    since = None;
                }
                (None, false) | (Some(_), true) => {}
            }
        }
        spans.extend(since.map(|from| Span::new(from, conversation.to)));
        spans.retain(|span| span.ms() > 0);
        spans
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::project::tests::{at, call, established, event, offered, span};
    use hindsight_model::event::EndCause;
    use hindsight_wire::CaptureId;

    #[test]
    fn the_order_in_which_events_come_does_not_matter() {
        let events = call("1001", 10, 60);
        let mut reversed = events.clone();
        reversed.reverse();
        reversed.extend(events.clone());
        assert_eq!(Timeline::of(&reversed), Timeline::of(&events));
    }

    #[test]
    fn a_stop_and_a_start_by_command_leave_a_span_unwanted() {
        let mut events = call("1001", 10, 60);
        events.push(event(20, What::RecordingStopped { by: "ann".into() }));
        events.push(event(40, What::RecordingStarted { capture: CaptureId::new(), by: "ann".into() }));
        events.push(event(60, What::RecordingStopped { by: "sip-server".into() }));
        let wanted = [span(10, 20), span(40, 60)];
        assert_eq!(Timeline::of(&events).voice_wanted(at(99)), wanted);
        assert_eq!(Timeline::of(&events).screen_wanted("1001", at(99)), wanted);
    }

    #[test]
    fn a_call_that_was_answered_this_instant_or_a_little_later_is_wanted() {
        let timeline = Timeline::of(&[offered("1001"), established("1001", 10)]);
        for now in [9, 10] {
            assert_eq!(timeline.voice_wanted(at(now)).len(), 1);
            assert_eq!(timeline.screen_wanted("1001", at(now)).len(), 1);
        }
    }

    #[test]
    fn a_call_that_nobody_answered_wants_nothing() {
        let ended = event(30, What::CallEnded { cause: EndCause::NoAnswer, by: None });
        let timeline = Timeline::of(&[offered("1001"), ended]);
        assert!(
            timeline.voice_wanted(at(99)).is_empty() && timeline.screen_wanted("1001", at(99)).is_empty()
        );
    }

    #[test]
    fn a_call_without_policy_is_wanted_from_the_command_on() {
        let mut quiet = offered("1001");
        if let What::CallOffered { record_voice, record_screen, .. } = &mut quiet.what {
            record_voice.clear();
            record_screen.clear();
        }
        let started = event(30, What::RecordingStarted { capture: CaptureId::new(), by: "ann".into() });
        let timeline = Timeline::of(&[quiet, established("1001", 10), started]);
        assert_eq!(timeline.voice_wanted(at(99)), [span(30, 99)]);
        assert!(timeline.screen_wanted("1001", at(99)).is_empty());
    }
}
