//! Digest authentication (RFC 7616, RFC 8760): MD5 and SHA-256, qop `auth`, from H(A1) so that no password is kept.

mod client;
mod header;
mod server;

pub use client::{Credentials, DigestClient, DigestError};
pub use server::{DigestServer, Realm, Verdict};

use md5::{Digest as _, Md5};
use ring::digest::{SHA256, digest};

/// A hash algorithm. SHA-256 is offered first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// What every phone knows.
    Md5,
    /// RFC 8760.
    Sha256,
}

impl Algorithm {
    /// The name in headers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Md5 => "MD5",
            Self::Sha256 => "SHA-256",
        }
    }

    /// Reads a name; absent means MD5. `None` for others, `-sess` among them.
    pub fn parse(name: Option<&str>) -> Option<Self> {
        match name {
            None => Some(Self::Md5),
            Some(name) => {
                [Self::Md5, Self::Sha256].into_iter().find(|a| a.as_str().eq_ignore_ascii_case(name))
            }
        }
    }

    fn hash(self, text: &str) -> String {
        match self {
            Self::Md5 => hex::encode(Md5::digest(text.as_bytes())),
            Self::Sha256 => hex::encode(digest(&SHA256, text.as_bytes())),
        }
    }
}

/// H(user:realm:password) in lower-case hex: as good as the password within its realm, so never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Ha1 {
    algorithm: Algorithm,
    hex: String,
}

impl Ha1 {
    /// From a password.
    pub fn of(algorithm: Algorithm, user: &str, realm: &str, password: &str) -> Self {
        Self { algorithm, hex: algorithm.hash(&format!("{user}:{realm}:{password}")) }
    }

    /// From stored hex; `None` when it is not of this algorithm's length.
    pub fn from_hex(algorithm: Algorithm, text: &str) -> Option<Self> {
        let length = match algorithm {
            Algorithm::Md5 => 32,
            Algorithm::Sha256 => 64,
        };
        let sound = text.len() == length && text.bytes().all(|b| b.is_ascii_hexdigit());
        sound.then(|| Self { algorithm, hex: text.to_ascii_lowercase() })
    }

    /// The hex to store.
    pub fn as_hex(&self) -> &str {
        &self.hex
    }

    /// The algorithm.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The response of RFC 7616 3.4.1 with qop `auth`.
    fn response(&self, nonce: &str, nc: &str, cnonce: &str, method: &str, uri: &str) -> String {
        let ha2 = self.algorithm.hash(&format!("{method}:{uri}"));
        self.algorithm.hash(&format!("{}:{nonce}:{nc}:{cnonce}:auth:{ha2}", self.hex))
    }

    /// The response of RFC 2069, for servers that offer no qop.
    fn response_without_qop(&self, nonce: &str, method: &str, uri: &str) -> String {
        let ha2 = self.algorithm.hash(&format!("{method}:{uri}"));
        self.algorithm.hash(&format!("{}:{nonce}:{ha2}", self.hex))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_rfc_7616_come_out() {
        let (nonce, cnonce) =
            ("7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ");
        for (algorithm, expected) in [
            (Algorithm::Md5, "8ca523f5e9506fed4657c9700eebdbec"),
            (Algorithm::Sha256, "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
        ] {
            let ha1 = Ha1::of(algorithm, "Mufasa", "http-auth@example.org", "Circle of Life");
            assert_eq!(ha1.response(nonce, "00000001", cnonce, "GET", "/dir/index.html"), expected);
            assert!(Ha1::from_hex(algorithm, ha1.as_hex()).is_some_and(|again| again == ha1));
            assert!(Ha1::from_hex(algorithm, "xyz").is_none());
        }
    }
}
