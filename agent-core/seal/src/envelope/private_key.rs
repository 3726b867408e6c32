//! The private key of a recipient.

use super::asn1::{
    EccCmsSharedInfo, ID_AES256_WRAP, ID_MGF1, ID_RSAES_OAEP, ID_SHA256, KeyAgreeRecipientInfo,
    OaepParameters, RecipientInfo,
};
use super::kdf;
use super::recipient::Curve;
use super::{ContentKey, MOST_RECIPIENTS};
use crate::SealError;
use aws_lc_rs::agreement::{self, UnparsedPublicKey};
use aws_lc_rs::digest;
use aws_lc_rs::key_wrap::{AES_256, AesKek, KeyWrap};
use aws_lc_rs::rsa::{OAEP_SHA256_MGF1SHA256, OaepPrivateDecryptingKey, PrivateDecryptingKey};
use cms::enveloped_data::{KeyTransRecipientInfo, OriginatorIdentifierOrKey};
use spki::AlgorithmIdentifierOwned;
use zeroize::Zeroizing;

/// A recipient's private key, parsed once. Wiped when dropped (by aws-lc, which holds it); deliberately without
/// `Debug`, `Clone` and any way out.
pub struct PrivateKey(Kind);

enum Kind {
    Rsa(OaepPrivateDecryptingKey),
    Ec(Curve, agreement::PrivateKey),
}

const LEAST_RSA_BITS: usize = 2048;

impl PrivateKey {
    /// An unencrypted `PRIVATE KEY` in PEM: RSA of 2048 bits or more, P-256 or P-384.
    pub fn from_pkcs8_pem(pem: &str) -> Result<Self, SealError> {
        let (label, der) = der::pem::decode_vec(pem.trim_start().as_bytes())
            .map_err(|_| SealError::BadPrivateKey("not PEM"))?;
        let der = Zeroizing::new(der);
        if label != "PRIVATE KEY" {
            return Err(SealError::BadPrivateKey("not an unencrypted PKCS#8 PRIVATE KEY"));
        }
        Self::from_pkcs8_der(&der)
    }

    /// As [`PrivateKey::from_pkcs8_pem`], from the DER inside.
    pub fn from_pkcs8_der(der: &[u8]) -> Result<Self, SealError> {
        for curve in [Curve::P256, Curve::P384] {
            if let Ok(key) = agreement::PrivateKey::from_private_key_der(curve.algorithm(), der) {
                return Ok(Self(Kind::Ec(curve, key)));
            }
        }
        let key = PrivateDecryptingKey::from_pkcs8(der);
        let key = key.map_err(|_| SealError::BadPrivateKey("neither RSA nor P-256 nor P-384"))?;
        if key.key_size_bits() < LEAST_RSA_BITS {
            return Err(SealError::BadPrivateKey("RSA shorter than 2048 bits"));
        }
        let key = OaepPrivateDecryptingKey::new(key).map_err(|_| SealError::Crypto("rsa-oaep"))?;
        Ok(Self(Kind::Rsa(key)))
    }

    /// What this key makes of a recipient info.
    pub(super) fn unwrap(&self, info: &RecipientInfo) -> Unwrapped {
        match (&self.0, info) {
            (Kind::Rsa(key), RecipientInfo::KeyTransport(info)) => unwrap_rsa(key, info),
            (Kind::Ec(curve, key), RecipientInfo::KeyAgreement(info)) => unwrap_ec(*curve, key, info),
            (Kind::Rsa(_), RecipientInfo::KeyAgreement(_) | RecipientInfo::Other)
            | (Kind::Ec(..), RecipientInfo::KeyTransport(_) | RecipientInfo::Other) => {
                Unwrapped::NotForThisKey
            }
        }
    }
}

/// Outcome of trying one key on one recipient info.
pub(super) enum Unwrapped {
    ContentKey(ContentKey),
    NotForThisKey,
    /// Might be for this key, wrapped in a way that this format does not use.
    Unsupported(&'static str),
}

impl From<Option<ContentKey>> for Unwrapped {
    fn from(key: Option<ContentKey>) -> Self {
        key.map_or(Self::NotForThisKey, Self::ContentKey)
    }
}

fn unwrap_rsa(key: &OaepPrivateDecryptingKey, info: &KeyTransRecipientInfo) -> Unwrapped {
    if !is_oaep_sha256(&info.key_enc_alg) {
        return Unwrapped::Unsupported("key transport is not RSA-OAEP with SHA-256 for both hashes");
    }
    let mut plaintext = Zeroizing::new(vec![0; key.min_output_size()]);
    let opened = key.decrypt(&OAEP_SHA256_MGF1SHA256, info.enc_key.as_bytes(), &mut plaintext, None).ok();
    opened.and_then(|opened| (&*opened).try_into().ok()).map(Zeroizing::new).into()
}

/// SHA-256 for both hashes and no label; PKCS#1 v1.5 is a padding oracle and refused.
fn is_oaep_sha256(algorithm: &AlgorithmIdentifierOwned) -> bool {
    let parameters = algorithm.parameters.as_ref().and_then(|any| any.decode_as::<OaepParameters>().ok());
    let Some(OaepParameters { hash: Some(hash), mask: Some(mask), label: None }) = parameters else {
        return false;
    };
    let mask_hash = mask.parameters.as_ref().and_then(|any| any.decode_as::<AlgorithmIdentifierOwned>().ok());
    algorithm.oid == ID_RSAES_OAEP
        && hash.oid == ID_SHA256
        && mask.oid == ID_MGF1
        && mask_hash.is_some_and(|it| it.oid == ID_SHA256)
}

fn unwrap_ec(curve: Curve, key: &agreement::PrivateKey, info: &KeyAgreeRecipientInfo) -> Unwrapped {
    let parameters = info.key_enc_alg.parameters.as_ref();
    let wrap = parameters.and_then(|any| any.decode_as::<AlgorithmIdentifierOwned>().ok());
    let (Some(hash), Some(wrap)) = (kdf::hash(info.key_enc_alg.oid), wrap) else {
        return Unwrapped::Unsupported("key agreement is not ECDH with the X9.63 key derivation");
    };
    if wrap.oid != ID_AES256_WRAP {
        return Unwrapped::Unsupported("key wrap is not AES-256");
    }
    agree_and_unwrap(curve, key, info, hash, wrap).into()
}

fn agree_and_unwrap(
    curve: Curve,
    key: &agreement::PrivateKey,
    info: &KeyAgreeRecipientInfo,
    hash: &'static digest::Algorithm,
    wrap: AlgorithmIdentifierOwned,
) -> Option<ContentKey> {
    let OriginatorIdentifierOrKey::OriginatorKey(originator) = &info.originator else { return None };
    let point = UnparsedPublicKey::new(curve.algorithm(), originator.public_key.as_bytes()?);
    // The key wrap algorithm enters the derivation as the sender encoded it.
    let shared_info = EccCmsSharedInfo::aes256(wrap, info.ukm.clone()).ok()?;
    let wrapping_key =
        agreement::agree(key, point, (), |shared| Ok(kdf::derive(hash, shared, &shared_info))).ok()?;
    info.encrypted_keys.iter().take(MOST_RECIPIENTS).find_map(|wrapped| {
        let mut content_key = Zeroizing::new([0; 32]);
        let kek = AesKek::new(&AES_256, &*wrapping_key).ok()?;
        let opened = kek.unwrap(wrapped.encrypted_key.as_bytes(), &mut *content_key).ok()?.len();
        (opened == content_key.len()).then_some(content_key)
    })
}
