//! Signing and verifying with the algorithms that X.509 and CMS name by object identifier.

use crate::SealError;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeyPair as RsaKeyPair;
use aws_lc_rs::signature::{self as sig, EcdsaKeyPair, KeyPair, RsaParameters, VerificationAlgorithm};
use der::Any;
use der::asn1::{Null, ObjectIdentifier};
use spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned};
use zeroize::Zeroizing;

const fn oid(text: &str) -> ObjectIdentifier {
    ObjectIdentifier::new_unwrap(text)
}

const RSA_ENCRYPTION: ObjectIdentifier = oid("1.2.840.113549.1.1.1");
const RSA_SHA256: ObjectIdentifier = oid("1.2.840.113549.1.1.11");
const RSA_SHA384: ObjectIdentifier = oid("1.2.840.113549.1.1.12");
const RSA_SHA512: ObjectIdentifier = oid("1.2.840.113549.1.1.13");
const EC_PUBLIC_KEY: ObjectIdentifier = oid("1.2.840.10045.2.1");
const P256: ObjectIdentifier = oid("1.2.840.10045.3.1.7");
const P384: ObjectIdentifier = oid("1.3.132.0.34");
const ECDSA_SHA256: ObjectIdentifier = oid("1.2.840.10045.4.3.2");
const ECDSA_SHA384: ObjectIdentifier = oid("1.2.840.10045.4.3.3");
const ECDSA_SHA512: ObjectIdentifier = oid("1.2.840.10045.4.3.4");
const SHA256: ObjectIdentifier = oid("2.16.840.1.101.3.4.2.1");
const SHA384: ObjectIdentifier = oid("2.16.840.1.101.3.4.2.2");
const SHA512: ObjectIdentifier = oid("2.16.840.1.101.3.4.2.3");

/// The digests accepted; SHA-1 is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hash {
    Sha256,
    Sha384,
    Sha512,
}

impl Hash {
    pub fn oid(self) -> ObjectIdentifier {
        match self {
            Self::Sha256 => SHA256,
            Self::Sha384 => SHA384,
            Self::Sha512 => SHA512,
        }
    }

    pub fn of_digest(algorithm: &AlgorithmIdentifierOwned) -> Option<Self> {
        [Self::Sha256, Self::Sha384, Self::Sha512].into_iter().find(|hash| hash.oid() == algorithm.oid)
    }
}

/// The private key of a signer; wiped on drop by aws-lc, without `Debug`.
pub struct SigningKey(Kind);

enum Kind {
    P256(EcdsaKeyPair),
    P384(EcdsaKeyPair),
    Rsa(RsaKeyPair),
}

impl SigningKey {
    pub fn from_pkcs8_pem(pem: &str) -> Result<Self, SealError> {
        let (label, der) = der::pem::decode_vec(pem.trim_start().as_bytes())
            .map_err(|_| SealError::BadPrivateKey("not PEM"))?;
        let der = Zeroizing::new(der);
        if label != "PRIVATE KEY" {
            return Err(SealError::BadPrivateKey("not an unencrypted PKCS#8 PRIVATE KEY"));
        }
        if let Ok(key) = EcdsaKeyPair::from_pkcs8(&sig::ECDSA_P256_SHA256_ASN1_SIGNING, &der) {
            return Ok(Self(Kind::P256(key)));
        }
        if let Ok(key) = EcdsaKeyPair::from_pkcs8(&sig::ECDSA_P384_SHA384_ASN1_SIGNING, &der) {
            return Ok(Self(Kind::P384(key)));
        }
        let key = RsaKeyPair::from_pkcs8(&der);
        Ok(Self(Kind::Rsa(key.map_err(|_| SealError::BadPrivateKey("neither RSA nor P-256 nor P-384"))?)))
    }

    /// As the bits of a certificate's subjectPublicKey.
    pub fn public_key(&self) -> &[u8] {
        match &self.0 {
            Kind::P256(key) | Kind::P384(key) => key.public_key().as_ref(),
            Kind::Rsa(key) => key.public_key().as_ref(),
        }
    }

    pub fn hash(&self) -> Hash {
        match self.0 {
            Kind::P256(_) | Kind::Rsa(_) => Hash::Sha256,
            Kind::P384(_) => Hash::Sha384,
        }
    }

