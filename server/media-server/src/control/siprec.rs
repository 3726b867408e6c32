//! What the INVITE of a recording session (SIPREC, RFC 7866) says: pure.

use crate::recorder::{AGENT, CUSTOMER};
use hindsight_model::{InteractionId, event::CallParty};
use hindsight_sip::{
    Request, StatusCode,
    message::multipart,
    sdp::{self, SdpError, StreamsOffer},
};
use hindsight_siprec::{CONTENT_TYPE, CONTENT_TYPE_DRAFT, Metadata, MetadataError, Participant};
use hindsight_wire::manifest::Party;

/// User part of the Request-URI, before the interaction's id; the resource manager writes it.
const USER: &str = "siprec=";
/// Streams of one session that can be recorded: one for each party, or one for both.
pub const MAX_STREAMS: usize = 2;

/// A recording session that can be recorded.
#[derive(Clone, Debug)]
pub struct Described {
    /// The streams.
    pub offer: StreamsOffer,
    /// Who speaks on them.
    pub metadata: Metadata,
}

/// Why a recording session is refused; always the client's fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// No recording metadata (400).
    #[error("No Recording Metadata")]
    NoMetadata,
    /// It cannot be read (400).
    #[error("Recording Metadata: {0}")]
    Metadata(#[from] MetadataError),
    /// No session description (400).
    #[error("No Session Description")]
    NoOffer,
    /// A stream that cannot be recorded (488), or no session description (400).
    #[error("Recording Session: {0}")]
    Offer(#[from] SdpError),
    /// More than [`MAX_STREAMS`] (488).
    #[error("More Than Two Streams")]
    TooManyStreams,
    /// Two streams of the same label (400).
    #[error("Two Streams Of One Label")]
    SameLabel,
}

impl Refused {
    /// The status that answers the INVITE.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::NoMetadata | Self::Metadata(_) | Self::NoOffer | Self::SameLabel => StatusCode::BAD_REQUEST,
            Self::Offer(SdpError::Malformed) => StatusCode::BAD_REQUEST,
            Self::Offer(SdpError::NothingInCommon) | Self::TooManyStreams => StatusCode::NOT_ACCEPTABLE_HERE,
        }
    }
}

/// The interaction of a recording session, when the Request-URI names one.
pub fn interaction(invite: &Request) -> Option<InteractionId> {
    invite.uri.user()?.strip_prefix(USER)?.parse().ok()
}

/// Reads the body of the INVITE that begins a session.
pub fn read(invite: &Request) -> Result<Described, Refused> {
    let offer = offer(invite)?.ok_or(Refused::NoOffer)?;
    let metadata = metadata(invite)?.ok_or(Refused::NoMetadata)?;
    Ok(Described { offer, metadata })
}

/// The offer of a request, if it has one.
pub fn offer(request: &Request) -> Result<Option<StreamsOffer>, Refused> {
    let Some(part) = part(request, &[sdp::CONTENT_TYPE]) else { return Ok(None) };
    let offer = StreamsOffer::parse(&part)?;
    let labels: Vec<&str> = offer.streams().map(|stream| stream.label.as_str()).collect();
    if labels.len() > MAX_STREAMS {
        return Err(Refused::TooManyStreams);
    }
    if labels.len() == MAX_STREAMS && labels[0] == labels[1] {
        return Err(Refused::SameLabel);
    }
    Ok(Some(offer))
}

/// The metadata of a request, if it has some.
pub fn metadata(request: &Request) -> Result<Option<Metadata>, Refused> {
    let part = part(request, &[CONTENT_TYPE, CONTENT_TYPE_DRAFT]);
    Ok(part.map(|part| hindsight_siprec::parse(&part)).transpose()?)
}

fn part(request: &Request, types: &[&str]) -> Option<Vec<u8>> {
    let content_type = request.headers.get("Content-Type").unwrap_or_default();
    let mut parts = multipart::parts(content_type, &request.body).into_iter();
    parts.find(|part| types.iter().any(|media_type| part.is(media_type))).map(|part| part.body)
}

/// Who is who in the call.
#[derive(Clone, Debug, PartialEq)]
pub struct Parties {
    /// For each stream: which side it is recorded on, whose it is, and whether both parties speak on it.
    pub streams: Vec<(usize, String, bool)>,
    /// Who began the call.
    pub caller: String,
    /// Whom they called.
    pub called: String,
    /// Everyone who is there, caller first.
    pub call: Vec<CallParty>,
}

