//! A carrier's end of a trunk that asks for a password.

use hindsight_sip::{
    Method, Request, Response,
    digest::{Algorithm, DigestServer, Ha1, Realm, Verdict},
};
use std::time::Instant;

pub struct Guard {
    proxy: DigestServer,
    registrar: DigestServer,
    password: String,
}

impl Guard {
    pub fn new(password: &str, now: Instant) -> Self {
        Self {
            proxy: DigestServer::new("carrier", Realm::Proxy, [1; 32], now),
            registrar: DigestServer::new("carrier", Realm::Server, [2; 32], now),
            password: password.to_owned(),
        }
    }

    /// The challenge, unless a request proves to come from the account `site`.
    pub fn refuses(&mut self, request: &Request, now: Instant) -> Option<Response> {
        if matches!(request.method, Method::Options | Method::Ack) {
            return None;
        }
        let server = if request.method == Method::Register { &mut self.registrar } else { &mut self.proxy };
        let ha1 = |user: &str, algorithm| {
            (user == "site").then(|| Ha1::of(algorithm, user, "carrier", &self.password))
        };
        match server.verify(request, ha1, now) {
            Verdict::Authenticated { .. } => None,
            _ => Some(server.challenge(request, false, &[Algorithm::Md5], now)),
        }
    }
}
