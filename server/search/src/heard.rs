//! Whose a recording is: after a transfer not every agent of a call is heard in every recording of it, and what was said
//! or shown after an agent had left is not theirs.

use hindsight_store::interactions::Agent;
use hindsight_wire::{
    PersonId,
    manifest::{Manifest, Media},
};

/// The persons of a call that one of its recordings is of: of a voice those who are heard in it, of a screen who sat
/// there, where it says who they are; else all.
pub fn persons_of(manifest: &Manifest, agents: &[Agent]) -> Vec<PersonId> {
    persons(&manifest.media, manifest.person, agents)
}

fn persons(media: &Media, sat: Option<PersonId>, agents: &[Agent]) -> Vec<PersonId> {
    let is_of = |agent: &&Agent| match media {
        Media::Voice { tracks } => tracks.iter().any(|track| track.number_or_dn == agent.dn),
        Media::Screen { .. } => sat.is_some() && agent.person == sat,
    };
    let said = agents.iter().any(|agent| is_of(&agent));
    agents.iter().filter(|agent| !said || is_of(agent)).filter_map(|agent| agent.person).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use hindsight_wire::manifest::{Party, VoiceTrack};

    fn voice_of(numbers: [&str; 2]) -> Media {
        let track = |(party, number): (Party, &str)| VoiceTrack {
            number: 1,
            party,
            number_or_dn: number.to_owned(),
            codec: "PCMU".into(),
            clock_rate: 8000,
        };
        let tracks = [Party::Agent, Party::Customer].into_iter().zip(numbers).map(track).collect();
        Media::Voice { tracks }
    }

    #[test]
    fn a_recording_is_of_who_is_in_it_and_of_everybody_where_it_does_not_say() {
        let agent = |dn: &str| Agent {
            dn: dn.into(),
            person: Some(PersonId::new()),
            login: String::new(),
            name: String::new(),
        };
        let agents = [agent("1001"), agent("1002")];
        let [ann, ben] = [0, 1].map(|index: usize| agents[index].person.unwrap());
        assert_eq!(persons(&voice_of(["1001", "2001"]), None, &agents), [ann]);
        assert_eq!(persons(&voice_of(["1002", "2001"]), None, &agents), [ben]);
        assert_eq!(persons(&voice_of(["1001", "1002"]), None, &agents), [ann, ben]);
        assert_eq!(persons(&voice_of(["unknown", ""]), None, &agents), [ann, ben]);
        let screen = Media::Screen { monitor: 0, name: String::new(), width: 1, height: 1, monitors: 1 };
        assert_eq!(persons(&screen, Some(ben), &agents), [ben]);
        assert_eq!(persons(&screen, Some(PersonId::new()), &agents), [ann, ben]);
        assert_eq!(persons(&screen, None, &agents), [ann, ben]);
    }
}
