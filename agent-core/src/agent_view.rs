//! The agent's side of things as the server tells it: a snapshot, then steps, each with its number. Pure.

use hindsight_wire::agent::{AgentEvent, AgentState, InteractionView, Progress, Resume};

/// What is known of the agent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AgentView {
    /// The last step taken; absent: a snapshot must come first.
    pub at: Option<Resume>,
    /// Name of the person, for people.
    pub name: String,
    /// Ready or not.
    pub state: AgentState,
    /// Reasons for "not ready".
    pub reasons: Vec<String>,
    /// Not over, oldest first.
    pub interactions: Vec<InteractionView>,
    /// May see their own recordings.
    pub own_recordings: bool,
}

/// What became of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It changed what is known.
    Applied,
    /// It was known already, or is of a kind that this version leaves out.
    Nothing,
    /// Steps are missing between: only a snapshot helps.
    Gap,
}

impl AgentView {
    /// Takes a step.
    pub fn take(&mut self, at: Resume, event: AgentEvent) -> Taken {
        if let AgentEvent::Snapshot { name, state, reasons, mut interactions, own_recordings } = event {
            interactions.retain(|view| view.progress != Progress::Ended);
            *self = Self { at: Some(at), name, state, reasons, interactions, own_recordings };
            return Taken::Applied;
        }
        match self.at {
            Some(known) if known.stream == at.stream && at.sequence <= known.sequence => {
                return Taken::Nothing;
            }
            Some(known) if known.stream == at.stream && at.sequence == known.sequence + 1 => {}
            Some(_) | None => {
                self.at = None;
                return Taken::Gap;
            }
        }
        self.at = Some(at);
        match event {
            AgentEvent::State { state } => self.state = state,
            AgentEvent::Interaction { interaction } => self.interaction(interaction),
            AgentEvent::Snapshot { .. } | AgentEvent::Unknown => return Taken::Nothing,
        }
        Taken::Applied
    }

    fn interaction(&mut self, view: InteractionView) {
        let place = self.interactions.iter().position(|known| known.id == view.id);
        match (place, view.progress) {
            (Some(at), Progress::Ended) => drop(self.interactions.remove(at)),
            (None, Progress::Ended) => {}
            (Some(at), _) => self.interactions[at] = view,
            (None, _) => self.interactions.push(view),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hindsight_wire::{InteractionId, Timestamp};
    use proptest::prelude::*;
    use uuid::Uuid;

    fn view(id: InteractionId, progress: Progress) -> InteractionView {
        InteractionView {
            id,
            medium: Default::default(),
            from: "2001".to_owned(),
            to: "1001".to_owned(),
            progress,
            since: Timestamp(0),
            voice: Default::default(),
            screen: Default::default(),
            calls: Vec::new(),
            holds: Vec::new(),
            recording: Vec::new(),
            attached: Default::default(),
        }
    }

    fn snapshot(interactions: Vec<InteractionView>) -> AgentEvent {
        let (name, reasons) = ("Ann".to_owned(), vec!["Lunch".to_owned()]);
        AgentEvent::Snapshot {
            name,
            state: AgentState::default(),
            reasons,
            interactions,
            own_recordings: true,
        }
    }

    proptest! {
        /// A server keeps the last few steps; links break at any moment, and steps sent may be lost with them.
        #[test]
        fn a_reconnect_misses_nothing_and_takes_nothing_twice(
            seed in prop::collection::vec((0..4usize, 0..4usize, prop::bool::weighted(0.2)), 1..60),
            kept in 1..8usize,
        ) {
            let ids: Vec<InteractionId> = (0..4).map(|_| InteractionId::new()).collect();
            let progress = [Progress::Ringing, Progress::Established, Progress::Held, Progress::Ended];
            let stream = Uuid::new_v4();
            let mut server = AgentView::default();
            server.take(Resume { stream, sequence: 0 }, snapshot(vec![]));
            let (mut log, mut ours) = (Vec::new(), server.clone());
            let mut sent = 0;
            for (id, step, cut) in seed {
                let sequence = log.len() as u64 + 1;
                let event = AgentEvent::Interaction { interaction: view(ids[id], progress[step]) };
                log.push(event.clone());
                prop_assert_eq!(server.take(Resume { stream, sequence }, event.clone()), Taken::Applied);
                if cut {
                    // Lost on its way: the next hello says where we are.
                    let next = ours.at.expect("there was a snapshot").sequence as usize;
                    if log.len() - next > kept {
                        ours.take(Resume { stream, sequence }, snapshot(server.interactions.clone()));
                    } else {
                        for (at, event) in log.iter().enumerate().skip(next.saturating_sub(1)) {
                            let at = Resume { stream, sequence: at as u64 + 1 };
                            prop_assert_ne!(ours.take(at, event.clone()), Taken::Gap);
                        }
                    }
                    sent = log.len();
                } else if sent + 1 == log.len() {
                    prop_assert_eq!(ours.take(Resume { stream, sequence }, event), Taken::Applied);
                    sent += 1;
                }
                if sent == log.len() {
                    prop_assert_eq!(&ours, &server);
                }
            }
        }
    }

    #[test]
    fn a_step_of_another_stream_or_after_a_gap_asks_for_a_snapshot() {
        let (stream, other) = (Uuid::new_v4(), Uuid::new_v4());
        let state = || AgentEvent::State { state: AgentState { ready: true, reason: None, since: None } };
        for at in [Resume { stream, sequence: 7 }, Resume { stream: other, sequence: 6 }] {
            let mut ours = AgentView::default();
            assert_eq!(ours.take(Resume { stream, sequence: 5 }, state()), Taken::Gap, "no snapshot yet");
            ours.take(Resume { stream, sequence: 5 }, snapshot(vec![]));
            assert_eq!(ours.take(at, state()), Taken::Gap);
            assert_eq!(ours.at, None);
        }
    }
}
