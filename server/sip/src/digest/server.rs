//! The side that asks: stateless nonces that age, and a window per nonce against replay.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use ring::hmac;

use super::header::DigestParams;
use super::{Algorithm, Ha1};
use crate::message::{Fault, Method, Request, Response, StatusCode, Uri, lex};

/// A nonce older than this is stale: the phone asks again by itself.
pub const NONCE_LIFETIME: Duration = Duration::from_secs(300);
/// Nonces in use; only requests with the right password get one into the table.
pub const MAX_NONCES: usize = 100_000;
/// So many numbers back a request may arrive out of order.
const WINDOW: u32 = 64;
const STAMP: usize = 8;
const SALT: usize = 8;
const MAC: usize = 16;

/// Which headers and status are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Realm {
    /// 401, WWW-Authenticate, Authorization: registrars and user agents.
    Server,
    /// 407, Proxy-Authenticate, Proxy-Authorization.
    Proxy,
}

impl Realm {
    fn names(self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::Server => (StatusCode::UNAUTHORIZED, "WWW-Authenticate", "Authorization"),
            Self::Proxy => {
                (StatusCode::PROXY_AUTHENTICATION_REQUIRED, "Proxy-Authenticate", "Proxy-Authorization")
            }
        }
    }
}

/// The judgement on a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The user proved to know the password.
    Authenticated {
        /// The user name in the credentials; that it may act for the address in From or To is for the caller to check.
        user: String,
    },
    /// No credentials, or wrong ones: challenge. Stale: they were right but the nonce is old or used up.
    Challenge {
        /// The phone may answer without asking a person.
        stale: bool,
    },
    /// Credentials in answer to a challenge of ours, and wrong ones: challenge again, and count.
    Wrong {
        /// Whose password was tried; not necessarily anybody's.
        user: String,
    },
    /// The credentials are not for this request.
    Refused(Fault),
}

/// The verifier of one realm. `now` is an argument; the key comes from the caller's source of randomness.
pub struct DigestServer {
    name: String,
    realm: Realm,
    key: hmac::Key,
    epoch: Instant,
    lifetime: Duration,
    seen: HashMap<[u8; SALT], Window>,
    next_salt: u64,
}

struct Window {
    highest: u32,
    mask: u64,
    expires: Instant,
}

impl DigestServer {
    /// A verifier for this realm name with a secret of 32 random bytes. Its nonces are worth nothing to another one.
    pub fn new(name: impl Into<String>, realm: Realm, secret: [u8; 32], now: Instant) -> Self {
        Self {
            name: name.into(),
            realm,
            key: hmac::Key::new(hmac::HMAC_SHA256, &secret),
            epoch: now,
            lifetime: NONCE_LIFETIME,
            seen: HashMap::new(),
            next_salt: 0,
        }
    }

