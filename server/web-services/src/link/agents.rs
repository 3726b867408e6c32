//! What each agent at a desktop is shown, as a stream that a reconnect goes on with: pure, no clock, no sockets.
//!
//! Every desktop of version 2 with somebody signed in has a stream: a sequence of events, of which the last ones are kept.
//! A desktop that comes back says what it has seen last; it is sent what came after, or everything anew. A message goes
//! to the link that the desktop asked on, never to one that came since: so nothing is missed and nothing comes twice.

use super::story::Story;
use hindsight_model::event::{Event, What};
use hindsight_store::persons::PersonRole;
use hindsight_wire::{
    DeviceId, InteractionId, PersonId, Timestamp,
    agent::{AgentEvent, AgentState, InteractionView, Progress, Resume},
    link::Down,
};
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use uuid::Uuid;

/// Events kept of a stream. Fewer than may wait for a link, so that a resumed stream never fills it.
const KEPT: usize = 128;
/// A stream whose desktop is away for so long is forgotten.
const AWAY_MS: i64 = 3600 * 1000;
/// An interaction without an end for so long is given up: its SIP server was lost with its journal.
const LONGEST_MS: i64 = 24 * 3600 * 1000;

/// Somebody at a desktop.
#[derive(Clone, Debug, PartialEq)]
pub struct Seat {
    /// Who.
    pub person: PersonId,
    /// Their name.
    pub name: String,
    /// What they may do.
    pub roles: BTreeSet<PersonRole>,
    /// Where.
    pub dn: String,
    /// When they signed in: tells sessions apart.
    pub since: Timestamp,
}

/// What the site offers its agents.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Offer {
    /// Reasons for "not ready".
    pub reasons: Vec<String>,
    /// They may replay their own recordings.
    pub own_recordings: bool,
}

/// A message for a desktop, on this link and on no other.
#[derive(Clone)]
pub struct Output {
    /// Which desktop.
    pub device: DeviceId,
    /// Which link of it.
    pub link: u64,
    /// What.
    pub down: Down,
}

struct Stream {
    id: Uuid,
    seat: Seat,
    state: AgentState,
    sequence: u64,
    kept: VecDeque<AgentEvent>,
    shown: BTreeMap<InteractionId, InteractionView>,
    link: Option<u64>,
    away_since: Timestamp,
}

impl Stream {
    fn at(&self, sequence: u64) -> Resume {
        Resume { stream: self.id, sequence }
    }

    /// What came after `resume`, oldest first; `None`: unknown here, or too long ago.
    fn after(&self, resume: Resume) -> Option<Vec<(u64, AgentEvent)>> {
        let missed = self.sequence.checked_sub(resume.sequence)?;
        let missed = usize::try_from(missed).ok().filter(|missed| *missed <= self.kept.len())?;
        if resume.stream != self.id {
            return None;
        }
        let skipped = self.kept.len() - missed;
        Some((resume.sequence + 1..).zip(self.kept.iter().skip(skipped).cloned()).collect())
    }

    fn snapshot(&self, offer: &Offer) -> AgentEvent {
        AgentEvent::Snapshot {
            name: self.seat.name.clone(),
            state: self.state.clone(),
            reasons: offer.reasons.clone(),
            interactions: self.shown.values().cloned().collect(),
            own_recordings: offer.own_recordings,
        }
    }

    fn push(&mut self, device: DeviceId, event: AgentEvent) -> Option<Output> {
        self.sequence += 1;
        self.kept.push_back(event.clone());
        if self.kept.len() > KEPT {
            self.kept.pop_front();
        }
        let at = self.at(self.sequence);
        self.link.map(|link| Output { device, link, down: Down::Agent { at, event } })
    }
}

/// All streams, and the interactions that they tell of.
#[derive(Default)]
pub struct Agents {
    offer: Offer,
    stories: HashMap<InteractionId, Story>,
    streams: HashMap<DeviceId, Stream>,
}

impl Agents {
    /// What the site offers from now on.
    pub fn set_offer(&mut self, offer: Offer) -> Vec<Output> {
        if self.offer == offer {
            return Vec::new();
        }
        self.offer = offer;
        let Self { offer, streams, .. } = self;
        let again = |(device, stream): (&DeviceId, &mut Stream)| {
            let event = stream.snapshot(offer);
            stream.push(*device, event)
        };
        streams.iter_mut().filter_map(again).collect()
    }

    /// What an interaction's agent at a desktop may do, as they are shown it.
    pub fn shown(&self, device: DeviceId, interaction: InteractionId) -> Option<&InteractionView> {
        self.streams.get(&device)?.shown.get(&interaction)
    }

