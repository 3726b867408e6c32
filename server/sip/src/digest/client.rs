//! The side that is asked.

use super::header::DigestParams;
use super::{Algorithm, Ha1};
use crate::ids::Ids;
use crate::message::{CSeq, Request, Response, SipMessage, StatusCode, lex};

/// What a user of ours knows: a password, for whatever realm asks.
#[derive(Clone)]
pub struct Credentials {
    /// User name.
    pub user: String,
    /// Password.
    pub password: String,
}

/// Why a challenge cannot be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DigestError {
    /// No challenge that we understand (another scheme or algorithm, or malformed).
    #[error("no challenge that can be answered")]
    NoUsableChallenge,
    /// The same nonce was refused without being stale: the password is wrong.
    #[error("the credentials were refused")]
    Refused,
}

/// Answers challenges of one server and counts the uses of its nonce.
pub struct DigestClient {
    credentials: Credentials,
    last: Option<Challenge>,
}

struct Challenge {
    header: &'static str,
    realm: String,
    nonce: String,
    opaque: Option<String>,
    algorithm: Algorithm,
    named_algorithm: bool,
    qop: bool,
    uses: u32,
}

impl DigestClient {
    /// Nothing has been asked yet.
    pub fn new(credentials: Credentials) -> Self {
        Self { credentials, last: None }
    }

    /// Takes a 401 or 407 and makes of the refused request the one to send next: credentials, next CSeq, no Via of ours.
    pub fn retry(
        &mut self,
        refused: &Request,
        response: &Response,
        ids: &mut Ids,
    ) -> Result<Request, DigestError> {
        let (asked, answered) = match response.status {
            StatusCode::PROXY_AUTHENTICATION_REQUIRED => ("Proxy-Authenticate", "Proxy-Authorization"),
            _ => ("WWW-Authenticate", "Authorization"),
        };
        let challenge = best(response, asked, answered).ok_or(DigestError::NoUsableChallenge)?;
        let stale = challenge.1;
        if refused.headers.has(answered)
            && !stale
            && self.last.as_ref().is_some_and(|l| l.realm == challenge.0.realm)
        {
            return Err(DigestError::Refused);
        }
        self.last = Some(challenge.0);
        let mut next = refused.clone();
        next.headers.remove(answered);
        if let Ok(cseq) = refused.cseq() {
            next.headers.set("CSeq", CSeq { number: (cseq.number + 1) & 0x7fff_ffff, method: cseq.method });
        }
        self.authorize(&mut next, ids);
        Ok(next)
    }

