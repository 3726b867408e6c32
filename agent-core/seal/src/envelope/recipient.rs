//! Those who can open a recording: certificates with an RSA, P-256 or P-384 key.

use super::ContentKey;
use super::asn1::{
    ECDH_SHA256_KDF, ECDH_SHA384_KDF, EccCmsSharedInfo, ID_AES256_WRAP, ID_EC_PUBLIC_KEY, ID_MGF1, ID_P256,
    ID_P384, ID_RSA_ENCRYPTION, ID_RSAES_OAEP, ID_SHA256, KeyAgreeRecipientInfo, OaepParameters,
    RecipientEncryptedKey, algorithm,
};
use super::kdf;
use crate::SealError;
use aws_lc_rs::agreement::{self, ECDH_P256, ECDH_P384, UnparsedPublicKey};
use aws_lc_rs::key_wrap::{AES_256, AesKek, KeyWrap};
use aws_lc_rs::rsa::{OAEP_SHA256_MGF1SHA256, OaepPublicEncryptingKey, PublicEncryptingKey};
use cms::cert::IssuerAndSerialNumber;
use cms::content_info::CmsVersion;
use cms::enveloped_data::{
    KeyTransRecipientInfo, OriginatorIdentifierOrKey, OriginatorPublicKey, RecipientIdentifier,
};
use der::asn1::{BitString, Null, ObjectIdentifier, OctetString};
use der::{Any, Decode, DecodePem, Encode};
use spki::AlgorithmIdentifierOwned;
use x509_cert::Certificate;
use x509_cert::ext::pkix::KeyUsage;

/// A certificate that a recording is sealed to.
#[derive(Clone, Debug)]
pub struct Recipient {
    name: IssuerAndSerialNumber,
    key: PublicKey,
    not_after: u64,
}

/// How an envelope names a recipient.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RecipientId {
    /// DER of the issuer's distinguished name.
    pub issuer_der: Vec<u8>,
    /// Content bytes of the serial number, big-endian.
    pub serial: Vec<u8>,
}

impl From<&IssuerAndSerialNumber> for RecipientId {
    fn from(id: &IssuerAndSerialNumber) -> Self {
        // A name that was decoded encodes again; were it ever not so, it would match nobody.
        let issuer_der = id.issuer.to_der().unwrap_or_default();
        Self { issuer_der, serial: id.serial_number.as_bytes().to_vec() }
    }
}

#[derive(Clone, Debug)]
enum PublicKey {
    Rsa(PublicEncryptingKey),
    Ec(Curve, Vec<u8>),
}

/// The curves of the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Curve {
    P256,
    P384,
}

impl Curve {
    pub fn algorithm(self) -> &'static agreement::Algorithm {
        match self {
            Self::P256 => &ECDH_P256,
            Self::P384 => &ECDH_P384,
        }
    }

    fn scheme(self) -> ObjectIdentifier {
        match self {
            Self::P256 => ECDH_SHA256_KDF,
            Self::P384 => ECDH_SHA384_KDF,
        }
    }
}

const LEAST_RSA_BITS: usize = 2048;

impl Recipient {
    /// From the first certificate of a PEM text.
    pub fn from_pem(pem: &str) -> Result<Self, SealError> {
        let certificate = Certificate::from_pem(pem.trim_start());
        Self::from_certificate(&certificate.map_err(|_| SealError::BadRecipient("not a PEM certificate"))?)
    }

    /// From a DER certificate.
    pub fn from_der(der: &[u8]) -> Result<Self, SealError> {
        let certificate = Certificate::from_der(der);
        Self::from_certificate(&certificate.map_err(|_| SealError::BadRecipient("not a DER certificate"))?)
    }

    /// How envelopes name this recipient; to be compared with [`crate::recipients`].
    pub fn id(&self) -> RecipientId {
        RecipientId::from(&self.name)
    }

    /// End of the certificate's validity, Unix seconds. Sealing goes on after it (a recording never waits for a
    /// new certificate); it is for alarms.
    pub fn not_after(&self) -> u64 {
        self.not_after
    }

    fn from_certificate(certificate: &Certificate) -> Result<Self, SealError> {
        let tbs = &certificate.tbs_certificate;
        let key = PublicKey::read(&tbs.subject_public_key_info)?;
        let usage =
            tbs.get::<KeyUsage>().map_err(|_| SealError::BadRecipient("its key usage is malformed"))?;
        if let Some((_, usage)) = usage {
            // RFC 5280, 4.2.1.3: a certificate that lists its uses has no other.
            let fits = match key {
                PublicKey::Rsa(_) => usage.key_encipherment(),
                PublicKey::Ec(..) => usage.key_agreement(),
            };
            if !fits {
                return Err(SealError::BadRecipient(
                    "its key usage lacks keyEncipherment (RSA) or keyAgreement (EC)",
                ));
            }
        }
        let name =
            IssuerAndSerialNumber { issuer: tbs.issuer.clone(), serial_number: tbs.serial_number.clone() };
        Ok(Self { name, key, not_after: tbs.validity.not_after.to_unix_duration().as_secs() })
    }

    /// The RecipientInfo that carries the content key to this recipient.
    pub(super) fn wrap(&self, content_key: &ContentKey) -> Result<Any, SealError> {
        match &self.key {
            PublicKey::Rsa(key) => {
                let encrypted = oaep_encrypt(key, content_key)?;
                self.key_transport(encrypted).map_err(encoding)
            }
            PublicKey::Ec(curve, point) => self.key_agreement(*curve, point, content_key),
        }
    }