    /// The CMS signatureAlgorithm (RFC 5754, 3).
    pub fn algorithm(&self) -> der::Result<AlgorithmIdentifierOwned> {
        Ok(match self.0 {
            Kind::P256(_) => AlgorithmIdentifierOwned { oid: ECDSA_SHA256, parameters: None },
            Kind::P384(_) => AlgorithmIdentifierOwned { oid: ECDSA_SHA384, parameters: None },
            Kind::Rsa(_) => {
                AlgorithmIdentifierOwned { oid: RSA_ENCRYPTION, parameters: Some(Any::encode_from(&Null)?) }
            }
        })
    }

    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SealError> {
        let random = SystemRandom::new();
        let failed = |_| SealError::Crypto("signing");
        match &self.0 {
            Kind::P256(key) | Kind::P384(key) => {
                Ok(key.sign(&random, message).map_err(failed)?.as_ref().to_vec())
            }
            Kind::Rsa(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(&sig::RSA_PKCS1_SHA256, &random, message, &mut signature).map_err(failed)?;
                Ok(signature)
            }
        }
    }
}

/// Whether `signature` over `message` is by this public key; `hash` is what CMS names apart from the algorithm and
/// must agree with it.
pub fn verify(
    key: &SubjectPublicKeyInfoOwned,
    algorithm: &AlgorithmIdentifierOwned,
    hash: Option<Hash>,
    message: &[u8],
    signature: &[u8],
) -> Option<()> {
    let (scheme, signed_hash) = scheme(algorithm.oid, hash)?;
    if hash.is_some_and(|hash| hash != signed_hash) {
        return None;
    }
    let bits = key.subject_public_key.as_bytes()?;
    let by: &dyn VerificationAlgorithm = match (scheme, key.algorithm.oid) {
        (Scheme::Rsa, RSA_ENCRYPTION) => rsa(signed_hash),
        (Scheme::Ecdsa, EC_PUBLIC_KEY) => {
            ecdsa(key.algorithm.parameters.as_ref()?.decode_as().ok()?, signed_hash)?
        }
        _ => return None,
    };
    by.verify_sig(bits, message, signature).ok()
}

enum Scheme {
    Rsa,
    Ecdsa,
}

fn scheme(oid: ObjectIdentifier, digest: Option<Hash>) -> Option<(Scheme, Hash)> {
    Some(match oid {
        RSA_ENCRYPTION => (Scheme::Rsa, digest?),
        RSA_SHA256 => (Scheme::Rsa, Hash::Sha256),
        RSA_SHA384 => (Scheme::Rsa, Hash::Sha384),
        RSA_SHA512 => (Scheme::Rsa, Hash::Sha512),
        ECDSA_SHA256 => (Scheme::Ecdsa, Hash::Sha256),
        ECDSA_SHA384 => (Scheme::Ecdsa, Hash::Sha384),
        ECDSA_SHA512 => (Scheme::Ecdsa, Hash::Sha512),
        _ => return None,
    })
}

fn rsa(hash: Hash) -> &'static RsaParameters {
    match hash {
        Hash::Sha256 => &sig::RSA_PKCS1_2048_8192_SHA256,
        Hash::Sha384 => &sig::RSA_PKCS1_2048_8192_SHA384,
        Hash::Sha512 => &sig::RSA_PKCS1_2048_8192_SHA512,
    }
}

fn ecdsa(curve: ObjectIdentifier, hash: Hash) -> Option<&'static dyn VerificationAlgorithm> {
    Some(match (curve, hash) {
        (P256, Hash::Sha256) => &sig::ECDSA_P256_SHA256_ASN1,
        (P256, Hash::Sha384) => &sig::ECDSA_P256_SHA384_ASN1,
        (P256, Hash::Sha512) => &sig::ECDSA_P256_SHA512_ASN1,
        (P384, Hash::Sha256) => &sig::ECDSA_P384_SHA256_ASN1,
        (P384, Hash::Sha384) => &sig::ECDSA_P384_SHA384_ASN1,
        (P384, Hash::Sha512) => &sig::ECDSA_P384_SHA512_ASN1,
        _ => return None,
    })
}
