//! Participants and streams of a recording session.

/// What a client said of a recording session so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata {
    /// Whether this replaces what was said before (`datamode` complete; RFC 7865 6.1.1).
    pub complete: bool,
    /// The call's own session id (`sipSessionID`, RFC 7989), as written.
    pub session_id: Option<String>,
    /// Everyone who takes or took part.
    pub participants: Vec<Participant>,
    /// Media streams.
    pub streams: Vec<Stream>,
}

/// Somebody in the call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Participant {
    /// Within the recording session.
    pub id: String,
    /// Address of record, a URI.
    pub aor: Option<String>,
    /// For people.
    pub name: Option<String>,
    /// Ids of the streams that they speak on; `None`: not said in this document.
    pub sends: Option<Vec<String>>,
    /// Whether they began the call, where the client says so.
    pub calling: Option<bool>,
    /// They have left.
    pub left: bool,
}

/// A media stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stream {
    /// Within the recording session.
    pub id: String,
    /// `a=label` of its m-line (RFC 4574).
    pub label: Option<String>,
}

impl Participant {
    /// The number: user part of a `sip:`, `sips:` or `tel:` URI without visual separators and parameters, else the name.
    pub fn number(&self) -> Option<String> {
        let from_uri = self.aor.as_deref().and_then(|aor| {
            let (scheme, rest) = aor.trim().split_once(':')?;
            let user = match scheme.to_ascii_lowercase().as_str() {
                "sip" | "sips" => rest.split_once('@').map(|(user, _)| user)?,
                "tel" => rest,
                _ => return None,
            };
            let user = user.split([';', ':']).next().unwrap_or_default();
            let number: String = user.chars().filter(|c| !matches!(c, '-' | '(' | ')' | ' ')).collect();
            (!number.is_empty()).then_some(number)
        });
        from_uri.or_else(|| self.name.clone().filter(|name| !name.is_empty()))
    }
}

impl Metadata {
    /// Takes a newer document: a complete one replaces, a partial one changes what it names.
    pub fn update(&mut self, newer: Self) {
        if newer.complete {
            *self = newer;
            return;
        }
        self.session_id = newer.session_id.or_else(|| self.session_id.take());
        for stream in newer.streams {
            match self.streams.iter_mut().find(|known| known.id == stream.id) {
                Some(known) => known.label = stream.label.or_else(|| known.label.take()),
                None => self.streams.push(stream),
            }
        }
        for participant in newer.participants {
            match self.participants.iter_mut().find(|known| known.id == participant.id) {
                Some(known) => known.update(participant),
                None => self.participants.push(participant),
            }
        }
    }

    /// Who speaks on the stream with this label, those who are still there first.
    pub fn speakers<'a>(&'a self, label: &str) -> Vec<&'a Participant> {
        let ids: Vec<&str> = self
            .streams
            .iter()
            .filter(|stream| stream.label.as_deref() == Some(label))
            .map(|stream| stream.id.as_str())
            .collect();
        let sends = |participant: &&Participant| {
            participant.sends.iter().flatten().any(|stream| ids.contains(&stream.as_str()))
        };
        let mut speakers: Vec<&Participant> = self.participants.iter().filter(sends).collect();
        speakers.sort_by_key(|participant| participant.left);
        speakers
    }
}

impl Participant {
    fn update(&mut self, newer: Self) {
        self.aor = newer.aor.or_else(|| self.aor.take());
        self.name = newer.name.or_else(|| self.name.take());
        self.sends = newer.sends.or_else(|| self.sends.take());
        self.calling = newer.calling.or(self.calling);
        self.left = newer.left;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(aor: &str) -> Option<String> {
        Participant { aor: Some(aor.to_owned()), ..Participant::default() }.number()
    }

    #[test]
    fn a_number_is_the_user_part_of_a_uri() {
        for (aor, expected) in [
            ("sip:7301@192.0.2.1", Some("7301")),
            ("sips:+49-30-1234;ext=5@example.com:5061", Some("+49301234")),
            ("tel:+1-201-555-0123;phone-context=example.com", Some("+12015550123")),
            ("sip:192.0.2.1", None),
            ("mailto:a@b", None),
            ("nonsense", None),
        ] {
            assert_eq!(number(aor).as_deref(), expected, "{aor}");
        }
        let named = Participant { name: Some("9000".into()), ..Participant::default() };
        assert_eq!(named.number().as_deref(), Some("9000"));
    }

    #[test]
    fn a_partial_update_changes_what_it_names_and_a_complete_one_replaces() {
        let stream = |id: &str, label: &str| Stream { id: id.into(), label: Some(label.into()) };
        let person = |id: &str, sends: &[&str]| Participant {
            id: id.into(),
            aor: Some(format!("sip:{id}@h")),
            sends: Some(sends.iter().map(|s| (*s).to_owned()).collect()),
            ..Participant::default()
        };
        let mut known = Metadata {
            complete: true,
            participants: vec![person("ann", &["s1"]), person("bob", &["s2"])],
            streams: vec![stream("s1", "1"), stream("s2", "2")],
            ..Metadata::default()
        };
        let leaves = Participant { id: "bob".into(), left: true, ..Participant::default() };
        known.update(Metadata { participants: vec![leaves, person("eve", &["s2"])], ..Metadata::default() });
        let on_two: Vec<&str> = known.speakers("2").iter().map(|p| p.id.as_str()).collect();
        assert_eq!(on_two, ["eve", "bob"], "who is there comes before who left");
        assert_eq!(known.speakers("1")[0].id, "ann");
        assert!(known.speakers("3").is_empty());
        known.update(Metadata { complete: true, ..Metadata::default() });
        assert!(known.participants.is_empty());
    }
}