    /// A desktop's link is open. `fresh`: names its stream, when it needs a new one.
    pub fn up(
        &mut self,
        device: DeviceId,
        (seat, state): (Seat, AgentState),
        link: u64,
        resume: Option<Resume>,
        fresh: Uuid,
        now: Timestamp,
    ) -> Vec<Output> {
        let goes_on = self.streams.get(&device).is_some_and(|stream| {
            (stream.seat.person, &stream.seat.dn, stream.seat.since) == (seat.person, &seat.dn, seat.since)
        });
        if !goes_on {
            let stream = Stream {
                id: fresh,
                seat: seat.clone(),
                state: state.clone(),
                sequence: 0,
                kept: VecDeque::new(),
                shown: BTreeMap::new(),
                link: None,
                away_since: now,
            };
            self.streams.insert(device, stream);
        }
        let Self { offer, stories, streams } = self;
        let Some(stream) = streams.get_mut(&device) else { return Vec::new() };
        if stream.seat != seat {
            // Their name or roles: a step of the stream like any other, so that it cannot be missed either.
            (stream.seat, stream.link) = (seat, None);
            stream.shown = shown_to(&stream.seat, stories);
            stream.push(device, stream.snapshot(offer));
        } else if !goes_on {
            stream.shown = shown_to(&stream.seat, stories);
        }
        stream.link = Some(link);
        let missed = resume.and_then(|resume| stream.after(resume));
        let send = |at, event| Output { device, link, down: Down::Agent { at, event } };
        match missed {
            Some(missed) => {
                missed.into_iter().map(|(sequence, event)| send(stream.at(sequence), event)).collect()
            }
            None => vec![send(stream.at(stream.sequence), stream.snapshot(offer))],
        }
    }

    /// A desktop's link is gone; its stream goes on without it.
    pub fn down(&mut self, device: DeviceId, now: Timestamp) {
        if let Some(stream) = self.streams.get_mut(&device) {
            (stream.link, stream.away_since) = (None, now);
        }
    }

    /// The person at a desktop signed out.
    pub fn signed_out(&mut self, device: DeviceId) {
        self.streams.remove(&device);
    }

    /// A person's state changed.
    pub fn set_state(&mut self, person: PersonId, state: &AgentState) -> Vec<Output> {
        let mut outputs = Vec::new();
        for (device, stream) in self.streams.iter_mut().filter(|(_, stream)| stream.seat.person == person) {
            if stream.state != *state {
                stream.state.clone_from(state);
                outputs.extend(stream.push(*device, AgentEvent::State { state: state.clone() }));
            }
        }
        outputs
    }

    /// Events from the log, in its order.
    pub fn events(&mut self, events: &[Event], now: Timestamp) -> Vec<Output> {
        let mut touched = BTreeSet::new();
        let mut over = BTreeMap::new();
        for event in events {
            touched.insert(event.interaction);
            if matches!(event.what, What::CallEnded { .. } | What::InteractionEnded { .. }) {
                if self.stories.remove(&event.interaction).is_some() {
                    over.insert(event.interaction, event.at);
                }
            } else if begins(&event.what) || self.stories.contains_key(&event.interaction) {
                self.stories.entry(event.interaction).or_default().apply(event);
            }
        }
        for (id, story) in &self.stories {
            if story.began.is_some_and(|began| now.ms_since(began) >= LONGEST_MS) {
                touched.insert(*id);
                over.insert(*id, now);
            }
        }
        self.stories.retain(|id, _| !over.contains_key(id));
        self.streams.retain(|_, stream| stream.link.is_some() || now.ms_since(stream.away_since) < AWAY_MS);
        self.publish(&touched, &over, now)
    }

    fn publish(
        &mut self,
        touched: &BTreeSet<InteractionId>,
        over: &BTreeMap<InteractionId, Timestamp>,
        now: Timestamp,
    ) -> Vec<Output> {
        let Self { stories, streams, .. } = self;
        let mut outputs = Vec::new();
        for (device, stream) in streams {
            for id in touched {
                let view =
                    stories.get(id).and_then(|story| story.view(*id, &stream.seat.dn, &stream.seat.roles));
                let event = match (view, stream.shown.get(id)) {
                    (Some(view), Some(shown)) if view == *shown => continue,
                    (Some(view), _) => {
                        stream.shown.insert(*id, view.clone());
                        view
                    }
                    (None, Some(_)) => {
                        let Some(shown) = stream.shown.remove(id) else { continue };
                        let since = over.get(id).copied().unwrap_or(now);
                        ended(shown, since)
                    }
                    (None, None) => continue,
                };
                outputs.extend(stream.push(*device, AgentEvent::Interaction { interaction: event }));
            }
        }
        outputs
    }
}

/// An interaction begins with these; what comes late of one that is over begins nothing.
fn begins(what: &What) -> bool {
    matches!(what, What::CallOffered { .. } | What::CallEstablished { .. } | What::InteractionAnnounced(_))
}

fn shown_to(
    seat: &Seat,
    stories: &HashMap<InteractionId, Story>,
) -> BTreeMap<InteractionId, InteractionView> {
    let view = |(id, story): (&InteractionId, &Story)| Some((*id, story.view(*id, &seat.dn, &seat.roles)?));
    stories.iter().filter_map(view).collect()
}

fn ended(shown: InteractionView, since: Timestamp) -> InteractionView {
    InteractionView { progress: Progress::Ended, since, calls: Vec::new(), recording: Vec::new(), ..shown }
}

#[cfg(test)]
mod tests;