    /// Adds credentials for the last nonce known, to save a round trip. Nothing before the first challenge.
    pub fn authorize(&mut self, request: &mut Request, ids: &mut Ids) {
        let Some(last) = &mut self.last else { return };
        last.uses += 1;
        let Credentials { user, password } = &self.credentials;
        let ha1 = Ha1::of(last.algorithm, user, &last.realm, password);
        let (uri, method) = (request.uri.to_string(), request.method.as_str());
        let mut value = format!(
            "Digest username={}, realm={}, nonce={}, uri={}",
            lex::quote(user),
            lex::quote(&last.realm),
            lex::quote(&last.nonce),
            lex::quote(&uri)
        );
        if last.qop {
            let (nc, cnonce) = (format!("{:08x}", last.uses), ids.tag());
            let response = ha1.response(&last.nonce, &nc, &cnonce, method, &uri);
            value += &format!(r#", response="{response}", qop=auth, nc={nc}, cnonce="{cnonce}""#);
        } else {
            value += &format!(r#", response="{}""#, ha1.response_without_qop(&last.nonce, method, &uri));
        }
        if last.named_algorithm {
            value += &format!(", algorithm={}", last.algorithm.as_str());
        }
        if let Some(opaque) = &last.opaque {
            value += &format!(", opaque={}", lex::quote(opaque));
        }
        request.headers.set(last.header, value);
    }
}

/// The first challenge that can be answered (RFC 8760 2.4: the server's order is its preference), and whether it is stale.
fn best(response: &Response, asked: &str, answered: &'static str) -> Option<(Challenge, bool)> {
    response.headers.all(asked).filter_map(DigestParams::parse).find_map(|given| {
        let algorithm = Algorithm::parse(given.get("algorithm"))?;
        let qop = match given.get("qop") {
            Some(list) if list.split(',').any(|q| lex::trim(q).eq_ignore_ascii_case("auth")) => true,
            Some(_) => return None,
            None => false,
        };
        let stale = given.get("stale").is_some_and(|s| s.eq_ignore_ascii_case("true"));
        let challenge = Challenge {
            header: answered,
            realm: given.get("realm")?.to_owned(),
            nonce: given.get("nonce")?.to_owned(),
            opaque: given.get("opaque").map(str::to_owned),
            algorithm,
            named_algorithm: given.get("algorithm").is_some(),
            qop,
            uses: 0,
        };
        Some((challenge, stale))
    })
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::super::{DigestServer, Realm, Verdict};
    use super::*;
    use crate::message::{Method, Uri};

    const BOTH: &[Algorithm] = &[Algorithm::Sha256, Algorithm::Md5];

    struct Pair {
        server: DigestServer,
        client: DigestClient,
        ids: Ids,
        now: Instant,
    }

    impl Pair {
        fn new(password: &str) -> Self {
            let now = Instant::now();
            let credentials = Credentials { user: "7001".into(), password: password.into() };
            let server = DigestServer::new("hindsight", Realm::Server, [7; 32], now);
            Self { server, client: DigestClient::new(credentials), ids: Ids::seeded(1), now }
        }

        fn judge(&mut self, request: &Request) -> Verdict {
            let lookup = |user: &str, algorithm| Some(Ha1::of(algorithm, user, "hindsight", "secret"));
            self.server.verify(request, lookup, self.now)
        }

        fn retry(&mut self, request: &Request, stale: bool) -> Result<Request, DigestError> {
            let challenge = self.server.challenge(request, stale, BOTH, self.now);
            self.client.retry(request, &challenge, &mut self.ids)
        }
    }

    fn register() -> Request {
        Request::new(Method::Register, Uri::parse("sip:hindsight.example").unwrap())
            .with_header("CSeq", "1 REGISTER")
    }

    fn user() -> Verdict {
        Verdict::Authenticated { user: "7001".into() }
    }

    #[test]
    fn the_right_password_is_accepted_and_the_wrong_one_asked_again() {
        let mut right = Pair::new("secret");
        assert_eq!(right.judge(&register()), Verdict::Challenge { stale: false });
        let next = right.retry(&register(), false).unwrap();
        assert_eq!(next.headers.get("CSeq"), Some("2 REGISTER"));
        assert!(next.headers.get("Authorization").unwrap().contains("algorithm=SHA-256"));
        assert_eq!(right.judge(&next), user());

        let mut wrong = Pair::new("guess");
        let next = wrong.retry(&register(), false).unwrap();
        assert_eq!(wrong.judge(&next), Verdict::Wrong { user: "7001".into() });
        assert_eq!(wrong.retry(&next, false), Err(DigestError::Refused));
    }

    #[test]
    fn a_repeated_count_is_refused_and_the_count_is_hexadecimal() {
        let mut pair = Pair::new("secret");
        let first = pair.retry(&register(), false).unwrap();
        assert_eq!(pair.judge(&first), user());
        assert_eq!(pair.judge(&first), Verdict::Challenge { stale: true });
        let mut late = None;
        for number in 2..200 {
            let mut request = register();
            pair.client.authorize(&mut request, &mut pair.ids);
            if number == 150 {
                late = Some(request);
            } else {
                assert_eq!(pair.judge(&request), user(), "use {number}");
            }
        }
        let late = late.unwrap();
        assert_eq!(pair.judge(&late), user(), "out of order, within the window");
        assert_eq!(pair.judge(&late), Verdict::Challenge { stale: true });
        assert_eq!(pair.judge(&first), Verdict::Challenge { stale: true });
    }

    #[test]
    fn an_old_nonce_is_stale_and_a_foreign_one_is_nothing() {
        let mut pair = Pair::new("secret");
        let request = pair.retry(&register(), false).unwrap();
        pair.now += Duration::from_secs(301);
        assert_eq!(pair.judge(&request), Verdict::Challenge { stale: true });
        let again = pair.retry(&request, true).unwrap();
        assert_eq!(pair.judge(&again), user());
        let mut other = DigestServer::new("hindsight", Realm::Server, [8; 32], pair.now);
        let lookup = |user: &str, algorithm| Some(Ha1::of(algorithm, user, "hindsight", "secret"));
        assert_eq!(other.verify(&again, lookup, pair.now), Verdict::Challenge { stale: false });
    }

    #[test]
    fn credentials_of_another_target_or_method_do_not_serve() {
        let mut pair = Pair::new("secret");
        let mut request = pair.retry(&register(), false).unwrap();
        request.uri = Uri::parse("sip:other.example").unwrap();
        assert!(matches!(pair.judge(&request), Verdict::Refused(_)));
        let mut request = pair.retry(&register(), false).unwrap();
        request.method = Method::Invite;
        assert_eq!(pair.judge(&request), Verdict::Wrong { user: "7001".into() });
    }

    #[test]
    fn hostile_credentials_are_only_challenged() {
        let mut pair = Pair::new("secret");
        for value in [
            "Basic Zm9v",
            "Digest",
            "Digest ",
            "Digest realm=\"hindsight\"",
            "Digest realm=\"hindsight\", realm=\"hindsight\"",
            "Digest realm=\"hindsight",
            "NoOneKnowsThisScheme opaque-data=here",
        ] {
            let request = register().with_header("Authorization", value);
            assert_eq!(pair.judge(&request), Verdict::Challenge { stale: false }, "{value}");
        }
    }
}