    fn key_transport(&self, encrypted: Vec<u8>) -> der::Result<Any> {
        let sha256 = algorithm(ID_SHA256, Some(&Null))?;
        let parameters = OaepParameters {
            hash: Some(sha256.clone()),
            mask: Some(algorithm(ID_MGF1, Some(&sha256))?),
            label: None,
        };
        Any::encode_from(&KeyTransRecipientInfo {
            version: CmsVersion::V0,
            rid: RecipientIdentifier::IssuerAndSerialNumber(self.name.clone()),
            key_enc_alg: algorithm(ID_RSAES_OAEP, Some(&parameters))?,
            enc_key: OctetString::new(encrypted)?,
        })
    }

    fn key_agreement(&self, curve: Curve, point: &[u8], content_key: &ContentKey) -> Result<Any, SealError> {
        let failed = || SealError::Crypto("ecdh");
        let ephemeral = agreement::PrivateKey::generate(curve.algorithm()).map_err(|_| failed())?;
        let public = ephemeral.compute_public_key().map_err(|_| failed())?;
        let wrap = AlgorithmIdentifierOwned { oid: ID_AES256_WRAP, parameters: None };
        let shared_info = EccCmsSharedInfo::aes256(wrap.clone(), None).map_err(encoding)?;
        let hash = kdf::hash(curve.scheme()).ok_or_else(failed)?;
        let peer = UnparsedPublicKey::new(curve.algorithm(), point);
        let wrapping_key = agreement::agree(&ephemeral, peer, failed(), |shared| {
            Ok(kdf::derive(hash, shared, &shared_info))
        })?;
        let mut wrapped = [0; 40];
        let kek = AesKek::new(&AES_256, &*wrapping_key).map_err(|_| SealError::Crypto("aes-wrap"))?;
        kek.wrap(&**content_key, &mut wrapped).map_err(|_| SealError::Crypto("aes-wrap"))?;
        self.key_agreement_info(curve, public.as_ref(), &wrap, &wrapped).map_err(encoding)
    }

    fn key_agreement_info(
        &self,
        curve: Curve,
        ephemeral: &[u8],
        wrap: &AlgorithmIdentifierOwned,
        wrapped: &[u8],
    ) -> der::Result<Any> {
        // RFC 5753, 3.1.1: the curve is the recipient's, so the originator's parameters are absent.
        let originator = OriginatorPublicKey {
            algorithm: AlgorithmIdentifierOwned { oid: ID_EC_PUBLIC_KEY, parameters: None },
            public_key: BitString::from_bytes(ephemeral)?,
        };
        KeyAgreeRecipientInfo {
            version: CmsVersion::V3,
            originator: OriginatorIdentifierOrKey::OriginatorKey(originator),
            ukm: None,
            key_enc_alg: algorithm(curve.scheme(), Some(wrap))?,
            encrypted_keys: vec![RecipientEncryptedKey {
                rid: Any::encode_from(&self.name)?,
                encrypted_key: OctetString::new(wrapped)?,
            }],
        }
        .to_any()
    }
}

impl PublicKey {
    fn read(spki: &spki::SubjectPublicKeyInfoOwned) -> Result<Self, SealError> {
        let bad = |_| SealError::BadRecipient("its public key is malformed");
        match spki.algorithm.oid {
            ID_RSA_ENCRYPTION => {
                let der = spki.to_der().map_err(bad)?;
                let key = PublicEncryptingKey::from_der(&der);
                let key = key.map_err(|_| SealError::BadRecipient("its RSA key is refused"))?;
                if key.key_size_bits() < LEAST_RSA_BITS {
                    return Err(SealError::BadRecipient("its RSA key is shorter than 2048 bits"));
                }
                Ok(Self::Rsa(key))
            }
            ID_EC_PUBLIC_KEY => {
                let named = spki.algorithm.parameters.as_ref().and_then(|any| any.decode_as().ok());
                let curve = match named {
                    Some(ID_P256) => Curve::P256,
                    Some(ID_P384) => Curve::P384,
                    _ => return Err(SealError::BadRecipient("its curve is neither P-256 nor P-384")),
                };
                let point = spki.subject_public_key.as_bytes();
                let point = point.ok_or(SealError::BadRecipient("its public key is malformed"))?.to_vec();
                let parsed =
                    agreement::ParsedPublicKey::try_from(UnparsedPublicKey::new(curve.algorithm(), &point));
                parsed.map_err(|_| SealError::BadRecipient("its public key is not on the curve"))?;
                Ok(Self::Ec(curve, point))
            }
            _ => Err(SealError::BadRecipient("its key is neither RSA nor EC")),
        }
    }
}

fn oaep_encrypt(key: &PublicEncryptingKey, content_key: &ContentKey) -> Result<Vec<u8>, SealError> {
    let failed = |_| SealError::Crypto("rsa-oaep");
    let key = OaepPublicEncryptingKey::new(key.clone()).map_err(failed)?;
    let mut encrypted = vec![0; key.ciphertext_size()];
    let len =
        key.encrypt(&OAEP_SHA256_MGF1SHA256, &**content_key, &mut encrypted, None).map_err(failed)?.len();
    encrypted.truncate(len);
    Ok(encrypted)
}

fn encoding(_: der::Error) -> SealError {
    SealError::Crypto("a recipient could not be encoded")
}
