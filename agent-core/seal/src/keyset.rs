//! The data key of one recording, as a Tink keyset in JSON.

use crate::{HEADER_LEN, SEGMENT_LEN, SealError};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde::Deserialize;
use std::borrow::Cow;
use uuid::Uuid;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

const TYPE_URL: &str = "type.googleapis.com/google.crypto.tink.AesGcmHkdfStreamingKey";
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
        let proto = Zeroizing::new(encode_key(&self.secret));
        let value = Zeroizing::new(STANDARD.encode(&*proto));
        let id = self.key_id;
        Zeroizing::new(format!(
            "{{\"primaryKeyId\":{id},\"key\":[{{\"keyData\":{{\"typeUrl\":\"{TYPE_URL}\",\"value\":\"{}\",\
             \"keyMaterialType\":\"SYMMETRIC\"}},\"status\":\"ENABLED\",\"keyId\":{id},\
             \"outputPrefixType\":\"RAW\"}}]}}",
            &*value
        ))
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
        let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
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
        Ok(DataKey { secret: decode_key(&proto)?, key_id: key.key_id })
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

const SHA256: u8 = 3;

/// `AesGcmHkdfStreamingKey { version 0, params { 4096, 32, SHA256 }, key_value }` in protobuf.
fn encode_key(secret: &[u8; KEY_LEN]) -> Vec<u8> {
    let segment = SEGMENT_LEN as u32;
    let mut proto = vec![0x12, 7, 0x08, (segment & 0x7f | 0x80) as u8, (segment >> 7) as u8];
    proto.extend([0x10, KEY_LEN as u8, 0x18, SHA256, 0x1a, KEY_LEN as u8]);
    proto.extend(secret);
    proto
}

fn decode_key(proto: &[u8]) -> Result<[u8; KEY_LEN], SealError> {
    let mut secret = Zeroizing::new([0; KEY_LEN]);
    let (mut has_secret, mut params) = (false, None);
    for field in Fields(proto) {
        match field? {
            Field { number: 1, value: Value::Number(0) } => {}
            Field { number: 1, .. } => return Err(SealError::BadKeyset("unknown version of the key")),
            Field { number: 2, value: Value::Bytes(bytes) } => params = Some(decode_params(bytes)?),
            Field { number: 3, value: Value::Bytes(bytes) } => {
                secret.copy_from_slice(
                    <&[u8; KEY_LEN]>::try_from(bytes)
                        .map_err(|_| SealError::BadKeyset("not 32 bytes of key"))?,
                );
                has_secret = true;
            }
            Field { number: _, .. } => {}
        }
    }
    match params {
        Some((4096, 32, 3)) if has_secret => Ok(*secret),
        Some((4096, 32, 3)) | None => Err(SealError::BadKeyset("incomplete")),
        Some(_) => Err(SealError::BadKeyset("not AES256_GCM_HKDF_4KB")),
    }
}

/// Segment size, derived key size, hash type.
fn decode_params(proto: &[u8]) -> Result<(u64, u64, u64), SealError> {
    let mut params = (0, 0, 0);
    for field in Fields(proto) {
        match field? {
            Field { number: 1, value: Value::Number(n) } => params.0 = n,
            Field { number: 2, value: Value::Number(n) } => params.1 = n,
            Field { number: 3, value: Value::Number(n) } => params.2 = n,
            Field { number: _, .. } => {}
        }
    }
    Ok(params)
}

struct Field<'a> {
    number: u64,
    value: Value<'a>,
}

enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

/// The fields of a protobuf message: varints and length-delimited ones, which is all a Tink key has.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn varint(&mut self) -> Option<u64> {
        let mut value = 0u64;
        for shift in (0..63).step_by(7) {
            let (&byte, rest) = self.0.split_first()?;
            self.0 = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn field(&mut self) -> Option<Field<'a>> {
        let tag = self.varint()?;
        let value = match tag & 7 {
            0 => Value::Number(self.varint()?),
            2 => {
                let len = usize::try_from(self.varint()?).ok()?;
                let (bytes, rest) = self.0.split_at_checked(len)?;
                self.0 = rest;
                Value::Bytes(bytes)
            }
            _ => return None,
        };
        Some(Field { number: tag >> 3, value })
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<Field<'a>, SealError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_none() {
            self.0 = &[];
        }
        Some(field.ok_or(SealError::BadKeyset("not the protobuf of a key")))
    }
}
