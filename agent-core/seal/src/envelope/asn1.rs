//! ASN.1 of the envelope, where the `cms` crate has none or is stricter than its peers.

use crate::envelope::recipient::RecipientId;
use cms::cert::IssuerAndSerialNumber;
use cms::content_info::CmsVersion;
use cms::enveloped_data::{
    EncryptedContentInfo, KeyTransRecipientInfo, OriginatorIdentifierOrKey, RecipientIdentifier,
};
use der::asn1::{ObjectIdentifier, OctetString, SetOfVec};
use der::{Any, Encode, Sequence, Tag, TagNumber, Tagged};
use spki::AlgorithmIdentifierOwned;

const fn oid(text: &str) -> ObjectIdentifier {
    ObjectIdentifier::new_unwrap(text)
}

pub const ID_DATA: ObjectIdentifier = oid("1.2.840.113549.1.7.1");
pub const ID_AUTH_ENVELOPED_DATA: ObjectIdentifier = oid("1.2.840.113549.1.9.16.1.23");
pub const ID_AES256_GCM: ObjectIdentifier = oid("2.16.840.1.101.3.4.1.46");
pub const ID_AES256_WRAP: ObjectIdentifier = oid("2.16.840.1.101.3.4.1.45");
pub const ID_RSA_ENCRYPTION: ObjectIdentifier = oid("1.2.840.113549.1.1.1");
pub const ID_RSAES_OAEP: ObjectIdentifier = oid("1.2.840.113549.1.1.7");
pub const ID_MGF1: ObjectIdentifier = oid("1.2.840.113549.1.1.8");
pub const ID_SHA256: ObjectIdentifier = oid("2.16.840.1.101.3.4.2.1");
pub const ID_EC_PUBLIC_KEY: ObjectIdentifier = oid("1.2.840.10045.2.1");
pub const ID_P256: ObjectIdentifier = oid("1.2.840.10045.3.1.7");
pub const ID_P384: ObjectIdentifier = oid("1.3.132.0.34");
pub const ECDH_SHA1_KDF: ObjectIdentifier = oid("1.3.133.16.840.63.0.2");
pub const ECDH_SHA256_KDF: ObjectIdentifier = oid("1.3.132.1.11.1");
pub const ECDH_SHA384_KDF: ObjectIdentifier = oid("1.3.132.1.11.2");
pub const ECDH_SHA512_KDF: ObjectIdentifier = oid("1.3.132.1.11.3");

pub fn algorithm(
    oid: ObjectIdentifier,
    parameters: Option<&impl EncodeAny>,
) -> der::Result<AlgorithmIdentifierOwned> {
    Ok(AlgorithmIdentifierOwned { oid, parameters: parameters.map(EncodeAny::to_any).transpose()? })
}

/// What can stand as parameters of an algorithm.
pub trait EncodeAny {
    fn to_any(&self) -> der::Result<Any>;
}

impl<T: Tagged + der::EncodeValue> EncodeAny for T {
    fn to_any(&self) -> der::Result<Any> {
        Any::encode_from(self)
    }
}

/// RFC 5083, 2.1.
#[derive(Sequence)]
pub struct AuthEnvelopedData {
    pub version: CmsVersion,
    #[asn1(context_specific = "0", tag_mode = "IMPLICIT", constructed = "true", optional = "true")]
    pub originator_info: Option<SkippedSequence>,
    /// [`RecipientInfo`], left undecoded: one of an unknown kind must not hide the others.
    pub recipient_infos: SetOfVec<Any>,
    pub content: EncryptedContentInfo,
    #[asn1(context_specific = "1", tag_mode = "IMPLICIT", constructed = "true", optional = "true")]
    pub auth_attrs: Option<SetOfVec<Any>>,
    pub mac: OctetString,
    #[asn1(context_specific = "2", tag_mode = "IMPLICIT", constructed = "true", optional = "true")]
    pub unauth_attrs: Option<SetOfVec<Any>>,
}

/// Certificates that a foreign writer may have put there; not looked at.
pub type SkippedSequence = SetOfVec<Any>;

