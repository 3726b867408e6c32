//! Random tokens and codes, of which only the hash is kept.

use rand::{TryRngCore, rngs::OsRng};
use ring::digest;

/// Random bytes in a token: nothing slower than a plain hash is needed to keep it.
const TOKEN_BYTES: usize = 24;

/// A new secret token, 48 hexadecimal digits.
pub fn new_token() -> String {
    let mut bytes = [0_u8; TOKEN_BYTES];
    OsRng.try_fill_bytes(&mut bytes).expect("the operating system gives random bytes");
    hex::encode(bytes)
}

/// SHA-256 of a token: what is stored and looked up.
pub fn hash(token: &str) -> [u8; 32] {
    sha256(token.as_bytes())
}

pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0_u8; 32];
    out.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    out
}
