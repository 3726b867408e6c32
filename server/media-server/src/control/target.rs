//! The conference URI: `sip:msml=<interaction as session id>@host;role=agent|customer[;party=<number>]`. Pure.

use crate::recorder::{AGENT, CUSTOMER};
use hindsight_model::InteractionId;
use hindsight_sip::{Request, SipMessage as _};

/// Which conference, on which side, and whose leg.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The conference's id as written.
    pub conference: String,
    /// The call.
    pub interaction: InteractionId,
    /// [`AGENT`] or [`CUSTOMER`].
    pub side: usize,
    /// DN or number of the party; empty when unknown.
    pub party: String,
}

/// Why an INVITE names no conference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// Another user part: 404.
    #[error("Not A Conference")]
    NotAConference,
    /// The id is no interaction: 400.
    #[error("Conference Id Is No Session-ID")]
    Id,
    /// No role, or another: 400.
    #[error("Role Missing")]
    Role,
}

impl Target {
    /// Reads the Request-URI; the party's number from `;party=`, else from From.
    pub fn of(invite: &Request) -> Result<Self, TargetError> {
        let user = invite.uri.user().ok_or(TargetError::NotAConference)?;
        let (conference, in_user) =
            match user.strip_prefix("msml=").ok_or(TargetError::NotAConference)?.split_once(';') {
                Some((id, params)) => (id, params),
                None => (user.trim_start_matches("msml="), ""),
            };
        let interaction = conference.parse().map_err(|_| TargetError::Id)?;
        let in_user =
            |name: &str| in_user.split(';').find_map(|param| param.strip_prefix(name)?.strip_prefix('='));
        let param = |name: &str| invite.uri.param(name).or_else(|| in_user(name));
        let side = match param("role") {
            Some("agent") => AGENT,
            Some("customer") => CUSTOMER,
            _ => return Err(TargetError::Role),
        };
        let from = || invite.from().ok()?.uri.user();
        let party = param("party").map(str::to_owned).or_else(from).unwrap_or_default();
        Ok(Self { conference: conference.to_owned(), interaction, side, party })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hindsight_sip::{Method, Uri};

    fn target(uri: &str) -> Result<Target, TargetError> {
        let invite = Request::new(Method::Invite, Uri::parse(uri).unwrap())
            .with_header("From", "<sip:1001@example.com>;tag=1");
        Target::of(&invite)
    }

    #[test]
    fn a_conference_uri_names_interaction_side_and_party() {
        let id = InteractionId::new();
        let read = target(&format!("sip:msml={}@127.0.0.1:5080;role=agent", id.to_session_id())).unwrap();
        assert_eq!((read.interaction, read.side, read.party.as_str()), (id, AGENT, "1001"));
        let read = target(&format!("sip:msml={}@h;role=customer;party=77", id.to_session_id())).unwrap();
        assert_eq!((read.side, read.party.as_str()), (CUSTOMER, "77"));
    }

    #[test]
    fn other_uris_are_refused_with_their_reason() {
        assert_eq!(target("sip:1001@h"), Err(TargetError::NotAConference));
        assert_eq!(target("sip:msml=hello@h;role=agent"), Err(TargetError::Id));
        let id = InteractionId::new().to_session_id();
        assert_eq!(target(&format!("sip:msml={id}@h")), Err(TargetError::Role));
        assert_eq!(target(&format!("sip:msml={id}@h;role=spy")), Err(TargetError::Role));
    }
}
