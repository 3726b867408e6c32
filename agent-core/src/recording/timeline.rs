//! Who owns which span of a part, and where it was paused. Pure: times are milliseconds of the part's media.

use hindsight_wire::{
    InteractionId,
    manifest::{InteractionRange, Note, Pause},
};

/// Marks on the timeline of one part; the same for all its monitors.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Timeline {
    /// Spans of interactions, those still open without end.
    pub interactions: Vec<InteractionRange>,
    /// Spans without pixels by request.
    pub pauses: Vec<Pause>,
    /// Anything else.
    pub notes: Vec<Note>,
}

impl Timeline {
    /// The interaction owns what follows.
    pub fn begin(&mut self, interaction: InteractionId, at_ms: u64) {
        if self.open_range(interaction).is_none() {
            self.interactions.push(InteractionRange { interaction, from_ms: at_ms, to_ms: None });
        }
    }

    /// The interaction owns nothing of what follows.
    pub fn end(&mut self, interaction: InteractionId, at_ms: u64) {
        if let Some(range) = self.open_range(interaction) {
            range.to_ms = Some(at_ms.max(range.from_ms));
        }
    }

    /// No pixels from here on.
    pub fn pause(&mut self, by: &str, reason: &str, at_ms: u64) {
        if self.open_pause().is_none() {
            let (by, reason) = (by.to_owned(), reason.to_owned());
            self.pauses.push(Pause { from_ms: at_ms, to_ms: None, by, reason });
        }
    }

    /// Pixels again.
    pub fn resume(&mut self, at_ms: u64) {
        if let Some(pause) = self.open_pause() {
            pause.to_ms = Some(at_ms.max(pause.from_ms));
        }
    }

    /// Something worth knowing.
    pub fn note(&mut self, text: impl Into<String>, at_ms: u64) {
        self.notes.push(Note { at_ms, text: text.into() });
    }

    fn open_range(&mut self, interaction: InteractionId) -> Option<&mut InteractionRange> {
        self.interactions.iter_mut().find(|range| range.interaction == interaction && range.to_ms.is_none())
    }

    fn open_pause(&mut self) -> Option<&mut Pause> {
        self.pauses.iter_mut().find(|pause| pause.to_ms.is_none())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interactions_overlap_and_a_pause_is_one_span_however_often_it_is_asked_for() {
        let (call, chat) = (InteractionId::new(), InteractionId::new());
        let mut timeline = Timeline::default();
        timeline.begin(call, 0);
        timeline.begin(chat, 500);
        timeline.begin(call, 600);
        timeline.pause("agent", "card", 700);
        timeline.pause("rule", "card", 800);
        timeline.end(call, 900);
        timeline.resume(1_000);
        timeline.resume(1_100);
        timeline.begin(call, 1_200);
        let spans: Vec<_> =
            timeline.interactions.iter().map(|r| (r.interaction, r.from_ms, r.to_ms)).collect();
        assert_eq!(spans, [(call, 0, Some(900)), (chat, 500, None), (call, 1_200, None)]);
        assert_eq!(timeline.pauses.len(), 1);
        assert_eq!((timeline.pauses[0].from_ms, timeline.pauses[0].to_ms), (700, Some(1_000)));
    }
}
