//! The data key of one recording, as a Tink keyset in JSON.

mod proto;

use crate::{HEADER_LEN, SealError};
use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde::Deserialize;
use std::borrow::Cow;
use uuid::Uuid;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

const TYPE_URL: &str = "type.googleapis.com/google.crypto.tink.AesGcmHkdfStreamingKey";
/// More than the keyset's JSON ever takes.
const JSON_CAPACITY: usize = 512;
pub(crate) const KEY_LEN: usize = 32;

/// The key of one recording: opens its payload, whoever holds it. Wiped on drop, never printed.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct DataKey {
    pub(crate) secret: [u8; KEY_LEN],
    /// Tink's key id is free to choose: its halves are fingerprints of the recording's urn and of the stream
    /// header, so that a refusal can say what was mixed up. Nothing is ever accepted because of it.
    pub(crate) key_id: u32,
}

/// Which of envelope, recording and payload belong together, as far as the key id tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Belonging {
    pub recording: bool,
    pub header: bool,
}

impl Belonging {
    /// The reason why nothing opens, unless all three belong together.
    pub fn mix_up(self) -> Option<SealError> {
        match (self.recording, self.header) {
            (true, true) => None,
            (false, true) => Some(SealError::ForeignRecording),
            (false, false) => Some(SealError::EnvelopeSwapped),
            (true, false) => Some(SealError::KeyDoesNotMatchPayload),
        }
    }
}

impl DataKey {
    pub(crate) fn new(secret: [u8; KEY_LEN], recording: Uuid, header: &[u8; HEADER_LEN]) -> Self {
        Self { secret, key_id: fingerprint(recording, header) }
    }

    pub(crate) fn belonging(&self, recording: Uuid, header: &[u8; HEADER_LEN]) -> Belonging {
        let expected = fingerprint(recording, header);
        Belonging {
            recording: expected >> 16 == self.key_id >> 16,
            header: expected as u16 == self.key_id as u16,
        }
    }

    /// The keyset as Tink's JSON: secret, so it is wiped when dropped.
    pub fn to_json(&self) -> Zeroizing<String> {
        let proto = Zeroizing::new(proto::encode(&self.secret));
        let value = Zeroizing::new(STANDARD.encode(&*proto));
        let id = self.key_id.to_string();
        // Allocated once: a string that grows would leave copies of the key behind.
        let mut json = Zeroizing::new(String::with_capacity(JSON_CAPACITY));
        for part in [
            "{\"primaryKeyId\":",
            &id,
            ",\"key\":[{\"keyData\":{\"typeUrl\":\"",
            TYPE_URL,
            "\",\"value\":\"",
            &value,
            "\",\"keyMaterialType\":\"SYMMETRIC\"},\"status\":\"ENABLED\",\"keyId\":",
            &id,
            ",\"outputPrefixType\":\"RAW\"}]}",
        ] {
            json.push_str(part);
        }
        json
    }

    /// Reads Tink's JSON. Exactly one enabled AES256_GCM_HKDF_4KB key is expected.
    pub fn from_json(json: &str) -> Result<Self, SealError> {
        let mut keyset: Keyset =
            serde_json::from_str(json).map_err(|_| SealError::BadKeyset("not Tink's JSON"))?;
        let key = keyset.read();
        keyset.wipe();
        key
    }
}

/// Upper half: of the recording's urn. Lower half: of the stream header.
fn fingerprint(recording: Uuid, header: &[u8; HEADER_LEN]) -> u32 {
    let half = |bytes: &[u8]| {
        let digest = digest(&SHA256, bytes);
        u32::from(u16::from_be_bytes([digest.as_ref()[0], digest.as_ref()[1]]))
    };
    let id = half(associated_data(recording).as_bytes()) << 16 | half(header);
    id.max(1) // Tink reserves no id, but 0 is what proto3 takes for absent.
}

/// `urn:uuid:<recording id>`, lower case with hyphens.
pub(crate) fn associated_data(recording: Uuid) -> String {
    recording.urn().to_string()
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Keyset<'a> {
    primary_key_id: u32,
    #[serde(borrow)]
    key: Vec<Key<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Key<'a> {
    #[serde(borrow)]
    key_data: KeyData<'a>,
    #[serde(borrow)]
    status: Cow<'a, str>,
    key_id: u32,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct KeyData<'a> {
    #[serde(borrow)]
    type_url: Cow<'a, str>,
    #[serde(borrow)]
    value: Cow<'a, str>,
}

impl Keyset<'_> {
    fn read(&self) -> Result<DataKey, SealError> {
        let [key] = self.key.as_slice() else { return Err(SealError::BadKeyset("not exactly one key")) };
        if key.key_id != self.primary_key_id || key.status != "ENABLED" {
            return Err(SealError::BadKeyset("no enabled primary key"));
        }
        if key.key_data.type_url != TYPE_URL {
            return Err(SealError::BadKeyset("not an AES-GCM-HKDF streaming key"));
        }
        let proto = STANDARD.decode(key.key_data.value.as_bytes());
        let proto = Zeroizing::new(proto.map_err(|_| SealError::BadKeyset("not base64"))?);
        Ok(DataKey { secret: proto::decode(&proto)?, key_id: key.key_id })
    }

    /// A value with escapes was copied out of the JSON; the others borrow from it.
    fn wipe(&mut self) {
        for key in &mut self.key {
            if let Cow::Owned(value) = &mut key.key_data.value {
                value.zeroize();
            }
        }
    }
}
