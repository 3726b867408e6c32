//! SIP passwords, of which only H(A1) is kept (RFC 7616 3.4.2): enough to check digest authentication.

use md5::{Digest, Md5};
use ring::digest::{SHA256, digest};

/// H(A1) of one DN, lower-case hexadecimal.
#[derive(Clone, PartialEq, Eq)]
pub struct Ha1 {
    /// For `algorithm=MD5`.
    pub md5: String,
    /// For `algorithm=SHA-256`.
    pub sha256: String,
}

/// H(A1) of `number:realm:password`.
pub fn ha1(number: &str, realm: &str, password: &str) -> Ha1 {
    let a1 = format!("{number}:{realm}:{password}");
    Ha1 { md5: hex::encode(Md5::digest(&a1)), sha256: hex::encode(digest(&SHA256, a1.as_bytes())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ha1_is_that_of_rfc_7616_3_9_1() {
        let ha1 = ha1("Mufasa", "http-auth@example.org", "Circle of Life");
        assert_eq!(ha1.md5, "3d78807defe7de2157e2b0b6573a855f");
        assert_eq!(ha1.sha256, "7987c64c30e25f1b74be53f966b49b90f2808aa92faf9a00262392d7b4794232");
    }
}
