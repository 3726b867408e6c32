//! The stream cipher of one payload: Tink's AES-GCM-HKDF streaming AEAD.
//!
//! By aws-lc rather than ring: half as fast again where there is AVX-512, and it wipes its keys when freed.

use crate::keyset::{KEY_LEN, associated_data};
use crate::{HEADER_LEN, SealError, TAG_LEN};
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, Salt};
use uuid::Uuid;

const SALT_LEN: usize = 32;
const PREFIX_LEN: usize = 7;

/// Key and nonce prefix of one payload. Encrypts and decrypts single segments, in place.
pub(crate) struct StreamCipher {
    key: LessSafeKey,
    prefix: [u8; PREFIX_LEN],
}

/// Whether a segment is the last of its payload: part of its nonce.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flag {
    More,
    Final,
}

/// A header of a new stream, from fresh random bytes.
pub(crate) fn header(random: [u8; SALT_LEN + PREFIX_LEN]) -> [u8; HEADER_LEN] {
    let mut header = [HEADER_LEN as u8; HEADER_LEN];
    header[1..].copy_from_slice(&random);
    header
}

impl StreamCipher {
    pub fn new(
        secret: &[u8; KEY_LEN],
        recording: Uuid,
        header: &[u8; HEADER_LEN],
    ) -> Result<Self, SealError> {
        let [len, rest @ ..] = header;
        if usize::from(*len) != HEADER_LEN {
            return Err(SealError::MalformedPayload);
        }
        let (salt, prefix) = rest.split_at(SALT_LEN);
        let info = associated_data(recording);
        let derived = Salt::new(HKDF_SHA256, salt).extract(secret);
        let info = [info.as_bytes()];
        let key = derived.expand(&info, &AES_256_GCM).map_err(|_| SealError::Crypto("hkdf"))?;
        let prefix = prefix.try_into().map_err(|_| SealError::MalformedPayload)?;
        Ok(Self { key: LessSafeKey::new(UnboundKey::from(key)), prefix })
    }

    fn nonce(&self, segment: u32, flag: Flag) -> Nonce {
        let mut nonce = [0; 12];
        nonce[..PREFIX_LEN].copy_from_slice(&self.prefix);
        nonce[PREFIX_LEN..11].copy_from_slice(&segment.to_be_bytes());
        nonce[11] = u8::from(flag == Flag::Final);
        Nonce::assume_unique_for_key(nonce)
    }

    /// Encrypts `plaintext` where it lies and returns the tag that follows it.
    pub fn seal(&self, segment: u32, flag: Flag, plaintext: &mut [u8]) -> Result<[u8; TAG_LEN], SealError> {
        let nonce = self.nonce(segment, flag);
        let tag = self.key.seal_in_place_separate_tag(nonce, Aad::empty(), plaintext);
        let tag = tag.map_err(|_| SealError::Crypto("aes-gcm"))?;
        tag.as_ref().try_into().map_err(|_| SealError::Crypto("aes-gcm"))
    }

    /// Decrypts a segment where it lies; `None` when it does not authenticate (the bytes are then overwritten).
    pub fn open<'a>(&self, segment: u32, flag: Flag, sealed: &'a mut [u8]) -> Option<&'a mut [u8]> {
        self.key.open_in_place(self.nonce(segment, flag), Aad::empty(), sealed).ok()
    }
}
