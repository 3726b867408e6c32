//! The envelope: CMS AuthEnvelopedData (RFC 5083, RFC 5084) around the keyset of one recording.

mod asn1;
mod ber;
mod kdf;
mod private_key;
mod recipient;

pub use private_key::PrivateKey;
pub use recipient::{Recipient, RecipientId};

use crate::layout::ENVELOPE_SIZES;
use crate::{DataKey, SealError};
use asn1::{
    AuthEnvelopedData, GcmParameters, ID_AES256_GCM, ID_AUTH_ENVELOPED_DATA, ID_DATA, RecipientInfo,
    algorithm,
};
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use cms::content_info::{CmsVersion, ContentInfo};
use cms::enveloped_data::EncryptedContentInfo;
use der::asn1::{OctetString, SetOfVec};
use der::{Any, Decode, Encode};
use private_key::Unwrapped;
use zeroize::Zeroizing;

/// Key that encrypts the envelope's content, wrapped once per recipient.
type ContentKey = Zeroizing<[u8; 32]>;

const TAG_LEN: usize = 16;
const NONCE_LEN: usize = 12;
/// No envelope of this format is larger, with room for foreign writers that put certificates into it.
const LARGEST_READ: usize = 64 * 1024;
/// Each costs a private-key operation to try.
const MOST_RECIPIENTS: usize = 64;

/// Fresh bytes from the operating system.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], SealError> {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| SealError::Crypto("no randomness"))?;
    Ok(bytes)
}

/// A new envelope around a keyset, of the smallest size of [`ENVELOPE_SIZES`] that holds the recipients.
pub fn seal_envelope(key: &DataKey, recipients: &[Recipient]) -> Result<Vec<u8>, SealError> {
    if recipients.is_empty() {
        return Err(SealError::NoRecipients);
    }
    let content_key: ContentKey = Zeroizing::new(random()?);
    let wrapped: Result<Vec<Any>, SealError> = recipients.iter().map(|to| to.wrap(&content_key)).collect();
    let recipient_infos =
        SetOfVec::try_from(wrapped?).map_err(|_| SealError::MalformedEnvelope("recipient given twice"))?;
    let json = key.to_json();
    for size in ENVELOPE_SIZES {
        if let Some(envelope) = build(json.as_bytes(), &recipient_infos, &content_key, size)? {
            return Ok(envelope);
        }
    }
    Err(SealError::TooManyRecipients)
}

/// The envelope of exactly `size` bytes: blanks after the JSON fill it. `None` when it does not fit.
fn build(
    json: &[u8],
    recipient_infos: &SetOfVec<Any>,
    content_key: &ContentKey,
    size: usize,
) -> Result<Option<Vec<u8>>, SealError> {
    let nonce: [u8; NONCE_LEN] = random()?;
    let assemble = |ciphertext: &[u8], tag: &[u8]| assemble(recipient_infos, &nonce, ciphertext, tag);
    // 256 bytes and more have the same form of length, so the size grows by one with each blank.
    let unpadded = json.len().max(256);
    let smallest = assemble(&vec![0; unpadded], &[0; TAG_LEN]).map_err(broken)?.len();
    let Some(blanks) = size.checked_sub(smallest) else { return Ok(None) };
    let mut content = Zeroizing::new(Vec::with_capacity(unpadded + blanks));
    content.extend_from_slice(json);
    content.resize(unpadded + blanks, b' ');
    let tag = content_cipher(content_key)?
        .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::empty(), &mut content)
        .map_err(|_| SealError::Crypto("aes-gcm"))?;
    let envelope = assemble(&content, tag.as_ref()).map_err(broken)?;
    if envelope.len() != size {
        return Err(SealError::Crypto("envelope of a wrong size"));
    }
    Ok(Some(envelope))
}

fn assemble(
    recipient_infos: &SetOfVec<Any>,
    nonce: &[u8],
    ciphertext: &[u8],
    tag: &[u8],
) -> der::Result<Vec<u8>> {
    let parameters = GcmParameters { nonce: OctetString::new(nonce)?, icv_len: TAG_LEN as u8 };
    let content = AuthEnvelopedData {
        version: CmsVersion::V0,
        originator_info: None,
        recipient_infos: recipient_infos.clone(),
        content: EncryptedContentInfo {
            content_type: ID_DATA,
            content_enc_alg: algorithm(ID_AES256_GCM, Some(&parameters))?,
            encrypted_content: Some(OctetString::new(ciphertext)?),
        },
        auth_attrs: None,
        mac: OctetString::new(tag)?,
        unauth_attrs: None,
    };
    ContentInfo { content_type: ID_AUTH_ENVELOPED_DATA, content: Any::encode_from(&content)? }.to_der()
}

fn broken(_: der::Error) -> SealError {
    SealError::Crypto("an envelope could not be encoded")
}

fn content_cipher(key: &ContentKey) -> Result<LessSafeKey, SealError> {
    let key = UnboundKey::new(&AES_256_GCM, &**key).map_err(|_| SealError::Crypto("aes-gcm"))?;
    Ok(LessSafeKey::new(key))
}

