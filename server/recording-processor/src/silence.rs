//! Voice recordings that are there and in which a party cannot be heard, because its packets never came: pure.

use crate::completeness::VOICE_TOLERANCE_MS;
use hindsight_store::recordings::{Owned, State};
use hindsight_wire::manifest::{Manifest, Media, Party};

/// What could not be heard, in the words of the reasons; `None`: nothing to report.
///
/// A party may be silent in the few packets' time of a recording that is cut short: such a moment counts only where there is
/// nothing better.
pub fn of(mine: &[&Owned]) -> Option<String> {
    let ready = |owned: &&&Owned| matches!(owned.recording.state, State::Ready | State::Recovered);
    let judged: Vec<(&Owned, Option<Silence>)> =
        mine.iter().filter(ready).map(|owned| (*owned, silence(&owned.recording.manifest))).collect();
    let all_silent = judged.iter().all(|(_, silence)| silence.is_some());
    let counts = |owned: &Owned| all_silent || open_ms(owned) > VOICE_TOLERANCE_MS;
    let worst = judged
        .iter()
        .filter(|(owned, _)| open_ms(owned) > 0 && counts(owned))
        .filter_map(|(_, silence)| *silence)
        .max()?;
    Some(worst.reason().to_owned())
}

/// The worse later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Silence {
    Customer,
    Agent,
    Both,
}

impl Silence {
    fn reason(self) -> &'static str {
        match self {
            Silence::Customer => "one-way: nothing was heard from the customer",
            Silence::Agent => "one-way: nothing was heard from the agent",
            Silence::Both => "no RTP was received",
        }
    }
}

/// From the states of the tracks. A recording that a crash cut has none, and nothing is said of it.
fn silence(manifest: &Manifest) -> Option<Silence> {
    let Media::Voice { tracks } = &manifest.media else { return None };
    let quality = &manifest.quality;
    if quality.iter().any(|track| track.state == "no-rtp") {
        return Some(Silence::Both);
    }
    let silent = quality.iter().find(|track| track.state == "one-way")?;
    let track = tracks.iter().find(|track| track.number == silent.track)?;
    Some(match track.party {
        Party::Agent => Silence::Agent,
        Party::Customer => Silence::Customer,
    })
}

/// How long packets would have been recorded: pauses left out, milliseconds.
fn open_ms(owned: &Owned) -> i64 {
    let recording = &owned.recording;
    let Some(length) = recording.duration_ms else { return 0 };
    let paused = |from: u64, to: Option<u64>| to.unwrap_or(length).min(length).saturating_sub(from);
    let paused: u64 = recording.manifest.pauses.iter().map(|pause| paused(pause.from_ms, pause.to_ms)).sum();
    i64::try_from(length.saturating_sub(paused)).unwrap_or(i64::MAX)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::project::tests::{recording, voice_media};
    use hindsight_wire::manifest::{Pause, TrackQuality};

    pub fn quality(states: [&str; 2]) -> Vec<TrackQuality> {
        let track = |(track, state): (u64, &str)| TrackQuality {
            track,
            state: state.to_owned(),
            ..TrackQuality::default()
        };
        (1..).zip(states).map(track).collect()
    }

    fn recorded(states: [&str; 2], seconds: i64) -> Owned {
        let mut owned = recording(voice_media(), 0, Some(seconds), State::Ready);
        owned.recording.manifest.quality = quality(states);
        owned
    }

    fn said(all: &[Owned]) -> Option<String> {
        of(&all.iter().collect::<Vec<_>>())
    }

    #[test]
    fn who_was_not_heard_is_named() {
        for (states, expected) in [
            (["ok", "ok"], None),
            (["one-way", "ok"], Some("one-way: nothing was heard from the agent")),
            (["ok", "one-way"], Some("one-way: nothing was heard from the customer")),
            (["no-rtp", "no-rtp"], Some("no RTP was received")),
        ] {
            assert_eq!(said(&[recorded(states, 60)]).as_deref(), expected);
        }
        let mut cut = recorded(["no-rtp", "no-rtp"], 60);
        cut.recording.manifest.quality.clear();
        assert_eq!(said(&[cut]), None);
    }

    #[test]
    fn a_moment_beside_other_recordings_does_not_count_and_alone_it_does() {
        let moment = recorded(["no-rtp", "no-rtp"], 1);
        assert!(said(std::slice::from_ref(&moment)).is_some());
        assert_eq!(said(&[recorded(["ok", "ok"], 60), moment]), None);
        assert!(said(&[recorded(["ok", "ok"], 60), recorded(["ok", "one-way"], 60)]).is_some());
    }

    #[test]
    fn a_pause_is_no_silence() {
        let mut paused = recorded(["no-rtp", "no-rtp"], 60);
        let pause = Pause { from_ms: 0, to_ms: None, by: String::new(), reason: String::new() };
        paused.recording.manifest.pauses.push(pause);
        assert_eq!(said(&[paused]), None);
    }
}