    /// The realm name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The refusal that asks for credentials, SHA-256 first (RFC 8760 2.4) unless only MD5 is kept for these users.
    pub fn challenge(
        &mut self,
        request: &Request,
        stale: bool,
        algorithms: &[Algorithm],
        now: Instant,
    ) -> Response {
        let (status, header, _) = self.realm.names();
        let mut response = Response::to(request, status);
        let nonce = self.nonce(now);
        let stale = if stale { ", stale=true" } else { "" };
        for algorithm in algorithms {
            let (realm, algorithm) = (lex::quote(&self.name), algorithm.as_str());
            let value =
                format!(r#"Digest realm={realm}, nonce="{nonce}", algorithm={algorithm}, qop="auth"{stale}"#);
            response.headers.push(header, value);
        }
        response
    }

    /// Judges a request; `lookup` gives the H(A1) of a user in this realm for an algorithm.
    pub fn verify(
        &mut self,
        request: &Request,
        lookup: impl Fn(&str, Algorithm) -> Option<Ha1>,
        now: Instant,
    ) -> Verdict {
        let (_, _, header) = self.realm.names();
        let again = Verdict::Challenge { stale: false };
        let credentials = request.headers.all(header).filter_map(DigestParams::parse);
        let Some(given) = credentials.into_iter().find(|c| c.get("realm") == Some(self.name.as_str())) else {
            return again;
        };
        let Some(proof) = Proof::read(&given) else { return again };
        if !same_target(proof.uri, &request.uri) {
            return Verdict::Refused(Fault::syntax("Digest URI Does Not Match"));
        }
        let Some((salt, issued)) = self.open_nonce(proof.nonce) else { return again };
        let wrong = || Verdict::Wrong { user: proof.user.to_owned() };
        let Some(ha1) = lookup(proof.user, proof.algorithm).filter(|h| h.algorithm() == proof.algorithm)
        else {
            return wrong();
        };
        let method: &Method = &request.method;
        let expected = ha1.response(proof.nonce, proof.nc, proof.cnonce, method.as_str(), proof.uri);
        if !equal(expected.as_bytes(), proof.response.to_ascii_lowercase().as_bytes()) {
            return wrong();
        }
        // Only now, so that nobody without the password can wear a nonce out or fill the table.
        let expires = issued + self.lifetime;
        if now > expires || !self.fresh(salt, proof.count, expires, now) {
            return Verdict::Challenge { stale: true };
        }
        Verdict::Authenticated { user: proof.user.to_owned() }
    }

    /// `hex(ms since start ‖ salt ‖ HMAC)`.
    fn nonce(&mut self, now: Instant) -> String {
        let age = now.saturating_duration_since(self.epoch).as_millis();
        let stamp = u64::try_from(age).unwrap_or(u64::MAX).to_be_bytes();
        self.next_salt += 1;
        let mut nonce = [stamp, self.next_salt.to_be_bytes()].concat();
        let tag = self.tag(&nonce);
        nonce.extend_from_slice(&tag);
        hex::encode(nonce)
    }

    fn tag(&self, head: &[u8]) -> [u8; MAC] {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(head);
        context.update(self.name.as_bytes());
        let tag = context.sign();
        let mut short = [0; MAC];
        short.copy_from_slice(&tag.as_ref()[..MAC]);
        short
    }

    /// The salt and the time of a nonce of ours.
    fn open_nonce(&self, nonce: &str) -> Option<([u8; SALT], Instant)> {
        let bytes = hex::decode(nonce).ok().filter(|b| b.len() == STAMP + SALT + MAC)?;
        let (head, tag) = bytes.split_at(STAMP + SALT);
        if !equal(&self.tag(head), tag) {
            return None;
        }
        let (stamp, salt) = head.split_at(STAMP);
        let age = Duration::from_millis(u64::from_be_bytes(stamp.try_into().ok()?));
        Some((salt.try_into().ok()?, self.epoch.checked_add(age)?))
    }

    /// Notes a nonce count; false when it was used before, is too far back, or cannot be noted.
    fn fresh(&mut self, salt: [u8; SALT], count: u32, expires: Instant, now: Instant) -> bool {
        if !self.seen.contains_key(&salt) && self.seen.len() >= MAX_NONCES {
            self.seen.retain(|_, window| window.expires >= now);
            if self.seen.len() >= MAX_NONCES {
                return false;
            }
        }
        let window = self.seen.entry(salt).or_insert(Window { highest: 0, mask: 0, expires });
        window.note(count)
    }
}

impl Window {
    fn note(&mut self, count: u32) -> bool {
        if count > self.highest {
            let ahead = count - self.highest;
            self.mask = if ahead >= WINDOW { 0 } else { self.mask << ahead };
            self.mask |= 1;
            self.highest = count;
            return true;
        }
        let back = self.highest - count;
        if back >= WINDOW || self.mask & (1 << back) != 0 {
            return false;
        }
        self.mask |= 1 << back;
        true
    }
}

struct Proof<'a> {
    user: &'a str,
    algorithm: Algorithm,
    nonce: &'a str,
    uri: &'a str,
    response: &'a str,
    cnonce: &'a str,
    nc: &'a str,
    count: u32,
}

impl<'a> Proof<'a> {
    fn read(given: &'a DigestParams) -> Option<Self> {
        let nc = given.get("nc")?;
        // The count is hexadecimal: after 09 comes 0a.
        let count = u32::from_str_radix(nc, 16).ok().filter(|_| nc.len() == 8 && !nc.starts_with('+'))?;
        let sound = given.get("qop")?.eq_ignore_ascii_case("auth") && count > 0;
        sound.then_some(())?;
        Some(Self {
            user: given.get("username")?,
            algorithm: Algorithm::parse(given.get("algorithm"))?,
            nonce: given.get("nonce")?,
            uri: given.get("uri")?,
            response: given.get("response")?,
            cnonce: given.get("cnonce")?,
            nc,
            count,
        })
    }
}

fn same_target(claimed: &str, actual: &Uri) -> bool {
    if claimed == actual.to_string() {
        return true;
    }
    match (Uri::parse(claimed), actual) {
        (Ok(Uri::Sip(claimed)), Uri::Sip(actual)) => claimed.equivalent(actual),
        _ => false,
    }
}

/// Takes the same time wherever the first difference is.
fn equal(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |acc, (x, y)| acc | (x ^ y)) == 0
}
