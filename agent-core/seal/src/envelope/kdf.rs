//! ANSI X9.63 key derivation (SEC 1, 3.6.1) to a key-encryption key of 32 bytes.

use super::asn1::{ECDH_SHA1_KDF, ECDH_SHA256_KDF, ECDH_SHA384_KDF, ECDH_SHA512_KDF};
use aws_lc_rs::digest;
use der::asn1::ObjectIdentifier;
use zeroize::Zeroizing;

/// The hash of a `dhSinglePass-stdDH-…kdf-scheme` (RFC 5753, 7.1.4). SHA-1 is only ever read: it is what
/// `openssl cms` writes by default, and a KDF does not need collision resistance.
pub fn hash(scheme: ObjectIdentifier) -> Option<&'static digest::Algorithm> {
    match scheme {
        ECDH_SHA1_KDF => Some(&digest::SHA1_FOR_LEGACY_USE_ONLY),
        ECDH_SHA256_KDF => Some(&digest::SHA256),
        ECDH_SHA384_KDF => Some(&digest::SHA384),
        ECDH_SHA512_KDF => Some(&digest::SHA512),
        _ => None,
    }
}

pub fn derive(hash: &'static digest::Algorithm, shared: &[u8], shared_info: &[u8]) -> Zeroizing<[u8; 32]> {
    let mut key = Zeroizing::new([0; 32]);
    for (counter, part) in (1u32..).zip(key.chunks_mut(hash.output_len())) {
        let mut context = digest::Context::new(hash);
        context.update(shared);
        context.update(&counter.to_be_bytes());
        context.update(shared_info);
        part.copy_from_slice(&context.finish().as_ref()[..part.len()]);
    }
    key
}