/// Unwraps the keyset. Reads DER, and the BER that `openssl cms -encrypt -stream` writes; nothing may follow it.
pub fn open_envelope(envelope: &[u8], key: &PrivateKey) -> Result<DataKey, SealError> {
    let parsed = Parsed::read(envelope)?;
    let content_key = unwrap(&parsed.recipient_infos, key)?;
    let content = parsed.decrypt(&content_key)?;
    let json = std::str::from_utf8(&content).map_err(|_| SealError::BadKeyset("not text"))?;
    DataKey::from_json(json)
}

/// The content key by the first recipient info that opens with `key`.
fn unwrap(recipient_infos: &[RecipientInfo], key: &PrivateKey) -> Result<ContentKey, SealError> {
    let mut reason = SealError::WrongKey;
    for info in recipient_infos {
        match key.unwrap(info) {
            Unwrapped::ContentKey(content_key) => return Ok(content_key),
            Unwrapped::NotForThisKey => {}
            Unwrapped::Unsupported(what) => reason = SealError::UnsupportedAlgorithm(what),
        }
    }
    Err(reason)
}

/// Whom an envelope names, so that the right private key can be chosen. Recipients named by a subject key
/// identifier alone are left out.
pub fn recipients(envelope: &[u8]) -> Result<Vec<RecipientId>, SealError> {
    let parsed = Parsed::read(envelope)?;
    Ok(parsed.recipient_infos.iter().flat_map(RecipientInfo::ids).collect())
}

/// A new envelope with the same keyset for other recipients; the payload stays as it is.
pub fn rewrap(envelope: &[u8], key: &PrivateKey, recipients: &[Recipient]) -> Result<Vec<u8>, SealError> {
    seal_envelope(&open_envelope(envelope, key)?, recipients)
}

/// An envelope taken apart and found to be of this format; nothing in it is authenticated yet.
struct Parsed {
    recipient_infos: Vec<RecipientInfo>,
    nonce: [u8; NONCE_LEN],
    /// Ciphertext and tag.
    sealed: Vec<u8>,
}

impl Parsed {
    fn read(envelope: &[u8]) -> Result<Self, SealError> {
        if envelope.len() > LARGEST_READ {
            return Err(SealError::MalformedEnvelope("larger than any envelope"));
        }
        let der = ber::to_der(envelope)?;
        let info =
            ContentInfo::from_der(&der).map_err(|_| SealError::MalformedEnvelope("not a CMS object"))?;
        if info.content_type != ID_AUTH_ENVELOPED_DATA {
            return Err(SealError::NotAuthEnveloped);
        }
        let data: AuthEnvelopedData =
            info.content.decode_as().map_err(|_| SealError::MalformedEnvelope("not AuthEnvelopedData"))?;
        Self::check(data)
    }

    fn check(data: AuthEnvelopedData) -> Result<Self, SealError> {
        if data.version != CmsVersion::V0 {
            return Err(SealError::MalformedEnvelope("version"));
        }
        if data.auth_attrs.is_some() || data.unauth_attrs.is_some() {
            return Err(SealError::UnsupportedAlgorithm("CMS attributes"));
        }
        let content = data.content;
        if content.content_type != ID_DATA {
            return Err(SealError::MalformedEnvelope("content is not id-data"));
        }
        if content.content_enc_alg.oid != ID_AES256_GCM {
            return Err(SealError::UnsupportedAlgorithm("content is not encrypted by AES-256-GCM"));
        }
        let parameters: Option<GcmParameters> =
            content.content_enc_alg.parameters.and_then(|parameters| parameters.decode_as().ok());
        let parameters = parameters.ok_or(SealError::MalformedEnvelope("GCM parameters"))?;
        if usize::from(parameters.icv_len) != TAG_LEN || data.mac.as_bytes().len() != TAG_LEN {
            return Err(SealError::BadIcvLen);
        }
        let nonce = parameters.nonce.as_bytes().try_into();
        let nonce = nonce.map_err(|_| SealError::UnsupportedAlgorithm("nonce is not 12 bytes"))?;
        let content = content.encrypted_content.ok_or(SealError::MalformedEnvelope("no content"))?;
        let mut sealed = content.into_bytes();
        sealed.extend_from_slice(data.mac.as_bytes());
        if data.recipient_infos.len() > MOST_RECIPIENTS {
            return Err(SealError::MalformedEnvelope("too many recipients"));
        }
        let recipient_infos = data.recipient_infos.iter().map(RecipientInfo::read).collect();
        Ok(Self { recipient_infos, nonce, sealed })
    }

    fn decrypt(self, key: &ContentKey) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let mut content = Zeroizing::new(self.sealed);
        let nonce = Nonce::assume_unique_for_key(self.nonce);
        let opened = content_cipher(key)?.open_in_place(nonce, Aad::empty(), &mut content);
        let len = opened.map_err(|_| SealError::EnvelopeDamaged)?.len();
        content.truncate(len);
        Ok(content)
    }
}
