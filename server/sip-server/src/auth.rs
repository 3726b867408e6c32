//! Who sends a request: digest authentication against the DNs of the directory.

use crate::{config::DigestAlgorithm, directory::Directory};
use hindsight_sip::{
    Method, Request, Response,
    digest::{Algorithm, DigestServer, Ha1, Realm, Verdict},
};
use std::time::Instant;

/// The judgement on who sends a request.
pub enum Judged {
    /// This DN.
    Is(String),
    /// Nobody yet; answer this.
    Asked(Box<Response>),
    /// Wrong credentials of this account (which need not exist); answer this.
    Wrong(String, Box<Response>),
}

/// Asks a registrar's question (401) for REGISTER and a proxy's (407) for calls.
pub struct Authenticator {
    registrar: DigestServer,
    calls: DigestServer,
    algorithms: Vec<Algorithm>,
}

impl Authenticator {
    /// For this realm, with a secret that makes its nonces.
    pub fn new(realm: &str, algorithms: &[DigestAlgorithm], secret: [u8; 32], now: Instant) -> Self {
        let algorithm = |configured: &DigestAlgorithm| match configured {
            DigestAlgorithm::Sha256 => Algorithm::Sha256,
            DigestAlgorithm::Md5 => Algorithm::Md5,
        };
        Self {
            registrar: DigestServer::new(realm, Realm::Server, secret, now),
            calls: DigestServer::new(realm, Realm::Proxy, secret, now),
            algorithms: algorithms.iter().map(algorithm).collect(),
        }
    }

    /// The realm.
    pub fn realm(&self) -> &str {
        self.calls.name()
    }

    /// The DN that sent a request, or what to answer it.
    pub fn judge(&mut self, request: &Request, directory: &Directory, now: Instant) -> Judged {
        let server = if request.method == Method::Register { &mut self.registrar } else { &mut self.calls };
        let lookup = |user: &str, algorithm: Algorithm| {
            let dn = directory.get(user)?;
            let hex = match algorithm {
                Algorithm::Md5 => &dn.ha1_md5,
                Algorithm::Sha256 => &dn.ha1_sha256,
            };
            Ha1::from_hex(algorithm, hex)
        };
        match server.verify(request, lookup, now) {
            Verdict::Authenticated { user } => Judged::Is(user),
            Verdict::Challenge { stale } => {
                Judged::Asked(Box::new(server.challenge(request, stale, &self.algorithms, now)))
            }
            Verdict::Wrong { user } => {
                Judged::Wrong(user, Box::new(server.challenge(request, false, &self.algorithms, now)))
            }
            Verdict::Refused(fault) => {
                Judged::Asked(Box::new(Response::to(request, fault.status).with_reason(fault.reason)))
            }
        }
    }
}