/// Who called whom, as far as the metadata of a request says it.
pub fn call_of(request: &Request, fallback: (String, String)) -> (String, String) {
    let metadata = metadata(request).ok().flatten().unwrap_or_default();
    let parties = parties(&metadata, &[], |_| false, fallback);
    (parties.caller, parties.called)
}

/// Sorts streams to sides. The agent is the party whose number is a DN of this site; without one, or with two, the called
/// one. `fallback`: numbers for when the metadata names nobody.
pub fn parties(
    metadata: &Metadata,
    labels: &[&str],
    is_dn: impl Fn(&str) -> bool,
    fallback: (String, String),
) -> Parties {
    let present = |participant: &&Participant| !participant.left;
    let mut people: Vec<&Participant> = metadata.participants.iter().filter(present).collect();
    // Clients list the caller first, unless they say it.
    people.sort_by_key(|participant| participant.calling != Some(true));
    let number = |at: usize| people.get(at).and_then(|participant| participant.number());
    let (caller, called) = (number(0).unwrap_or(fallback.0), number(1).unwrap_or(fallback.1));
    let agent = if is_dn(&caller) && !is_dn(&called) { caller.clone() } else { called.clone() };
    let speaker = |label: &str| metadata.speakers(label).first().and_then(|speaker| speaker.number());
    let streams = match labels {
        [only] => vec![(AGENT, speaker(only).unwrap_or_else(|| agent.clone()), true)],
        _ => {
            let numbers: Vec<Option<String>> = labels.iter().map(|label| speaker(label)).collect();
            let agents = numbers.iter().position(|number| number.as_ref() == Some(&agent));
            // Nobody named: the caller's stream comes first.
            let agents = agents.unwrap_or(1);
            let side = |at: usize| if at == agents { AGENT } else { CUSTOMER };
            let other = if agent == caller { &called } else { &caller };
            let default = |at: usize| if side(at) == AGENT { agent.clone() } else { other.clone() };
            numbers
                .into_iter()
                .enumerate()
                .map(|(at, number)| (side(at), number.unwrap_or_else(|| default(at)), false))
                .collect()
        }
    };
    let party = |number: &String| CallParty {
        number: number.clone(),
        role: if *number == agent { Party::Agent } else { Party::Customer },
        is_dn: is_dn(number),
    };
    let further = people.iter().skip(2).filter_map(|participant| participant.number());
    let call = [party(&caller), party(&called)].into_iter().chain(further.map(|number| party(&number)));
    let call = call.collect();
    Parties { streams, caller, called, call }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hindsight_sip::{Method, Uri};

    fn document(first: &str, second: &str) -> String {
        format!(
            "<recording xmlns='urn:ietf:params:xml:ns:recording:1'>\
             <participant participant_id='A'><nameID aor='sip:{first}@h'/></participant>\
             <participant participant_id='B'><nameID aor='sip:{second}@h'/></participant>\
             <stream stream_id='S1'><label>1</label></stream><stream stream_id='S2'><label>2</label></stream>\
             <participantstreamassoc participant_id='A'><send>S1</send></participantstreamassoc>\
             <participantstreamassoc participant_id='B'><send>S2</send></participantstreamassoc></recording>"
        )
    }

    const SDP: &str = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n\
        m=audio 4000 RTP/AVP 0\r\na=label:1\r\na=sendonly\r\nm=audio 4002 RTP/AVP 0\r\na=label:2\r\na=sendonly\r\n";

    fn invite(sdp: Option<&str>, metadata: Option<&str>) -> Request {
        let mut body = String::new();
        for (content_type, part) in [(CONTENT_TYPE, metadata), ("application/sdp", sdp)] {
            if let Some(part) = part {
                body += &format!("--b\r\nContent-Type: {content_type}\r\n\r\n{part}\r\n");
            }
        }
        body += "--b--\r\n";
        Request::new(Method::Invite, Uri::parse("sip:siprec=0193aaaa00007000800000000000aaaa@h").unwrap())
            .with_body("multipart/mixed;boundary=b", body.into_bytes())
    }

    fn sides(first: &str, second: &str, dns: &[&str]) -> Vec<usize> {
        let metadata = hindsight_siprec::parse(document(first, second).as_bytes()).unwrap();
        let unknown = ("?".to_owned(), "?".to_owned());
        let parties = parties(&metadata, &["1", "2"], |number| dns.contains(&number), unknown);
        parties.streams.iter().map(|(side, ..)| *side).collect()
    }

    #[test]
    fn parts_in_any_order_describe_a_session() {
        let invite = invite(Some(SDP), Some(&document("0701", "1001")));
        assert!(interaction(&invite).is_some());
        let described = read(&invite).unwrap();
        assert_eq!((described.offer.streams().count(), described.metadata.participants.len()), (2, 2));
    }

    #[test]
    fn the_agent_is_who_has_a_dn_here_else_who_was_called() {
        assert_eq!(sides("0701", "1001", &["1001"]), [CUSTOMER, AGENT]);
        assert_eq!(sides("1001", "0701", &["1001"]), [AGENT, CUSTOMER]);
        assert_eq!(sides("0701", "0702", &[]), [CUSTOMER, AGENT]);
        assert_eq!(sides("1001", "1002", &["1001", "1002"]), [CUSTOMER, AGENT]);
    }

    #[test]
    fn one_stream_holds_both_parties() {
        let metadata = hindsight_siprec::parse(document("0701", "1001").as_bytes()).unwrap();
        let parties = parties(&metadata, &["1"], |_| false, (String::new(), String::new()));
        assert_eq!(parties.streams, [(AGENT, "0701".to_owned(), true)]);
        assert_eq!((parties.caller.as_str(), parties.called.as_str()), ("0701", "1001"));
    }

    #[test]
    fn who_left_is_no_party_any_more_and_who_joined_is_one() {
        let mut metadata = hindsight_siprec::parse(document("0701", "1001").as_bytes()).unwrap();
        let newer = "<recording><datamode>partial</datamode>\
             <participant participant_id='C'><nameID aor='sip:1002@h'/></participant>\
             <participant participant_id='D'><nameID aor='sip:0900@h'/></participant>\
             <participantsessionassoc participant_id='B'><disassociate-time>2026-11-23T01:00:00Z</disassociate-time>\
             </participantsessionassoc></recording>";
        metadata.update(hindsight_siprec::parse(newer.as_bytes()).unwrap());
        let unknown = ("?".to_owned(), "?".to_owned());
        let parties = parties(&metadata, &["1", "2"], |number| number == "1002", unknown);
        let numbers: Vec<&str> = parties.call.iter().map(|party| party.number.as_str()).collect();
        assert_eq!(numbers, ["0701", "1002", "0900"]);
        assert_eq!(parties.call[1].role, Party::Agent);
    }

    #[test]
    fn without_speakers_the_callers_stream_comes_first() {
        let metadata = hindsight_siprec::parse(b"<recording><stream id='x'/></recording>").unwrap();
        let parties = parties(&metadata, &["1", "2"], |_| false, ("0701".into(), "1001".into()));
        assert_eq!(parties.streams[0], (CUSTOMER, "0701".to_owned(), false));
        assert_eq!(parties.streams[1], (AGENT, "1001".to_owned(), false));
    }

    #[test]
    fn what_cannot_be_recorded_is_refused_with_its_status() {
        let good = document("0701", "1001");
        let three = format!("{SDP}m=audio 4004 RTP/AVP 0\r\n");
        let cases = [
            (invite(Some(SDP), None), StatusCode::BAD_REQUEST),
            (invite(Some(SDP), Some("<recording>")), StatusCode::BAD_REQUEST),
            (invite(None, Some(&good)), StatusCode::BAD_REQUEST),
            (invite(Some("v=9"), Some(&good)), StatusCode::BAD_REQUEST),
            (invite(Some(&SDP.replace("label:2", "label:1")), Some(&good)), StatusCode::BAD_REQUEST),
            (
                invite(Some(&SDP.replace("RTP/AVP 0", "RTP/AVP 18")), Some(&good)),
                StatusCode::NOT_ACCEPTABLE_HERE,
            ),
            (invite(Some(&three), Some(&good)), StatusCode::NOT_ACCEPTABLE_HERE),
        ];
        for (number, (invite, status)) in cases.iter().enumerate() {
            let refused = read(invite).unwrap_err();
            assert_eq!(refused.status(), *status, "case {number}: {refused}");
        }
    }
}