/// RFC 5084, 3.2.
#[derive(Sequence)]
pub struct GcmParameters {
    pub nonce: OctetString,
    #[asn1(default = "default_icv_len")]
    pub icv_len: u8,
}

fn default_icv_len() -> u8 {
    12
}

/// RFC 4055, 4.1. What is absent means SHA-1 and an empty label.
#[derive(Sequence)]
pub struct OaepParameters {
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT", optional = "true")]
    pub hash: Option<AlgorithmIdentifierOwned>,
    #[asn1(context_specific = "1", tag_mode = "EXPLICIT", optional = "true")]
    pub mask: Option<AlgorithmIdentifierOwned>,
    #[asn1(context_specific = "2", tag_mode = "EXPLICIT", optional = "true")]
    pub label: Option<AlgorithmIdentifierOwned>,
}

/// RFC 5652, 6.2.2.
#[derive(Sequence)]
pub struct KeyAgreeRecipientInfo {
    pub version: CmsVersion,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT")]
    pub originator: OriginatorIdentifierOrKey,
    #[asn1(context_specific = "1", tag_mode = "EXPLICIT", optional = "true")]
    pub ukm: Option<OctetString>,
    pub key_enc_alg: AlgorithmIdentifierOwned,
    pub encrypted_keys: Vec<RecipientEncryptedKey>,
}

/// RFC 5652, 6.2.2. The identifier stays undecoded: every key is tried whomever it names.
#[derive(Sequence)]
pub struct RecipientEncryptedKey {
    pub rid: Any,
    pub encrypted_key: OctetString,
}

/// RFC 5652, 6.2, as far as this format goes.
pub enum RecipientInfo {
    KeyTransport(KeyTransRecipientInfo),
    KeyAgreement(KeyAgreeRecipientInfo),
    Other,
}

const KARI_TAG: Tag = Tag::ContextSpecific { constructed: true, number: TagNumber::N1 };

impl RecipientInfo {
    pub fn read(any: &Any) -> Self {
        let sequence = || Any::new(Tag::Sequence, any.value());
        match any.tag() {
            Tag::Sequence => any.decode_as().map_or(Self::Other, Self::KeyTransport),
            KARI_TAG => sequence().and_then(|it| it.decode_as()).map_or(Self::Other, Self::KeyAgreement),
            _ => Self::Other,
        }
    }

    pub fn ids(&self) -> Vec<RecipientId> {
        match self {
            Self::KeyTransport(info) => match &info.rid {
                RecipientIdentifier::IssuerAndSerialNumber(id) => vec![RecipientId::from(id)],
                RecipientIdentifier::SubjectKeyIdentifier(_) => vec![],
            },
            Self::KeyAgreement(info) => {
                let named = |key: &RecipientEncryptedKey| key.rid.decode_as::<IssuerAndSerialNumber>().ok();
                info.encrypted_keys.iter().filter_map(named).map(|id| RecipientId::from(&id)).collect()
            }
            Self::Other => vec![],
        }
    }
}

impl KeyAgreeRecipientInfo {
    /// As a member of the recipientInfos: `[1] IMPLICIT`.
    pub fn to_any(&self) -> der::Result<Any> {
        let sequence = Any::encode_from(self)?;
        Any::new(KARI_TAG, sequence.value())
    }
}

/// RFC 5753, 7.2.
#[derive(Sequence)]
pub struct EccCmsSharedInfo {
    pub key_info: AlgorithmIdentifierOwned,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT", optional = "true")]
    pub entity_u_info: Option<OctetString>,
    #[asn1(context_specific = "2", tag_mode = "EXPLICIT")]
    pub supp_pub_info: OctetString,
}

impl EccCmsSharedInfo {
    /// For a key-encryption key of 256 bits.
    pub fn aes256(key_info: AlgorithmIdentifierOwned, ukm: Option<OctetString>) -> der::Result<Vec<u8>> {
        let supp_pub_info = OctetString::new(256u32.to_be_bytes())?;
        Self { key_info, entity_u_info: ukm, supp_pub_info }.to_der()
    }
}
