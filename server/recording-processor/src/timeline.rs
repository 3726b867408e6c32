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
    /// Those of which nothing survived, and why.
    pub lost: BTreeMap<RecordingId, String>,
    /// Why recording failed, in order.
    pub failures: Vec<String>,
    /// Screen recordings that desktops began, by DN.
    pub screens: BTreeMap<String, BTreeSet<RecordingId>>,
    /// Who sat at a DN when its screen was recorded.
    pub seated: BTreeMap<String, PersonId>,
    /// Why a DN's screen is missing, as its desktop said.
    pub screen_gaps: BTreeMap<String, String>,
    /// What decides when a recording is wanted, in the order of time.
    marks: Vec<(Timestamp, Mark)>,
}

/// From when on what holds for the recordings.
#[derive(Clone, Debug, PartialEq)]
enum Mark {
    /// These DNs take part.
    Parties(BTreeSet<String>),
    /// Recording began; by policy or by command.
    Started { by_policy: bool },
    /// It was ended; only the voice, where the party that it was for has left.
    Stopped { voice_only: bool },
}

/// Who starts a recording that policy asked for, in [`What::RecordingStarted`].
const FULL_TIME: &str = "full-time";

/// Why something is recorded.
#[derive(Clone, Copy, PartialEq)]
enum Reason {
    Policy,
    Command,
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
        // An event may have come twice.
        this.marks.dedup();
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
                let dns = parties.iter().filter(|party| party.is_dn).map(|party| party.number.clone());
                let dns: BTreeSet<String> = dns.collect();
                self.dns.extend(dns.iter().cloned());
                self.marks.push((event.at, Mark::Parties(dns)));
            }
            What::CallTransferred { record_voice, record_screen, .. } => {
                self.record_voice.extend(record_voice.iter().cloned());
                self.record_screen.extend(record_screen.iter().cloned());
            }
            What::CallEnded { .. } => {
                self.ended_at.get_or_insert(event.at);
            }
            What::RecordingStarted { by, .. } => {
                self.marks.push((event.at, Mark::Started { by_policy: by == FULL_TIME }));
            }
            What::RecordingStopped { voice_only, .. } => {
                self.marks.push((event.at, Mark::Stopped { voice_only: *voice_only }));
            }
            What::RecordingPaused { .. } => self.paused = true,
            What::RecordingFailed { reason } => self.failures.push(reason.clone()),
            What::RecordingLost { recording, reason } => {
                self.lost.insert(*recording, reason.clone());
            }
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
                self.marks.push((event.at, Mark::Parties(BTreeSet::from([announced.dn.clone()]))));
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
            | What::TransferFailed { .. }
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

    /// When voice should have been recorded: by policy while a DN takes part that it is for, by command when commanded.
    pub fn voice_wanted(&self, now: Timestamp) -> Vec<Span> {
        if self.medium != Medium::Voice {
            return Vec::new();
        }
        let asks = |dns: &BTreeSet<String>| dns.iter().any(|dn| self.record_voice.contains(dn));
        let mut here = BTreeSet::new();
        self.wanted(now, |mark, reason| match mark {
            Mark::Parties(dns) => {
                let joined: BTreeSet<String> = dns.difference(&here).cloned().collect();
                here.clone_from(dns);
                match reason {
                    _ if asks(&joined) => Some(Reason::Policy),
                    Some(Reason::Policy) => Some(Reason::Policy).filter(|_| asks(dns)),
                    other => other,
                }
            }
            Mark::Started { by_policy: true } => Some(Reason::Policy),
            Mark::Started { by_policy: false } => Some(Reason::Command),
            Mark::Stopped { .. } => None,
        })
    }

    /// When the screen of a DN should have been recorded: while it takes part, and a stop by command stops it too.
    pub fn screen_wanted(&self, dn: &str, now: Timestamp) -> Vec<Span> {
        if !self.record_screen.contains(dn) {
            return Vec::new();
        }
        let mut here = false;
        self.wanted(now, |mark, reason| match mark {
            Mark::Parties(dns) => {
                let was_here = std::mem::replace(&mut here, dns.contains(dn));
                if here && !was_here { Some(Reason::Policy) } else { reason.filter(|_| here) }
            }
            Mark::Started { .. } => here.then_some(Reason::Policy),
            Mark::Stopped { voice_only: false } => None,
            Mark::Stopped { voice_only: true } => reason,
        })
    }

    /// The spans of the conversation in which there was a reason, each mark leading from one to the next.
    fn wanted(
        &self,
        now: Timestamp,
        mut next: impl FnMut(&Mark, Option<Reason>) -> Option<Reason>,
    ) -> Vec<Span> {
        let Some(conversation) = self.conversation(now) else { return Vec::new() };
        let (mut spans, mut reason, mut since) = (Vec::new(), None, conversation.from);
        for (at, mark) in &self.marks {
            let at = (*at).clamp(conversation.from, conversation.to);
            let then = next(mark, reason);
            if reason.is_some() && then.is_none() {
                spans.push(Span::new(since, at));
            }
            if reason.is_none() && then.is_some() {
                since = at;
            }
            reason = then;
        }
        if reason.is_some() {
            spans.push(Span::new(since, conversation.to));
        }
        spans.retain(|span| span.ms() > 0);
        spans
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::project::tests::{at, call, established, event, offered, span};
    use hindsight_model::event::{CallParty, EndCause};
    use hindsight_wire::{CaptureId, manifest::Party};

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
        events.push(event(20, What::RecordingStopped { by: "ann".into(), voice_only: false }));
        events.push(event(40, What::RecordingStarted { capture: CaptureId::new(), by: "ann".into() }));
        events.push(event(60, What::RecordingStopped { by: "sip-server".into(), voice_only: false }));
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

    fn speaking(seconds: i64, dns: [&str; 2]) -> Event {
        let party = |number: &str| CallParty { number: number.into(), role: Party::Agent, is_dn: true };
        event(seconds, What::CallEstablished { parties: dns.map(party).into() })
    }

    fn transferred(seconds: i64, to: &str, recorded: bool) -> Event {
        let asked: Vec<String> = recorded.then(|| to.to_owned()).into_iter().collect();
        event(
            seconds,
            What::CallTransferred {
                by: "1001".into(),
                to: to.into(),
                attended: false,
                record_voice: asked.clone(),
                record_screen: asked,
                consultation: None,
            },
        )
    }

    #[test]
    fn after_a_transfer_only_what_the_policy_of_who_speaks_asks_for_is_wanted() {
        // 1001 is recorded and hands over to 1003, which is not, and that one to 1004, which is.
        let stopped =
            |seconds| event(seconds, What::RecordingStopped { by: "transfer".into(), voice_only: true });
        let mut events = vec![offered("1001"), speaking(10, ["1001", "2001"]), stopped(20)];
        events.extend([transferred(20, "1003", false), speaking(20, ["1003", "2001"])]);
        events.extend([transferred(30, "1004", true), speaking(30, ["1004", "2001"])]);
        let timeline = Timeline::of(&events);
        assert_eq!(timeline.voice_wanted(at(50)), [span(10, 20), span(30, 50)]);
        assert_eq!(timeline.screen_wanted("1001", at(50)), [span(10, 20)]);
        assert_eq!(timeline.screen_wanted("1004", at(50)), [span(30, 50)]);
        assert!(timeline.screen_wanted("1003", at(50)).is_empty());
        // One that was to be recorded and could not be is not expected any longer than it spoke.
        events.remove(2);
        assert_eq!(Timeline::of(&events).voice_wanted(at(50)), [span(10, 20), span(30, 50)]);
        // What a person asked for goes on.
        events.insert(2, event(15, What::RecordingStarted { capture: CaptureId::new(), by: "ann".into() }));
        assert_eq!(Timeline::of(&events).voice_wanted(at(50)), [span(10, 50)]);
    }
}
